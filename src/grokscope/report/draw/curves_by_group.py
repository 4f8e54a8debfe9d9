"""Curves of several groups in one frame: thin lines for runs, thick lines for medians."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from grokscope.figures.axes import axes_rows, dress_y, heading, margin_labels, ruled
from grokscope.figures.style import color, group_color, group_dash
from grokscope.report.draw.axis import StepAxis

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

SIZE = WIDTH, HEIGHT = 358.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 72.0, 22.0, 40.0

FRAME = 4
"""Up to this many groups show their runs in one frame: the noisy curves of more hide each other."""
Curve = tuple[np.ndarray, np.ndarray]
"""x (t,), y (t,)."""


@dataclass(frozen=True)
class GroupCurves:
    """What one frame shows. `order` gives each group its color and dash, the same as in other figures."""

    title: str
    runs: Mapping[str, Sequence[Curve]]
    """Empty where medians alone are drawn."""
    medians: Mapping[str, Curve]
    order: Sequence[str]
    around: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    """x, low and high of the gray band of a control."""
    levels: Sequence[tuple[float, str]] = field(default=())
    """Horizontal reference lines with their words."""
    limits: tuple[float, float] | None = None
    """Of the upright axis, where it is shared with other frames."""


def draw_group_curves(figure: "FigureBase", shown: GroupCurves, axis: StepAxis | None, label: str) -> None:
    """On a step axis, or on a plain one for strengths."""
    (axes,) = axes_rows(figure, [HEIGHT - TOP - BOTTOM], left=LEFT, right=RIGHT, top=TOP)
    if shown.around is not None:
        axes.fill_between(*shown.around, color=color("train"), alpha=0.28, linewidth=0)
    for group, curves in shown.runs.items():
        index = shown.order.index(group)
        for x, y in curves if len(curves) > 1 else ():
            x, y = (x, y) if axis is None else axis.thin(x, y)
            axes.plot(x, y, color=group_color(index), linewidth=0.8, alpha=0.5)
    for group, (x, y) in shown.medians.items():
        index = shown.order.index(group)
        x, y = (x, y) if axis is None else axis.thin(x, y)
        axes.plot(x, y, color=group_color(index), linewidth=2.0, linestyle=group_dash(index))
    for value, _ in shown.levels:
        axes.axhline(value, color=color("muted"), linewidth=1.1, linestyle=(0, (1, 2)))
    if shown.limits is not None:
        axes.set_ylim(shown.limits)
    dress_y(axes, log=False)
    ruled(axes)
    if axis is not None:
        axis.dress(axes)
    margin_labels(axes, [(value, words, "muted") for value, words in shown.levels])
    axes.set_xlabel(label, labelpad=2)
    heading(axes, shown.title, role="ink")
