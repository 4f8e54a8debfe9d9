"""The interface of an executor: its jobs, outcomes, and progress listeners."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from grokscope.components import Tracker
from grokscope.config import RunConfig

State = Literal["done", "diverged", "failed", "interrupted", "elsewhere", "waiting"]
"""How a job ended. `elsewhere`: another process is training that run, so it was left alone; `waiting`: never begun."""


@dataclass(frozen=True)
class Job:
    """One run to carry out in a folder under `root`."""

    config: RunConfig
    root: Path
    passed: tuple[str, ...] = ()
    step: int = 0
    """Where it stands before."""
    total: int = 0
    folder: Path | None = None
    """The run's own, where it is known to lie under another name."""
    stack: str = ""
    """Id of the stack in which it was begun; empty for one that is new or was begun alone."""
    track: tuple[Tracker, ...] = ()
    """What the run is mirrored to meanwhile."""

    @property
    def run(self) -> Path:
        return self.folder or self.root / self.config.run_id()

    @property
    def label(self) -> str:
        """``init_scale=8 seed 0``: short, for people."""
        return f"{self.config.regime.name} seed {self.config.seed}"


@dataclass(frozen=True)
class Outcome:
    """How a job ended; `message` says why where that is not obvious."""

    job: Job
    state: State
    step: int
    message: str = ""
    trouble: bool = False
    """Whether it was interrupted because nothing can be saved at present, as `message` says. Executors then begin no
    other run, for it would end like this one."""


class Board(Protocol):
    """Whoever watches. Called from the executor's own thread only."""

    def begin(self, jobs: Sequence[Job], workers: int) -> None: ...
    def progress(self, job: Job, step: int, total: int, steps_per_s: float) -> None: ...
    def ended(self, outcome: Outcome) -> None: ...
    def note(self, line: str) -> None: ...
    def close(self) -> None: ...


class Executor(Protocol):
    """Carries out jobs, in the order given as far as its slots allow, and returns an outcome for every one of them.

    A job that fails does not stop the others; one that ends with `trouble` does. When asked to stop (Ctrl-C, SIGTERM,
    SIGHUP) it lets every running job save itself and returns what it has; the jobs that were running are `interrupted`,
    those not begun `waiting`.
    """

    def execute(self, jobs: Sequence[Job], board: Board) -> list[Outcome]: ...


class Silent:
    """A board that shows nothing."""

    def begin(self, jobs: Sequence[Job], workers: int) -> None: ...
    def progress(self, job: Job, step: int, total: int, steps_per_s: float) -> None: ...
    def ended(self, outcome: Outcome) -> None: ...
    def note(self, line: str) -> None: ...
    def close(self) -> None: ...


def longest_first(jobs: Sequence[Job]) -> list[Job]:
    """Jobs by remaining steps, most first: a long one that starts last would leave all slots but its own idle."""
    return sorted(jobs, key=lambda job: job.step - job.total)
