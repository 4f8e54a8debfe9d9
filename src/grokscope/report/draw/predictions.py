"""Predicted against true targets of a regression."""

from typing import TYPE_CHECKING

import numpy as np

from grokscope.figures.axes import axes_rows, heading
from grokscope.figures.style import color, group_color
from grokscope.results.predictions import Predictions

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

SIZE = (260.0, 260.0)
POINTS = 1500
"""At most so many predictions are drawn."""


def draw_scatter(figure: "FigureBase", kept: Predictions) -> None:
    """Predicted against true with the diagonal; colors are groups, repeating after eight."""
    (axes,) = axes_rows(figure, [196], left=40, right=14, top=22)
    true, predicted = np.array(kept.true), np.array(kept.predicted)
    groups = np.zeros(len(true), int) if kept.group is None else np.unique(kept.group, return_inverse=True)[1]
    drawn = np.linspace(0, len(true) - 1, min(len(true), POINTS)).astype(int)
    for group in np.unique(groups[drawn]):
        rows = drawn[groups[drawn] == group]
        axes.plot(true[rows], predicted[rows], ".", markersize=2.5, alpha=0.6, color=group_color(int(group)),
                  rasterized=True)  # fmt: skip
    finite = np.concatenate([true, predicted[np.isfinite(predicted)]])  # a network that diverged predicts no numbers
    ends = [float(finite.min()), float(finite.max())]
    axes.plot(ends, ends, color=color("muted"), linewidth=1.0, linestyle=(0, (5, 3)))
    axes.set_xlabel("true", labelpad=2)
    heading(axes, f"predicted; R² {kept.r2:.3f}".replace("-", "−"), role="ink")
