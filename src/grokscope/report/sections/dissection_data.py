"""The numbers behind the figures of dissections, and of which run they are; those of one part come with its picture."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from grokscope.figures.checkpoint_view import POOLED
from grokscope.figures.dissection_panels import TARGETS
from grokscope.figures.layer_map import layer_map
from grokscope.figures.picture import Rows, effect_columns, score_columns
from grokscope.report.read.dissections import Dissected

Seen = Sequence[Dissected]


def data_of(rows: Callable[[Dissected], Rows], runs: Seen) -> Rows:
    """What a figure draws of these runs, and of which run each row is."""
    return [{**_who(d), **row} for d in runs for row in rows(d)]


def along_data(along: Mapping[str, Seen]) -> Rows:
    """What pooled probes read at each checkpoint, and the environment gap that erasing takes, beside its control."""
    rows: Rows = []
    for d in chain.from_iterable(along.values()):
        for target, _, _ in TARGETS:
            if (score := d.score(POOLED, target)) is not None:
                rows.append({**_who(d), "what": f"probe, {target}", **score_columns(score)})
        if d.gap_effect is not None:
            rows.append({**_who(d), "what": "environment gap lost", **effect_columns(d.gap_effect)})
    return rows


def layer_data(along: Mapping[str, Seen]) -> Rows:
    """The cells of both maps: layer, checkpoint, and the median over runs of what a probe reads there."""
    rows: Rows = []
    for target, _, _ in TARGETS:
        shown = layer_map(along, target)
        for site, values in zip(shown.sites, shown.values, strict=True):
            cells = zip(shown.steps, values, strict=True)
            front = {"target": target, "layer": site, "chance": shown.chance}
            rows += [{**front, "step": step, "balanced_accuracy": value.item()} for step, value in cells]
    return rows


def _who(d: Dissected) -> dict[str, Any]:
    return {"run": d.reading.subject.name, "seed": d.reading.subject.seed, "step": d.step}
