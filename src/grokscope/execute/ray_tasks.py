"""A study on Ray: a few tasks, each a worker that trains one run after the other. The command keeps running and shows
progress from the run folders. A task whose machine is lost is restarted elsewhere and resumes from the last saved
state."""

import os
import socket
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from grokscope.execute.processes import require_importable
from grokscope.execute.protocol import Board, Job, Outcome
from grokscope.execute.queues import process_id
from grokscope.execute.settings import Execute, require_fitting_device
from grokscope.execute.signals import on_stop_signals
from grokscope.execute.stacks import ALONE, Stacking
from grokscope.execute.submissions import new_submission
from grokscope.execute.submit import ONE_THREAD, workers_wanted
from grokscope.store.ended import ENDED
from grokscope.store.run import Run
from grokscope.vocabulary.text import plural

LOOK_S = 2.0
"""How often the folders are looked at, at most; with many runs less often, so that looking is a tenth of the time."""
SAVE_S = 120.0
"""Seconds that stopped tasks may take to save what they train."""
ANSWER_S = 5.0
"""Seconds that an address may take to answer."""
OBJECTS = 78 * 1024**2
"""Bytes of the object store of a Ray that is started here: the least that Ray takes, for runs pass nothing through it.
"""


@dataclass(frozen=True)
class Ray:
    """Trains on the Ray at `address` (else that of RAY_ADDRESS, else one started on this machine). See `Executor`.

    Raises ValueError where Ray is not installed, or has not the CPUs, GPUs or memory that one worker is to have.
    """

    study: str
    root: Path
    settings: Execute
    workers: int | None = None
    address: str | None = None
    stacking: Stacking = ALONE

    def execute(self, jobs: Sequence[Job], board: Board) -> list[Outcome]:
        ray = import_ray()
        require_importable(jobs)
        self.stacking.require(jobs)
        require_fitting_device(self.settings, jobs)
        with _connected(ray, self.address):
            wanted = workers_wanted(self.workers, self.settings, jobs)
            resources = _resources(self.settings, jobs)
            self._check_room(ray, resources, wanted, board)
            submission = new_submission(self.study, self.root, "ray", jobs, asdict(self.settings), self.stacking)
            # the job to cancel is this process: its tasks end with it
            submission = submission.with_ids([process_id(os.getpid())], ray.get_runtime_context().gcs_address)
            task = ray.remote(_task).options(
                max_retries=self.settings.requeues, name=submission.job_name, **resources
            )  # fmt: skip
            board.begin(jobs, wanted)
            tasks = [task.remote(str(submission.folder), resources["num_cpus"], self.settings.seconds)
                     for _ in range(wanted)]  # fmt: skip
            return _Watch(ray, list(jobs), tasks, board).until_done()

    def _check_room(self, ray: Any, resources: dict[str, Any], wanted: int, board: Board) -> None:
        """Raises ValueError where no machine of the cluster could ever hold a worker; says so where not all of them
        fit at once."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        needs = {"CPU": resources["num_cpus"], "GPU": resources["num_gpus"], "memory": resources.get("memory", 0)}
        # a share of a GPU such as 1/3 is no exact float: without the slack three would not fill one
        places = [min(int(node.get(key, 0) / need + 1e-9) for key, need in needs.items() if need) for node in nodes]
        if not any(places):
            most = ", ".join(f"{key} {max((n.get(key, 0) for n in nodes), default=0):g}" for key in needs)
            asked = ", ".join(f"{key} {need:g}" for key, need in needs.items() if need)
            raise ValueError(f"$.execute: no machine of this Ray has what a worker needs ({asked}); most is {most}")
        if sum(places) < wanted:
            board.note(f"this Ray has room for {plural(sum(places), 'worker')} now; {wanted - sum(places):,} more wait")


def import_ray() -> Any:
    """Raises ValueError with the remedy where it is not installed."""
    try:
        import ray
    except ImportError:
        raise ValueError("--on ray needs the package ray: pip install 'grokscope[ray]'") from None
    return ray


def _task(folder: str, cpus: int, seconds: float | None) -> str:
    """One worker, in a process of Ray's. Returns why nothing can be saved, where it stopped for that."""
    for name in ONE_THREAD:  # torch's own threads follow from the run's hardware
        os.environ[name] = str(cpus)
    import ray

    from grokscope.execute.remote import work
    from grokscope.store.claims import JOB

    context = ray.get_runtime_context()
    os.environ[JOB] = f"{context.get_task_id()} on node {context.get_node_id()}"
    outcomes, _ = work(Path(folder), seconds)
    return next((o.message for o in outcomes if o.trouble), "")


