"""One small panel per group with thin lines for runs and thick medians, on shared axes, for more groups than fit in one
frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from grokscope.figures.axes import axes_rows, ruled
from grokscope.figures.style import color, held_dash
from grokscope.report.draw.axis import StepAxis

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

SIZE = WIDTH, HEIGHT = 172.0, 122.0
LEFT, RIGHT, TOP, BOTTOM = 30.0, 8.0, 6.0, 24.0
THIN = 150
"""Columns for which a curve of a panel that small keeps its points."""

Curve = tuple[np.ndarray, np.ndarray]
"""x (t,), y (t,)."""


@dataclass(frozen=True)
class Multiple:
    """One group: for each thing drawn (a split) its runs and their median."""

    runs: Mapping[str, Sequence[Curve]]
    medians: Mapping[str, Curve]
    levels: Sequence[float] = field(default=())
    """Horizontal reference lines."""


def shared_limits(multiples: Sequence[Multiple]) -> tuple[float, float]:
    """From the lowest to the highest value of any run in any panel, with a little room."""
    values = np.concatenate([y for m in multiples for curves in m.runs.values() for _, y in curves] or [np.ones(1)])
    values = np.r_[values, [level for m in multiples for level in m.levels]]
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    spare = 0.04 * max(high - low, 1e-9)
    return low - spare, high + spare


def draw_multiple(
    figure: "FigureBase", shown: Multiple, order: Sequence[str], axis: StepAxis, limits: tuple[float, float]
) -> None:
    """`order` gives each thing its color and dash, the same in all panels."""
    (axes,) = axes_rows(figure, [HEIGHT - TOP - BOTTOM], left=LEFT, right=RIGHT, top=TOP)
    axes.set_ylim(*limits)
    for level in shown.levels:
        axes.axhline(level, color=color("muted"), linewidth=1.1, linestyle=(0, (1, 2)))
    for i, name in reversed(list(enumerate(order))):
        shade = color(f"held-{i % 4 + 1}")
        for x, y in shown.runs.get(name, ()):
            axes.plot(*axis.thin(x, y, THIN), color=shade, linewidth=0.7, alpha=0.45)
        if name in shown.medians:
            x, y = shown.medians[name]
            axes.plot(*axis.thin(x, y, THIN), color=shade, linewidth=1.6, linestyle=held_dash(i))
    ruled(axes)
    axes.set_yticks([round(v, 2) for v in _ticks(limits)])
    axis.dress(axes)


def _ticks(limits: tuple[float, float]) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    low, high = limits
    return [float(v) for v in MaxNLocator(3, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high) if low <= v <= high]
