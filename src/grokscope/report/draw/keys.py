"""Keys to the figures, as small inline drawings with words; once per section, outside the data."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from grokscope.report.draw.style import GROUP_COLOURS, group_dash
from grokscope.report.read.survival import Arm

if TYPE_CHECKING:
    from grokscope.report.sections.blocks import Entry

Key = list[tuple[Markup, str]]


def curve_legend(splits: Sequence[str], probed: bool = False) -> Key:
    """`probed`: whether some panel shows a linear probe."""
    others = [(line(f"held-{i % 4 + 1}", 2.6), _held(name)) for i, name in enumerate(splits)][1:]
    return [
        (line("train", 2.0), "train"),
        (_svg(_BAND), f"{_held(splits[0])} (median and band)"),
        *others,
        *([(line("held-1", 1.6, "4 2.3"), "linear probe of the last hidden layer")] if probed else []),
        (line("muted", 1.3, "5 3"), "goal: threshold of the verdict"),
        (line("muted", 1.5, "1 2.5"), "trivial predictor"),
        (_svg(_FITTED), "train fitted"),
        (_svg('<path d="M13 2l5 5-5 5-5-5z" fill="var(--ink)"/>'), "generalized (its interval shaded)"),
        (_svg(_CENSORED), "not by the last evaluation (censored)"),
    ]


_BAND = (
    '<rect x="1" y="2" width="24" height="10" fill="var(--held-1)" opacity=".2"/>'
    '<path d="M1 7H25" stroke="var(--held-1)" stroke-width="2.6"/>'
)
_FITTED = '<circle cx="13" cy="7" r="4" fill="var(--paper)" stroke="var(--train)" stroke-width="1.6"/>'
_CENSORED = (
    '<path d="M2 7h14" stroke="var(--ink)" stroke-width="1.5"/>'
    '<path d="M16 2.5L24 7l-8 4.5z" fill="var(--paper)" stroke="var(--ink)" stroke-width="1.4"/>'
)


def _held(split: str) -> str:
    return "held out" if split in ("held_out", "held-out") else f"{split}, held out"


def group_legend(groups: Sequence[str]) -> Key:
    return [(_group(i), name) for i, name in enumerate(groups)]


def group_entries(groups: Sequence[str]) -> "list[Entry]":
    """The same for a section's key."""
    from grokscope.report.sections.blocks import Entry

    dashes = [group_dash(i) for i in range(len(groups))]
    return [
        Entry(name, f"group-{i % GROUP_COLOURS + 1}", () if dash == "solid" else dash[1])
        for i, (name, dash) in enumerate(zip(groups, dashes, strict=True))
    ]


def survival_legend(found: Sequence[Arm]) -> Key:
    censored = _svg('<path d="M1 7H25M13 2v10" stroke="var(--ink)" stroke-width="1.7" fill="none"/>')
    return [
        *[(_group(i), f"{arm.group} (n = {len(arm.times)})") for i, arm in enumerate(found[:8])],
        (censored, "censored: run ended before"),
    ]


def _group(index: int) -> Markup:
    dash = group_dash(index)
    pattern = "" if dash == "solid" else " ".join(str(2 * v) for v in dash[1])
    return line(f"group-{index % GROUP_COLOURS + 1}", 2.4, pattern)


def line(role: str, width: float, dash: str = "", opacity: float = 1.0) -> Markup:
    """A piece of a line in a palette colour."""
    pattern = f' stroke-dasharray="{dash}"' if dash else ""
    pattern += f' opacity="{opacity:g}"' if opacity < 1 else ""
    return _svg(f'<path d="M1 7H25" stroke="var(--{role})" stroke-width="{width}"{pattern} fill="none"/>')


def _svg(inside: str) -> Markup:
    return Markup(f'<svg viewBox="0 0 26 14" aria-hidden="true" focusable="false">{inside}</svg>')
