"""What can be read from the features, and what erasing a subspace takes (M1 and M4)."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from math import isfinite
from operator import attrgetter
from typing import TYPE_CHECKING

from grokscope.figures.axes import dress_y, margin_labels
from grokscope.figures.checkpoint_view import finite, median
from grokscope.figures.dissection_limits import effect_limits
from grokscope.figures.dissection_panels import (
    APART,
    COLORS,
    ENVIRONMENT,
    MARKERS,
    RANDOM,
    TARGETS,
    TASK,
    Groups,
    Seen,
    beside,
    dash_of,
    draw_point,
    name_places,
    panel_axes,
    short_site,
    site_places,
)
from grokscope.figures.style import SMALL, color
from grokscope.results.erasures import Erasure
from grokscope.results.probes import ProbeResult
from grokscope.results.scores import ByEffect, Effect, Null, Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

SCORES: tuple[tuple[Callable[[Erasure], Score], str, float, bool], ...] = (
    (lambda e: e.before, ENVIRONMENT, -0.24, False), (lambda e: e.refitted, ENVIRONMENT, -0.06, True),
    (lambda e: e.task_before, TASK, 0.12, False), (lambda e: e.task_refitted, TASK, 0.3, True),
)  # fmt: skip
"""What M4 shows of each eraser: the score, color, place beside the eraser's tick, filled."""


def draw_probes(figure: "FigureBase", runs: Seen, groups: Groups = ()) -> None:
    """M1: balanced held-out accuracy by site; small crosses are probes for random labels. The line joins layers; the
    color of the image, which is none of them, stands apart."""
    (axes,) = panel_axes(figure, ["balanced accuracy of linear probes"])
    places = site_places(list(dict.fromkeys(chain.from_iterable(d.sites for d in runs))))
    labels: list[tuple[float, str, str]] = []
    for target, role, shift in TARGETS:
        for site, x in places.items():
            for i, d in enumerate(runs):
                _probe(axes, x + shift + beside(i, len(runs)), d.probe(site, target), role)
        scores = {site: [s for d in runs if (s := d.score(site, target)) is not None] for site in places}
        layers = [(x + shift, median(s.balanced for s in scores[site])) for site, x in places.items() if site != COLORS]
        axes.plot(*zip(*layers, strict=True), color=color(role), linewidth=1.2, alpha=0.7, linestyle=dash_of(role))
        for chance in finite(s.chance for s in chain.from_iterable(scores.values()))[:1]:
            axes.axhline(chance, color=color(role), linewidth=1.1, linestyle=(0, (1, 2)))
            labels.append((chance, f"chance, {'env.' if target == 'environment' else 'task'}", role))
    if COLORS in places and len(places) > 1:
        axes.axvline(places[COLORS] - APART / 2, color=color("line"), linewidth=1.0)
    axes.set_ylim(0, 1.04)
    name_places(axes, [short_site(s) if len(places) > 4 else s for s in places], list(places.values()))
    margin_labels(axes, labels, size=SMALL)


def _probe(axes: "Axes", x: float, probe: ProbeResult | None, role: str) -> None:
    if probe is None:
        return
    if probe.test is not None:
        draw_point(axes, x, probe.test.balanced, probe.test.interval, role, MARKERS[role])
    for control in probe.controls:
        axes.plot(x, control.random, "x", color=color(RANDOM), markersize=3.2, linestyle="none")


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
                draw_point(
                    axes, x + at + beside(i, len(runs)), score.balanced, score.interval, role, MARKERS[role], filled
                )
    axes.set_ylim(0, 1.04)
    for chance in finite(e.before.chance for e in chain.from_iterable(d.erasures.values() for d in runs))[:1]:
        axes.axhline(chance, color=color(ENVIRONMENT), linewidth=1.1, linestyle=(0, (1, 2)))
        margin_labels(axes, [(chance, "chance, env.", ENVIRONMENT)], size=SMALL)
    name_places(axes, names)
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
            draw_point(axes, x - 0.25 + beside(i, len(effects)), effect.value, effect.interval, ENVIRONMENT, "o")
        for j, control in enumerate(controls):
            _control_bar(axes, x + 0.02 + 0.14 * j, [e.controls[control] for e in effects if control in e.controls])
    axes.axhline(0, color=color("muted"), linewidth=0.8)
    dress_y(axes, log=False)
    name_places(axes, list(by_eraser))


def _control_bar(axes: "Axes", x: float, nulls: Sequence[Null]) -> None:
    """The range of a control's draws, the median over runs, under the first letter of its name."""
    low, high = median(n.low for n in nulls), median(n.high for n in nulls)
    if not isfinite(low) or not isfinite(high):
        return
    axes.plot([x, x], [low, high], color=color(RANDOM), linewidth=4, alpha=0.45, solid_capstyle="butt")
    axes.annotate(nulls[0].control[0], (x, high), xytext=(0, 1), textcoords="offset points", fontsize=9, ha="center",
                  va="bottom", color=color("muted"))  # fmt: skip
