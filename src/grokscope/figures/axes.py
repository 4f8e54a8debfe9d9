"""Axes with a layout in points, including headings and labels in the margin."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope.figures.style import SMALL, color
from grokscope.vocabulary.text import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

POINTS = 72.0
"""Figure units are points: an inch of matplotlib is 72 units of the SVG's view box."""
EDGE = 3.0
"""Points that the layout engine leaves between what it fits and the edge of the figure."""


def size_of(figure: "FigureBase") -> tuple[float, float]:
    """Width and height in points of a figure, or of a part of one."""
    box: Any = figure.bbox  # pyright: ignore[reportAttributeAccessIssue] # both kinds of figures have one
    root: Any = figure.get_figure(root=True)
    return POINTS * box.width / root.dpi, POINTS * box.height / root.dpi


def axes_rows(
    figure: "FigureBase", heights: Sequence[float], *, left: float, right: float, top: float, gap: float = 0.0
) -> "list[Axes]":
    """Axes one above the other, of these heights; all sizes in points, margins from the figure's edges.

    The layout engine leaves them where they are: every panel of a figure is a drawing of its own on the page, and only
    equal margins make their axes equally wide and high.
    """
    width, height = size_of(figure)
    rows = len(heights)
    below = height - top - sum(heights) - gap * (rows - 1)
    place = {
        "left": left / width, "right": 1 - right / width, "top": 1 - top / height, "bottom": below / height,
        "hspace": gap * rows / sum(heights),
    }  # fmt: skip
    axes = list(figure.subplots(rows, 1, squeeze=False, height_ratios=heights, gridspec_kw=place)[:, 0])
    for one in axes:
        one.set_in_layout(False)
    return axes


def fitted_axes(figure: "FigureBase") -> "Axes":
    """One axes that leaves as much room as the labels around it take, whatever their length: constrained layout does
    it when the figure is written. For a figure that stands alone; panels that are read against each other have equal
    frames, see `axes_rows`."""
    root: Any = figure.get_figure(root=True)
    root.set_layout_engine("constrained", w_pad=EDGE / POINTS, h_pad=EDGE / POINTS, wspace=0, hspace=0)
    return figure.subplots()


def ruled(axes: "Axes") -> None:
    """Thin horizontal lines behind the data."""
    axes.grid(axis="y", color=color("line"), linewidth=0.7)
    axes.set_axisbelow(True)


def dress_y(axes: "Axes", log: bool) -> None:
    """A few ticks with short labels."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    if not log:
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(lambda v, _: short(round(v, 9)).replace("-", "−"))
        return
    low, high = axes.get_ylim()
    if high / low > 50:
        locator = LogLocator(numticks=5)
    else:
        locator = LogLocator(subs=(1, 2, 5) if high / low < 12 else (1, 3), numticks=6)
    axes.yaxis.set_major_locator(locator)
    axes.yaxis.set_major_formatter(lambda v, _: tick(v))
    axes.yaxis.set_minor_locator(NullLocator())


def tick(value: float) -> str:
    """``0.01``, ``300``, ``1e-6``: short enough for an axis."""
    if 1e-3 <= value < 1e6:
        return short(value)
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")


def heading(
    axes: "Axes", text: str, above: float = 6.0, role: str = "muted", size: float = SMALL, weight: str = "normal"
) -> None:
    """A small title over the left end of the axes, in place of a rotated label."""
    axes.annotate(
        text, (0, 1), xycoords="axes fraction", xytext=(0, above), textcoords="offset points",
        color=color(role), fontsize=size, fontweight=weight, va="bottom", ha="left", annotation_clip=False,
    )  # fmt: skip


def margin_labels(
    axes: "Axes", labels: "list[tuple[float, str, str]]", gap: float = 12.5, size: float = SMALL, leader: float = 0.0
) -> None:
    """(y in data units, text, palette role) at the right end of the axes, moved apart where they would touch; with a
    thin line of so many points from each height to its text, where they are many."""
    if not labels:
        return
    bottom, top = axes.get_ylim()
    height = axes.get_window_extent().height * POINTS / axes.figure.dpi

    def to_points(y: float) -> float:
        if axes.get_yscale() == "log":
            return float(np.log(y / bottom) / np.log(top / bottom) * height)
        return (y - bottom) / (top - bottom) * height

    wanted = sorted((float(np.clip(to_points(y), 0, height)), text, role) for y, text, role in labels)
    places = _apart([w[0] for w in wanted], gap, height)
    line: Any = {"arrowstyle": "-", "color": color("muted"), "linewidth": 0.6, "shrinkA": 1, "shrinkB": 0}
    line["relpos"] = (0, 0.5)
    for place, (height_of_it, text, role) in zip(places, wanted, strict=True):
        axes.annotate(
            text, (1, height_of_it / height), xycoords="axes fraction", xytext=(4 + leader, place - height_of_it),
            textcoords="offset points", color=color(role), fontsize=size, va="center", ha="left", annotation_clip=False,
            arrowprops=line if leader else None,
        )  # fmt: skip


def _apart(places: list[float], gap: float, height: float) -> list[float]:
    """Sorted places pushed up to keep `gap`, then pushed down again where that leaves the axes."""
    up: list[float] = []
    for place in places:
        up.append(max(place, up[-1] + gap) if up else place)
    limit, down = height + gap / 2, []
    for place in reversed(up):
        down.append(min(place, limit))
        limit = down[-1] - gap
    return down[::-1]
