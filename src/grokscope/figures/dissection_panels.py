"""The frame of all panels of a dissection: sizes, colors, shapes, axes under their titles, and where sites stand."""

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope.figures.axes import axes_rows, heading, ruled
from grokscope.figures.checkpoint_view import CheckpointView
from grokscope.figures.style import SMALL, color
from grokscope.results.probes import Target
from grokscope.results.scores import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

WIDTH, LEFT, RIGHT, TOP, GAP, BOTTOM, PART = 356.0, 46.0, 72.0, 22.0, 56.0, 48.0, 112.0
ENVIRONMENT, TASK, RANDOM = "held-1", "held-2", "train"
MARKERS = {ENVIRONMENT: "o", TASK: "s"}
TASK_DASH = (5.0, 2.0)
"""Shape and line tell the two apart where color does not."""
COLORS = "mean_rgb"
"""The site that no layer is: the mean color of the image, which needs no network."""
APART = 1.4
"""From the last layer to it, in places of a layer."""
TARGETS: tuple[tuple[Target, str, float], ...] = (("environment", ENVIRONMENT, -0.16), ("task", TASK, 0.16))
"""What probes read: color, place beside the site's tick."""
Seen = Sequence[CheckpointView]
"""Dissected checkpoints of several runs."""
Groups = Sequence[Seen]
"""All groups of a figure, a panel each: they share their upright axes."""


def height(parts: int) -> float:
    return TOP + PART * parts + GAP * (parts - 1) + BOTTOM


def panel_axes(figure: "FigureBase", titles: Sequence[str]) -> "list[Axes]":
    """A panel's axes, stacked from the top under their titles."""
    rows = axes_rows(figure, [PART] * len(titles), left=LEFT, right=RIGHT, top=TOP, gap=GAP)
    for axes, title in zip(rows, titles, strict=True):
        ruled(axes)
        heading(axes, title, role="ink", size=SMALL)
    return rows


def name_places(axes: "Axes", names: Sequence[str], places: Sequence[float] | None = None) -> None:
    places = range(len(names)) if places is None else places
    axes.set_xticks(places, [name.replace("_", "\n") for name in names], fontsize=SMALL)
    axes.set_xlim(-0.6, max(places, default=0) + 0.6)


def draw_point(
    axes: "Axes", x: float, value: float, interval: Interval | None, role: str, marker: str, filled: bool = True
) -> None:
    """One run's value with its interval, where it has one."""
    if not isfinite(value):
        return
    if interval:
        axes.plot([x, x], interval, color=color(role), linewidth=1.0, alpha=0.55)
    axes.plot(x, value, marker, color=color(role), markersize=4.2, alpha=0.9, linestyle="none",
              markerfacecolor=color(role if filled else "paper"))  # fmt: skip


def beside(i: int, of: int, width: float = 0.12) -> float:
    """Seeds stand side by side."""
    return 0.0 if of == 1 else width * (i / (of - 1) - 0.5)


def draw_runs(axes: "Axes", x: np.ndarray, curves: Sequence[Sequence[float]], role: str) -> None:
    """Thin runs, thick median; nothing where nothing is known."""
    if not np.isfinite(curves).any():
        return
    for y in curves if len(curves) > 1 else []:
        axes.plot(x, y, color=color(role), linewidth=0.8, alpha=0.5)
    look = {"color": color(role), "linewidth": 1.7, "markersize": 3, "linestyle": dash_of(role)}
    axes.plot(x, np.nanmedian(curves, axis=0), MARKERS[role], **look)


def dash_of(role: str) -> Any:
    return (0, TASK_DASH) if role == TASK else "solid"


def site_places(sites: Sequence[str]) -> dict[str, float]:
    """Site -> its place on the axis: layers in their order, the color of the image apart from the last of them."""
    layers = [site for site in sites if site != COLORS]
    places = {site: float(x) for x, site in enumerate(layers)}
    return places | {site: max(len(layers) - 1 + APART, 0.0) if layers else 0.0 for site in sites if site == COLORS}


def short_site(site: str) -> str:
    """``layer3`` -> ``l3``; the mean color of the image, which needs no network, is ``color``."""
    return "color" if site == COLORS else site.replace("layer", "l")
