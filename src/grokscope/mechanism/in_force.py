"""Settings in effect over time: those of the regime, as changed by active interventions, and before an exact fork those
of its parent."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from grokscope.components import name_in

Span = tuple[float, float, float]
"""After this step, up to this one, the decay in force between."""
Record = Mapping[str, Any]
"""A run's record of its interventions (`grokscope.store.intervened`)."""


def put_by(intervention: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the regime that an intervention replaces while it acts."""
    name = name_in(intervention)
    if name == "decay_head":
        decay = intervention.get("weight_decay")
        return {"decay_groups": "head"} | ({} if decay is None else {"weight_decay": decay})
    settings = intervention.get("to")
    if name == "switch" and isinstance(settings, Mapping):
        return dict(settings)
    return {}


def periods(regime: Mapping[str, Any], record: Record, keys: Sequence[str]) -> Iterator[tuple[float, float, Any]]:
    """(after, up to, settings by key) of each stretch of time in which some intervention had replaced one of the keys.
    Of several that act at once the last in the list counts, as in training."""
    acting = [e for e in record.get("interventions", []) if e.get("began") is not None and put_by(e).keys() & set(keys)]
    ends = {id(e): math.inf if e.get("ended") is None else float(e["ended"]) for e in acting}
    edges = sorted({float(e["began"]) for e in acting} | set(ends.values()))
    for after, up_to in pairwise(edges):
        settings = {key: regime.get(key) for key in keys}
        now = [e for e in acting if e["began"] <= after < ends[id(e)]]
        for entry in now:
            settings |= {key: value for key, value in put_by(entry).items() if key in keys}
        if now:
            yield after, up_to, settings


def values_since(regime: Mapping[str, Any], record: Record, key: str, since: float) -> list[Any]:
    """The different names or numbers of a setting that were in force at some time after `since`."""
    values = [name_in(regime.get(key))]
    replaced_until = since
    for after, up_to, settings in periods(regime, record, [key]):
        if up_to <= since:
            continue
        if after <= replaced_until:  # the regime's own was not in force between
            replaced_until = up_to
        values.append(name_in(settings[key]))
    if math.isinf(replaced_until):
        values = values[1:]
    return list(dict.fromkeys(values))


def decay_spans(regime: Mapping[str, Any], record: Record, on_head: bool) -> tuple[Span, ...]:
    """When interventions put another decay in force than the regime's, and which: on the head, or on the rest."""
    spans: list[Span] = []
    for after, up_to, settings in periods(regime, record, ["weight_decay", "decay_groups"]):
        decay = 0.0 if settings["decay_groups"] == "head" and not on_head else settings["weight_decay"]
        if isinstance(decay, int | float):
            spans.append((after, up_to, float(decay)))
    return tuple(spans)


def whole_history(base: float, spans: Sequence[Span], start: float = 0.0, end: float = math.inf) -> list[Span]:
    """Spans that do not overlap, and between them the regime's own decay: all of the time from `start` to `end`."""
    history: list[Span] = []
    at = start
    for after, up_to, decay in sorted(spans):
        begin, stop = max(after, at), min(up_to, end)
        if begin >= stop:
            continue
        if at < begin:
            history.append((at, begin, base))
        history.append((begin, stop, decay))
        at = stop
    if at < end:
        history.append((at, end, base))
    return history


def beside(changes: Mapping[str, Any], had: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The changes of an arm, complete: its interventions come after those that the run had, less what of those would
    switch back one of its settings.

    A run whose decay was switched off at the fit would switch off that of the arm "decay with time" too, and the arm
    would say nothing of decay.
    """
    out = dict(changes)
    kept = [left for intervention in had if (left := _left_of(intervention, changes))]
    if INTERVENTIONS in changes or kept != [written(i) for i in had]:
        out[INTERVENTIONS] = [*kept, *map(written, changes.get(INTERVENTIONS, []))]
    return out


INTERVENTIONS = "regime.interventions"


def _left_of(intervention: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """An intervention of the run without the settings that an arm states itself; empty if nothing is left."""
    set_by_arm = {key.removeprefix("regime.") for key in changes}
    if name_in(intervention) == "decay_head" and set_by_arm & {"weight_decay", "decay_groups"}:
        return {}
    if name_in(intervention) != "switch":
        return written(intervention)
    left = {key: value for key, value in put_by(intervention).items() if key not in set_by_arm}
    if not left:
        return {}
    return {**written(intervention), "to": left}


def written(value: Any) -> Any:
    """A value as a file has it: what is none in a table is left out."""
    if isinstance(value, Mapping):
        return {key: written(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [written(inner) for inner in value]
    return value
