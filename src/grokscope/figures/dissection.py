"""Figures of dissections: every curve and point with its control, and individual seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope.figures.axes import axes_rows, dress_y, heading, margin_labels, ruled
from grokscope.figures.checkpoint_view import POOLED, CheckpointView, finite, hardest, median
from grokscope.figures.dissection_limits import ablation_limits, effect_limits, steering_limits
from grokscope.figures.keys import Entry
from grokscope.figures.style import SMALL, color
from grokscope.results.erasures import M4, Erasure
from grokscope.results.neurons import M6, Arms, OverK
from grokscope.results.probes import M1, ProbeResult, Target
from grokscope.results.scores import ByEffect, Effect, Interval, Null, Score
from grokscope.results.steering import M5, Curve, Scaling

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

WIDTH, LEFT, RIGHT, TOP, GAP, BOTTOM, PART = 356.0, 46.0, 72.0, 22.0, 56.0, 48.0, 112.0
ENVIRONMENT, TASK, RANDOM = "held-1", "held-2", "train"
MARKERS = {ENVIRONMENT: "o", TASK: "s"}
TASK_DASH = (5.0, 2.0)
"""Shape and line tell the two apart where color does not."""
ALONG_KEY = (
    Entry("environment", ENVIRONMENT), Entry("task", TASK, TASK_DASH), Entry("random control, 95 %", RANDOM, band=True)
)  # fmt: skip
LAYERS_KEY = (Entry("environment", ENVIRONMENT, band=True), Entry("task", TASK, band=True))
"""The map shows no controls."""
COLORS = "mean_rgb"
"""The site that no layer is: the mean color of the image, which needs no network."""
APART = 1.4
"""From the last layer to it, in places of a layer."""

SCORES: tuple[tuple[Callable[[Erasure], Score], str, float, bool], ...] = (
    (lambda e: e.before, ENVIRONMENT, -0.24, False), (lambda e: e.refitted, ENVIRONMENT, -0.06, True),
    (lambda e: e.task_before, TASK, 0.12, False), (lambda e: e.task_refitted, TASK, 0.3, True),
)  # fmt: skip
"""What M4 shows of each eraser: the score, color, place beside the eraser's tick, filled."""
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


def _names(axes: "Axes", names: Sequence[str], places: Sequence[float] | None = None) -> None:
    places = range(len(names)) if places is None else places
    axes.set_xticks(places, [name.replace("_", "\n") for name in names], fontsize=SMALL)
    axes.set_xlim(-0.6, max(places, default=0) + 0.6)


def _point(
    axes: "Axes", x: float, value: float, interval: Interval | None, role: str, marker: str, filled: bool = True
) -> None:
    """One run's value with its interval, where it has one."""
    if not isfinite(value):
        return
    if interval:
        axes.plot([x, x], interval, color=color(role), linewidth=1.0, alpha=0.55)
    axes.plot(x, value, marker, color=color(role), markersize=4.2, alpha=0.9, linestyle="none",
              markerfacecolor=color(role if filled else "paper"))  # fmt: skip


def _spread(i: int, of: int, width: float = 0.12) -> float:
    """Seeds stand side by side."""
    return 0.0 if of == 1 else width * (i / (of - 1) - 0.5)


