"""Conditions that select runs of a study: dotted keys, arms, regimes and seeds; and validation of names."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from grokscope import configio
from grokscope.config import require
from grokscope.flat_regime import SUPERSEDED
from grokscope.limits import brief
from grokscope.registry import nearest
from grokscope.study.entries import Entry
from grokscope.study.words import describe_where, text


def check_where(raw: Any, where: str, entries: Sequence[Entry]) -> dict[str, Any]:
    require(
        isinstance(raw, Mapping), f'{where}: expected a table such as {{ "regime.weight_decay" = 0.1 }}, got {raw!r}'
    )
    conditions = configio.flatten(raw)
    known = ["arm", "regime", "seed", *dict.fromkeys(chain.from_iterable(e.settings for e in entries))]
    for key in conditions:
        old = SUPERSEDED.get(key.removeprefix("regime."))
        require(key in known or old is None, f"{where}.{key} {old}")
        require(key in known, f"{where}.{key}: unknown key{nearest(key, known)}")
    for key, value in conditions.items():
        met = any(matches(e, {key: value}) for e in entries)
        require(met, f"{where}.{key}: no run of this study has {text(value)}{_values(entries, key)}")
    require(
        any(matches(e, conditions) for e in entries), f"{where}: no run of this study fits {describe_where(conditions)}"
    )
    return conditions


def _values(entries: Sequence[Entry], key: str) -> str:
    values = dict.fromkeys(map(text, chain.from_iterable(values_of(e, key) for e in entries)))
    return f"; it has {', '.join(list(values)[:12])}"


def matches(entry: Entry, where: Mapping[str, Any]) -> bool:
    """Whether a run fits all conditions; a list means any of its values."""
    return all(_fits(values_of(entry, key), value) for key, value in where.items())


def _fits(values: Sequence[Any], wanted: Any) -> bool:
    if wanted in values:
        return True
    return isinstance(wanted, list) and any(w in values for w in wanted)


def values_of(entry: Entry, key: str) -> Sequence[Any]:
    if key == "arm":
        return entry.arms
    return (entry.settings.get("regime.name" if key == "regime" else key),)


def known_verdicts(raw: Any, where: str) -> tuple[str, ...]:
    from grokscope.results.verdict import QUALIFIED, VERDICTS

    return known_names(raw, where, "verdict", [*VERDICTS, *QUALIFIED])


def known_names(raw: Any, where: str, what: str, known: list[str]) -> tuple[str, ...]:
    """One name, or a list of names, all of them known; an unknown one is told the nearest."""
    names = tuple(names_in(raw, where))
    for name in names:
        require(name in known, f"{where}: unknown {what} {name!r}{nearest(name, known)}")
    return names


def names_in(raw: Any, where: str) -> list[str]:
    """One name, or a list of names."""
    names = [raw] if isinstance(raw, str) else raw
    ok = isinstance(names, list) and all(isinstance(name, str) for name in names)
    require(ok, f"{where}: expected a name or a list of names, got {brief(raw)}")
    return names
