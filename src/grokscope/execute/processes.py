"""A pool of worker processes on this machine: as many runs at a time as there are workers, one CPU thread each.

The pool outlives its workers: one that is killed (out of memory, say) costs the run it was training, which is recorded
as failed and continues from its last resume state when the study is run again; a new worker takes its place.
"""

import json
import os
import selectors
import signal
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from grokscope import configio, registry
from grokscope.child import Child
from grokscope.execute.attempt import record_failure
from grokscope.execute.protocol import Board, Job, Outcome
from grokscope.execute.signals import on_stop_signals
from grokscope.execute.stacks import Unit, Way, arrange
from grokscope.storage import Storage
from grokscope.store.run import Run

POLL_S = 0.2
"""How often the pool looks up from waiting: the longest time between Ctrl-C and its effect."""


@dataclass
class _Worker(Child):
    """A worker process, and the jobs it is on: one, or those of a stack."""

    steps: dict[int, int] = field(default_factory=dict)
    """Number of each job that it is on -> how far that one is."""
    asked: bool = False
    """Whether it was asked to stop."""

    @classmethod
    def start(cls) -> "_Worker":
        return cls.start_module("grokscope.execute.worker")

    @property
    def idle(self) -> bool:
        return not self.steps

    def give(self, jobs: Mapping[int, Job], fall_back: bool) -> None:
        orders = [
            {"job": number, "config": configio.dump(job.config), "root": str(job.root), "passed": list(job.passed)}
            for number, job in jobs.items()
        ]
        track = [configio.dump(tracker) for tracker in next(iter(jobs.values())).track]  # a study's jobs share it
        order = {"jobs": orders, "plugins": registry.modules_here(), "fall_back": fall_back, "track": track}
        self.steps = {number: job.step for number, job in jobs.items()}
        assert self.process.stdin is not None
        self.process.stdin.write((json.dumps(order) + "\n").encode())
        self.process.stdin.flush()

    def last_words(self) -> str:
        """Why it died: the signal, or the end of what it printed."""
        code = self.process.wait()
        hint = "; out of memory?" if code == -signal.SIGKILL else ""
        return f"the worker {self.how_it_ended(code)}{hint}"

    def close(self) -> None:
        for stream in (self.process.stdin, self.answers, self.said):
            with suppress(BrokenPipeError):
                if stream is not None:
                    stream.close()
        self.process.wait()


