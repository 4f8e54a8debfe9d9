"""M1 as it is shown: what linear probes read at each site."""

from itertools import chain
from typing import TYPE_CHECKING

from grokscope.figures.axes import margin_labels
from grokscope.figures.checkpoint_view import POOLED, CheckpointView, finite, median
from grokscope.figures.dissection_panels import (
    APART,
    COLORS,
    MARKERS,
    RANDOM,
    TARGETS,
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
from grokscope.figures.keys import Entry
from grokscope.figures.picture import Picture, Rows, score_columns
from grokscope.figures.style import SMALL, color
from grokscope.results.probes import ProbeResult
from grokscope.vocabulary.text import NONE, digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase


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


def _probes_key(runs: Seen) -> tuple[Entry, ...]:
    every = [p for d in runs if d.m1 is not None for p in d.m1.probes]
    targets = [
        Entry(target, role, marker=MARKERS[role])
        for target, role, _ in TARGETS
        if any(p.target == target for p in every)
    ]
    random = [Entry("the same probes, random labels", RANDOM, marker="x")] if any(p.controls for p in every) else []
    return (*targets, *random)


def probe_in_words(d: CheckpointView) -> str:
    score = d.score(POOLED, "environment")
    if score is None:
        return f"environment read at the pooled layer with {NONE}"
    return f"environment read at the pooled layer with {digits(score.balanced)}, chance {digits(score.chance)}"


def probe_data(d: CheckpointView) -> Rows:
    rows: Rows = []
    for probe in d.m1.probes if d.m1 else ():
        score = {} if probe.test is None else score_columns(probe.test)
        controls = {f"random_labels_{c.labels.replace(' ', '_')}": c.random for c in probe.controls}
        rows.append({"layer": probe.site, "target": probe.target, **score, **controls, "verdict": probe.verdict})
    return rows


PICTURE = Picture(
    name="m1",
    title="M1. What can be read",
    brief="M1, probe",
    words="Linear probes for environment and task at each site, on held-out examples. Crosses are the same probes "
    "fitted to random labels; the difference is the selectivity. Readable does not mean used.",
    part=lambda d: d.m1,
    draw=draw_probes,
    axes=lambda runs: int(any(d.sites for d in runs)),
    key=_probes_key,
    in_words=probe_in_words,
    data=probe_data,
)
