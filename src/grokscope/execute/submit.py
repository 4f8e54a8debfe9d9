"""Submit a study's runs to Slurm with submitit: an array of a few jobs that train one run after the other and continue
after the command has ended."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from grokscope.checks import require, require_whole
from grokscope.execute.processes import require_importable
from grokscope.execute.protocol import Job
from grokscope.execute.remote import RemoteWorker
from grokscope.execute.settings import Execute, require_fitting_device
from grokscope.execute.slurm_site import Request, Site, clock, read_site, request_within
from grokscope.execute.stacks import ALONE, Stacking
from grokscope.execute.submissions import Submission, new_submission
from grokscope.vocabulary.text import listed, plural, size

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables that say how many threads libraries start with; torch then takes as many as the run's hardware says."""


@dataclass(frozen=True)
class Sent:
    """What was sent, and what there is to know about it."""

    submission: Submission
    words: str
    notes: tuple[str, ...] = ()


def workers_wanted(workers: int | None, settings: Execute, jobs: Sequence[Job]) -> int:
    """Workers that these runs can use: as many as were asked for, and none without a run."""
    if workers is not None:
        require_whole("workers", workers, 1, 1_000_000)
    return min(workers or settings.array * settings.workers_per_job, len(jobs))


def slurm_request(settings: Execute, jobs: Sequence[Job], workers: int | None) -> tuple[Site, Request]:
    """What Slurm would be asked for, within its limits.

    Raises:
        ValueError: naming the setting that is above a limit; where there is no Slurm.
    """
    require_fitting_device(settings, jobs)
    site = read_site(settings.partition)
    return site, request_within(site, settings, workers_wanted(workers, settings, jobs), settings.cpus_for(jobs))


def describe(site: Site, request: Request) -> str:
    """``4 jobs in partition 'gpu', each for 12:00:00: 1 worker with 2 CPUs, 4 GB``."""
    each = f"{plural(request.workers, 'worker')} with {plural(request.cpus, 'CPU')}"
    parts = [f"{each}{' each' if request.workers > 1 else ''}"]
    if request.memory_mb is not None:
        parts.append(size(request.memory_mb * 1024**2))
    if request.gpus:
        parts.append(plural(request.gpus, "GPU"))
    return (
        f"{plural(request.jobs, 'job')} in partition {site.partition!r}, each for {clock(request.seconds)}: "
        f"{listed(parts)}"
    )


def send_to_slurm(
    study: str, root: Path, jobs: Sequence[Job], settings: Execute, workers: int | None, stacking: Stacking = ALONE
) -> Sent:
    """Submit an array of jobs; each trains one run after the other until its time is up, and begins again then.

    Raises:
        ValueError: before anything is sent, for a limit that would be exceeded; with Slurm's words, where it refuses.
    """
    submitit = import_submitit()
    require_importable(jobs)
    stacking.require(jobs)
    require("%" not in str(root.absolute()), f"{root.absolute()}: Slurm would expand the % in the names of its logs")
    site, request = slurm_request(settings, jobs, workers)
    submission = new_submission(study, root, "slurm", jobs, asdict(settings), stacking)
    executor = submitit.AutoExecutor(folder=submission.folder, cluster="slurm")
    threads = [f"export {name}={request.cpus}" for name in ONE_THREAD]
    extra = {"requeue": True, **{k.replace("_", "-"): v for k, v in settings.sbatch.items()}}
    executor.update_parameters(
        name=submission.job_name,
        timeout_min=max(1, int(request.seconds // 60)),
        tasks_per_node=request.workers,
        cpus_per_task=request.cpus,
        slurm_partition=site.partition,
        slurm_signal_delay_s=settings.save_s,
        slurm_array_parallelism=request.jobs,  # else submitit lets 256 of them run at a time
        slurm_srun_args=["--cpus-per-task", str(request.cpus)],  # srun does not take it from the job
        slurm_additional_parameters=extra,
        slurm_setup=[*threads, f"export PYTHONPATH={shlex.quote(python_path())}"],
        **_optional(mem_gb=_gigabytes(request), gpus_per_node=request.gpus or None),
    )
    worker = RemoteWorker(submission.folder, settings.gpus, settings.runs_per_gpu, settings.requeues)
    sent = submitted(executor, worker, request.jobs, submitit)
    submission = submission.with_ids([job.job_id for job in sent], site.cluster)
    return Sent(submission, f"sent to Slurm: {describe(site, request)}", request.notes)


def import_submitit() -> Any:
    """Raises ValueError with the remedy where it is not installed."""
    try:
        import submitit
    except ImportError:
        raise ValueError("jobs are sent by the package submitit: pip install 'grokscope[slurm]'") from None
    return submitit


def submitted(executor: Any, worker: RemoteWorker, count: int, submitit: Any) -> list[Any]:
    """The jobs, as one array where there are several. Raises ValueError with the engine's words."""
    try:
        with executor.batch():
            sent = [executor.submit(worker) for _ in range(count)]
    except submitit.core.utils.FailedJobError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        words = " ".join(line for line in lines if "error" in line) or " ".join(lines[-3:])
        raise ValueError(f"the jobs were refused: {words}") from None
    return sent


def python_path() -> str:
    """Where this process finds modules, as PYTHONPATH."""
    return os.pathsep.join(os.path.abspath(p) for p in sys.path if p)


def _gigabytes(request: Request) -> float | None:
    if request.memory_mb is None:
        return None
    return request.memory_mb / 1024


def _optional(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