def _require_listener(address: str) -> None:
    """Raise ValueError where nothing listens at ``host:port``: Ray itself would wait a minute and end the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return  # "auto" and "local" are Ray's to read
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"--address: no Ray answers at {address}: {error}") from None


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """Connected to a Ray, as this process is already, or for as long as the block lasts."""
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or None
    if address:
        _require_listener(address)
    local = {} if address else {"object_store_memory": OBJECTS, "include_dashboard": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own future, which concerns no user of ours
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error", **local)
        except Exception as error:  # Ray raises plain ones
            first = str(error).strip().splitlines()[0]
            if address:
                raise ValueError(f"--address: no Ray answers at {address}: {first}") from None
            raise ValueError(
                f"no Ray could be started on this machine: {first} Start one with ray start --head, and give --address"
            ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _resources(settings: Execute, jobs: Sequence[Job]) -> dict[str, Any]:
    """What Ray keeps for one worker."""
    share = 1 / settings.runs_per_gpu if settings.gpus else 0
    memory = {} if settings.memory_bytes is None else {"memory": settings.memory_bytes}
    return {"num_cpus": settings.cpus_for(jobs), "num_gpus": share, **memory}


@dataclass
class _Watch:
    """Looks after the tasks until they have ended; what became of the runs is read from their folders."""

    ray: Any
    jobs: list[Job]
    tasks: list[Any]
    board: Board
    stopping: bool = False
    problem: str = ""
    """Why a task ended that should not have."""
    trouble: str = ""
    """Why a task stopped that could not save anything."""
    first: dict[Path, tuple[float, int]] = field(default_factory=dict)
    """When and at which step a run was seen first."""

    def until_done(self) -> list[Outcome]:
        outcomes: dict[Path, Outcome] = {}
        with on_stop_signals(self._stop):
            pending, pause, deadline = list(self.tasks), LOOK_S, float("inf")
            while pending and time.monotonic() < deadline:
                ended, pending = self.ray.wait(pending, num_returns=len(pending), timeout=pause)
                self._hear(ended)
                if self.stopping and deadline == float("inf"):
                    deadline = time.monotonic() + SAVE_S
                    self.board.note("stopping: every running run is being saved")
                    for task in pending:
                        self.ray.cancel(task, recursive=False)
                began = time.monotonic()
                self._look(outcomes)
                pause = max(LOOK_S, 9 * (time.monotonic() - began))
            self._look(outcomes)
        for job in self.jobs:
            if job.run not in outcomes:
                outcomes[job.run] = self._left(job)
                self.board.ended(outcomes[job.run])
        return [outcomes[job.run] for job in self.jobs]

    def _stop(self, number: int, frame: object) -> None:
        self.stopping = True

    def _hear(self, ended: Sequence[Any]) -> None:
        """Learn why tasks ended that failed; one that was asked to stop has done what it should."""
        for task in ended:
            try:
                self.trouble = self.ray.get(task) or self.trouble
            except Exception as error:
                if not self.stopping:
                    self.problem = f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}"

    def _look(self, outcomes: dict[Path, Outcome]) -> None:
        """Tell the board how far the runs are that have not ended."""
        for job in self.jobs:
            if job.run in outcomes:
                continue
            status = _status(job)
            state, step = status.get("state"), int(status.get("step", 0))
            if state in ENDED and (step >= job.total or state == "diverged"):
                outcomes[job.run] = Outcome(job, "diverged" if state == "diverged" else "done", step)
                self.board.ended(outcomes[job.run])
            elif state == "running" and step:
                self.board.progress(job, step, job.total, self._speed(job, step))

    def _speed(self, job: Job, step: int) -> float:
        """Steps a second since the run was seen first."""
        now = time.monotonic()
        then, at = self.first.setdefault(job.run, (now, step))
        return (step - at) / (now - then) if now > then else 0.0

    def _left(self, job: Job) -> Outcome:
        """The outcome of a run that did not end while there were tasks."""
        status = _status(job)
        state, step = status.get("state"), int(status.get("step", 0))
        if state == "failed":
            return Outcome(job, "failed", step, (status.get("error") or {}).get("message", ""))
        if state == "running":
            return Outcome(job, "elsewhere", step, "another process trains this run")
        if self.trouble:
            return Outcome(job, "interrupted" if step else "waiting", step, self.trouble, trouble=True)
        if self.problem:
            return Outcome(job, "failed", step, f"a task of Ray ended before this run was finished: {self.problem}")
        return Outcome(job, "interrupted" if step else "waiting", step)


def _status(job: Job) -> dict[str, Any]:
    try:
        return Run(job.run).status
    except (ValueError, OSError):
        return {}
