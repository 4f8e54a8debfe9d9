"""The figure of a claim: one column over the steps, with a thin line per run, colored by arm."""

from typing import TYPE_CHECKING

import numpy as np

from grokscope.figures.axes import axes_rows, dress_y, heading, margin_labels, ruled
from grokscope.figures.style import DASHES, GROUP_COLORS, color
from grokscope.report.draw.axis import step_axis
from grokscope.results.claims import ClaimCurve, ClaimFigure
from grokscope.vocabulary.text import brief

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

SIZE = (358.0, 190.0)
LABELS = 138.0
"""Room for the names of arms at the right, in points."""
NAME = 22
"""Characters of an arm's name that fit there."""
DECADES = 30.0
"""A positive column that spans more than this factor is drawn on a log scale."""


def draw_claim(figure: "FigureBase", shown: ClaimFigure) -> None:
    """Every run of the claim's arms; the arms are named where their curves end."""
    axes = axes_rows(figure, [128.0], left=40, right=LABELS, top=22)[0]
    axis = step_axis("log", [np.asarray(c.steps) for c in shown.curves])
    values = np.concatenate([np.asarray(c.values) for c in shown.curves])
    log = not _is_accuracy(shown) and bool(values.min() > 0 and values.max() / values.min() > DECADES)
    if log:
        axes.set_yscale("log")
    _limits(axes, shown, values, log)
    ruled(axes)
    arms = list(dict.fromkeys(c.group for c in shown.curves))
    labels = []
    for i, arm in enumerate(arms):
        role = f"group-{i % GROUP_COLORS + 1}"
        curves = [c for c in shown.curves if c.group == arm]
        _lines(axes, curves, role, i)
        ends = [c.values[-1] for c in curves]
        labels.append((float(np.median(ends)), brief(arm, NAME), role))
    axis.dress(axes)
    axes.set_xlabel(axis.label)
    dress_y(axes, log)
    margin_labels(axes, labels)
    heading(axes, shown.column)


def _lines(axes: "Axes", curves: list[ClaimCurve], role: str, index: int) -> None:
    for curve in curves:
        axes.plot(curve.steps, curve.values, color=color(role), linewidth=1.1, alpha=0.85,
                  linestyle=DASHES[index % len(DASHES)])  # fmt: skip


def _limits(axes: "Axes", shown: ClaimFigure, values: np.ndarray, log: bool) -> None:
    """From 0 to 1 for an accuracy; else what there is, with a little room."""
    low, high = float(values.min()), float(values.max())
    if _is_accuracy(shown):
        axes.set_ylim(-0.02, 1.03)
    elif log:
        axes.set_ylim(low / 1.2, high * 1.2)
    else:
        room = 0.06 * (high - low or abs(high) or 1.0)
        axes.set_ylim(low - room, high + room)


def _is_accuracy(shown: ClaimFigure) -> bool:
    return shown.column.endswith("_acc")


def words_of(shown: ClaimFigure) -> str:
    """What stands for the drawing where it cannot be seen."""
    arms = dict.fromkeys(c.group for c in shown.curves)
    counts = ", ".join(f"{arm} ({sum(c.group == arm for c in shown.curves)})" for arm in arms)
    more = f"; {shown.left_out} more arms are not drawn" if shown.left_out else ""
    return f"{shown.column} over the steps; runs by arm: {counts}{more}"
