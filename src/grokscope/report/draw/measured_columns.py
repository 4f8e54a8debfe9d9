"""Curves of what was measured beside accuracy: one panel per column that the runs hold, one line per group."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from grokscope.report.draw.axis import StepAxis, heading, place_axes, thin
from grokscope.report.draw.style import colour, group_colour, group_dash
from grokscope.report.read.bands import Band, group_band
from grokscope.report.read.judged_run import Reading
from grokscope.report.read.measured_columns import Diagnostic
from grokscope.vocabulary.text import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360.0, 190.0, 46.0, 12.0, 22.0, 38.0
LINES = 8
"""At most this many groups get a line here; the others are in the tables and the data."""


def group_bands(diagnostic: Diagnostic, groups: dict[str, list[Reading]]) -> dict[str, Band]:
    """Group -> median and band of one column; groups that lack it are left out, and beyond LINES groups the later
    ones."""
    out: dict[str, Band] = {}
    for name, members in groups.items():
        if (band := _band(members, diagnostic)) is not None:
            out[name] = band
        if len(out) == LINES:
            break
    return out


def _band(members: list[Reading], diagnostic: Diagnostic) -> Band | None:
    """Median and band of the column; where it is a mean over parts, the band reaches over all parts of all runs."""
    made = [_over(members, column, diagnostic.scale) for column in (diagnostic.column, *(diagnostic.around or ()))]
    band, *edges = made
    if band is None or len(edges) != 2 or edges[0] is None or edges[1] is None:
        return band
    return replace(band, low=edges[0].low, high=edges[1].high, kind="range")


def _over(members: list[Reading], column: str, scale: str) -> Band | None:
    return group_band([c for r in members if (c := _curve(r, column, scale)) is not None])


def _curve(reading: Reading, column: str, scale: str) -> tuple[np.ndarray, np.ndarray] | None:
    metrics = reading.subject.metrics
    values = metrics.get(column)
    if values is None:
        return None
    if scale == "log":
        values = np.where(values > 0, values, np.nan)
    return metrics["step"], values


def draw_diagnostic(
    figure: "Figure",
    left: float,
    top: float,
    diagnostic: Diagnostic,
    bands: dict[str, Band],
    order: list[str],
    axis: StepAxis,
) -> None:
    """One panel at a place in points; `order` gives each group its colour and dash, the same as in other figures."""
    axes = place_axes(figure, left + LEFT, top + TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM)
    for name, band in bands.items():
        index = order.index(name)
        shade = group_colour(index)
        x = axis.place(band.step)
        if band.kind != "none":
            axes.fill_between(x, band.low, band.high, color=shade, alpha=0.14, linewidth=0)
        axes.plot(*thin(x, band.median), color=shade, linewidth=1.8, linestyle=group_dash(index))
    if diagnostic.scale == "log":
        _log_y(axes)
    else:
        axes.yaxis.set_major_locator(_few())
        axes.yaxis.set_major_formatter(lambda v, _: short(v))
    axes.grid(axis="y", color=colour("line"), linewidth=0.7)
    axes.set_axisbelow(True)
    axis.dress(axes)
    axes.set_xlabel(axis.label, labelpad=2)
    heading(axes, diagnostic.title + (", log scale" if diagnostic.scale == "log" else ""), role="ink", size=11)


def _few():
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)


def _log_y(axes: "Axes") -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(numticks=5) if high / low > 30 else LogLocator(subs=(1, 2, 5), numticks=6))
    axes.yaxis.set_major_formatter(
        lambda v, _: short(v) if 1e-3 <= v < 1e6 else f"{v:.0e}".replace("e-0", "e-").replace("e+0", "e")
    )
    axes.yaxis.set_minor_locator(NullLocator())
