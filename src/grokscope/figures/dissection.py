"""The figures of a dissection, and what their keys name: every curve and point beside its control, seeds visible."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
    WIDTH,
    Groups,
    Seen,
    dash_of,
    height,
    panel_axes,
)
from grokscope.figures.keys import Entry
from grokscope.figures.probed_and_erased import draw_erasure, draw_probes
from grokscope.figures.steered_and_ablated import draw_neurons, draw_steering, steering_rows
from grokscope.figures.style import color
from grokscope.results.erasures import M4
from grokscope.results.neurons import M6
from grokscope.results.probes import M1
from grokscope.results.steering import M5

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


@dataclass(frozen=True)
class Picture:
    """One part of a dissection as a panel, the same on the page and as a file beside the records."""

    name: str
    """Of the part."""
    title: str
    draw: "Callable[[FigureBase, Seen, Groups], None]"
    """Draws some runs; on the axes of all groups of the figure, where those are given."""
    axes: Callable[[Seen], int]
    """How many axes the panel stacks; 0 where there is nothing to show."""
    part: Callable[[CheckpointView], M1 | M4 | M5 | M6 | None]
    """The records that are drawn."""
    key: Callable[[Seen], tuple[Entry, ...]]
    """What is drawn, and nothing else."""

    def size(self, runs: Seen) -> tuple[float, float]:
        return WIDTH, height(self.axes(runs))


def _probes_key(runs: Seen) -> tuple[Entry, ...]:
    every = [p for d in runs if d.m1 is not None for p in d.m1.probes]
    targets = [
        Entry(target, role, marker=MARKERS[role])
        for target, role, _ in TARGETS
        if any(p.target == target for p in every)
    ]
    random = [Entry("the same probes, random labels", RANDOM, marker="x")] if any(p.controls for p in every) else []
    return (*targets, *random)


def _erasure_key(runs: Seen) -> tuple[Entry, ...]:
    effects = [e for d in runs for erasure in d.erasures.values() for e in erasure.effects.values()]
    controlled = any(e.env_gap_drop.controls or e.accuracy_drop.controls for e in effects)
    random = "random edits, 95 % (d dimension, v variance, n norm, l labels)"
    return (
        Entry("environment", ENVIRONMENT, marker="o"),
        Entry("task", TASK, marker="s"),
        *([Entry(random, RANDOM, band=True)] if controlled else []),
    )


def _steering_key(_: Seen) -> tuple[Entry, ...]:
    return Entry("along the direction", ENVIRONMENT), Entry("random directions, 95 %", RANDOM, band=True)


def _neurons_key(runs: Seen) -> tuple[Entry, ...]:
    arms = [a.arms for d in runs if d.m6 is not None for a in d.m6.ablations]
    random = [Entry("random neurons, 95 %", RANDOM, band=True)] if any(a.random.low is not None for a in arms) else []
    return (Entry("neurons of the environment", ENVIRONMENT), Entry("neurons of the task", TASK, TASK_DASH), *random)


PROBES = Picture(
    "m1", "M1. What can be read", draw_probes, lambda runs: int(any(d.sites for d in runs)), lambda d: d.m1, _probes_key
)
ERASURE = Picture(
    "m4", "M4. Erasing a subspace", draw_erasure, lambda runs: 3 * any(d.erasures for d in runs), lambda d: d.m4,
    _erasure_key,
)  # fmt: skip
STEERING = Picture(
    "m5", "M5. Steering", draw_steering, lambda runs: len(steering_rows(runs)), lambda d: d.m5, _steering_key
)
NEURONS = Picture("m6", "M6. Ablating neurons", draw_neurons, lambda _: 2, lambda d: d.m6, _neurons_key)
PICTURES = (PROBES, ERASURE, STEERING, NEURONS)
