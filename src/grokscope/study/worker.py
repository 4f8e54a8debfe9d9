"""A worker: takes the next unfinished run of a study, trains it, takes the next. The folder of runs is the queue.

Any number of workers, on any machines that share the folder, started by any launcher, work on one study; each run is
trained by one of them. A worker that dies leaves a claim that the next one takes over.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType

from grokscope.execute.attempt import Result, attempt, attempt_stack, interrupted, record_failure
from grokscope.execute.protocol import Board, Job, Outcome, Silent
from grokscope.execute.signals import on_stop_signals
from grokscope.execute.stacks import Unit
from grokscope.storage import Storage
from grokscope.store import claims
from grokscope.store.folders import Folders
from grokscope.study.entries import Entry
from grokscope.study.run_state import BAD, StudyRun, read_study_run
from grokscope.study.together import Together

MOST_DEATHS = 3
"""Workers in a row that may die on one run before it is marked failed: the fourth would die as well."""
AFTER_IMPORT_S = 0.05
"""After so long a signal that came in the middle of an import is sent again."""
ASK_AGAIN_S = 5.0
"""How often a worker that waits looks whether a run of another worker has become free."""


@dataclass
class Worker:
    """One process's work on a study."""

    entries: Sequence[Entry]
    root: Path
    board: Board = field(default_factory=Silent)
    wait: bool = False
    """Stay until every run is finished, to take over what other workers leave."""
    retry: bool = False
    """Train also runs that are marked failed."""
    linger_s: float = 0.0
    """Stay so many seconds after there was nothing to take: meanwhile the claim of a machine that was lost expires."""
    retry_failed_before: float | None = None
    """Train also runs that were marked failed before this moment, by the file system's clock."""
    together: Together = field(default_factory=Together)
    """Which runs it trains at once."""
    outcomes: list[Outcome] = field(default_factory=list)
    """How each run ended that this worker tried."""
    stopping: bool = False

    def work(self) -> list[Outcome]:
        """Train what nobody else trains, until nothing is left or somebody asks to stop. Returns one outcome for each
        run that was tried, and for each that was left to other workers."""
        storage = Storage.of(self.root)
        left = self._in_order()
        self.together.require([s.job() for s in left])
        self.board.begin([s.job() for s in left], 1)
        try:
            left = self._once(left, storage)
            idle_since, ended = time.monotonic(), len(self.outcomes)
            while left and not self.stopping and (self.wait or time.monotonic() - idle_since < self.linger_s):
                time.sleep(ASK_AGAIN_S)
                left = self._once(left, storage)
                if len(self.outcomes) > ended:
                    idle_since, ended = time.monotonic(), len(self.outcomes)
        except KeyboardInterrupt:
            self.stopping = True
        tried = {o.job.run for o in self.outcomes}
        return self.outcomes + [self._left(s) for s in left if s.run.path not in tried]

    def not_begun(self) -> list[Outcome]:
        """The outcomes of a worker that was asked to stop before it had looked what there is to do."""
        self.stopping = True
        return [self._left(s) for s in self._in_order()]

    def _once(self, study_runs: Sequence[StudyRun], storage: Storage) -> list[StudyRun]:
        """Ask for each run once; returns those that other workers have, forks that wait for a parent, and those not
        asked for when told to stop."""
        left: list[StudyRun] = []
        todo = list(study_runs)
        while todo and not self.stopping:
            batch = self.together.take(todo)
            taken = {id(s) for s in batch}
            todo = [s for s in todo if id(s) not in taken]
            for study_run, outcome in zip(batch, self._try(batch, storage), strict=True):
                if outcome is not None and outcome.state in ("elsewhere", "waiting"):
                    left.append(study_run)
                elif outcome is not None:
                    self.board.ended(outcome)
                    self.outcomes.append(outcome)
                    self.stopping = self.stopping or outcome.state == "interrupted"
        return left + todo

    def _in_order(self) -> list[StudyRun]:
        """What is left, parents before their forks and longest first; runs of one length in an order of this worker's
        own, so that workers that start together do not all ask for the same one."""
        folders = Folders(self.root)
        left = [s for s in (read_study_run(entry, folders) for entry in self.entries) if not s.finished]
        shuffler = random.Random(os.urandom(8))  # not a seed of training, and not to be repeated
        shuffler.shuffle(left)
        generation = _generations(self.entries)
        return sorted(left, key=lambda s: (generation[s.entry.config.identity_hash], min(s.step, s.total) - s.total))

    def _try(self, batch: Sequence[StudyRun], storage: Storage) -> list[Outcome | None]:
        """Train these runs, as far as they are still to be trained; None for one that another worker has finished, or
        marked failed."""
        if trouble := storage.trouble():
            return [Outcome(s.job(), "interrupted", s.step, trouble, trouble=True) for s in batch]
        folders = Folders(self.root)
        fresh = [read_study_run(s.entry, folders) for s in batch]
        outcomes: dict[Path, Outcome | None] = {}
        jobs: list[Job] = []
        for now in fresh:
            if self._is_over(now):
                outcomes[now.run.path] = None
            elif (outcome := self._not_now(now, len(batch) > 1)) is not None:
                outcomes[now.run.path] = outcome
            else:
                jobs.append(now.job())
        interrupted = False
        for unit in self.together.units(jobs):
            for job, result in zip(unit.jobs, self._train(unit, interrupted or self.stopping), strict=True):
                outcomes[job.run] = Outcome(job, *result)
                interrupted = interrupted or result[0] == "interrupted"
        return [outcomes[now.run.path] for now in fresh]

    def _is_over(self, now: StudyRun) -> bool:
        return now.finished or (now.state == "failed" and not self._again(now))

    def _again(self, now: StudyRun) -> bool:
        return self.retry or self._failed_before(now)

    def _not_now(self, now: StudyRun, in_a_batch: bool) -> Outcome | None:
        """Why a run that is not over is not trained by this worker now; None where it is."""
        job = now.job()
        if now.state == "waiting":
            return Outcome(job, "waiting", 0, now.message)
        if now.state in ("blocked", *BAD):
            return Outcome(job, "failed", now.step, now.message)
        if in_a_batch and now.state == "running":  # a stack is built before its members are claimed: not for these
            return Outcome(job, "elsewhere", now.step, "another process trains this run")
        return None if self._again(now) else self._died(job)

    def _train(self, unit: Unit, stopped: bool) -> Sequence[Result]:
        jobs = unit.jobs
        if stopped:
            return [Result("waiting", job.step) for job in jobs]

        def progress(place: int, step: int, total: int, speed: float) -> None:
            self.board.progress(jobs[place], step, total, speed)

        try:
            if not unit.stacked:
                job = jobs[0]
                return [attempt(job.config, job.root, job.passed, partial(progress, 0), job.track)]
            configs, passed = [job.config for job in jobs], [job.passed for job in jobs]
            return attempt_stack(configs, jobs[0].root, passed, progress, unit.fall_back, jobs[0].track)
        except KeyboardInterrupt:  # before training had begun to listen, or after it had ended
            self.stopping = True
            return [interrupted(job) for job in jobs]

    def _failed_before(self, study_run: StudyRun) -> bool:
        """Whether this run was marked failed before the moment from which on that counts."""
        if self.retry_failed_before is None or study_run.state != "failed":
            return False
        with suppress(OSError):
            return (study_run.run.path / "status.json").stat().st_mtime < self.retry_failed_before
        return False

    def _died(self, job: Job) -> Outcome | None:
        """The run marked failed where worker after worker died on it; None where it may be tried."""
        if not job.run.is_dir() or (deaths := claims.deaths(job.run)) < MOST_DEATHS:
            return None
        words = (
            f"{deaths} workers in a row died on this run (out of memory? see logs/train.log in its folder); "
            "grokscope worker --retry tries it again"
        )
        if not record_failure(job.config, job.root, job.passed, words):
            return Outcome(job, "elsewhere", job.step, "another process trains this run")
        return Outcome(job, "failed", job.step, words)

    def _left(self, study_run: StudyRun) -> Outcome:
        """The outcome of a run that this worker did not train."""
        job = study_run.job()
        if self.stopping:
            return Outcome(job, "waiting", job.step)
        now = read_study_run(study_run.entry, Folders(self.root))
        if now.state in ("waiting", "blocked"):
            return Outcome(job, "waiting", 0, now.message)
        return Outcome(job, "elsewhere", job.step, "another process trains this run")


