"""Figures of dissections: every curve and point beside its control, seeds visible."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from grokscope.figures.axes import axes_rows, dress_y, heading, margin_labels, ruled
from grokscope.figures.checkpoint_view import POOLED, CheckpointView, finite, hardest, median
from grokscope.figures.keys import Entry
from grokscope.figures.style import color
from grokscope.results.erasures import M4, Erasure
from grokscope.results.neurons import M6, OverK
from grokscope.results.probes import M1, ProbeResult, Target
from grokscope.results.scores import ByEffect, Effect, Interval, Null, Score
from grokscope.results.steering import M5, Scaling

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

WIDTH, LEFT, RIGHT, TOP, GAP, BOTTOM, PART = 340.0, 44.0, 64.0, 20.0, 42.0, 34.0, 112.0
ENVIRONMENT, TASK, RANDOM = "held-1", "held-2", "train"
KEY = (Entry("environment", ENVIRONMENT), Entry("task", TASK), Entry("random controls, 95 %", RANDOM, band=True))

SCORES: tuple[tuple[Callable[[Erasure], Score], str, float, bool], ...] = (
    (lambda e: e.before, ENVIRONMENT, -0.24, False), (lambda e: e.refitted, ENVIRONMENT, -0.06, True),
    (lambda e: e.task_before, TASK, 0.12, False), (lambda e: e.task_refitted, TASK, 0.3, True),
)  # fmt: skip
"""What M4 shows of each eraser: the score, color, place beside the eraser's tick, filled."""
TARGETS: tuple[tuple[Target, str, float], ...] = (("environment", ENVIRONMENT, -0.16), ("task", TASK, 0.16))
"""What probes read: color, place beside the site's tick."""
Seen = Sequence[CheckpointView]
"""Dissected checkpoints of several runs."""


def height(parts: int) -> float:
    return TOP + PART * parts + GAP * (parts - 1) + BOTTOM


def panel_axes(figure: "FigureBase", titles: Sequence[str]) -> "list[Axes]":
    """A panel's axes, stacked from the top under their titles."""
    rows = axes_rows(figure, [PART] * len(titles), left=LEFT, right=RIGHT, top=TOP, gap=GAP)
    for axes, title in zip(rows, titles, strict=True):
        ruled(axes)
        heading(axes, title, role="ink", size=10)
    return rows


def _names(axes: "Axes", names: Sequence[str]) -> None:
    axes.set_xticks(range(len(names)), names, fontsize=8.5)
    axes.set_xlim(-0.6, len(names) - 0.4)


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


def draw_probes(figure: "FigureBase", runs: Seen) -> None:
    """M1: balanced held-out accuracy by site; small crosses are probes for random labels."""
    (axes,) = panel_axes(figure, ["balanced accuracy of linear probes"])
    sites = list(dict.fromkeys(chain.from_iterable(d.sites for d in runs)))
    labels: list[tuple[float, str, str]] = []
    for target, role, shift in TARGETS:
        for x, site in enumerate(sites):
            for i, d in enumerate(runs):
                _probe(axes, x + shift + _spread(i, len(runs)), d.probe(site, target), role)
        scores = {site: [s for d in runs if (s := d.score(site, target)) is not None] for site in sites}
        medians = [median(s.balanced for s in scores[site]) for site in sites]
        axes.plot(np.arange(len(sites)) + shift, medians, color=color(role), linewidth=1.2, alpha=0.7)
        for chance in finite(s.chance for s in chain.from_iterable(scores[site] for site in sites))[:1]:
            axes.axhline(chance, color=color(role), linewidth=1.1, linestyle=(0, (1, 2)))
            labels.append((chance, f"chance, {'env.' if target == 'environment' else 'task'}", role))
    axes.set_ylim(0, 1.04)
    _names(axes, [short_site(s) if len(sites) > 4 else s for s in sites])
    margin_labels(axes, labels, size=9)


def _probe(axes: "Axes", x: float, probe: ProbeResult | None, role: str) -> None:
    if probe is None:
        return
    if probe.test is not None:
        _point(axes, x, probe.test.balanced, probe.test.interval, role, "o")
    for control in probe.controls:
        axes.plot(x, control.random, "x", color=color(RANDOM), markersize=3.2, linestyle="none")


