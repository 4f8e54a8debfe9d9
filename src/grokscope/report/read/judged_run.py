"""One subject judged on one held-out split, with everything that tables and figures need."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope.progress import watched
from grokscope.report.read.robustness import kept_of
from grokscope.report.read.subjects import Subject
from grokscope.vocabulary.splits import speaking
from grokscope.vocabulary.text import listed

if TYPE_CHECKING:
    from grokscope.report.read.shelf import Shelved
    from grokscope.results.verdict import VerdictRecord
    from grokscope.trajectory import Criteria, Event, Milestone, Milestones, Trajectory, Verdict
    from grokscope.trajectory.event import EventKind

FINAL_STATES = ("done", "diverged")
"""States after which a verdict can no longer change; before that it is shown as "so far"."""
STATE_WORDS = {
    "done": "finished", "diverged": "diverged", "failed": "failed", "interrupted": "interrupted",
    "running": "still running", "planned": "not started", "unreadable": "unreadable",
}  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """`outcome` is the verdict's name or, where there is none, the word for the subject's state (``failed``, ``not
    started`` ...)."""

    subject: Subject
    split: str
    verdict: "Verdict | None"
    events: "tuple[Event, ...]" = ()
    problem: str | None = None
    """Why there is no verdict although there are evaluations."""
    unseen: "Mapping[EventKind, str]" = field(default_factory=dict)
    """Kinds of event that the evaluations cannot show, and why."""
    notes: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """What was worked out of it and serves again."""

    @property
    def trajectory(self) -> "Trajectory | None":
        return self.subject.trajectory

    @property
    def final_verdict(self) -> bool:
        return self.subject.state == "diverged" or (self.verdict is not None and self.subject.state in FINAL_STATES)

    @property
    def provisional(self) -> bool:
        return self.verdict is not None and not self.final_verdict

    @property
    def outcome(self) -> str:
        if self.verdict is not None and self.verdict.verdict is not None:
            return self.verdict.verdict
        return "no verdict" if self.subject.state == "done" else STATE_WORDS.get(self.subject.state, self.subject.state)

    @property
    def open_state(self) -> str:
        """For a run without a final verdict: what it is waiting for or died of."""
        return "no verdict" if self.subject.state == "done" else self.subject.state

    @property
    def milestones(self) -> "Milestones | None":
        return self.verdict.milestones if self.verdict is not None else None

    @property
    def fit(self) -> "Milestone | None":
        return self.milestones.T_fit if self.milestones is not None else None

    @property
    def gen(self) -> "Milestone | None":
        return self.milestones.T_gen if self.milestones is not None else None

    @property
    def flicker(self) -> bool:
        """The threshold was touched, but never held for longer than chance."""
        if self.milestones is None:
            return False
        return self.milestones.T_gen_lasting.censored and not self.milestones.T_gen.censored

    @property
    def kind(self) -> str:
        return self.subject.brief.kind if self.subject.brief is not None else "classification"

    @property
    def threshold(self) -> float | None:
        return self.milestones.threshold if self.milestones is not None else None

    @property
    def trivial(self) -> float | None:
        return self.subject.brief.trivial.get(self.split) if self.subject.brief is not None else None

    @property
    def last(self) -> float | None:
        """The last evaluated step."""
        return self.subject.brief.last if self.subject.brief is not None else None

    @property
    def end(self) -> float | None:
        """Where the run stopped meaning anything: the first non-finite loss, else the last evaluated step."""
        brief = self.subject.brief
        if brief is None or brief.non_finite_from is None:
            return self.last
        return brief.non_finite_from

    @property
    def spikes(self) -> list[float]:
        return [e.at for e in self.events if e.kind == "loss spike"]

    def curve(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """(steps, values) of ``train``, a held-out split, ``probe`` (the linear probe, on the split that is judged),
        ``norm_total`` or ``norm_<group>``, where evaluated; None if never."""
        curve = self.subject.curve(name, self.split)
        if curve is None or (missing := np.isnan(curve[1])).all():
            return None
        return curve[0][~missing], curve[1][~missing]


def read(subjects: Collection[Subject], split: str, criteria: "Criteria", neighbors: bool = True) -> list[Reading]:
    """Judge every subject on one split. Who has no such split, or cannot be judged, is kept with the reason. Without
    `neighbors` the thresholds are not moved."""
    return read_all(subjects, [split], criteria, neighbors)[split]


def read_all(
    subjects: Collection[Subject], splits: Sequence[str], criteria: "Criteria", neighbors: bool = True
) -> dict[str, list[Reading]]:
    """`read` on each split."""
    judge = Judge(criteria, neighbors)
    for subject in watched(subjects, f"judged on {listed(splits)}:"):
        judge.look(subject)
    return judge.read_all(subjects, splits)


class Judge:
    """Judges runs one by one on all their held-out splits: all that is asked of a run's curves is asked while they are
    in memory. Only when all runs were looked at is it known on which splits they are read, and under which names."""

    def __init__(self, criteria: "Criteria", neighbors: bool = True):
        self.criteria, self.neighbors = criteria, neighbors
        self._readings: dict[Trajectory | Shelved, dict[str, Reading]] = {}
        self._grids: dict[bytes, np.ndarray] = {}

    def look(self, subject: Subject) -> Mapping[str, Reading]:
        """Its readings by held-out split; nothing of one without evaluations."""
        evaluations = subject.evaluations
        if evaluations is None:
            return {}
        if evaluations not in self._readings:
            readings = _read(subject, self.criteria, self.neighbors)
            for reading in readings:
                if reading.milestones is not None:
                    _share_grids(reading.milestones, self._grids)
            self._readings[evaluations] = {reading.split: reading for reading in readings}
        return self._readings[evaluations]

    def read_all(self, subjects: Collection[Subject], splits: Sequence[str]) -> dict[str, list[Reading]]:
        """Split -> one reading per subject, in their order; of subjects that may be called otherwise than when they
        were looked at."""
        return {split: [self._of(subject, split) for subject in subjects] for split in splits}

    def _of(self, subject: Subject, split: str) -> Reading:
        own = self.look(subject)
        if not own:
            return Reading(subject, split, None, problem=subject.problem)
        if split in own:
            return replace(own[split], subject=subject)
        unseen = next(iter(own.values())).unseen
        return Reading(subject, split, None, problem=f"has no split {split}; it has {', '.join(own)}", unseen=unseen)


def _read(subject: Subject, criteria: "Criteria", neighbors: bool) -> list[Reading]:
    from grokscope.trajectory import unseen

    t = subject.trajectory
    assert t is not None
    kept = kept_of(subject, t, criteria) if neighbors else {}
    readings = []
    for split in t.splits:
        try:
            judged = _verdict(t, split, criteria, neighbors, kept)
            readings.append(Reading(subject, split, judged, _events(t, split, criteria)))
        except ValueError as error:
            readings.append(Reading(subject, split, None, problem=str(error)))
    hidden = unseen(t, criteria)  # last, for it asks for milestones that kept verdicts know
    return [replace(reading, unseen=hidden) for reading in readings]


def _verdict(
    t: "Trajectory", split: str, criteria: "Criteria", neighbors: bool, kept: Mapping[str, "VerdictRecord"]
) -> "Verdict":
    """The kept verdict, else a new one. Raises ValueError, which says why, where there is none."""
    from grokscope.trajectory.verdict import verdict, verdict_from

    if split in kept:
        judged = verdict_from(kept[split], t, criteria)
    else:
        judged = verdict(t, split, criteria, neighbors=neighbors)
    if judged.verdict is None:
        raise ValueError(judged.reason)
    return judged


def _events(t: "Trajectory", split: str, criteria: "Criteria") -> "tuple[Event, ...]":
    from grokscope.trajectory import events

    return tuple(event for event in events(t, criteria) if event.split in (None, split))


def _share_grids(milestones: "Milestones", grids: dict[bytes, np.ndarray]) -> None:
    """Runs of a study are evaluated at the same steps, which are then in memory once."""
    for name, steps in milestones.grids.items():
        milestones.grids[name] = grids.setdefault(steps.tobytes() + steps.dtype.char.encode(), steps)


def splits_of(subjects: Collection[Subject], first: str | None = None) -> list[str]:
    """All held-out splits, the one that leads the report first: the caller's, else the one that stands for most runs.

    Raises:
        ValueError: `first` is none of them.
    """
    from grokscope.registry import nearest

    held_out = list(dict.fromkeys(chain.from_iterable(s.brief.splits for s in subjects if s.brief is not None)))
    if not held_out:
        return [first or "held-out"]
    if first is not None and first not in held_out:
        raise ValueError(f"no run has a held-out split {first!r}{nearest(first, held_out)}")
    lead = first or _of_most(subjects) or held_out[0]
    return [lead, *(name for name in held_out if name != lead)]


def leads_of(groups: Mapping[str, Collection[Subject]], splits: Sequence[str], first: str | None) -> dict[str, str]:
    """Group -> the split on which its runs are judged: the caller's, else the one that stands for most of them when
    each is listed by itself. A group is judged on one split, because its runs are pooled; groups of other tasks may
    have none in common. Where nothing was evaluated yet it is the report's."""
    return {name: first or _of_most(members) or splits[0] for name, members in groups.items()}


def _of_most(subjects: Collection[Subject]) -> str | None:
    counts = Counter(speaking(s.brief.splits) for s in subjects if s.brief is not None and s.brief.splits)
    if not counts:
        return None
    most = max(counts.values())
    return speaking([split for split, count in counts.items() if count == most])


def unit_of(readings: Sequence[Reading]) -> str:
    """What the steps of these runs count, ``step`` where they do not agree."""
    units = {r.subject.unit for r in readings}
    return units.pop() if len(units) == 1 else "step"
