"""The state of each run of a study on disk, and the remaining work."""

from dataclasses import dataclass, field
from typing import Any, Literal

from grokscope.execute.protocol import Job
from grokscope.store.ended import changed_since
from grokscope.store.folders import Folders
from grokscope.store.run import Run
from grokscope.store.run_index import Known
from grokscope.study.entries import Entry
from grokscope.train.fork_source import whether_ready
from grokscope.train.plan import Plan, make_plan

State = Literal[
    "new", "waiting", "blocked", "partial", "running", "done", "diverged", "failed", "damaged", "unreadable"
]
BAD = ("damaged", "unreadable")
"""States of runs that say nothing until somebody mends them."""
LOST = ("failed", "blocked", *BAD)
"""States of runs that will give no number by themselves."""
NOT_BEGUN = ("new", "waiting", "blocked")
"""States of runs of which there is no row yet."""


@dataclass(frozen=True)
class StudyRun:
    """One run of a study: `partial` continues where it was left; `diverged` counts as finished; `damaged` has ended,
    but its metrics are not those that it ended with; of `unreadable` nothing can be said. A fork is `waiting` for the
    state of its parent that it begins with, or `blocked` where that will not come."""

    entry: Entry
    run: Run
    state: State
    step: int
    plan: Plan
    message: str = ""
    forked_at: int | None = None
    """Of a fork, the step at which it leaves its parent, once that is known."""
    known: Known | None = field(default=None, repr=False, compare=False)
    """What the index of its folder says of it; None where it was read."""

    @property
    def id(self) -> str:
        return self.run.id

    @property
    def seed(self) -> int:
        return self.entry.config.seed

    @property
    def finished(self) -> bool:
        return self.state in ("done", "diverged")

    @property
    def waiting(self) -> bool:
        """Whether it may still give numbers by itself: neither finished nor lost."""
        return not self.finished and self.state not in LOST

    @property
    def ready(self) -> bool:
        """Whether it can be trained now: it is not finished, and is no fork without its parent's state."""
        return not self.finished and self.state not in ("waiting", "blocked")

    @property
    def total(self) -> int:
        return self.plan.total

    def job(self) -> Job:
        step = min(self.step, self.total)
        where, entry = self.run.path, self.entry
        return Job(entry.config, where.parent, entry.passed, step, self.total, where, self._stack(), entry.track)

    def _stack(self) -> str:
        begun = self.state not in (*NOT_BEGUN, *BAD)
        if not begun:
            return ""
        return (self.run.facts.get("stacked") or {}).get("id", "")


def read_study_run(entry: Entry, folders: Folders) -> StudyRun:
    """Read one run's state. A damaged folder is `damaged` or `unreadable`, with the reason, and never an exception."""
    plan = make_plan(entry.config, entry.config.task.train_size())
    try:
        run = folders.find(entry.config)
    except ValueError as error:
        return StudyRun(entry, Run(folders.root / entry.config.run_id()), "unreadable", 0, plan, str(error))
    if (known := folders.known(run)) is not None:  # only of sound runs that no process trains
        status = known.status
        forked_at = None
        if known.config.get("start.of"):
            forked_at = known.config.get("start.step")
        return StudyRun(entry, run, *_standing(status, plan), plan, _message(status), forked_at, known)
    try:
        if not (run.path / "config.json").exists():
            return _not_begun(entry, run, plan, folders)
        status = run.status
    except (ValueError, OSError) as error:
        return StudyRun(entry, run, "unreadable", 0, plan, str(error))
    if problem := _damage(run, status):
        return StudyRun(entry, run, "damaged", status["step"], plan, problem)
    return StudyRun(entry, run, *_standing(status, plan), plan, _message(status), _forked_at(run))


def _not_begun(entry: Entry, run: Run, plan: Plan, folders: Folders) -> StudyRun:
    """A run without a folder of its own; of a fork, whether its parent's state is there."""
    start = entry.config.start
    if start is None or start.at is None:
        return StudyRun(entry, run, "new", 0, plan)
    ready = whether_ready(folders.parent(entry.config), start.at)
    if ready.step is not None:
        return StudyRun(entry, run, "new", ready.step, plan, forked_at=ready.step)
    at = start.at if isinstance(start.at, int) else None
    return StudyRun(entry, run, "waiting" if ready.waits else "blocked", 0, plan, ready.why, at)


def _forked_at(run: Run) -> int | None:
    start = run.config.get("start") or {}
    return start.get("step") if start.get("of") else None


def _standing(status: dict[str, Any], plan: Plan) -> tuple[State, int]:
    return _state(status["state"], status["step"], plan.total), status["step"]


def _message(status: dict[str, Any]) -> str:
    return (status.get("error") or {}).get("message", "")


def _damage(run: Run, status: dict[str, Any]) -> str:
    try:
        return changed_since(run, status)
    except (ValueError, OSError) as error:
        return str(error)


def _state(state: str, step: int, total: int) -> State:
    if state == "done":
        return "done" if step >= total else "partial"
    if state in ("running", "diverged", "failed"):
        return state  # type: ignore[return-value]
    return "partial" if step else "new"
