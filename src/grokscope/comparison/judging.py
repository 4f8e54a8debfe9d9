"""Verdicts and milestones of the members of both sides: cached for runs, computed for logs."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from grokscope.comparison.member import FINISHED, Member
from grokscope.progress import watched
from grokscope.results.milestones import MilestonesRecord
from grokscope.results.verdict import VerdictRecord
from grokscope.store.kept_verdicts import Splits
from grokscope.study.kept_milestones import kept_milestones
from grokscope.study.measured import Recorded
from grokscope.verdicts import run_verdicts

if TYPE_CHECKING:
    from grokscope.trajectory import Criteria, Milestones


class SideJudge:
    """Each member judged once. It answers what `grokscope.study.testing` asks of the runs of a study, too."""

    def __init__(self, criteria: "Criteria | None"):
        self.criteria = criteria
        self._known: dict[Member, Splits] = {}
        self._read: dict[tuple[Member, str], Milestones] = {}
        self.notes: list[str] = []
        """What reading a log had to say, each once."""

    def sound(self, member: Member) -> Member:
        """The member, or one called damaged, with the reason, where it has evaluations that cannot be judged. Of a run
        that goes on, or failed, the verdict is the one so far."""
        try:
            splits = self._judged(member)
        except ValueError as error:
            member = replace(member, state="damaged", problem=str(error))
            splits = {}
        self._known[member] = splits
        return member

    def _judged(self, member: Member) -> Splits:
        if member.given is not None:
            return self._of_log(member)
        if member.run is None or member.state in ("unreadable", "damaged"):
            return {}
        # "failed" and the like are no states of a verdict: only whether the loss broke down is
        state = member.state if member.state in FINISHED else "running"
        return run_verdicts(member.run, self.criteria, state=state, neighbors=False)

    def _of_log(self, member: Member) -> Splits:
        from grokscope.trajectory.verdict import verdicts

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            by_split = verdicts(member.trajectory, self.criteria, neighbors=False)
        self.notes += [note for note in member.trajectory.notes if note not in self.notes]
        self.notes += [words for w in caught if (words := str(w.message)) not in self.notes]
        return {split: verdict.record() for split, verdict in by_split.items()}

    def splits(self, member: Member) -> Splits:
        """Held-out split -> verdict; empty where there is none."""
        return self._known[member]

    def counted(self, members: Sequence[Member], split: str) -> list[Member]:
        """Those whose numbers on a split count: finished runs, and a run that is alone with what it has so far."""
        return [m for m in members if (m.finished or len(members) == 1) and split in self.splits(m)]

    def splits_of(self, members: Sequence[Member]) -> list[str]:
        """Every held-out split on which some of them was judged."""
        return list(dict.fromkeys(chain.from_iterable(self.splits(m) for m in members)))

    def __call__(self, run: Member, split: str | None, /) -> VerdictRecord:
        assert split is not None, "a comparison names its split"
        by_split = self._known[run]
        if split not in by_split:
            raise ValueError(f"{run.id} has no held-out split {split!r}; it has {', '.join(by_split) or 'none'}")
        return by_split[split]

    def recorded(self, run: Member, /) -> Recorded:
        assert run.run is not None, "columns can be compared only for runs"
        return Recorded(run.run, self.criteria)

    def milestones(self, run: Member, split: str | None, /) -> "Milestones":
        """With the grids that they were read from."""
        verdict = self(run, split)
        key = (run, verdict.split)
        if key not in self._read:
            self._read[key] = self._with_grids(run, verdict.milestones)
        return self._read[key]

    def _with_grids(self, member: Member, record: MilestonesRecord) -> "Milestones":
        from grokscope.trajectory.milestones import milestones

        kept = None if member.run is None else kept_milestones(member.run, record, self.criteria)
        return kept or milestones(member.trajectory, record.split, self.criteria)


def judged(members: Sequence[Member], judge: SideJudge) -> tuple[Member, ...]:
    """All of them sound or damaged."""
    return tuple(judge.sound(member) for member in watched(members, "judged"))


def shared_splits(a: Sequence[Member], b: Sequence[Member], judge: SideJudge) -> list[str]:
    """Held-out splits that some run of each side was judged on, in the first side's order."""
    second = judge.splits_of(b)
    return [split for split in judge.splits_of(a) if split in second]
