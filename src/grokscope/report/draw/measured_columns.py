"""Curves of measurements other than accuracy: one panel per column, one line per group."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from grokscope.figures.axes import axes_rows, dress_y, heading, ruled
from grokscope.figures.style import group_color, group_dash
from grokscope.report.draw.axis import StepAxis
from grokscope.report.read.bands import Band
from grokscope.vocabulary.columns import Described

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

SIZE = WIDTH, HEIGHT = 358.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 22.0, 38.0


def draw_column(
    figure: "FigureBase", described: Described, bands: Mapping[str, Band], order: Sequence[str], axis: StepAxis
) -> None:
    """One panel; `order` gives each group its color and dash, the same as in other figures."""
    (axes,) = axes_rows(figure, [HEIGHT - TOP - BOTTOM], left=LEFT, right=RIGHT, top=TOP)
    for name, band in bands.items():
        index = order.index(name)
        shade = group_color(index)
        if band.kind != "none":
            axes.fill_between(band.step, band.low, band.high, color=shade, alpha=0.14, linewidth=0)
        axes.plot(*axis.thin(band.step, band.median), color=shade, linewidth=1.8, linestyle=group_dash(index))
    log = described.scale == "log"
    if log:
        axes.set_yscale("log")
    dress_y(axes, log)
    ruled(axes)
    axis.dress(axes)
    axes.set_xlabel(axis.label, labelpad=2)
    heading(axes, described.title + (", log scale" if log else ""), role="ink")