def short_site(site: str) -> str:
    """``layer3`` -> ``l3``; the mean color of the image, which needs no network, is ``color``."""
    return "color" if site == "mean_rgb" else site.replace("layer", "l")


def draw_erasure(figure: "FigureBase", runs: Seen) -> None:
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
                _point(axes, x + at + _spread(i, len(runs)), score.balanced, score.interval, role, "s", filled)
    axes.set_ylim(0, 1.04)
    for chance in finite(e.before.chance for e in chain.from_iterable(d.erasures.values() for d in runs))[:1]:
        axes.axhline(chance, color=color(ENVIRONMENT), linewidth=1.1, linestyle=(0, (1, 2)))
        margin_labels(axes, [(chance, "chance, env.", ENVIRONMENT)], size=9)
    _names(axes, names)
    _effects(gap, _effects_by_eraser(runs, names, "test", lambda e: e.env_gap_drop))
    _effects(lost, _effects_by_eraser(runs, names, on, lambda e: e.accuracy_drop))
    lost.set_xlabel("random edits: d dimension, v variance, n norm, l labels", fontsize=8, labelpad=2)


def _effects_by_eraser(
    runs: Seen, names: Sequence[str], scene: str, effect_of: Callable[[ByEffect[Effect]], Effect]
) -> dict[str, list[Effect]]:
    """Eraser -> one effect of each run."""
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
    axes.margins(y=0.18)
    dress_y(axes, log=False)
    _names(axes, list(by_eraser))


def _control_bar(axes: "Axes", x: float, nulls: Sequence[Null]) -> None:
    """The range of a control's draws, the median over runs, under the first letter of its name."""
    low, high = median(n.low for n in nulls), median(n.high for n in nulls)
    if not isfinite(low) or not isfinite(high):
        return
    axes.plot([x, x], [low, high], color=color(RANDOM), linewidth=4, alpha=0.45, solid_capstyle="butt")
    axes.annotate(nulls[0].control[0], (x, high), xytext=(0, 1), textcoords="offset points", fontsize=7.5, ha="center",
                  va="bottom", color=color("muted"))  # fmt: skip


def steering_rows(runs: Seen) -> list[tuple[str, Scaling]]:
    """(scene, scaling) of the panel's axes: the spread's own scale on every scene, fixed norm beside the last."""
    scenes = [s for s in ("test", runs[0].outside) if any(d.curve(s, "relative") for d in runs)]
    scenes = list(dict.fromkeys(scenes))
    rows: list[tuple[str, Scaling]] = [(scene, "relative") for scene in scenes]
    return rows + [(s, "fixed") for s in scenes[-1:] if any(d.curve(s, "fixed") for d in runs)]


def draw_steering(figure: "FigureBase", runs: Seen) -> None:
    """M5: accuracy along the direction, inside the band of random directions of the same length."""
    words: dict[Scaling, str] = {"relative": "steps of its spread", "fixed": "the same length in all runs"}
    rows = steering_rows(runs)
    parts = panel_axes(figure, [f"accuracy on {scene}; {words[scaling]}" for scene, scaling in rows])
    for axes, (scene, scaling) in zip(parts, rows, strict=True):
        curves = [c for d in runs if (c := d.curve(scene, scaling)) is not None]
        steps = np.array(curves[0].steps)
        same = [c for c in curves if len(c.steps) == len(steps)]
        low = np.nanmedian([c.random_accuracy_low for c in same], axis=0)
        high = np.nanmedian([c.random_accuracy_high for c in same], axis=0)
        axes.fill_between(steps, low, high, color=color(RANDOM), alpha=0.28, linewidth=0)
        _seeds(axes, steps, [c.accuracy for c in same], ENVIRONMENT)
        axes.axvline(0, color=color("muted"), linewidth=0.8)
        dress_y(axes, log=False)
    parts[-1].set_xlabel("steps along the direction", labelpad=2)


