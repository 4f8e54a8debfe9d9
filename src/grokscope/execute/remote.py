"""A job on a cluster: it trains the runs of a submission that no other process trains, until none is left or its time
is up, and then requeues itself if its engine has a queue.

Signals: SIGTERM (cancelled, preempted, requeued), SIGUSR1 and SIGUSR2 (its time is nearly up) all save what is being
trained.
"""

import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grokscope.execute.protocol import Outcome
from grokscope.execute.slurm_site import slurm
from grokscope.execute.submissions import read_runs, read_submission, sent_before
from grokscope.store.claims import EXPIRES_S, JOB

LINGER_S = EXPIRES_S + 30
"""Seconds that a worker without work stays: in that time the claim of a machine that was lost expires."""


@dataclass(frozen=True)
class RemoteWorker:
    """What submitit carries to the job: where the submission is."""

    folder: Path
    gpus: int = 0
    runs_per_gpu: int = 1
    requeues: int = 0

    def __call__(self) -> dict[str, int]:
        """Work as the process of this rank in its job; returns how many runs ended in which state."""
        rank = int(os.environ.get("SLURM_LOCALID") or os.environ.get("SUBMITIT_LOCAL_LOCALID") or 0)
        if self.gpus:
            take_gpu(rank // self.runs_per_gpu)
        os.environ[JOB] = _job_name()
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, lambda *_: signal.raise_signal(signal.SIGTERM))
        outcomes, stopped = work(self.folder)
        require_saved(outcomes)  # a job that is requeued would meet the same full disk at once
        if stopped and rank == 0 and "SLURM_JOB_ID" in os.environ:
            print(_requeue(self.folder, self.requeues), flush=True)
        return _counts(outcomes)


class NotSaved(Exception):
    """A job ended because nothing can be saved in its folder of runs. The engine sees it as failed."""


def require_saved(outcomes: Sequence[Outcome]) -> None:
    """Raises NotSaved where a run ended for that reason."""
    for outcome in outcomes:
        if outcome.trouble:
            raise NotSaved(outcome.message)


def work(folder: Path, seconds: float | None = None) -> tuple[list[Outcome], bool]:
    """Train runs of a submission in this process, for so long at most; returns how they went, and whether it was asked
    to stop before all were done."""
    from grokscope.execute.boards import Lines
    from grokscope.study.together import Together
    from grokscope.study.worker import Worker, listening, stopping_at

    head, runs = read_runs(folder)
    if read_submission(folder).cancelled:
        print("this submission was cancelled", flush=True)
        return [], False
    entries = _entries(head, runs)
    before = sent_before(folder) if head["retry_failed"] else None
    root = folder.parents[2]
    board = Lines(sys.stdout, 60.0)
    together = Together(**head.get("stacking", {}))  # runs that were sent by an older version are trained alone
    worker = Worker(entries, root, board, linger_s=LINGER_S, retry_failed_before=before, together=together)
    with listening(worker), stopping_at(seconds) if seconds is not None else nullcontext():
        outcomes = worker.work()
    return outcomes, worker.stopping


def _entries(head: dict[str, Any], runs: Sequence[dict[str, Any]]) -> list[Any]:
    """The runs as a worker wants them, with the modules imported that they need."""
    from grokscope import configio, registry
    from grokscope.study.spec import Entry
    from grokscope.track.chosen import named_trackers

    sys.path.extend(p for p in head["path"] if p not in sys.path)
    registry.import_plugins(head["plugins"])
    track = named_trackers(head.get("track"), "$.track")  # runs that were sent by an older version have none
    return [Entry(configio.load_run(run["config"]), tuple(run["passed"]), (), track) for run in runs]


def take_gpu(place: int) -> None:
    """Leave this process one of the GPUs that its job has; says in the job's log where the job does not name them."""
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if place < len(visible):
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[place]
        return
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "nothing")
    print(f"CUDA_VISIBLE_DEVICES names {named}, so there is no GPU number {place} for this worker alone", flush=True)


def _job_name() -> str:
    """The job as a queue names it."""
    array, element = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    if array and element:
        return f"{array}_{element}"
    return os.environ.get("SLURM_JOB_ID") or f"{os.environ.get('SUBMITIT_LOCAL_JOB_ID', os.getpid())}"


def _requeue(folder: Path, requeues: int) -> str:
    """Put this job of Slurm back into the queue where nobody has ended it; says what was done.

    A job that was cancelled must not come back, and one that Slurm requeues itself must not be requeued twice: both are
    no longer RUNNING when their signal comes.
    """
    job, times = os.environ["SLURM_JOB_ID"], int(os.environ.get("SLURM_RESTART_COUNT") or 0)
    try:
        if read_submission(folder).cancelled:
            return "saved; this submission was cancelled"
        if times >= requeues:
            return f"saved; not requeued, because this job already restarted {times} times (execute.requeues)"
        state = slurm("squeue", "--noheader", "--jobs", job, "--format", "%T").strip()
        if state != "RUNNING":
            return f"saved; Slurm has this job as {state.lower() or 'ended'}"
        slurm("scontrol", "requeue", job)
    except ValueError as error:
        return f"saved; not requeued: {error}"
    return f"saved on {socket.gethostname()}; requeued"


def _counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    states = [o.state for o in outcomes]
    return {state: states.count(state) for state in dict.fromkeys(states)}