def draw_probes(figure: "FigureBase", runs: Seen, groups: Groups = ()) -> None:
    """M1: balanced held-out accuracy by site; small crosses are probes for random labels. The line joins layers; the
    color of the image, which is none of them, stands apart."""
    (axes,) = panel_axes(figure, ["balanced accuracy of linear probes"])
    places = site_places(list(dict.fromkeys(chain.from_iterable(d.sites for d in runs))))
    labels: list[tuple[float, str, str]] = []
    for target, role, shift in TARGETS:
        for site, x in places.items():
            for i, d in enumerate(runs):
                _probe(axes, x + shift + _spread(i, len(runs)), d.probe(site, target), role)
        scores = {site: [s for d in runs if (s := d.score(site, target)) is not None] for site in places}
        layers = [(x + shift, median(s.balanced for s in scores[site])) for site, x in places.items() if site != COLORS]
        axes.plot(*zip(*layers, strict=True), color=color(role), linewidth=1.2, alpha=0.7, linestyle=_dash(role))
        for chance in finite(s.chance for s in chain.from_iterable(scores.values()))[:1]:
            axes.axhline(chance, color=color(role), linewidth=1.1, linestyle=(0, (1, 2)))
            labels.append((chance, f"chance, {'env.' if target == 'environment' else 'task'}", role))
    if COLORS in places and len(places) > 1:
        axes.axvline(places[COLORS] - APART / 2, color=color("line"), linewidth=1.0)
    axes.set_ylim(0, 1.04)
    _names(axes, [short_site(s) if len(places) > 4 else s for s in places], list(places.values()))
    margin_labels(axes, labels, size=SMALL)


def site_places(sites: Sequence[str]) -> dict[str, float]:
    """Site -> its place on the axis: layers in their order, the color of the image apart from the last of them."""
    layers = [site for site in sites if site != COLORS]
    places = {site: float(x) for x, site in enumerate(layers)}
    return places | {site: max(len(layers) - 1 + APART, 0.0) if layers else 0.0 for site in sites if site == COLORS}


def _probe(axes: "Axes", x: float, probe: ProbeResult | None, role: str) -> None:
    if probe is None:
        return
    if probe.test is not None:
        _point(axes, x, probe.test.balanced, probe.test.interval, role, MARKERS[role])
    for control in probe.controls:
        axes.plot(x, control.random, "x", color=color(RANDOM), markersize=3.2, linestyle="none")


def short_site(site: str) -> str:
    """``layer3`` -> ``l3``; the mean color of the image, which needs no network, is ``color``."""
    return "color" if site == COLORS else site.replace("layer", "l")


def draw_erasure(figure: "FigureBase", runs: Seen, groups: Groups = ()) -> None:
    """M4: what a refitted probe still reads; and what the edit did to the environment gap and to unseen data, each
    beside the range of random edits."""
    names = list(dict.fromkeys(chain.from_iterable(d.erasures for d in runs)))
    on = runs[0].outside
    titles = ("balanced accuracy: before (open), refitted after (filled)", "environment gap of the logits that is lost",
              f"right answers lost on {on}")  # fmt: skip
    axes, gap, lost = panel_axes(figure, titles)
    for x, name in enumerate(names):
        for i, d in enumerate(runs):
            for score_of, role, at, filled in SCORES if name in d.erasures else ():
                score = score_of(d.erasures[name])
                _point(
                    axes, x + at + _spread(i, len(runs)), score.balanced, score.interval, role, MARKERS[role], filled
                )
    axes.set_ylim(0, 1.04)
    for chance in finite(e.before.chance for e in chain.from_iterable(d.erasures.values() for d in runs))[:1]:
        axes.axhline(chance, color=color(ENVIRONMENT), linewidth=1.1, linestyle=(0, (1, 2)))
        margin_labels(axes, [(chance, "chance, env.", ENVIRONMENT)], size=SMALL)
    _names(axes, names)
    for part, scene, effect_of in ((gap, "test", ENV_GAP), (lost, on, ACCURACY)):
        by_group = [effects_by_eraser(group, scene, effect_of) for group in (groups or [runs])]
        part.set_ylim(effect_limits(chain.from_iterable(effects.values() for effects in by_group)))
        _effects(part, effects_by_eraser(runs, scene, effect_of))


ENV_GAP: Callable[[ByEffect[Effect]], Effect] = attrgetter("env_gap_drop")
ACCURACY: Callable[[ByEffect[Effect]], Effect] = attrgetter("accuracy_drop")


