"""Resources of cluster jobs: the ``[execute]`` table of a study file, which does not affect the identity of runs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grokscope import configio
from grokscope.checks import require, require_whole
from grokscope.execute.protocol import Job
from grokscope.limits import brief

DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
"""``11h30m``; also fits the empty text, which is none."""
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d{2})(?::(\d{2}))?")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?) ?(MB|GB|TB)")
_BYTES = {"MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
"""As Slurm and Ray count: its "G" is 1,024 "M"."""

OWNED = {
    "array": "array",
    "time": "time",
    "mem": "memory",
    "partition": "partition",
    "cpus_per_task": "cpus",
    "gpus": "gpus",
    "gpus_per_node": "gpus",
    "gres": "gpus",
}
"""Options of sbatch that a setting stands for -> the setting. Given twice, one of the two would be lost."""
FIXED = ("output", "error", "open_mode", "signal", "requeue", "no_requeue", "nodes", "ntasks", "ntasks_per_node")
"""Options of sbatch that resuming and logging rest on."""


@dataclass(frozen=True, kw_only=True)
class Execute:
    """The ``[execute]`` table: what each job on a cluster is given. Study-wide, and no part of a run's identity.

    A job starts one worker, or with GPUs as many as `gpus` x `runs_per_gpu`; a worker trains one run after the other.
    """

    array: int = 10
    """Jobs at most. There are fewer where fewer runs are left; ``--workers`` gives the number of workers instead."""
    time: str | None = None
    """How long a job may take: ``90m``, ``11h30m``, ``2d``, or as Slurm writes it, ``1-12:00:00``. What is being
    trained is saved before. Without it, Slurm's jobs get 24 hours, or what the partition allows where that is less,
    and those of Ray have no limit."""
    cpus: int | None = None
    """CPUs of one worker; without it, as many as `hardware.threads`."""
    memory: str | None = None
    """Memory of one worker: ``4GB``, ``800MB``. Without it, what the cluster gives."""
    gpus: int = 0
    """GPUs of one job; each run uses one of them, or a part of one."""
    runs_per_gpu: int = 1
    """Runs that share a GPU."""
    partition: str = ""
    """Slurm's partition; without it, Slurm's default."""
    requeues: int = 10
    """How often a job may begin again, after its time was up or its machine was lost."""
    save_s: int = 120
    """Seconds before the end of its time at which a job of Slurm begins to save and stop."""
    sbatch: Mapping[str, Any] = field(default_factory=dict)
    """Further options of sbatch, such as ``account``, ``qos``, ``constraint``."""

    def __post_init__(self) -> None:
        require_whole("array", self.array, 1, 1_000_000)
        require_whole("gpus", self.gpus, 0, 1024)
        require_whole("runs_per_gpu", self.runs_per_gpu, 1, 1024)
        require_whole("requeues", self.requeues, 0, 1000)
        require_whole("save_s", self.save_s, 5, 3600)
        if self.cpus is not None:
            require_whole("cpus", self.cpus, 1, 4096)
        require(self.gpus > 0 or self.runs_per_gpu == 1, f"runs_per_gpu = {self.runs_per_gpu} needs gpus")
        if self.time is not None:
            require(duration_s(self.time) > 0, f"time: {self.time!r} is not a duration")
        if self.memory is not None:
            memory_bytes(self.memory)
        _check_sbatch(self.sbatch)

    @property
    def seconds(self) -> float | None:
        """A job's time, where one is given."""
        if self.time is None:
            return None
        return duration_s(self.time)

    @property
    def memory_bytes(self) -> int | None:
        """Memory of one worker in bytes, where it is given."""
        if self.memory is None:
            return None
        return memory_bytes(self.memory)

    @property
    def workers_per_job(self) -> int:
        """Workers that one job starts: those that its GPUs hold, else one."""
        return max(1, self.gpus * self.runs_per_gpu)

    def cpus_for(self, jobs: Sequence[Job]) -> int:
        """CPUs of one worker on these runs."""
        return self.cpus or max((job.config.hardware.threads for job in jobs), default=1)


def read_execute(raw: Any) -> Execute:
    """The ``[execute]`` table of a study file. Raises ValueError naming the key."""
    if raw is None:
        return Execute()
    return configio.structure(raw, Execute, "$.execute")


def require_fitting_device(settings: Execute, jobs: Sequence[Job]) -> None:
    """Raises ValueError where the runs would not use the GPUs that are asked for, or want some that are not."""
    for job in jobs:
        device = job.config.hardware.device
        if settings.gpus:
            require(
                device in ("cuda", "auto"),
                f"$.execute.gpus: {settings.gpus} of a job, and hardware.device = {device!r} leaves them unused or "
                'choose among them itself; set hardware.device = "cuda", each run is given its own',
            )
        else:
            require(
                not device.startswith("cuda"),
                f"$.execute.gpus: 0, and hardware.device = {device!r}; set execute.gpus = 1, or hardware.device",
            )


def duration_s(text: str) -> float:
    """Seconds of a duration: ``90m``, ``11h30m``, ``2d``, or Slurm's ``[days-]hours:minutes[:seconds]``.

    Raises:
        ValueError: for another text.
    """
    match = (DURATION.fullmatch(text) if text else None) or _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError(f"{brief(text)} is not a duration: write 90m, 11h30m, 2d, or Slurm's 1-12:00:00")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(days * 86_400 + hours * 3600 + minutes * 60 + seconds)


def memory_bytes(text: str) -> int:
    """Bytes of ``4GB`` or ``800MB``, in units of 1,024 as Slurm counts.

    Raises:
        ValueError: for another text.
    """
    match = _MEMORY.fullmatch(text)
    require(match is not None and float(match[1]) > 0, f"memory: expected such as 800MB or 4GB, got {brief(text)}")
    assert match is not None
    return int(float(match[1]) * _BYTES[match[2]])


def _check_sbatch(options: Mapping[str, Any]) -> None:
    for key, value in options.items():
        name = key.replace("-", "_")
        require(name not in OWNED, f"sbatch.{key}: set execute.{OWNED.get(name)} instead")
        require(name not in FIXED, f"sbatch.{key}: this is set by grokscope, which needs it for resuming and logging")
        fits = isinstance(value, str | int) and "\n" not in str(value)
        require(bool(re.fullmatch(r"[a-z][a-z_-]*", key)) and fits, f"sbatch.{key}: expected an option and its value")
        require(value is not False, f"sbatch.{key}: omit the option; false cannot be passed to sbatch")
