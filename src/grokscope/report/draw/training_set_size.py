"""Peaks and ends on one split against the size of the training set."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from grokscope.figures.axes import axes_rows, heading, margin_labels, ruled
from grokscope.figures.style import color, group_color, group_dash, group_marker
from grokscope.report.read.shortcut import SizeCurve
from grokscope.vocabulary.splits import is_reported, oracle_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

SIZE = WIDTH, HEIGHT = 358.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 42.0, 88.0, 22.0, 40.0


def draw_sizes(figure: "FigureBase", split: str, curves: Sequence[SizeCurve], names: Sequence[str]) -> None:
    """Open marks are peaks, filled ones ends; lines are means over runs, dotted of peaks."""
    (axes,) = axes_rows(figure, [HEIGHT - TOP - BOTTOM], left=LEFT, right=RIGHT, top=TOP)
    axes.set_xscale("log")
    sizes = sorted(set(chain.from_iterable(c.sizes for c in curves)))
    axes.set_xlim(sizes[0] / 1.15, sizes[-1] * 1.15)
    lowest = min([v for c in curves for p in c.points for v in p[1:]] + [c.trivial for c in curves if c.trivial])
    axes.set_ylim(min(0.0, lowest) if lowest < 0.3 else np.floor(lowest * 10) / 10 - 0.02, 1.02)
    axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
    axes.minorticks_off()
    ruled(axes)
    labels = []
    for goal in sorted({c.threshold for c in curves if c.threshold is not None}):
        axes.axhline(goal, color=color("muted"), linewidth=1.0, linestyle=(0, (5, 3)))
        labels.append((goal, f"threshold {goal:.2f}", "muted"))
    for base in sorted({c.trivial for c in curves if c.trivial is not None}):
        axes.axhline(base, color=color("muted"), linewidth=1.2, linestyle=(0, (1, 2)))
        labels.append((base, f"trivial {base:.2f}", "muted"))
    for curve in curves:
        _draw_curve(axes, curve, names.index(curve.name), len(names))
    margin_labels(axes, labels)
    axes.set_xlabel("n_train, examples (log scale)", labelpad=2)
    stamp = f"; peaks: {oracle_label(split)}" if is_reported(split) else ""
    heading(axes, f"accuracy on {split}{stamp}", role="ink")


def _draw_curve(axes: "Axes", curve: SizeCurve, index: int, of: int) -> None:
    shade = group_color(index)
    apart = 1 + 0.02 * (index - (of - 1) / 2)
    for which, dash, face in ((1, (0, (1.2, 1.6)), color("paper")), (2, group_dash(0), shade)):
        x = [p[0] * apart for p in curve.points]
        look = {"color": shade, "markerfacecolor": face, "markersize": 4, "alpha": 0.75, "linestyle": "none"}
        axes.plot(x, [p[which] for p in curve.points], marker=group_marker(index), **look)
        means = [float(np.mean(curve.at(n, which))) for n in curve.sizes]
        axes.plot([n * apart for n in curve.sizes], means, color=shade, linestyle=dash, linewidth=1.8)
