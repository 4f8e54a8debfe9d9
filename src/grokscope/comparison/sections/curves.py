"""Curves of both sides, with their difference below."""

from collections.abc import Mapping, Sequence

import numpy as np

from grokscope.comparison.curves import PairedCurve
from grokscope.comparison.draw import LEFT, RIGHT, SIZE, WIDTH, axis_of, difference_title, draw_pair
from grokscope.figures.keys import Entry, group_key
from grokscope.report.draw.axis import Scale, StepAxis
from grokscope.report.sections.blocks import Block, Hover, Panel, Plots, Section, Words, wide
from grokscope.report.sections.names import slug
from grokscope.results.comparison import Comparison
from grokscope.vocabulary.text import number, plural, whole

TITLES = {"train": "train score", "norm_total": "weight norm, L2, log scale"}
DRAWN = 12
"""Pairs of arms whose curves are drawn."""


def section(compared: Comparison, drawn: Sequence[PairedCurve]) -> Section | None:
    """None where no curve was read and there is no word on why."""
    if not drawn and not compared.curves_note:
        return None
    pairs: dict[tuple[str, str], list[PairedCurve]] = {}
    for curve in drawn:
        pairs.setdefault(curve.arms, []).append(curve)
    blocks: list[Block] = [_intro()] if drawn else []
    for i, (arms, curves) in enumerate(list(pairs.items())[:DRAWN]):
        if len(pairs) > 1:
            blocks.append(Words(arms[0], "h3"))
        blocks.append(_plots(compared, curves, arms, first=i == 0))
    if len(pairs) > DRAWN:
        blocks.append(
            Words(f"Of {plural(len(pairs), 'pair')} of arms, the first {DRAWN} are drawn; all are in the JSON.")
        )
    if compared.curves_note:
        blocks.append(Words(f"Not drawn: {compared.curves_note}."))
    return Section("curves", "Curves", "Curves and their difference", blocks)


def _intro() -> Words:
    return Words(
        "Above: thin lines for single runs (up to 12), thick line for the median; the band is the full range below 6 "
        "runs, otherwise a 95 % interval of the median. Below: the first side minus the second, on the evaluations "
        "that all runs share, paired by seed if both sides have the same seeds."
    )


def _plots(compared: Comparison, curves: Sequence[PairedCurve], arms: tuple[str, str], first: bool) -> Plots:
    axes: dict[Scale, StepAxis] = {scale: axis_of(curves, scale, _unit(compared)) for scale in ("log", "linear")}
    panels = [_panel(curve, axes) for curve in curves]
    key = [
        *group_key([compared.a.name, compared.b.name]),
        Entry("difference, median", "ink", width=2.0),
        Entry("difference, one seed", "muted", width=1.0),
    ]
    place = slug(arms[0]) if arms[0] == arms[1] else "curves"
    return Plots(place, panels, key, wide(panels), 2, switch=first)


def _unit(compared: Comparison) -> str:
    """In the singular, as an axis has it."""
    return compared.a.unit.removesuffix("s") or compared.a.unit


def _panel(curve: PairedCurve, axes: Mapping[Scale, StepAxis]) -> Panel:
    title = TITLES.get(curve.curve, f"{curve.curve}, held out")
    lines = {
        curve.names[0]: (curve.step, curve.middle_a),
        curve.names[1]: (curve.step, curve.middle_b),
        "difference": (curve.step, curve.middle),
    }
    return Panel(
        lambda figure, scale: draw_pair(figure, curve, axes[scale]),
        SIZE,
        _spoken(curve, title),
        title,
        f"Difference {curve.note}." if curve.note else "",
        hover=Hover(lambda scale: axes[scale], LEFT, WIDTH - RIGHT, lines),
        sample=f"{len(curve.a)} and {len(curve.b)} runs; {difference_title(curve)}",
    )


def _spoken(curve: PairedCurve, title: str) -> str:
    at = int(np.argmax(np.abs(curve.middle)))
    return (
        f"{title} of {curve.names[0]} ({len(curve.a)}) and {curve.names[1]} ({len(curve.b)}). "
        f"{difference_title(curve)}: {number(float(curve.middle[-1]))} at the last shared step "
        f"{whole(float(curve.step[-1]))}, furthest from 0 at step {whole(float(curve.step[at]))} with "
        f"{number(float(curve.middle[at]))}."
    )
