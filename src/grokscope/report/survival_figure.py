"""Kaplan-Meier curves per group, drawn as the share of runs that have generalized."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from grokscope.report.axis import Scale, StepAxis, heading, margin_labels, place_axes
from grokscope.report.style import colour, group_colour, group_dash
from grokscope.report.survival_data import Arm
from grokscope.report.words import brief

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, LEFT, RIGHT, TOP, PLOT, FOOT, ROW = 400.0, 70.0, 62.0, 20.0, 160.0, 54.0, 14.0
DRAWN = 8
"""At most this many groups are drawn; all are in the table."""


def survival_axis(scale: Scale, found: Sequence[Arm], unit: str = "step") -> StepAxis:
    """Positive times on the scale; what is not positive (held-out came first) stands at 0."""
    times = np.concatenate([a.times for a in found]) if found else np.array([1.0])
    positive = times[times > 0]
    last = float(positive.max()) if len(positive) else 10.0
    first = float(positive.min()) if len(positive) else 1.0
    low = 10.0 ** np.floor(np.log10(first)) if first > 0 else 1.0
    return StepAxis(scale, min(low, last / 10), last, zero=True, unit=unit)


def figure_height(found: Sequence[Arm]) -> float:
    return TOP + PLOT + FOOT + ROW * (min(len(found), DRAWN) + 1)


def draw_survival(figure: "Figure", left: float, top: float, found: Sequence[Arm], axis: StepAxis, what: str) -> None:
    """One panel at a place in points: rising shares, bands, censor ticks, and the number at risk beneath the ticks."""
    axes = place_axes(figure, left + LEFT, top + TOP, WIDTH - LEFT - RIGHT, PLOT)
    axes.set_ylim(-0.03, 1.05)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.grid(axis="y", color=colour("line"), linewidth=0.7)
    axes.set_axisbelow(True)
    axis.dress(axes)
    labels = []
    for i, arm in enumerate(found[:DRAWN]):
        if arm.estimate is not None:
            _draw_arm(axes, i, arm, axis)
            labels.append((1 - float(arm.estimate.survival[-1]), brief(arm.group, 10), f"group-{i % 8 + 1}"))
    margin_labels(axes, labels, size=10)
    name = f"{axis.unit}s from fit to generalization" if what == "delay" else axis.unit
    axes.set_xlabel(f"{name} (log scale)" if axis.scale == "log" else name, labelpad=2)
    heading(axes, "share of runs that have generalized", role="ink", size=11)
    _risk_table(axes, found[:DRAWN], axis)


def _draw_arm(axes: "Axes", index: int, arm: Arm, axis: StepAxis) -> None:
    from matplotlib.transforms import ScaledTranslation

    k = arm.estimate
    assert k is not None
    shade, left = group_colour(index), axis.limits[0]
    apart = axes.transData + ScaledTranslation(
        0, index * 1.8 / 72, axes.figure.dpi_scale_trans
    )  # lines at 0 % stay distinct
    x = np.r_[left, axis.place(k.times), axis.place(k.last)]
    share = np.r_[0.0, 1 - k.survival, 1 - k.survival[-1]]
    low = np.r_[np.nan, 1 - k.high, np.nan]
    high = np.r_[np.nan, 1 - k.low, np.nan]
    low[-1], high[-1] = low[-2], high[-2]
    axes.fill_between(x, low, high, step="post", color=shade, alpha=0.12, linewidth=0)
    axes.plot(
        x, share, drawstyle="steps-post", color=shade, linewidth=2.0, linestyle=group_dash(index), transform=apart
    )
    cut = arm.times[~arm.observed]
    if len(cut):
        axes.plot(
            axis.place(cut),
            [1 - k.at(t) for t in cut],
            "|",
            color=shade,
            markersize=9,
            markeredgewidth=1.6,
            clip_on=False,
            zorder=4,
            transform=apart,
        )


def _risk_table(axes: "Axes", found: Sequence[Arm], axis: StepAxis) -> None:
    places, words, _ = axis.ticks()
    values = [
        0.0 if axis.scale == "log" and word == "0" else 10.0**place if axis.scale == "log" else place
        for place, word in zip(places, words, strict=True)
    ]
    annotate = {
        "xycoords": axes.get_xaxis_transform(),
        "textcoords": "offset points",
        "fontsize": 9.5,
        "annotation_clip": False,
    }
    below = -52.0
    axes.annotate(
        "at risk",
        (0, 0),
        xycoords="axes fraction",
        xytext=(-LEFT + 4, below),
        textcoords="offset points",
        fontsize=9.5,
        color=colour("muted"),
        annotation_clip=False,
    )
    for i, arm in enumerate(found):
        y = below - ROW * (i + 1)
        axes.annotate(
            brief(arm.group, 10),
            (0, 0),
            xycoords="axes fraction",
            xytext=(-LEFT + 4, y),
            textcoords="offset points",
            fontsize=9.5,
            color=group_colour(i),
            annotation_clip=False,
        )
        for place, value in zip(places, values, strict=True):
            axes.annotate(
                str(arm.at_risk(value)), (place, 0), xytext=(0, y), ha="center", color=colour("ink"), **annotate
            )
