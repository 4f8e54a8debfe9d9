"""Kaplan-Meier curves per group, drawn as the share of runs that have generalized."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from grokscope.figures.axes import axes_rows, heading, margin_labels, ruled
from grokscope.figures.style import SMALL, color, group_color, group_dash
from grokscope.report.draw.axis import Scale, StepAxis
from grokscope.report.read.survival import Arm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

WIDTH, LEFT, RIGHT, TOP, PLOT, FOOT, ROW = 358.0, 52.0, 62.0, 22.0, 160.0, 56.0, 15.0
NAMED, NAME = 6, 10
"""Curves carry their names when so few groups have so short names; the legend has them in any case."""
APART = 6.0
"""Points by which the last of the curves is drawn above its place, so that curves that coincide stay distinct."""
BELOW = -54.0
"""Points from the axes' lower edge to the first row of the table of runs at risk."""


def survival_axis(scale: Scale, arms: Sequence[Arm], unit: str = "step") -> StepAxis:
    """Positive times on the scale; what is not positive (held-out came first) stands at 0."""
    times = np.concatenate([a.times.at for a in arms]) if arms else np.array([1.0])
    positive = times[times > 0]
    last = float(positive.max()) if len(positive) else 10.0
    first = float(positive.min()) if len(positive) else 1.0
    low = 10.0 ** np.floor(np.log10(first)) if first > 0 else 1.0
    return StepAxis(scale, min(low, last / 10), last, zero=True, unit=unit)


def figure_height(groups: int) -> float:
    return TOP + PLOT + FOOT + ROW * (groups + 1)


def draw_survival(figure: "FigureBase", arms: Mapping[int, Arm], axis: StepAxis, what: str) -> None:
    """One panel: rising shares, bands, censor ticks, and the number at risk beneath the ticks. `arms` maps the place
    of a group among all of the report, which gives it its color, to its times."""
    (axes,) = axes_rows(figure, [PLOT], left=LEFT, right=RIGHT, top=TOP)
    axes.set_ylim(-0.03, 1.05)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    ruled(axes)
    axis.dress(axes)
    for row, (i, arm) in enumerate(arms.items()):
        if arm.estimate is not None:
            _draw_arm(axes, i, arm, axis, above=APART * row / max(1, len(arms) - 1))
    if len(arms) <= NAMED and all(len(arm.group) <= NAME for arm in arms.values()):
        ends = [(i, a.group, 1 - float(a.estimate.survival[-1])) for i, a in arms.items() if a.estimate is not None]
        margin_labels(axes, [(end, name, f"group-{i % 8 + 1}") for i, name, end in ends])
    name = f"{axis.unit}s from fit to generalization" if what == "delay" else axis.unit
    axes.set_xlabel(f"{name} (log scale)" if axis.scale == "log" else name, labelpad=2)
    heading(axes, "share of runs that have generalized", role="ink")
    _risk_table(axes, arms, axis)


def _draw_arm(axes: "Axes", index: int, arm: Arm, axis: StepAxis, above: float) -> None:
    """The curve is thin up to the first run that reached it, and drawn so many points above its place."""
    from matplotlib.transforms import ScaledTranslation

    k = arm.estimate
    assert k is not None
    shade = group_color(index)
    apart = axes.transData + ScaledTranslation(0, above / 72, axes.figure.dpi_scale_trans)
    style = {"drawstyle": "steps-post", "color": shade, "linestyle": group_dash(index), "transform": apart}
    x = np.r_[axis.limits[0], np.maximum(np.r_[k.times, k.last], 0)]
    share = np.r_[0.0, 1 - k.survival, 1 - k.survival[-1]]
    first = int(np.argmax(share > 0)) if (share > 0).any() else len(share) + 1
    axes.plot(x[: first + 1], np.zeros(len(x[: first + 1])), linewidth=1.0, **style)
    rise = np.r_[x[first : first + 1], x[first:]], np.r_[np.zeros(len(x[first : first + 1])), share[first:]]
    axes.plot(*rise, linewidth=2.0, **style)  # nothing where nobody reached it
    low, high = np.r_[np.nan, 1 - k.high, 1 - k.high[-1]], np.r_[np.nan, 1 - k.low, 1 - k.low[-1]]
    axes.fill_between(x, low, high, step="post", color=shade, alpha=0.12, linewidth=0)
    cut = arm.times.at[~arm.times.observed]
    axes.plot(
        np.maximum(cut, 0), [1 - k.at(t) for t in cut], "|", color=shade, markersize=9, markeredgewidth=1.6,
        clip_on=False, zorder=4, transform=apart,
    )  # fmt: skip


def _risk_table(axes: "Axes", arms: Mapping[int, Arm], axis: StepAxis) -> None:
    """Under each tick the runs still at risk, a row per group behind its line's color and dash."""
    ticks, _, _ = axis.ticks()
    _under(axes, "at risk", -LEFT + 4, 0, "muted", "left")
    for row, (i, arm) in enumerate(arms.items(), 1):
        _swatch(axes, i, -LEFT + 4, row)
        for step in ticks:
            _under(axes, f"{arm.at_risk(step):,}", 0, row, "ink", "center", step)


def _under(
    axes: "Axes", text: str, x: float, row: int, role: str, align: Literal["left", "center"], at: float | None = None
) -> None:
    """Text in a row beneath the axes, x points from their left end, or from the data's `at`."""
    frame = "axes fraction" if at is None else axes.get_xaxis_transform()
    axes.annotate(
        text, (at or 0, 0), xycoords=frame, xytext=(x, BELOW - ROW * row), textcoords="offset points", ha=align,
        fontsize=SMALL, color=color(role), annotation_clip=False,
    )  # fmt: skip


def _swatch(axes: "Axes", index: int, x: float, row: int) -> None:
    """A piece of the group's line, 30 points long, x points from the axes' left end in a row beneath them."""
    from matplotlib.transforms import offset_copy

    place = offset_copy(axes.transAxes, axes.get_figure(root=True), x, BELOW - ROW * row + 3.5, units="points")
    width = 30 / (WIDTH - LEFT - RIGHT)
    axes.plot(
        [0, width], [0, 0], color=group_color(index), linestyle=group_dash(index), linewidth=2.0, transform=place,
        clip_on=False,
    )  # fmt: skip