def draw_neurons(figure: "FigureBase", runs: Seen) -> None:
    """M6: what ablating K neurons takes: the environment's and the task's, beside the range of random ones."""
    on = runs[0].outside
    gap, lost = panel_axes(figure, ["environment gap lost", f"right answers lost on {on}"])
    _ablation(gap, runs, "test", lambda e: e.env_gap_drop)
    _ablation(lost, runs, on, lambda e: e.accuracy_drop)
    lost.set_xlabel("neurons ablated, K", labelpad=2)


def _ablation(axes: "Axes", runs: Seen, scene: str, curve_of: Callable[[ByEffect[OverK]], OverK]) -> None:
    done = [(d.m6.ks, a) for d in runs if d.m6 is not None and (a := d.ablation(scene)) is not None]
    if not done:
        axes.set_xticks([])
        axes.annotate("not measured", (0.5, 0.5), xycoords="axes fraction", ha="center", color=color("muted"))
        return
    ks = np.array(done[0][0])
    same = [a.arms for other, a in done if len(other) == len(ks)]
    lows = [curve_of(arms.random.low) for arms in same if arms.random.low is not None]
    highs = [curve_of(arms.random.high) for arms in same if arms.random.high is not None]
    axes.set_xscale("symlog", base=2, linthresh=4)
    if lows and highs and np.isfinite(lows).any():
        low, high = np.nanmedian(lows, axis=0), np.nanmedian(highs, axis=0)
        axes.fill_between(ks, low, high, color=color(RANDOM), alpha=0.28, linewidth=0)
    _seeds(axes, ks, [curve_of(arms.task.curves) for arms in same], TASK)
    _seeds(axes, ks, [curve_of(arms.environment.curves) for arms in same], ENVIRONMENT)
    axes.set_xticks(ks, [f"{v:g}" for v in ks], fontsize=8.5)
    axes.minorticks_off()
    axes.axhline(0, color=color("muted"), linewidth=0.8)
    dress_y(axes, log=False)


def _seeds(axes: "Axes", x: np.ndarray, curves: Sequence[Sequence[float]], role: str) -> None:
    """Thin runs, thick median; nothing where nothing is known."""
    if not np.isfinite(curves).any():
        return
    for y in curves if len(curves) > 1 else []:
        axes.plot(x, y, color=color(role), linewidth=0.8, alpha=0.5)
    axes.plot(x, np.nanmedian(curves, axis=0), "o-", color=color(role), linewidth=1.7, markersize=3)


def draw_along(figure: "FigureBase", along: Mapping[str, Seen]) -> None:
    """Over checkpoints: what pooled probes read, and the environment gap that erasing takes, beside its control."""
    titles = ("probes at the pooled layer, balanced accuracy", "environment gap lost by erasing it")
    reads, gap = panel_axes(figure, titles)
    for target, role, _ in TARGETS:
        for steps, values in _lines(along, lambda d, t=target: s.balanced if (s := d.score(POOLED, t)) else None):
            reads.plot(steps, values, "o-", color=color(role), linewidth=1.3, markersize=3)
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
    draw: "Callable[[FigureBase, Seen], None]"
    axes: Callable[[Seen], int]
    """How many axes the panel stacks; 0 where there is nothing to show."""
    part: Callable[[CheckpointView], M1 | M4 | M5 | M6 | None]
    """The records that are drawn."""

    def size(self, runs: Seen) -> tuple[float, float]:
        return WIDTH, height(self.axes(runs))


PROBES = Picture(
    "m1", "M1. What can be read", draw_probes, lambda runs: int(any(d.sites for d in runs)), lambda d: d.m1
)
ERASURE = Picture(
    "m4", "M4. Erasing a subspace", draw_erasure, lambda runs: 3 * any(d.erasures for d in runs), lambda d: d.m4
)
STEERING = Picture("m5", "M5. Steering", draw_steering, lambda runs: len(steering_rows(runs)), lambda d: d.m5)
NEURONS = Picture("m6", "M6. Ablating neurons", draw_neurons, lambda _: 2, lambda d: d.m6)
PICTURES = (PROBES, ERASURE, STEERING, NEURONS)