def effects_by_eraser(
    runs: Seen, scene: str, effect_of: Callable[[ByEffect[Effect]], Effect]
) -> dict[str, list[Effect]]:
    """Eraser -> one effect of each run."""
    names = dict.fromkeys(chain.from_iterable(d.erasures for d in runs))
    erased = {name: [d.erasures[name] for d in runs if name in d.erasures] for name in names}
    return {name: [effect_of(e.effects[scene]) for e in es if scene in e.effects] for name, es in erased.items()}


def _effects(axes: "Axes", by_eraser: Mapping[str, Sequence[Effect]]) -> None:
    every = list(chain.from_iterable(by_eraser.values()))
    controls = list(dict.fromkeys(chain.from_iterable(effect.controls for effect in every)))
    for x, effects in enumerate(by_eraser.values()):
        for i, effect in enumerate(effects):
            _point(axes, x - 0.25 + _spread(i, len(effects)), effect.value, effect.interval, ENVIRONMENT, "o")
        for j, control in enumerate(controls):
            _control_bar(axes, x + 0.02 + 0.14 * j, [e.controls[control] for e in effects if control in e.controls])
    axes.axhline(0, color=color("muted"), linewidth=0.8)
    dress_y(axes, log=False)
    _names(axes, list(by_eraser))


def _control_bar(axes: "Axes", x: float, nulls: Sequence[Null]) -> None:
    """The range of a control's draws, the median over runs, under the first letter of its name."""
    low, high = median(n.low for n in nulls), median(n.high for n in nulls)
    if not isfinite(low) or not isfinite(high):
        return
    axes.plot([x, x], [low, high], color=color(RANDOM), linewidth=4, alpha=0.45, solid_capstyle="butt")
    axes.annotate(nulls[0].control[0], (x, high), xytext=(0, 1), textcoords="offset points", fontsize=9, ha="center",
                  va="bottom", color=color("muted"))  # fmt: skip


def steering_rows(runs: Seen) -> list[tuple[str, Scaling]]:
    """(scene, scaling) of the panel's axes: the spread's own scale on every scene, fixed norm beside the last."""
    scenes = [s for s in ("test", runs[0].outside) if any(d.curve(s, "relative") for d in runs)]
    scenes = list(dict.fromkeys(scenes))
    rows: list[tuple[str, Scaling]] = [(scene, "relative") for scene in scenes]
    return rows + [(s, "fixed") for s in scenes[-1:] if any(d.curve(s, "fixed") for d in runs)]


def draw_steering(figure: "FigureBase", runs: Seen, groups: Groups = ()) -> None:
    """M5: accuracy along the direction, inside the band of random directions of the same length. Accuracy has one axis
    in all panels."""
    words: dict[Scaling, str] = {"relative": "steps of its spread", "fixed": "the same length in all runs"}
    rows = steering_rows(runs)
    parts = panel_axes(figure, [f"accuracy on {scene}; {words[scaling]}" for scene, scaling in rows])
    limits = steering_limits([_curves(group, row) for group in (groups or [runs]) for row in steering_rows(group)])
    for axes, row in zip(parts, rows, strict=True):
        curves = _curves(runs, row)
        steps = np.array(curves[0].steps)
        low = np.nanmedian([c.random_accuracy_low for c in curves], axis=0)
        high = np.nanmedian([c.random_accuracy_high for c in curves], axis=0)
        axes.fill_between(steps, low, high, color=color(RANDOM), alpha=0.28, linewidth=0)
        _seeds(axes, steps, [c.accuracy for c in curves], ENVIRONMENT)
        axes.axvline(0, color=color("muted"), linewidth=0.8)
        axes.set_ylim(limits)
        dress_y(axes, log=False)
    parts[-1].set_xlabel("steps along the direction", labelpad=2)


def _curves(runs: Seen, row: tuple[str, Scaling]) -> list[Curve]:
    """Of the runs that were steered by as many strengths as the first."""
    curves = [c for d in runs if (c := d.curve(*row)) is not None]
    return [c for c in curves if len(c.steps) == len(curves[0].steps)]


