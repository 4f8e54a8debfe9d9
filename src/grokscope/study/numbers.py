"""The number that a hypothesis compares, for every run of its arms: milestones with their evaluation grids, shares of
verdicts, levels, measured and dissected numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from grokscope.progress import watched
from grokscope.results.hypothesis import RunNumber
from grokscope.results.verdict import VerdictRecord
from grokscope.study.conditions import values_of
from grokscope.study.hypothesis import Hypothesis
from grokscope.study.measured import Recorded
from grokscope.study.run_state import StudyRun
from grokscope.study.seen import seen
from grokscope.vocabulary.text import plural

if TYPE_CHECKING:
    from grokscope.trajectory import Milestones, Times


class NumberedRun(Protocol):
    """What is asked of a run here: one of a study (`StudyRun`), or one of any origin that is compared with others."""

    @property
    def id(self) -> str: ...
    @property
    def seed(self) -> int | None: ...
    @property
    def state(self) -> str: ...
    @property
    def total(self) -> int: ...
    @property
    def finished(self) -> bool: ...
    @property
    def waiting(self) -> bool: ...


class Reads(Protocol):
    """Who reads runs: `grokscope.study.judge.Judge` those of a study."""

    def __call__(self, run: Any, split: str | None, /) -> VerdictRecord: ...
    def recorded(self, run: Any, /) -> Recorded: ...
    def milestones(self, run: Any, split: str | None, /) -> "Milestones": ...


class CannotTell(Exception):
    """Why the runs say nothing on a hypothesis."""


class Undone(Exception):
    """What must be done first, with the command."""


@dataclass(frozen=True, eq=False)
class ArmNumbers:
    """Runs of one arm by seed, with their numbers. For milestones also `times`, and `end`: the step up to which each
    was looked at, or would have been had it not diverged."""

    runs: tuple[NumberedRun, ...]
    rows: tuple[RunNumber, ...]
    times: "Times | None" = None
    end: float = math.inf

    @property
    def values(self) -> np.ndarray:
        return np.array([row.value for row in self.rows], dtype=np.float64)


def arm_numbers(h: Hypothesis, runs: Sequence[NumberedRun], judge: Reads) -> ArmNumbers:
    """Of finished runs, at least one.

    Raises:
        CannotTell: where a run has no such number: which of them have it would then decide the comparison.
        Undone: for a number of a dissection, before the runs are dissected.
    """
    runs = sorted(runs, key=lambda s: (s.seed is None, s.seed or 0))
    if h.quantity.is_time:
        return _timed(h, runs, judge)
    values = _measured(h, runs, judge) if h.quantity.measure is not None else _of_verdicts(h, runs, judge)
    missing = [s.id for s, v in zip(runs, values, strict=True) if math.isnan(v)]
    if missing:
        raise CannotTell(f"{plural(len(missing), 'run')} without this number: {', '.join(missing[:3])}")
    rows = [_row(h, s, v) for s, v in zip(runs, values, strict=True)]
    return ArmNumbers(tuple(runs), tuple(rows))


def _row(h: Hypothesis, s: NumberedRun, value: float, before: float | None = None, reached: bool = True) -> RunNumber:
    return RunNumber(run=s.id, seed=s.seed, value=value, before=before, reached=reached, x=_along(h, s))


def _along(h: Hypothesis, s: NumberedRun) -> float | None:
    """The run's value of the axis, for a slope."""
    if h.axis is None:
        return None
    assert isinstance(s, StudyRun), "slopes are of studies"
    return float(values_of(s.entry, h.axis)[0])


def _measured(h: Hypothesis, runs: Sequence[NumberedRun], judge: Reads) -> list[float]:
    measure = h.quantity.measure
    assert measure is not None
    recorded = [judge.recorded(s) for s in runs]
    if (todo := measure.undone(recorded)) is not None:
        raise Undone(todo)
    return [measure.value(run) for run in recorded]


def _of_verdicts(h: Hypothesis, runs: Sequence[NumberedRun], judge: Reads) -> list[float]:
    verdicts = [judge(s, h.quantity.split) for s in runs]
    if not h.quantity.verdicts:
        return [seen(v, h.quantity.name).value for v in verdicts]
    return [
        math.nan if v.verdict is None else float(bool({v.verdict, v.label} & set(h.quantity.verdicts)))
        for v in verdicts
    ]


def _timed(h: Hypothesis, runs: Sequence[NumberedRun], judge: Reads) -> ArmNumbers:
    from grokscope.trajectory.times import Times

    read = [_milestones(s, h.quantity.split, judge) for s in watched(runs, "read the times of runs:")]
    if h.quantity.name == "delay":
        _require_fitted(runs, read)
    kind = "train" if h.quantity.name == "T_fit" else "held_out"
    starts = [m.T_fit.at if h.quantity.name == "delay" else 0.0 for m in read]
    grids = _whole_grids(runs, [m.grids[kind] for m in read])
    grids = [grid - start for grid, start in zip(grids, starts, strict=True)]
    before, at, reached = zip(
        *(_moment(h, m, start, grid) for m, start, grid in zip(read, starts, grids, strict=True)), strict=True
    )
    times = Times(before=np.array(before), at=np.array(at), observed=np.array(reached), grids=tuple(grids))
    rows = [
        _row(h, s, a, None if math.isinf(b) else b, bool(r))
        for s, b, a, r in zip(runs, before, at, reached, strict=True)
    ]
    return ArmNumbers(tuple(runs), tuple(rows), times, min(float(grid[-1]) for grid in grids))


def _milestones(s: NumberedRun, split: str | None, judge: Reads) -> "Milestones":
    milestones = judge.milestones(s, split)
    if not all(len(grid) for grid in milestones.grids.values()):
        raise CannotTell(f"{s.id} was never evaluated on {milestones.split}")
    return milestones


def _require_fitted(runs: Sequence[NumberedRun], read: "Sequence[Milestones]") -> None:
    unfitted = [s.id for s, m in zip(runs, read, strict=True) if m.T_fit.censored]
    if unfitted:
        raise CannotTell(
            f"{plural(len(unfitted), 'run')} never fitted, so no delay began ({', '.join(unfitted[:3])}); ask about "
            "T_gen, which every run has"
        )


def _whole_grids(runs: Sequence[NumberedRun], grids: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each run's evaluations. One that diverged would have been evaluated on, as the others of its arm were, without
    ever reaching a milestone: cut off where it broke, it would count as one of which nothing more is known."""
    longest = max(grids, key=lambda grid: grid[-1])
    whole = []
    for s, grid in zip(runs, grids, strict=True):
        if s.state == "diverged":
            end = max(float(longest[-1]), float(s.total))
            grid = np.unique(np.concatenate([grid, longest[longest > grid[-1]], [end]]))
        whole.append(grid.astype(np.float64))
    return whole


def _moment(h: Hypothesis, m: "Milestones", start: float, grid: np.ndarray) -> tuple[float, float, bool]:
    """(before, at, reached) of one run, counted from its `start`."""
    from grokscope.trajectory.milestones import milestone

    moment = milestone(m, "T_gen" if h.quantity.name == "delay" else h.quantity.name)
    if moment.censored:
        return -math.inf, float(grid[-1]), False
    before = -math.inf if moment.previous is None else float(moment.previous) - start
    return before, float(moment.at) - start, True
