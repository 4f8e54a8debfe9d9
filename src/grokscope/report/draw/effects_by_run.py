"""One effect of every run, one row each, with the range of its strictest control."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from grokscope.figures.axes import EDGE, fitted_axes, heading
from grokscope.figures.style import SMALL, color, group_color
from grokscope.vocabulary.text import brief, briefs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

WIDTH, TOP, ROW, BOTTOM = 358.0, 22.0, 18.0, 38.0
NAME, HEAD = 22, 60
"""Characters that are shown of a run's name, and of a group's."""


@dataclass(frozen=True)
class RunEffect:
    """One run's effect; `group` is the place of its group, which gives the color, and `head` its name, which stands
    over the rows of the group; empty where there is one group only."""

    label: str
    head: str
    group: int
    value: float
    interval: tuple[float, float] | None
    control: tuple[float, float] | None
    """2.5 and 97.5 % of the control's draws."""


def run_effects_size(rows: Sequence[RunEffect]) -> tuple[float, float]:
    """Width and height in points."""
    return WIDTH, TOP + ROW * _height(rows) + BOTTOM


def _height(rows: Sequence[RunEffect]) -> int:
    """Rows of the figure: the runs, and the heads of their groups."""
    return len(rows) + len({r.head for r in rows if r.head})


def _places(rows: Sequence[RunEffect]) -> tuple[list[int], dict[str, int]]:
    """Row of each run, and of each group's head."""
    places: list[int] = []
    heads: dict[str, int] = {}
    for row in rows:
        if row.head and row.head not in heads:
            heads[row.head] = len(places) + len(heads)
        places.append(len(places) + len(heads))
    return places, heads


def draw_run_effects(figure: "FigureBase", rows: Sequence[RunEffect], title: str, unit: str) -> None:
    """Points with their intervals; the thick gray bar is what the control reaches."""
    axes = fitted_axes(figure)
    places, heads = _places(rows)
    axes.set_ylim(_height(rows) - 0.5, -0.5)
    axes.axvline(0, color=color("muted"), linewidth=0.8)
    for place, row in zip(places, rows, strict=True):
        _draw_row(axes, place, row)
    _name_groups(axes, heads)
    axes.set_yticks(places, [brief(r.label, NAME) for r in rows], fontsize=SMALL)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(unit, labelpad=2)
    heading(axes, title, role="ink")


def _name_groups(axes: "Axes", heads: Mapping[str, int]) -> None:
    """From the left edge of the figure, over the names of the runs; the layout makes no room for them."""
    from matplotlib.transforms import blended_transform_factory

    place = blended_transform_factory(axes.figure.transSubfigure, axes.transData)
    for row, name in zip(heads.values(), briefs(list(heads), HEAD), strict=True):
        axes.text(
            EDGE / WIDTH, row, name, transform=place, fontsize=SMALL, va="center", in_layout=False,
            bbox={"facecolor": color("paper"), "edgecolor": "none", "pad": 1.0},  # the line at zero runs through it
        )  # fmt: skip


def _draw_row(axes: "Axes", place: int, row: RunEffect) -> None:
    if row.control is not None and all(map(isfinite, row.control)):
        axes.plot(row.control, [place, place], color=color("train"), linewidth=7, alpha=0.35, solid_capstyle="butt")
    if row.interval is not None:
        axes.plot(row.interval, [place, place], color=group_color(row.group), linewidth=1.6)
    if isfinite(row.value):
        axes.plot([row.value], [place], "o", color=group_color(row.group), markersize=5)