def draw_neurons(figure: "FigureBase", runs: Seen, groups: Groups = ()) -> None:
    """M6: what ablating K neurons takes: the environment's and the task's, beside the range of random ones."""
    on = runs[0].outside
    gap, lost = panel_axes(figure, ["environment gap lost", f"right answers lost on {on}"])
    for axes, scene, curve_of in ((gap, "test", GAP_OVER_K), (lost, on, ACCURACY_OVER_K)):
        _ablation(axes, runs, scene, curve_of)
        if (limits := ablation_limits([_arms(group, scene)[1] for group in (groups or [runs])], curve_of)) is not None:
            axes.set_ylim(limits)
            dress_y(axes, log=False)
    lost.set_xlabel("neurons ablated, K", labelpad=2)


GAP_OVER_K: Callable[[ByEffect[OverK]], OverK] = attrgetter("env_gap_drop")
ACCURACY_OVER_K: Callable[[ByEffect[OverK]], OverK] = attrgetter("accuracy_drop")


def _arms(runs: Seen, scene: str) -> tuple[list[int], list[Arms]]:
    """The numbers of neurons that the first run ablated, and what came of it in each run that ablated as many."""
    done = [(d.m6.ks, a.arms) for d in runs if d.m6 is not None and (a := d.ablation(scene)) is not None]
    if not done:
        return [], []
    ks = list(done[0][0])
    return ks, [arms for other, arms in done if len(other) == len(ks)]


def _ablation(axes: "Axes", runs: Seen, scene: str, curve_of: Callable[[ByEffect[OverK]], OverK]) -> None:
    ks, same = _arms(runs, scene)
    if not same:
        axes.set_xticks([])
        axes.annotate("not measured", (0.5, 0.5), xycoords="axes fraction", ha="center", color=color("muted"))
        return
    lows = [curve_of(arms.random.low) for arms in same if arms.random.low is not None]
    highs = [curve_of(arms.random.high) for arms in same if arms.random.high is not None]
    axes.set_xscale("symlog", base=2, linthresh=4)
    if lows and highs and np.isfinite(lows).any():
        low, high = np.nanmedian(lows, axis=0), np.nanmedian(highs, axis=0)
        axes.fill_between(ks, low, high, color=color(RANDOM), alpha=0.28, linewidth=0)
    _seeds(axes, np.array(ks), [curve_of(arms.task.curves) for arms in same], TASK)
    _seeds(axes, np.array(ks), [curve_of(arms.environment.curves) for arms in same], ENVIRONMENT)
    axes.set_xticks(ks, [f"{v:g}" for v in ks], fontsize=SMALL)
    axes.minorticks_off()
    axes.axhline(0, color=color("muted"), linewidth=0.8)


def _seeds(axes: "Axes", x: np.ndarray, curves: Sequence[Sequence[float]], role: str) -> None:
    """Thin runs, thick median; nothing where nothing is known."""
    if not np.isfinite(curves).any():
        return
    for y in curves if len(curves) > 1 else []:
        axes.plot(x, y, color=color(role), linewidth=0.8, alpha=0.5)
    look = {"color": color(role), "linewidth": 1.7, "markersize": 3, "linestyle": _dash(role)}
    axes.plot(x, np.nanmedian(curves, axis=0), MARKERS[role], **look)


def _dash(role: str) -> Any:
    return (0, TASK_DASH) if role == TASK else "solid"


def draw_along(figure: "FigureBase", along: Mapping[str, Seen]) -> None:
    """Over checkpoints: what pooled probes read, and the environment gap that erasing takes, beside its control."""
    titles = ("probes at the pooled layer, balanced accuracy", "environment gap lost by erasing it")
    reads, gap = panel_axes(figure, titles)
    for target, role, _ in TARGETS:
        for steps, values in _lines(along, lambda d, t=target: s.balanced if (s := d.score(POOLED, t)) else None):
            reads.plot(
                steps, values, MARKERS[role], color=color(role), linewidth=1.3, markersize=3, linestyle=_dash(role)
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
