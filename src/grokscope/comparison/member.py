"""One run or one log of a side, before it is judged."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope import configio, identity
from grokscope.store.ended import changed_since
from grokscope.store.run import Run
from grokscope.study.run_state import StudyRun
from grokscope.vocabulary.time_units import STEPS

if TYPE_CHECKING:
    from grokscope.trajectory import Trajectory

FINISHED = ("done", "diverged")
LOST = ("failed", "damaged", "unreadable")
"""States of runs that will give no number by themselves."""


@dataclass(frozen=True, eq=False)
class Member:
    """A run folder, a run of a study that has not begun, or a log (`given`, which counts as done)."""

    id: str
    arm: str
    seed: int | None
    state: str
    step: float
    total: int
    run: Run | None = None
    given: "Trajectory | None" = None
    path: Path | None = None
    problem: str = ""
    planned: Mapping[str, Any] | None = field(default=None, repr=False)
    """Config of a run that has not begun."""

    @property
    def finished(self) -> bool:
        return self.state in FINISHED

    @property
    def waiting(self) -> bool:
        return not self.finished and self.state not in LOST

    @property
    def record(self) -> Mapping[str, Any]:
        """The run's config.json; empty for a log, and for what cannot be read."""
        if self.run is None or self.state == "unreadable":
            return {}
        return self.run.record

    @property
    def config(self) -> Mapping[str, Any] | None:
        """Resolved; None where it is not known."""
        if self.planned is not None:
            return self.planned
        return self.record.get("config")

    @cached_property
    def trajectory(self) -> "Trajectory":
        """Raises ValueError for damaged metrics, and for a run without evaluations."""
        from grokscope.trajectory import from_run

        if self.given is not None:
            return self.given
        assert self.run is not None, "a run that has not begun has no curve"
        return from_run(self.run)


def member_of_run(run: Run) -> Member:
    """Never raises for what is wrong with the run: it was launched, so it is counted."""
    blank = Member(run.id, "", None, "unreadable", 0, 0, run, path=run.path)
    try:
        label, seed, status = run.label, run.config.get("seed"), run.status
    except ValueError as error:
        return replace(blank, problem=str(error))
    total = status.get("total_steps") or status["step"]
    known = replace(blank, arm=label, seed=seed, state=status["state"], step=status["step"], total=total)
    try:
        problem = changed_since(run, status)
    except ValueError as error:
        problem = str(error)
    if problem:
        return replace(known, state="damaged", problem=problem)
    return replace(known, problem=(status.get("error") or {}).get("message") or "")


def member_of_study(s: StudyRun) -> Member:
    """A run that a study plans, whether or not it has begun."""
    begun = s.state not in ("new", "unreadable")
    return Member(
        s.run.id,
        s.entry.label,
        s.seed,
        s.state,
        s.step,
        s.total,
        run=s.run if begun else None,
        path=s.run.path,
        problem=s.message,
        planned=None if begun else identity.completed(configio.dump(s.entry.config)),
    )


def member_of_log(name: str, trajectory: "Trajectory", arm: str, seed: int | None, path: Path | None = None) -> Member:
    """Somebody's log, which is taken as it is."""
    last = trajectory.last_step
    return Member(name, arm, seed, "done", last, int(last), given=trajectory, path=path)


def in_steps(trajectory: "Trajectory", factor: float) -> "Trajectory":
    """The trajectory with its steps multiplied: of a log in epochs, by the steps of an epoch."""
    return replace(trajectory, step=trajectory.step * factor, time_unit=STEPS)
