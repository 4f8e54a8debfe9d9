"""Limits of a Slurm cluster, read before submission: requests above them are refused, except that fewer jobs may be
submitted, with a message."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from grokscope.checks import require
from grokscope.execute.settings import Execute, duration_s
from grokscope.vocabulary.text import listed, plural, size

USUAL_S = 86_400.0
"""Seconds of a job for which no time is given, where the partition allows so much."""
ASK_S = 60
"""Seconds that Slurm may take to answer."""


@dataclass(frozen=True)
class Node:
    """A kind of machine in a partition."""

    cpus: int
    memory_mb: int
    gpus: int


@dataclass(frozen=True)
class Site:
    """The limits of one partition; None: no limit."""

    cluster: str
    partition: str
    up: bool
    max_time_s: float | None
    max_memory_mb: int | None
    """Of a job on one node."""
    max_cpus: int | None
    """Of a job on one node."""
    max_array: int
    max_jobs: int
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Request:
    """What every job of an array is asked for, within the limits."""

    jobs: int
    seconds: float
    workers: int
    """Of one job."""
    cpus: int
    """Of one worker."""
    memory_mb: int | None
    """Of one job."""
    gpus: int
    notes: tuple[str, ...]
    """What differs from what was asked for, and why."""


def read_site(partition: str = "") -> Site:
    """The limits of a partition, or of the default one.

    Raises:
        ValueError: where Slurm is not on this machine or does not answer; naming the partitions, for an unknown one.
    """
    config = _config(slurm("scontrol", "show", "config"))
    lines = slurm("scontrol", "show", "partition", "--oneliner").splitlines()
    partitions = [_fields(line) for line in lines if line.startswith("PartitionName=")]
    names = [p["PartitionName"] for p in partitions]
    if partition:
        chosen = [p for p in partitions if p["PartitionName"] == partition]
        require(bool(chosen), f"$.execute.partition: Slurm has no {partition!r}, but {listed(names)}")
    else:
        chosen = [p for p in partitions if p.get("Default") == "YES"]
        require(bool(chosen), f"$.execute.partition: Slurm has no default; choose {listed(names)}")
    one = chosen[0]
    nodes = slurm("sinfo", "--noheader", "--partition", one["PartitionName"], "--format", "%c|%m|%G").splitlines()
    return Site(
        cluster=config.get("ClusterName", ""),
        partition=one["PartitionName"],
        up=one.get("State") == "UP",
        max_time_s=_seconds(one.get("MaxTime", "")),
        max_memory_mb=_least(_number(one.get("MaxMemPerNode", "")), _number(config.get("MaxMemPerNode", ""))),
        max_cpus=_number(one.get("MaxCPUsPerNode", "")),
        # Slurm's own defaults, where its answer does not hold the two
        max_array=_number(config.get("MaxArraySize", "")) or 1001,
        max_jobs=_number(config.get("MaxJobCount", "")) or 10_000,
        nodes=tuple(_node(line) for line in nodes if line.count("|") == 2),
    )


def cluster_name() -> str:
    """The name of this machine's Slurm. Raises ValueError where there is none, or it does not answer."""
    return _config(slurm("scontrol", "show", "config")).get("ClusterName", "")