@dataclass
class _Pool:
    jobs: Sequence[Job]
    units: Sequence[Unit]
    """What is given to a worker at once; their jobs are those above."""
    fall_back: bool
    board: Board
    size: int
    storage: Storage
    waiting: deque[tuple[int, ...]] = field(default_factory=deque)
    """Numbers of the jobs of each unit that nobody has begun."""
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    workers: list[_Worker] = field(default_factory=list)
    stopping: int = 0
    """How often somebody asked to stop."""
    announced: bool = False

    def run(self) -> list[Outcome]:
        number = {job.run: i for i, job in enumerate(self.jobs)}
        self.waiting.extend(tuple(number[job.run] for job in unit.jobs) for unit in self.units)
        with selectors.DefaultSelector() as selector:
            try:
                while len(self.outcomes) < len(self.jobs):
                    self._staff(selector)
                    if self.stopping:
                        self._stop()
                    for key, _ in selector.select(POLL_S):
                        self._hear(key.data, selector)
            finally:
                self._dismiss()
        return [self.outcomes[number] for number in range(len(self.jobs))]

    def _staff(self, selector: selectors.BaseSelector) -> None:
        """Give idle workers the next jobs, start workers where some are missing."""
        self._look_after_storage()
        for worker in self.workers:
            if worker.idle and self.waiting and not self.stopping:
                self._give(worker)
        while self.waiting and len(self.workers) < self.size and not self.stopping:
            worker = _Worker.start()
            self.workers.append(worker)
            selector.register(worker.answers, selectors.EVENT_READ, worker)
            self._give(worker)

    def _look_after_storage(self) -> None:
        """Begin nothing where the folder of runs has gone: a worker would make a new one."""
        if self.waiting and not self.stopping and (trouble := self.storage.trouble()):
            for number in self.waiting.popleft():
                job = self.jobs[number]
                self._ended(number, Outcome(job, "interrupted", job.step, trouble, trouble=True))

    def _give(self, worker: _Worker) -> None:
        numbers = self.waiting.popleft()
        try:
            worker.give({number: self.jobs[number] for number in numbers}, self.fall_back)
        except BrokenPipeError:  # it died idle; the selector will say so, and the jobs are not to blame
            worker.steps.clear()
            self.waiting.appendleft(numbers)

    def _hear(self, worker: _Worker, selector: selectors.BaseSelector) -> None:
        answers, gone = worker.lines()
        for answer in answers:
            self._answer(worker, answer)
        if gone:
            selector.unregister(worker.answers)
            self.workers.remove(worker)
            words = "" if worker.idle else worker.last_words()
            for number in list(worker.steps):
                self._lost(worker, number, words)
            worker.close()

    def _answer(self, worker: _Worker, answer: dict[str, Any]) -> None:
        if "warning" in answer:
            warnings.warn(answer["warning"], stacklevel=2)  # as if the run had been trained here
            return
        number = answer["job"]
        worker.steps[number] = answer["step"]
        if "state" not in answer:
            self.board.progress(self.jobs[number], answer["step"], answer["total"], answer["speed"])
            return
        del worker.steps[number]
        how = Outcome(self.jobs[number], answer["state"], answer["step"], answer["message"], answer["trouble"])
        self._ended(number, how)

    def _lost(self, worker: _Worker, number: int, words: str) -> None:
        """A worker died with a job in its hands."""
        job, step = self.jobs[number], worker.steps[number]
        if worker.asked and worker.process.returncode in (-signal.SIGTERM, -signal.SIGHUP, -signal.SIGKILL):
            # asked before it trained, not waited for, or at the moment when it was done
            state = Run(job.run).status["state"]
            ended = state if state in ("done", "diverged") else "interrupted"
            self._ended(number, Outcome(job, ended, step))
            return
        record_failure(job.config, job.root, job.passed, words)
        self._ended(number, Outcome(job, "failed", step, words))

    def _ended(self, number: int, outcome: Outcome) -> None:
        self.outcomes[number] = outcome
        self.board.ended(outcome)
        if outcome.trouble:
            self.stopping = max(self.stopping, 1)

    def _stop(self) -> None:
        """Begin nothing new; ask each busy worker, once, to save its run; at the second request do not wait for it."""
        if not self.announced:
            self.announced = True
            self.board.note("stopping: every running run is being saved (Ctrl-C again: do not wait)")
        while self.waiting:
            for number in self.waiting.popleft():
                self._ended(number, Outcome(self.jobs[number], "waiting", self.jobs[number].step))
        for worker in self.workers:
            if not worker.asked:
                worker.asked = True
                worker.process.terminate()
            elif self.stopping > 1:
                worker.process.kill()

    def _dismiss(self) -> None:
        """End all workers; reached with busy ones only when this process itself fails."""
        for worker in self.workers:
            if worker.idle:
                worker.process.kill()  # idle: nothing to save
            else:
                worker.process.terminate()
            worker.close()


@dataclass(frozen=True)
class Processes:
    """Trains up to `workers` runs, or stacks of runs, at a time. See `Executor`; a second Ctrl-C kills the workers
    instead of waiting.

    Workers import the modules whose plug-ins are registered here. Raises ValueError for one that has no module.
    """

    workers: int
    way: Way = "one"
    stack: int | None = None
    """Runs of a stack, at most (`grokscope.execute.stacks`)."""

    def execute(self, jobs: Sequence[Job], board: Board) -> list[Outcome]:
        require_importable(jobs)
        if not jobs:
            return []
        units = arrange(jobs, self.way, self.stack, self.workers)
        size = min(self.workers, max(len(units), 1))
        pool = _Pool(jobs, units, self.way == "auto", board, size, Storage.of(jobs[0].root))
        board.begin(jobs, pool.size)
        if crowded := _crowded(jobs, pool.size):
            warnings.warn(crowded, stacklevel=2)
        with _listening(pool):
            return pool.run()


def require_importable(jobs: Sequence[Job]) -> None:
    """Raises ValueError for a plug-in that stands in the script that is being run: workers do not run it."""
    for job in jobs:
        for what, target in job.config.plugins().items():
            if target.startswith("__main__:"):
                raise ValueError(
                    f"{what} ({target}) is registered by the main script, which worker processes do not run; put it "
                    f"into a separate module and import that, or use workers = 0"
                )


def _crowded(jobs: Sequence[Job], workers: int) -> str:
    """What to say when the workers' threads together are more than the CPUs, which makes all of them slower."""
    threads = max((job.config.hardware.threads for job in jobs), default=1)
    cpus = usable_cpus()
    if threads == 1 or workers * threads <= cpus:
        return ""
    return (
        f"{workers} workers of {threads} threads each share {cpus} CPUs and will wait for each other; set "
        f"hardware.threads = 1 or --workers {max(1, cpus // threads)}"
    )


@contextmanager
def _listening(pool: _Pool) -> Iterator[None]:
    """Signals ask the pool to stop, for as long as it works."""

    def ask(number: int, frame: object) -> None:
        pool.stopping += 1

    with on_stop_signals(ask):
        yield


def usable_cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_workers(jobs: int) -> int:
    return max(1, min(usable_cpus(), jobs))
