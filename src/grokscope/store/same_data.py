"""Whether runs were trained on the same data: by the data version of the task and the digests of its splits, which
every run records at its start (``facts.data`` of its config.json)."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from grokscope import identity
from grokscope.config import RunConfig
from grokscope.store.run import Run

Record = Mapping[str, Any]
Data = tuple[str | None, Mapping[str, str]]
"""See `data_of`."""


class OtherData(ValueError):
    """A run would go on with other data than it began with. Nothing was changed."""


def version_of(record: Record) -> int:
    """The version of the task's data that a run was trained on; 1 where none was recorded, before there were others."""
    version = _data(record).get("version", 1)
    return version if isinstance(version, int) else 1


def digests_of(record: Record) -> dict[str, str]:
    """Split -> digest; empty for runs of older versions, imports of other programs, and other people's loops."""
    digests = _data(record).get("digests")
    if not isinstance(digests, Mapping):
        return {}
    return dict(digests)


def require_version(run: Run, config: RunConfig) -> None:
    """Raise OtherData (a ValueError) where the run's task draws other data by now, so that nothing more can be
    learned from the run's own."""
    then, now = version_of(run.record), config.task.data_version
    if then != now:
        raise OtherData(
            f"{run.id}: trained on version {then} of the data of task {config.task.name!r}, and this grokscope draws "
            f"version {now}: train it again, or continue with the version of grokscope that trained it"
        )


def require_digests(run: Run, drawn: Mapping[str, str]) -> None:
    """Raise OtherData (a ValueError), naming the splits, where a run recorded other data than was drawn or loaded
    now."""
    other = [split for split, digest in digests_of(run.record).items() if drawn.get(split) != digest]
    if other:
        raise OtherData(
            f"{run.id}: its data differ from those that it was trained on (other bytes in {', '.join(other)}): "
            f"restore the files of the task, or train it again in another folder"
        )


def refuse_mixed(runs: Iterable[tuple[str, Record]]) -> list[str]:
    """Refuse to pool (name, record) of runs that have one task config and seed, but learned from other data.

    Returns:
        Names of the runs that were taken on trust: they record no digests, and another run has their task and seed.

    Raises:
        ValueError: naming two such runs, and their splits.
    """
    return refuse_other_data((name, data_of(record)) for name, record in runs)


def data_of(record: Record) -> Data:
    """(text that runs of one task config, data version and seed have in common, split -> digest); None in place of the
    text for a loop of one's own, which has no task config."""
    return _key(record), digests_of(record)


def refuse_other_data(runs: Iterable[tuple[str, Data]]) -> list[str]:
    """`refuse_mixed` for runs of which no more is known than `data_of` says."""
    alike: dict[str, list[tuple[str, Mapping[str, str]]]] = {}
    for name, (key, digests) in runs:
        if key is not None:
            alike.setdefault(key, []).append((name, digests))
    return list(chain.from_iterable(map(_unknown, alike.values())))


def _unknown(members: Sequence[tuple[str, Mapping[str, str]]]) -> list[str]:
    first: dict[str, tuple[str, str]] = {}
    for name, digests in members:
        for split, digest in digests.items():
            before, known = first.setdefault(split, (name, digest))
            if known != digest:
                raise ValueError(
                    f"{before} and {name} have the same task and seed, but different data in split {split} (digests "
                    f"{known[:8]} and {digest[:8]}): their numbers cannot be pooled; exclude one, or train it again"
                )
    if len(members) > 1:
        return [name for name, digests in members if not digests]
    return []


def _key(record: Record) -> str | None:
    """Task config, data version and seed of a run, as text; None for a loop of one's own, which has no task config."""
    config = record.get("config")
    if not isinstance(config, Mapping) or "budget" not in config or not isinstance(config.get("task"), Mapping):
        return None
    settings = identity.task_settings(config["task"])
    return json.dumps([settings, version_of(record), config.get("seed")], sort_keys=True, default=str)


def _data(record: Record) -> Mapping[str, Any]:
    facts = record.get("facts")
    data = facts.get("data") if isinstance(facts, Mapping) else None
    return data if isinstance(data, Mapping) else {}
