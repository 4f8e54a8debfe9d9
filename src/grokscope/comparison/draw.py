"""One curve of both sides over a shared step axis, with their difference below: one line per pair of seeds, and the
median."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from grokscope.comparison.curves import Line, PairedCurve
from grokscope.figures.axes import axes_rows, dress_y, heading, ruled
from grokscope.figures.style import color, group_color, group_dash
from grokscope.report.draw.axis import Scale, StepAxis, step_axis
from grokscope.report.read.bands import group_band
from grokscope.vocabulary.text import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

WIDTH, LEFT, RIGHT, TOP, UPPER, GAP, LOWER, BOTTOM = 358.0, 48.0, 14.0, 22.0, 150.0, 32.0, 96.0, 40.0
SIZE = (WIDTH, TOP + UPPER + GAP + LOWER + BOTTOM)
MANY = 12
"""Above this many runs of a side thin lines are left out; median and band stay."""


def axis_of(curves: Sequence[PairedCurve], scale: Scale, unit: str) -> StepAxis:
    """One step axis for all curves of a pair of arms."""
    lines = chain.from_iterable((*c.a.values(), *c.b.values()) for c in curves)
    return step_axis(scale, [step for step, _ in lines], unit)


def draw_pair(figure: "FigureBase", curve: PairedCurve, axis: StepAxis) -> None:
    """Both sides above, the difference below."""
    upper, lower = axes_rows(figure, [UPPER, LOWER], left=LEFT, right=RIGHT, top=TOP, gap=GAP)
    log = curve.curve.startswith("norm")
    if log:
        upper.set_yscale("log")
    for i, side in enumerate((curve.a, curve.b)):
        _draw_side(upper, list(side.values()), axis, i)
    _limit(upper, curve, log)
    heading(upper, f"{_runs(curve.a)} of the first side, {_runs(curve.b)} of the second")
    _draw_difference(lower, curve, axis)
    for axes in (upper, lower):
        ruled(axes)
        axis.dress(axes, labels=axes is lower)
    dress_y(upper, log)
    dress_y(lower, False)
    lower.set_xlabel(axis.label, labelpad=2)


def _runs(side: Mapping[str, Line]) -> str:
    return plural(len(side), "run")


def _draw_side(axes: "Axes", lines: Sequence[Line], axis: StepAxis, index: int) -> None:
    """Thin runs, band and median in the color and dash of the side."""
    shade, dash = group_color(index), group_dash(index)
    band = group_band([(np.asarray(s, float), np.asarray(v, float)) for s, v in lines])
    if band is None:
        return
    if band.kind != "none":
        axes.fill_between(band.step, band.low, band.high, color=shade, alpha=0.14, linewidth=0)
    if 1 < len(lines) <= MANY:
        for step, value in lines:
            axes.plot(*axis.thin(np.asarray(step, float), value), color=shade, linewidth=0.8, alpha=0.5)
    axes.plot(*axis.thin(band.step, band.median), color=shade, linewidth=2.0, linestyle=dash)


def _limit(axes: "Axes", curve: PairedCurve, log: bool) -> None:
    values = np.concatenate([value for _, value in (*curve.a.values(), *curve.b.values())])
    if not log:
        # an untrained network's R2 can be anything below 0: it leaves the axes
        axes.set_ylim(max(min(0.0, float(values.min())) - 0.02, -2.5), 1.03)
        return
    positive = values[values > 0]
    if len(positive):
        axes.set_ylim(float(positive.min()) / 1.2, float(positive.max()) * 1.2)


def _draw_difference(axes: "Axes", curve: PairedCurve, axis: StepAxis) -> None:
    axes.axhline(0.0, color=color("muted"), linewidth=1.0, linestyle=(0, (5, 3)))
    step = curve.step.astype(np.float64)
    if 1 < len(curve.pairs) <= MANY:
        for seed, values in curve.pairs.items():
            axes.plot(*axis.thin(step, values), color=color("muted"), linewidth=0.8, alpha=0.7, gid=f"pair:{seed}")
    axes.plot(*axis.thin(step, curve.middle), color=color("ink"), linewidth=1.8)
    heading(axes, difference_title(curve))


def difference_title(curve: PairedCurve) -> str:
    """What the line below is."""
    if len(curve.pairs) > 1:
        return f"first minus second: {len(curve.pairs):,} pairs of one seed and their median"
    if curve.pairs:
        return "first minus second, same seed"
    return "first minus second: difference of the medians, not paired"
