"""Numbers and plurals as text: thousands separators, few digits, a true minus sign on the page.

Two families: `whole`, `number`, `percent`, `p_value` and `size` are plain ASCII wherever the value is known, for
terminals, files and messages; `steps`, `score`, `digits`, `factor` and `short` are typographic, for the page and its
figures.
"""

import math
from collections.abc import Sequence

NONE = "–"
"""What a table shows where there is no value."""


def plural(count: int, one: str, many: str | None = None) -> str:
    """``1 run``, ``1,200 runs``; `many` for what takes no s."""
    if count == 1:
        return f"1 {one}"
    return f"{count:,} {many or one + 's'}"


def capitalized(text: str) -> str:
    """Its first letter large, the others as they are: names such as T_gen keep theirs."""
    return text[:1].upper() + text[1:]


def first_of(names: Sequence[str], most: int) -> str:
    """``a, b and 3 more``: the first `most` of the names, and how many are left."""
    left = len(names) - most
    shown = ", ".join(names[:most])
    if left <= 0:
        return shown
    return f"{shown} and {left} more"


def listed(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def whole(value: float) -> str:
    """A step, a count or an epoch, exact: ``12,000``; with a fraction at most six digits: ``12.25``, ``1,200.5``."""
    if math.isfinite(value) and float(value).is_integer():
        return f"{int(value):,}"
    if 1e-4 <= abs(value) < 1e6:
        return f"{value:,.6g}"
    return f"{value:g}"


def number(value: float) -> str:
    """At most four significant digits, from 1,000 on whole and with commas: ``0.9333``, ``12,346``."""
    if math.isnan(value):
        return "nan"
    shown = float(f"{value:.4g}")  # 999.96 reads as a thousand, and thousands have a comma
    if 1000 <= abs(shown) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4g}"


SMALLEST_P = 1e-300
"""p below this are near the end of what a float can say, where a sum of thousands of runs becomes 0."""


def p_value(p: float | None) -> str:
    """``0.0312``; ``<1e-300`` of one that is too small for a float, since no p is 0; a dash where it is not known."""
    if p is None or math.isnan(p):
        return NONE
    if p < SMALLEST_P:
        return f"<{SMALLEST_P:g}"
    return f"{p:.3g}"


def p_equation(p: float | None) -> str:
    """``p = 0.0312``, ``p < 1e-300``."""
    text = p_value(p)
    return f"p < {text[1:]}" if text.startswith("<") else f"p = {text}"


def percent(share: float | None, decimals: int = 0) -> str:
    """A share in percent, whole if not told otherwise: ``37 %``; ``<1 %`` and ``>99 %`` where rounding would say none
    or all and it is neither; none and all themselves are ``0 %`` and ``100 %``; a dash where it is not known."""
    if share is None or math.isnan(share):
        return NONE
    smallest = 10.0**-decimals
    value = 100 * share
    if 0 < abs(value) <= smallest / 2:
        return f"<{smallest:g} %" if value > 0 else f">-{smallest:g} %"
    if 100 - smallest / 2 <= value < 100:
        return f">{100 - smallest:g} %"
    return f"{value:,.{decimals}f} %"


def size(count: float) -> str:
    """``68 MB``: decimal units, as disks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"


def steps(value: float | None) -> str:
    """12000.0 -> 12,000; fractional epochs keep their digits; a dash for none."""
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞"
    return (f"{int(value):,}" if float(value).is_integer() else f"{value:,.4g}").replace("-", "−")


def steps_or_more(value: float | None, censored: bool) -> str:
    """A time of a run: ``1,200``; ``> 1,200`` where it was not reached by then."""
    if censored:
        return f"> {steps(value)}"
    return steps(value)


def score(value: float | None) -> str:
    """An accuracy or R2 with three decimals; a dash for none."""
    if value is None or math.isnan(value):
        return NONE
    return f"{value:.3f}".replace("-", "−")


def digits(value: float | None) -> str:
    """Three significant digits, whatever the size: ``0.0123``, ``1.2e−5``; a dash for none."""
    if value is None or math.isnan(value):
        return NONE
    text = f"{value:.3g}".replace("inf", "∞")
    for longer, shorter in (("e-0", "e-"), ("e+0", "e"), ("e+", "e"), ("-", "−")):
        text = text.replace(longer, shorter)
    return text


def factor(value: float | None) -> str:
    """A ratio with two significant digits and its sign of multiplication; a dash for none."""
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞"
    if value < 9.95:
        return f"{value:.1f}×"
    return f"{value:,.0f}×"


def short(value: float) -> str:
    """12000 -> 12k, 1500000 -> 1.5M: for axes; tables write numbers out."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.4g}{letter}"
    return f"{value:.4g}"


def briefs(names: Sequence[str], length: int) -> list[str]:
    """Names cut in the middle to fit a place in a figure, between words where they have several: their ends tell them
    apart. Those that would read alike nevertheless get their number."""
    cut = [n if len(n) <= length else _cut(n, length) for n in names]
    alike = {one for one in cut if cut.count(one) > 1}
    return [f"{i}. {one}" if one in alike else one for i, one in enumerate(cut, 1)]


def _cut(name: str, length: int) -> str:
    half = (length - 2) // 2
    words, last = name[: length - 1 - half].rpartition(" ")[0], name[-half - 1 :].partition(" ")[2]
    if words and last:  # whole words at both ends: half a number would be another number
        return f"{words.rstrip(',')}… {last}"
    half = (length - 1) // 2
    return f"{name[: length - 1 - half]}…{name[-half:]}"


def brief(name: str, length: int) -> str:
    """A name cut to fit a place in a figure."""
    if len(name) <= length:
        return name
    return name[: length - 1] + "…"