def request_within(site: Site, settings: Execute, workers: int, cpus: int) -> Request:
    """What to ask for so that up to `workers` workers run, with `cpus` CPUs each.

    Raises:
        ValueError: naming the setting that is above what the partition allows, and by how much.
    """
    require(site.up, f"$.execute.partition: {site.partition!r} takes no jobs now")
    notes: list[str] = []
    each = min(settings.workers_per_job, workers)  # few runs need not the whole of a GPU's places
    seconds = _time(site, settings, notes)
    memory_mb = None
    if settings.memory_bytes is not None:
        memory_mb = -(-settings.memory_bytes // 1024**2) * each
    _require_node(site, settings, Node(cpus * each, memory_mb or 0, settings.gpus), each)
    jobs = -(-workers // each)
    allowed = min(site.max_array, site.max_jobs)
    if jobs > allowed:
        notes.append(
            f"{plural(allowed, 'job')} in place of {jobs:,}: more are not taken at once here "
            f"(MaxArraySize {site.max_array:,}, MaxJobCount {site.max_jobs:,})"
        )
        jobs = allowed
    return Request(jobs, seconds, each, cpus, memory_mb, settings.gpus, tuple(notes))


def _time(site: Site, settings: Execute, notes: list[str]) -> float:
    most = site.max_time_s
    if settings.seconds is None:
        seconds = USUAL_S if most is None else min(USUAL_S, most)
        notes.append(f"each job for {clock(seconds)}, since execute.time is not set")
    else:
        seconds = settings.seconds
        require(
            most is None or seconds <= most,
            f"$.execute.time: {settings.time} is above MaxTime of partition {site.partition!r}, {clock(most or 0)}; a "
            f"run that outlasts its job is resumed by the next one, so a shorter time is sufficient",
        )
    require(
        seconds >= 60 and seconds > 2 * settings.save_s,
        f"$.execute.time: {clock(seconds)} leaves no time to train, since execute.save_s = {settings.save_s} seconds "
        "before its end a job begins to save (and Slurm counts in minutes)",
    )
    return seconds


def _require_node(site: Site, settings: Execute, job: Node, each: int) -> None:
    """Raises ValueError where no machine of the partition could hold a job."""
    workers = f" for {plural(each, 'worker')}" if each > 1 else ""
    cap = site.max_memory_mb
    require(
        cap is None or job.memory_mb <= cap,
        f"$.execute.memory: {settings.memory}{workers} is above MaxMemPerNode, {size((cap or 0) * 1024**2)}",
    )
    limit = site.max_cpus
    require(limit is None or job.cpus <= limit, f"$.execute.cpus: {job.cpus}{workers}, above MaxCPUsPerNode, {limit}")
    if not site.nodes:
        return
    cpus, memory, gpus = (max(getattr(n, key) for n in site.nodes) for key in ("cpus", "memory_mb", "gpus"))
    where = f"no machine of partition {site.partition!r} has more than"
    require(job.cpus <= cpus, f"$.execute.cpus: {job.cpus}{workers}; {where} {cpus}")
    require(job.memory_mb <= memory, f"$.execute.memory: {settings.memory}{workers}; {where} {size(memory * 1024**2)}")
    require(job.gpus <= gpus, f"$.execute.gpus: {job.gpus}; {where} {gpus}")
    require(
        any(n.cpus >= job.cpus and n.memory_mb >= job.memory_mb and n.gpus >= job.gpus for n in site.nodes),
        f"$.execute: no machine of partition {site.partition!r} has the CPUs, memory and GPUs of a job together",
    )


def slurm(*command: str) -> str:
    """What a command of Slurm prints.

    Raises:
        ValueError: with its words, where it fails, is not here, or does not answer.
    """
    if shutil.which(command[0]) is None:
        raise ValueError(f"{command[0]} is not on this machine; call this where Slurm's commands are")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_S, check=False, env=_plain())
    except subprocess.TimeoutExpired:
        raise ValueError(f"{command[0]} did not answer in {ASK_S} s; is Slurm's controller up?") from None
    if done.returncode:
        raise ValueError(f"{command[0]}: {' '.join(done.stderr.split()) or f'exit code {done.returncode}'}")
    return done.stdout


def _plain() -> dict[str, str]:
    """The environment without what changes the form of Slurm's answers."""
    changing = ("SQUEUE_", "SINFO_", "SCANCEL_", "SLURM_TIME_FORMAT")
    return {k: v for k, v in os.environ.items() if not k.startswith(changing)}


def clock(seconds: float) -> str:
    """``11:30:00``, ``1-12:00:00``: as Slurm writes a time."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    time = f"{hours:02}:{minutes:02}:{rest:02}"
    return f"{days}-{time}" if days else time


def _config(text: str) -> dict[str, str]:
    """``Key = value`` lines."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip(): value.strip() for key, sign, value in pairs if sign}


def _fields(line: str) -> dict[str, str]:
    """``Key=value`` words."""
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def _seconds(text: str) -> float | None:
    """A limit of time; None for UNLIMITED and what is not told."""
    if not re.fullmatch(r"(\d+-)?\d+:\d\d(:\d\d)?", text):
        return None
    return duration_s(text)


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _node(line: str) -> Node:
    """``4|8000+|gpu:a100:2(S:0-1),shard:8``; a plus marks the smallest of several."""
    cpus, memory, resources = line.split("|")
    return Node(int(cpus.rstrip("+")), int(memory.rstrip("+")), _gpus(resources.split(",")))


def _gpus(resources: Sequence[str]) -> int:
    counts = [re.fullmatch(r"gpu(?::[^:(]+)?:(\d+)(?:\(.*)?", part) for part in resources]
    return sum(int(match[1]) for match in counts if match)
