"""State of a study's jobs: waiting, running or ended, from Slurm or, for local jobs, the operating system."""

import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from grokscope.execute.slurm_site import cluster_name, slurm
from grokscope.execute.submissions import Submission
from grokscope.store.claims import this_machine
from grokscope.vocabulary.text import listed


@dataclass(frozen=True)
class QueuedJob:
    """One job that has not ended."""

    submission: Submission
    id: str
    state: str
    """``pending``, ``running``, ``completing`` and so on."""
    note: str = ""
    """Why it waits, or where it runs."""


def queued(all_sent: Sequence[Submission]) -> tuple[list[QueuedJob], list[str]]:
    """The jobs of these submissions that have not ended, and what could not be asked."""
    jobs, problems = [], []
    for engine, ask in (("slurm", _of_slurm), ("background", _of_machine), ("ray", _of_machine)):
        sent = [s for s in all_sent if s.engine == engine and (s.ids or engine == "slurm")]
        if sent:
            new, problem = ask(sent)
            jobs += new
            problems += problem
    return jobs, problems


def cancel(jobs: Sequence[QueuedJob]) -> None:
    """Ask these jobs to end: what they train is saved.

    Raises:
        ValueError: with Slurm's words, where it refuses or is not here.
    """
    for submission in dict.fromkeys(job.submission.folder for job in jobs):
        of_submission = [job for job in jobs if job.submission.folder == submission]
        of_submission[0].submission.cancel()  # before the signals: a job that begins in between sees the mark, and ends
        if of_submission[0].submission.engine == "slurm":
            slurm("scancel", *(job.id for job in of_submission))
            continue
        for job in of_submission:
            with suppress(ProcessLookupError):
                os.kill(int(job.id.partition(":")[0]), signal.SIGTERM)


def _of_slurm(sent: Sequence[Submission]) -> tuple[list[QueuedJob], list[str]]:
    """The jobs of submissions, by their ids; of a command that was killed before it had written those, by the name."""
    with_ids, without = [s for s in sent if s.ids], [s for s in sent if not s.ids]
    try:
        here = cluster_name()
        known = [s for s in with_ids if s.cluster == here]
        lines = _squeue("--jobs", sorted({i.partition("_")[0] for s in known for i in s.ids}))
        lines += _squeue("--name", [s.job_name for s in without])
    except ValueError as error:
        return [], [f"state unknown: {_named(with_ids)}: {error}"] if with_ids else []
    elsewhere = [s for s in with_ids if s.cluster != here]
    problems = []
    if elsewhere:
        problems = [f"state unknown: {_named(elsewhere)}: this machine's Slurm is {here!r}"]
    by_id, by_name = {i: s for s in known for i in s.ids}, {s.job_name: s for s in without}
    jobs = []
    for line in lines:
        job, name, state, reason, nodes = line.strip().split("|", 4)
        submission = by_name.get(name) or by_id.get(job)
        if submission and name == submission.job_name:  # numbers are used again, names of ours are not
            jobs.append(QueuedJob(submission, job, state.lower(), nodes or reason))
    return jobs, problems


def _squeue(by: str, which: Sequence[str]) -> list[str]:
    """A line for each element that has not ended of these arrays, by their numbers or names."""
    if not which:
        return []
    try:
        return slurm("squeue", "--noheader", "--array", by, ",".join(which), "--format", "%i|%j|%T|%r|%N").splitlines()
    except ValueError as error:
        if "Invalid job id" in str(error):  # all are gone, and forgotten
            return []
        raise


def _named(sent: Sequence[Submission]) -> str:
    """``Slurm 1234 and 1240 on cluster 'hpc'``."""
    arrays = dict.fromkeys(i.partition("_")[0] for s in sent for i in s.ids)
    clusters = dict.fromkeys(repr(s.cluster) for s in sent)
    return f"Slurm {listed(list(arrays))} on cluster {listed(list(clusters))}"


def _of_machine(sent: Sequence[Submission]) -> tuple[list[QueuedJob], list[str]]:
    """Jobs that are processes of a machine; only that one knows whether they live."""
    here = [s for s in sent if s.machine == this_machine()]
    away = sorted({s.host for s in sent if s.machine != this_machine() and s.host != socket.gethostname()})
    jobs = [QueuedJob(s, i, "running", f"process on {s.host}") for s in here for i in s.ids if alive(i)]
    return jobs, [f"jobs that run on {host} can be queried only there" for host in away]


def process_id(pid: int) -> str:
    """A process as a record names it: with its start, for numbers are used again."""
    return f"{pid}:{_started(pid)}"


def alive(process: str) -> bool:
    """Whether a process that `process_id` named still runs."""
    pid, _, started = process.partition(":")
    return bool(started) and _started(int(pid)) == started


def _started(pid: int) -> str:
    """When a process was started, in the words of the system; empty for one that has ended."""
    if Path("/proc/self/stat").exists():
        try:
            # the program's name stands in brackets, and may itself hold blanks and brackets
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in "ZX" else fields[19]  # ended and not yet collected; else ticks from boot to start
    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "-".join(done.stdout.split())
