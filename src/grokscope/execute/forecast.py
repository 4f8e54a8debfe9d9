"""Estimate the remaining time from the progress of the runs so far."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from grokscope.execute.protocol import Job, Outcome


@dataclass
class Forecast:
    """Where every job stands. A run not yet begun is taken to be as fast as the others of its task and model, or as all
    of them."""

    jobs: Sequence[Job]
    workers: int
    clock: Callable[[], float] = time.monotonic
    steps: dict[str, int] = field(default_factory=dict)
    speeds: dict[str, float] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def progress(self, job: Job, step: int, speed: float) -> None:
        self.steps[job.run.name] = step
        if speed > 0:
            self.speeds[job.run.name] = speed

    def end(self, outcome: Outcome) -> None:
        self.steps[outcome.job.run.name] = outcome.step
        self.ended[outcome.job.run.name] = outcome.state

    @property
    def running(self) -> list[Job]:
        return [j for j in self.jobs if j.run.name in self.steps and j.run.name not in self.ended]

    def count(self, *states: str) -> int:
        return sum(state in states for state in self.ended.values())

    def done_steps(self) -> int:
        """Steps trained, of the sum of all totals. Whoever diverged has nothing left to do; whoever failed or was
        stopped counts with the steps that it got to, so that a stopped study is not shown as a whole one."""
        return sum(self._done(job) for job in self.jobs)

    def _done(self, job: Job) -> int:
        if self.ended.get(job.run.name) in ("done", "diverged"):
            return job.total
        return self.steps.get(job.run.name, job.step)

    def seconds_left(self) -> float | None:
        """Wall-clock seconds, None before any speed is known: the rest shared by all workers, or the longest single
        run."""
        if not self.speeds:
            return None
        rests = [
            (job.total - self.steps.get(job.run.name, job.step)) / self._speed(job)
            for job in self.jobs
            if job.run.name not in self.ended
        ]
        if not rests:
            return 0.0
        return max(sum(rests) / self.workers, max(rests))

    def _speed(self, job: Job) -> float:
        if job.run.name in self.speeds:
            return self.speeds[job.run.name]
        kin = [self.speeds[j.run.name] for j in self.jobs if j.run.name in self.speeds and _kind(j) == _kind(job)]
        known = kin or list(self.speeds.values())
        return sum(known) / len(known)


def _kind(job: Job) -> tuple[object, ...]:
    return job.config.task.name, job.config.model, job.config.regime.batch_size, job.config.regime.optimizer


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 days 4 h``."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    units = (("day", 86400), ("h", 3600), ("min", 60), ("s", 1))
    first = next(i for i, (_, size) in enumerate(units) if whole >= size)
    parts = []
    for name, size in units[first : first + 2]:
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count} {name}{'s' if name == 'day' and count > 1 else ''}")
    return " ".join(parts)
