"""How a dissection changes over the checkpoints of a run, and what the keys of its two figures name."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from grokscope.figures.axes import dress_y
from grokscope.figures.checkpoint_view import POOLED, CheckpointView, hardest
from grokscope.figures.dissection_panels import (
    ENVIRONMENT,
    MARKERS,
    RANDOM,
    TARGETS,
    TASK,
    TASK_DASH,
    Seen,
    dash_of,
    panel_axes,
)
from grokscope.figures.keys import Entry
from grokscope.figures.style import color

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

ALONG_KEY = (
    Entry("environment", ENVIRONMENT), Entry("task", TASK, TASK_DASH), Entry("random control, 95 %", RANDOM, band=True)
)  # fmt: skip
LAYERS_KEY = (Entry("environment", ENVIRONMENT, band=True), Entry("task", TASK, band=True))
"""The map shows no controls."""


def draw_along(figure: "FigureBase", along: Mapping[str, Seen]) -> None:
    """Over checkpoints: what pooled probes read, and the environment gap that erasing takes, beside its control."""
    titles = ("probes at the pooled layer, balanced accuracy", "environment gap lost by erasing it")
    reads, gap = panel_axes(figure, titles)
    for target, role, _ in TARGETS:
        for steps, values in _lines(along, lambda d, t=target: s.balanced if (s := d.score(POOLED, t)) else None):
            reads.plot(
                steps, values, MARKERS[role], color=color(role), linewidth=1.3, markersize=3, linestyle=dash_of(role)
            )
    reads.set_ylim(0, 1.04)
    for runs in along.values():
        nulls = [(d.step, c) for d in runs if d.step is not None and (c := hardest(d.gap_effect)) is not None]
        if nulls:
            low, high = [c.low for _, c in nulls], [c.high for _, c in nulls]
            gap.fill_between([step for step, _ in nulls], low, high, color=color(RANDOM), alpha=0.28, linewidth=0)
    for steps, values in _lines(along, lambda d: e.value if (e := d.gap_effect) else None):
        gap.plot(steps, values, "o-", color=color(ENVIRONMENT), linewidth=1.3, markersize=3)
    gap.axhline(0, color=color("muted"), linewidth=0.8)
    gap.set_xlabel("step", labelpad=2)
    dress_y(gap, log=False)
    for axes in (reads, gap):
        axes.xaxis.set_major_formatter(lambda v, _: f"{v:,.0f}")
        axes.locator_params(axis="x", nbins=4)


def _lines(
    along: Mapping[str, Seen], value_of: Callable[[CheckpointView], float | None]
) -> list[tuple[list[int], list[float]]]:
    """Steps and values of each run that has any."""
    lines = []
    for runs in along.values():
        points = [(d.step, v) for d in runs if d.step is not None and (v := value_of(d)) is not None]
        if points:
            lines.append(([step for step, _ in points], [value for _, value in points]))
    return lines