def _generations(entries: Sequence[Entry]) -> dict[str, int]:
    """Identity of a run -> 0 where it begins at step 0, else one more than that of the run that it is a fork of."""
    parents = {e.config.identity_hash: e.config.start.of if e.config.start else "" for e in entries}

    def generation(identity: str) -> int:
        parent = parents.get(identity, "")  # a parent outside of these entries is trained by others
        return 1 + generation(parent) if parent else 0

    return {identity: generation(identity) for identity in parents}


@contextmanager
def stopping_at(seconds: float | None) -> Iterator[None]:
    """Ask this process to stop after so many seconds, as SIGTERM would: what trains saves its state and ends."""
    if seconds is None:
        yield
        return
    timer = threading.Timer(max(seconds, 0), os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def listening(worker: Worker) -> Iterator[None]:
    """SIGTERM, SIGHUP and Ctrl-C end the worker where no run is being trained; where one is, training listens, saves
    its state and says that it was interrupted."""
    later: list[threading.Timer] = []

    def ask(number: int, frame: FrameType | None) -> None:
        worker.stopping = True
        if not _importing(frame):
            raise KeyboardInterrupt
        again = threading.Timer(AFTER_IMPORT_S, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()
        later.append(again)

    with on_stop_signals(ask):
        try:
            yield
        finally:
            for again in later:
                again.cancel()


def _importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported. An exception there meets code of libraries that is not made for it: torch's
    ends the process with SIGABRT, and Python itself may end with SIGINT long after the exception was handled."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
