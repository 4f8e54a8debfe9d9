"""Overview of many groups: one row per group, color for the median held-out score over steps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from grokscope.figures.axes import fitted_axes, heading
from grokscope.figures.style import SMALL, color
from grokscope.report.draw.axis import StepAxis
from grokscope.report.read.curves import Panel
from grokscope.report.read.glossary import word
from grokscope.vocabulary.text import briefs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import FigureBase

RIGHT, TOP, BOTTOM, MAP, COLUMNS = 70.0, 24.0, 78.0, 420.0, 160
LETTER, LONGEST = 6.6, 44
"""Points of a letter of a group's name, and the letters that a name has at most."""
LEGIBLE = 12.0
"""Points of a row's height from which it carries its group's name."""

NAMED = 160
"""Up to this many groups have rows that carry their names."""


def overview_size(panels: Sequence[Panel]) -> tuple[float, float]:
    return _left(panels) + MAP + RIGHT, TOP + BOTTOM + _row(panels) * len(panels)


def _names(panels: Sequence[Panel]) -> list[str]:
    return briefs([p.group for p in panels], LONGEST) if _row(panels) >= LEGIBLE else [""] * len(panels)


def _left(panels: Sequence[Panel]) -> float:
    """Room for the groups' names."""
    return 16 + LETTER * max(map(len, _names(panels)), default=0)


def _row(panels: Sequence[Panel]) -> float:
    """Height of a group's row: while it can be, that of its name, however long the map becomes."""
    if len(panels) <= NAMED:
        return 15.0 if len(panels) <= 60 else LEGIBLE
    return max(2.0, LEGIBLE * NAMED / len(panels))


def overview_values(panels: Sequence[Panel], axis: StepAxis) -> np.ndarray:
    """(groups, COLUMNS) median score at equally spaced places of the axis; NaN outside a group's own steps."""
    places = axis.place(axis.spread(COLUMNS))
    out = np.full((len(panels), COLUMNS), np.nan)
    for i, panel in enumerate(panels):
        band = panel.bands.get(panel.lead)
        if band is not None:
            out[i] = np.interp(places, axis.place(band.step), band.median, left=np.nan, right=np.nan)
    return out


def draw_overview(figure: "FigureBase", panels: Sequence[Panel], axis: StepAxis) -> None:
    """Rows in the groups' order, with the share of seeds that generalized at the right."""
    values = overview_values(panels, axis)
    axes = fitted_axes(figure)
    mesh = axes.pcolormesh(
        axis.spread(COLUMNS + 1), np.arange(len(panels) + 1), np.ma.masked_invalid(values),
        cmap="cividis", vmin=_lowest(values), vmax=1.0, rasterized=True, shading="flat",
    )  # fmt: skip
    axes.set_ylim(len(panels), 0)
    legible = _row(panels) >= LEGIBLE
    axes.set_yticks(np.arange(len(panels)) + 0.5, _names(panels), fontsize=SMALL)
    for i, panel in enumerate(panels if legible else []):
        _reached(axes, i, panel)
    axis.dress(axes)
    axes.set_xlabel(axis.label)
    words = "at the right, runs that reached the threshold" if legible else "a row for each group, in the table's order"
    heading(axes, words, role="ink")
    _scale(figure, axes, mesh)


def _reached(axes: "Axes", row: int, panel: Panel) -> None:
    gens = [r.gen for r in panel.readings if r.gen is not None]
    reached = sum(not gen.censored for gen in gens)
    role = word(_most([r.outcome for r in panel.readings])).role
    axes.annotate(
        f"{reached} of {len(panel.readings):,}", (1, row + 0.5), xycoords=axes.get_yaxis_transform(), xytext=(6, 0),
        textcoords="offset points", fontsize=SMALL, va="center", color=color(role), annotation_clip=False,
    )  # fmt: skip


def _lowest(values: np.ndarray) -> float:
    """Where the colors begin: just below the lowest score, so that all of them are used; a R2 below -1 is as dark."""
    known = values[np.isfinite(values)]
    lowest = float(known.min()) if known.size else 0.0
    return max(-1.0, min(np.floor(lowest * 10) / 10, 0.9))


def _scale(figure: "FigureBase", axes: "Axes", mesh: "QuadMesh") -> None:
    """What the colors mean, beneath the map."""
    bar = figure.colorbar(mesh, ax=axes, location="bottom", anchor=(1.0, 0.5), shrink=0.4, aspect=22, pad=0.02)
    bar.set_label("median held-out score", fontsize=SMALL)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=SMALL, length=0, pad=1)


def _most(outcomes: Sequence[str]) -> str:
    return max(dict.fromkeys(outcomes), key=list(outcomes).count)
