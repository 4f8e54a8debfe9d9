"""Predicted against true targets of a regression."""

from typing import TYPE_CHECKING

import numpy as np

from grokscope.figures.axes import axes_rows, heading
from grokscope.figures.style import colour, group_colour
from grokscope.report.read.grouped_regression import Predictions

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

SIZE = (260.0, 260.0)
POINTS = 1500
"""At most so many predictions are drawn."""


def draw_scatter(figure: "FigureBase", found: Predictions) -> None:
    """Predicted against true with the diagonal; colors are groups, repeating after eight."""
    (axes,) = axes_rows(figure, [196], left=40, right=14, top=22)
    kept = np.linspace(0, len(found.true) - 1, min(len(found.true), POINTS)).astype(int)
    ids = np.zeros(len(found.true), int) if found.group is None else np.unique(found.group, return_inverse=True)[1]
    for g in np.unique(ids[kept]):
        own = kept[ids[kept] == g]
        axes.plot(found.true[own], found.predicted[own], ".", markersize=2.5, alpha=0.6, color=group_colour(int(g)),
                  rasterized=True)  # fmt: skip
    low, high = float(min(found.true.min(), found.predicted.min())), float(max(found.true.max(), found.predicted.max()))
    axes.plot([low, high], [low, high], color=colour("muted"), linewidth=1.0, linestyle=(0, (5, 3)))
    axes.set_xlabel("true", labelpad=2)
    heading(axes, f"predicted; R² {found.r2:.3f}".replace("-", "−"), role="ink", size=10.5)
