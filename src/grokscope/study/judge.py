"""Judge each run of a study once, for all blocks that need it."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from grokscope.progress import watched, without_collector
from grokscope.registry import nearest
from grokscope.results.verdict import VerdictRecord
from grokscope.store.kept_verdicts import Splits
from grokscope.study.kept_milestones import kept_milestones
from grokscope.study.measured import Recorded
from grokscope.study.run_state import BAD, StudyRun
from grokscope.verdicts import run_verdicts
from grokscope.vocabulary.splits import speaking

if TYPE_CHECKING:
    from grokscope.trajectory import Milestones
    from grokscope.trajectory.criteria import Criteria


class Judge:
    """Each run's verdicts and metrics, read once."""

    def __init__(self, criteria: "Criteria | None", neighbors: bool = True):
        """Without `neighbors` no verdict says whether it is robust, which is ten times faster."""
        self.criteria, self.neighbors = criteria, neighbors
        self.known: dict[str, Splits] = {}
        self.problems: dict[str, str] = {}
        self.read: dict[str, Recorded] = {}
        self._timed: dict[tuple[str, str], Milestones] = {}

    def all_sound(self, runs: Sequence[StudyRun]) -> list[StudyRun]:
        """Each of them as `sound` has it."""
        with without_collector():
            return [self.sound(s) for s in watched(runs, "judged")]

    def sound(self, study_run: StudyRun) -> StudyRun:
        """The same run where it is not finished or can be judged, else a damaged one, with the reason."""
        if not study_run.finished:
            return study_run
        name = study_run.run.id
        if name not in self.known and name not in self.problems:
            try:
                looked = None
                if study_run.known is not None:
                    looked = study_run.known.metrics
                self.known[name] = run_verdicts(
                    study_run.run, self.criteria, state=study_run.state, metrics=looked, neighbors=self.neighbors
                )
            except ValueError as error:
                self.problems[name] = str(error)
            if name in self.known and not self.known[name]:
                self.problems[name] = "its metrics contain no evaluation of a held-out split"
        if name in self.problems:
            return replace(study_run, state="damaged", message=self.problems[name])
        return study_run

    def __call__(self, study_run: StudyRun, split: str | None) -> VerdictRecord:
        by_split = self.known[study_run.run.id]
        if split is not None and split not in by_split:
            raise ValueError(f"{study_run.run.id} has no held-out split {split!r}{nearest(split, list(by_split))}")
        return by_split[split or speaking(by_split)]

    def recorded(self, study_run: StudyRun) -> Recorded:
        return self.read.setdefault(study_run.run.id, Recorded(study_run.run, self.criteria))

    def milestones(self, study_run: StudyRun, split: str | None) -> "Milestones":
        """With the grids that they were read from. They are those of the verdict; a curve is looked at only where its
        grid is not sure."""
        from grokscope.trajectory.milestones import milestones

        record = self(study_run, split).milestones
        key = (study_run.run.id, record.split)
        if key not in self._timed:
            kept = kept_milestones(study_run.run, record, self.criteria)
            self._timed[key] = kept or milestones(self.recorded(study_run).trajectory, record.split, self.criteria)
        return self._timed[key]


def so_far(chosen: Collection[StudyRun]) -> str:
    """How many of them are finished, and which cannot be judged."""
    finished = sum(s.finished for s in chosen)
    bad = [s.run.id for s in chosen if s.state in BAD]
    named = ""
    if bad:
        named = f"; cannot be judged: {', '.join(bad[:3])}{f' and {len(bad) - 3} more' * (len(bad) > 3)}"
    return f"{finished:,} of {len(chosen):,} runs are finished{named}"


def problems_of(chosen: Collection[StudyRun]) -> tuple[str, ...]:
    """Which of them cannot be judged, and why."""
    return tuple(f"{s.state}: {s.run.id}: {s.message}" for s in chosen if s.state in BAD)
