"""Settings in which the configurations of both sides differ, by dotted name, with defaults filled in."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from grokscope.comparison.member import Member
from grokscope.comparison.sides import Side
from grokscope.report.read.subjects import flat
from grokscope.results.comparison import Setting
from grokscope.store.same_data import version_of
from grokscope.vocabulary.text import listed

LABELS = ("regime.name", "start", "start.run", "start.digest")
"""Names of what is compared, and runs that single seeds left: no settings of their own."""
FACTS = ("parameters", "device")
MADE = ("processor", "device", "packages")

Values = dict[str, dict[str, Any]]
"""Dotted key -> text of a value -> the value."""


def differing_settings(a: Side, b: Side) -> tuple[Setting, ...]:
    """In the order of the config. Of one run against one run the seed is a setting, too; else it tells runs apart.

    Of a side that records no configuration every value is unknown; then what the other side was given by hand is
    listed, for that is what one would have to look up.
    """
    first, second = _values(a.members), _values(b.members)
    if not first and not second:
        return ()
    if not first or not second:
        return _one_known(first or second, a.members if first else b.members, known_first=bool(first))
    single = len(a.members) == len(b.members) == 1
    keys = [k for k in dict.fromkeys((*first, *second)) if k not in LABELS and (k != "seed" or single)]
    return tuple(
        Setting(key=key, a=tuple(first.get(key, {}).values()), b=tuple(second.get(key, {}).values()))
        for key in keys
        if first.get(key, {}).keys() != second.get(key, {}).keys()
    )


def settings_note(a: Side, b: Side) -> str:
    """Of which side nothing is known, and of which not all."""
    unknown = [side.name for side in (a, b) if not any(m.config for m in side.members)]
    partly = [side.name for side in (a, b) if side.name not in unknown and any(not m.config for m in side.members)]
    parts = []
    if unknown:
        parts.append(f"the configuration of {listed(unknown)} is unknown")
    if partly:
        parts.append(f"that of some runs of {listed(partly)} cannot be read")
    return "; ".join(parts)


def _one_known(values: Values, members: Sequence[Member], known_first: bool) -> tuple[Setting, ...]:
    given = set[str]().union(*(m.record.get("passed") or () for m in members))
    rows = []
    for key, by_text in values.items():
        if key in given and key not in LABELS:
            known = tuple(by_text.values())
            a, b = (known, None) if known_first else (None, known)
            rows.append(Setting(key=key, a=a, b=b))
    return tuple(rows)


def _values(members: Iterable[Member]) -> Values:
    """What each key is set to in any of the runs. Configs that differ by seed alone are taken apart once."""
    values: Values = {}
    met: set[str] = set()
    for m in members:
        if m.config is None:
            continue
        settings = {**m.config, "facts": _facts(m.record), "made": _environment(m.record)}
        seed = settings.pop("seed", None)
        values.setdefault("seed", {}).setdefault(json.dumps(seed), seed)
        text = json.dumps(settings, sort_keys=True, default=str)
        if text not in met:
            met.add(text)
            for key, value in flat(settings).items():
                values.setdefault(key, {}).setdefault(json.dumps(value, sort_keys=True, default=str), value)
    return values


def _facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """What follows from the settings, and the version of the task's data."""
    if not record:
        return {}
    facts = record.get("facts") or {}
    known = {key: facts[key] for key in FACTS if key in facts}
    sizes = {split: info["n"] for split, info in (facts.get("splits") or {}).items() if "n" in info}
    return {**known, "n": sizes, "data_version": version_of(record)}


def _environment(record: Mapping[str, Any]) -> dict[str, Any]:
    """With what the run was made."""
    provenance = record.get("provenance") or {}
    return {key: provenance[key] for key in MADE if provenance.get(key)}
