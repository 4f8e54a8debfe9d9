"""Arms that are exact forks of other arms' runs: each starts from the full state of the run of the same seed and the
same point of the axes, and trains only the remainder."""

from collections.abc import MutableMapping, Sequence
from dataclasses import replace
from typing import Any

from grokscope.config import RunConfig, Start, require
from grokscope.registry import nearest
from grokscope.study.entries import Arm, Entry
from grokscope.train.fork_rules import require_forkable
from grokscope.train.plan import make_plan

Point = tuple[str, str, int]
"""Arm, values of the axes, seed: what has one run."""


class Forks:
    """The arms of a study as far as they were expanded: a parent stands before its forks in the file."""

    def __init__(self, arms: Sequence[Arm]):
        self.arms = {arm.name: arm for arm in arms}
        self.keys: dict[Point, str] = {}
        """Where an entry stands among those of the study."""
        for i, arm in enumerate(arms):
            if arm.of is not None:
                before = [a.name for a in arms[:i]]
                hint = nearest(arm.of, before)
                require(arm.of in before, f"$.arm[{i}].of: no arm {arm.of!r} precedes this one{hint}")

    def seeds(self, arm: Arm) -> tuple[int, ...] | None:
        """Those that the parent's block names, for a fork without seeds of its own."""
        while arm.of is not None and arm.seeds is None:
            arm = self.arms[arm.of]
        return arm.seeds

    def with_parents_changes(self, arm: Arm) -> Arm:
        """A fork is its parent but for its own changes."""
        if arm.of is None:
            return arm
        parent = self.with_parents_changes(self.arms[arm.of])
        return replace(arm, changes={**parent.changes, **arm.changes})

    def note(self, arm: Arm, values: Sequence[Any], seed: int, key: str) -> None:
        self.keys[arm.name, repr(values), seed] = key

    def forked(
        self, entry: Entry, arm: Arm, entries: MutableMapping[str, Entry], values: Sequence[Any], seed: int
    ) -> Entry:
        """The entry as a fork; its parent, among the entries, is asked to keep the state that it begins with.

        Raises:
            ValueError: where no parent has this seed, or the arm changes what the steps before the fork were made with.
        """
        assert arm.of is not None
        assert arm.at is not None
        where = f"(in {entry.label!r})"
        key = self.keys.get((arm.of, repr(values), seed))
        if key is None:
            raise ValueError(f"$.arm.seeds: {arm.of!r} has no seed {seed} to fork from {where}")
        parent = entries[key].config
        start = Start(run=parent.run_id(), step=None, digest="", exact=True, of=parent.identity_hash, at=arm.at)
        config = replace(entry.config, start=start)
        try:
            require_forkable(parent, config)
            _require_later_end(config, arm.at)
        except ValueError as error:
            raise ValueError(f"{error} {where}") from None
        entries[key] = replace(entries[key], config=_keeping(parent, arm.at))
        return replace(entry, config=config)


def _require_later_end(config: RunConfig, at: int | str) -> None:
    total = make_plan(config, config.task.train_size()).total
    if isinstance(at, int) and total <= at:
        raise ValueError(f"$.budget: {total:,} steps end before the fork begins, at step {at:,}")


def _keeping(config: RunConfig, at: int | str) -> RunConfig:
    """The same run, which keeps one more state: that is no part of its identity."""
    states = tuple(dict.fromkeys((*config.checkpoint.states, at)))
    return replace(config, checkpoint=replace(config.checkpoint, states=states))
