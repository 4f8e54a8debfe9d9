"""One subject judged on one held-out split, with everything that tables and figures need."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope.progress import watched
from grokscope.report.read.robustness import tested
from grokscope.report.read.subjects import Subject
from grokscope.vocabulary.splits import speaking

if TYPE_CHECKING:
    from grokscope.trajectory import Criteria, Event, Milestone, Milestones, Trajectory, Verdict

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
        return self.trajectory.kind if self.trajectory is not None else "classification"

    @property
    def threshold(self) -> float | None:
        return self.milestones.threshold if self.milestones is not None else None

    @property
    def trivial(self) -> float | None:
        return self.trajectory.trivial.get(self.split) if self.trajectory is not None else None

    @property
    def last(self) -> float | None:
        """The last evaluated step."""
        return self.trajectory.last_step if self.trajectory is not None else None

    @property
    def end(self) -> float | None:
        """Where the run stopped meaning anything: the first non-finite loss, else the last evaluated step."""
        t = self.trajectory
        if t is None or t.non_finite_from is None:
            return self.last
        return t.non_finite_from

    @property
    def spikes(self) -> list[float]:
        return [e.at for e in self.events if e.kind == "loss spike"]

    def curve(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """(steps, values) of ``train``, a held-out split, ``probe`` (the linear probe, on the split that is judged),
        ``norm_total`` or ``norm_<group>``, where evaluated; None if never."""
        t = self.trajectory
        if t is None:
            return None
        values = t.probe.get(self.split) if name == "probe" else _values(t, name)
        if values is None or np.isnan(values).all():
            return None
        keep = ~np.isnan(values)
        return t.step[keep], values[keep]


def _values(t: "Trajectory", name: str) -> np.ndarray | None:
    if name == "train":
        return t.train
    if name == "norm_total":
        return t.norm
    if name.startswith("norm_") and name not in t.held_out:
        return t.norm_groups.get(name.removeprefix("norm_"))
    return t.held_out.get(name)


def read(subjects: Collection[Subject], split: str, criteria: "Criteria", neighbors: bool = True) -> list[Reading]:
    """Judge every subject on one split. Who has no such split, or cannot be judged, is kept with the reason. Without
    `neighbors` the thresholds are not moved."""
    return [_read(s, split, criteria, neighbors) for s in watched(subjects, f"judged on {split}:")]


def _read(subject: Subject, split: str, criteria: "Criteria", neighbors: bool) -> Reading:
    from grokscope.trajectory import events, verdict

    t = subject.trajectory
    if t is None:
        return Reading(subject, split, None, problem=subject.problem)
    if split not in t.held_out:
        return Reading(subject, split, None, problem=f"has no split {split}; it has {', '.join(t.splits)}")
    try:
        judged = verdict(t, split, criteria, neighbors=False)
        if judged.verdict is None:
            return Reading(subject, split, None, problem=judged.reason)
        judged = tested(subject, judged, criteria) if neighbors else judged
        seen = tuple(e for e in events(t, criteria) if e.split in (None, split))
        return Reading(subject, split, judged, seen)
    except ValueError as error:
        return Reading(subject, split, None, problem=str(error))


def splits_of(subjects: Iterable[Subject], first: str | None = None) -> list[str]:
    """All held-out splits, the one that speaks for the report first: the caller's, else as in other tables.

    Raises:
        ValueError: `first` is none of them.
    """
    from grokscope.registry import nearest

    held_out = list(
        dict.fromkeys(chain.from_iterable(s.trajectory.splits for s in subjects if s.trajectory is not None))
    )
    if not held_out:
        return [first or "held-out"]
    if first is not None and first not in held_out:
        raise ValueError(f"no run has a held-out split {first!r}{nearest(first, held_out)}")
    lead = first or speaking(held_out)
    return [lead, *(name for name in held_out if name != lead)]


def unit_of(readings: Sequence[Reading]) -> str:
    """What the steps of these runs count, ``step`` where they do not agree."""
    units = {r.subject.unit for r in readings}
    return units.pop() if len(units) == 1 else "step"
