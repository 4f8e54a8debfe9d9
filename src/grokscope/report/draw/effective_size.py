"""Values against training-set size in two arms, with the estimated effective sizes."""

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from grokscope.figures.axes import axes_rows, dress_y, heading, ruled
from grokscope.figures.style import color, group_color, group_dash
from grokscope.results.effective_size import EffectiveSize, SizeCell, SizeComparison

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

WIDTH, LEFT, RIGHT, TOP, CURVES, GAP, ROW, BOTTOM = 358.0, 52.0, 20.0, 22.0, 170.0, 36.0, 20.0, 44.0
PLAIN, OTHER = 0, 1
"""Colors of the arms."""


def figure_size(c: SizeComparison) -> tuple[float, float]:
    """Width and height in points."""
    return WIDTH, TOP + CURVES + GAP + ROW * len(_shown(c)) + BOTTOM


def _shown(c: SizeComparison) -> list[EffectiveSize]:
    return [a for a in c.answers if a.method]


def draw_effective_size(figure: "FigureBase", c: SizeComparison) -> None:
    """Above: small marks are runs, the plain arm's line is its monotone fit, the other's goes through its means.
    Below, a row for each size of the other arm: a bar over the sizes that are not ruled out, and the one read off."""
    answers = _shown(c)
    above, below = axes_rows(figure, [CURVES, ROW * len(answers)], left=LEFT, right=RIGHT, top=TOP, gap=GAP)
    cells = [*c.plain_cells, *c.other_cells]
    sizes = sorted({cell.n for cell in cells})
    edges = sizes[0] / 1.3, sizes[-1] * 1.3
    for axes in (above, below):
        axes.set_xscale("log")
        axes.set_xlim(*edges)
        axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
        axes.minorticks_off()
    ruled(above)
    _arm(above, c.plain_cells, [cell.fit or 0.0 for cell in c.plain_cells], PLAIN, 1 / 1.02)
    _arm(above, c.other_cells, [cell.mean for cell in c.other_cells], OTHER, 1.02)
    values = list(chain.from_iterable(cell.values for cell in cells))
    edge = 0.06 * max(max(values) - min(values), 1e-9)
    above.set_ylim(min(values) - edge, max(values) + edge)
    dress_y(above, log=False)
    heading(above, c.quantity, role="ink")
    _rows(below, answers, edges)
    heading(below, "interval of the effective size, and its estimate", above=4.0)


def _arm(axes: "Axes", cells: "Sequence[SizeCell]", line: "Sequence[float]", index: int, apart: float) -> None:
    shade = group_color(index)
    for cell in cells:
        places = np.full(len(cell.values), cell.n * apart)
        axes.plot(places, cell.values, "o", color=shade, markersize=3.5, alpha=0.6, markeredgewidth=0)
    sizes = [cell.n for cell in cells]
    axes.plot(sizes, line, color=shade, linestyle=group_dash(index), linewidth=1.8, marker="o", markersize=5)


def _rows(axes: "Axes", answers: "Sequence[EffectiveSize]", edges: tuple[float, float]) -> None:
    axes.set_ylim(len(answers) - 0.5, -0.5)
    axes.set_yticks(range(len(answers)), [f"{a.n:,}" for a in answers])
    for place, a in enumerate(answers):
        low, high = a.low or edges[0], a.high or edges[1]
        axes.plot([low, high], [place, place], color=group_color(PLAIN), linewidth=5, alpha=0.3, solid_capstyle="butt")
        axes.plot([a.n], [place], "o", color=group_color(OTHER), markerfacecolor=color("paper"), markersize=6)
        if a.size is not None:
            axes.plot([a.size], [place], "D", color=group_color(PLAIN), markersize=5)
        else:
            axes.plot([edges[a.sign == ">"]], [place], a.sign, color=group_color(PLAIN), markersize=6, clip_on=False)
    axes.set_xlabel("training examples (log scale)", labelpad=2)
