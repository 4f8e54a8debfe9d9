"""Jobs on a cluster: submissions, waiting and running jobs, cancellation."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.output import Result, print_table
from grokscope.execute import queues
from grokscope.execute.background import background_workers
from grokscope.execute.protocol import Job
from grokscope.execute.queues import QueuedJob
from grokscope.execute.settings import Execute, require_fitting_device
from grokscope.execute.stacks import ALONE, Stacking
from grokscope.execute.submissions import Submission, submissions
from grokscope.execute.submit import Sent, describe, slurm_request, workers_wanted
from grokscope.store import claims
from grokscope.study import Study
from grokscope.study.run_state import StudyRun
from grokscope.vocabulary.text import listed, plural

if TYPE_CHECKING:
    from rich.console import Console


@dataclass
class SentRuns(Result):
    """The runs that were submitted as jobs, if any were left."""

    study: Study
    sent: Sent | None
    before: int
    """Number of runs that were already finished."""

    def data(self) -> Any:
        if self.sent is None:
            return {"study": self.study.name, "done_before": self.before, "runs": 0, "jobs": [], "notes": []}
        s = self.sent.submission
        return {"study": self.study.name, "done_before": self.before, "runs": s.runs, "engine": s.engine,
                "jobs": list(s.ids), "notes": list(self.sent.notes), "folder": str(s.folder)}  # fmt: skip

    def show(self, console: "Console") -> None:
        if self.sent is None:
            console.print(f"{plural(self.before, 'run')}: all already done, nothing was submitted")
            return
        done = f", {self.before:,} already done" if self.before else ""
        submission = self.sent.submission
        console.print(f"{plural(submission.runs, 'run')} to train{done}; {self.sent.words}")
        for note in self.sent.notes:
            console.print(note)
        console.print(f"jobs: {brief_ids(submission.ids)}; their output is in {submission.folder}")
        console.print("grokscope study status shows their progress, grokscope study cancel ends them")


@dataclass
class JobsNow:
    """The jobs of a study that have not ended, and the runs that they train."""

    sent: list[Submission]
    jobs: list[QueuedJob]
    problems: list[str]
    runs: Mapping[str, str]
    """Id of a running run -> the job that trains it, according to its claim."""

    def data(self) -> Any:
        return {"jobs": [self._row(job) for job in self.jobs], "problems": self.problems,
                "submissions": [self._sending(s) for s in self.sent]}  # fmt: skip

    def _row(self, job: QueuedJob) -> dict[str, Any]:
        return {"job": job.id, "engine": job.submission.engine, "state": job.state, "note": job.note,
                "runs": self.trained_by(job), "submitted": job.submission.submitted}  # fmt: skip

    def _sending(self, s: Submission) -> dict[str, Any]:
        return {"engine": s.engine, "submitted": s.submitted, "cancelled": s.cancelled, "jobs": list(s.ids),
                "runs": s.runs, "folder": str(s.folder)}  # fmt: skip

    def trained_by(self, job: QueuedJob) -> list[str]:
        """The runs that this job is training. For a process, the claim contains only its number."""
        known = (job.id, job.id.partition(":")[0])
        return [run for run, name in self.runs.items() if name in known]

    def show(self, console: "Console") -> None:
        if self.jobs:
            rows = [[brief_ids([j.id]), j.submission.engine, j.state, j.note, ", ".join(self.trained_by(j))]
                    for j in self.jobs]  # fmt: skip
            print_table(console, ["job", "engine", "state", "where or why", "trains"], rows)
        elif self.sent and not self.problems:
            console.print(f"all {plural(sum(len(s.ids) for s in self.sent), 'submitted job')} have ended")
        for problem in self.problems:
            console.print(problem)


def jobs_now(study: Study, root: Path, runs: Sequence[StudyRun]) -> JobsNow:
    """The jobs of a study from the queues, and its running runs from their claims."""
    sent, problems = submissions(root, study.name)
    jobs, unasked = queues.queued(sent)
    training = {s.run.id: name for s in runs if s.state == "running" and (name := _job_of(s))}
    return JobsNow(sent, jobs, [*problems, *unasked], training)


def _job_of(study_run: StudyRun) -> str:
    """The job that trains a run; empty if no job does."""
    try:
        claim = claims.newest(study_run.run.path)
    except OSError:
        return ""
    if claim is None or claim.released:
        return ""
    return str(claim.job)


@dataclass
class Cancelled(Result):
    """The cancelled jobs of a study, and problems."""

    study: Study
    jobs: list[QueuedJob]
    problems: list[str]

    @property
    def exit_code(self) -> int:
        return int(bool(self.problems))

    def data(self) -> Any:
        jobs = [{"job": j.id, "engine": j.submission.engine, "state": j.state, "note": j.note} for j in self.jobs]
        return {"study": self.study.name, "cancelled": jobs, "problems": self.problems}

    def show(self, console: "Console") -> None:
        if self.jobs:
            console.print(f"cancelled {plural(len(self.jobs), 'job')} of {self.study.name!r}:")
            print_table(console, ["job", "engine", "was", "where or why"],
                        [[brief_ids([j.id]), j.submission.engine, j.state, j.note] for j in self.jobs])  # fmt: skip
            console.print("their runs are being saved and can be resumed")
        else:
            console.print(f"no job of {self.study.name!r} is left to cancel")
        for problem in self.problems:
            console.print(problem)


def cancel(file: Path, /, *, root: Path = Path("runs")) -> Cancelled:
    """Cancel the waiting and running jobs of a study: background jobs, Slurm jobs, and commands that train on Ray.

    Running runs are saved. Jobs of other studies or users, and workers started in other ways, are not affected. The
    exit code is 1 if the state of some jobs could not be determined.

    Args:
        file: Study file, or the name of a shipped study.
        root: Folder of the runs.
    """
    study = Study.load(file)
    sent, problems = submissions(root, study.name)
    jobs, unasked = queues.queued(sent)
    queues.cancel(jobs)
    return Cancelled(study, jobs, [*problems, *unasked])


def planned_jobs(study: Study, jobs: Sequence[Job], engine: str, workers: int | None) -> dict[str, Any] | None:
    """Job settings for `plan`: those of the study file, the number of workers, and on Slurm the request within its
    limits. None for a study without job settings that is trained locally.

    Raises:
        ValueError: in the same cases as submission.
    """
    settings = study.execute
    if engine == "here" and settings == Execute():
        return None
    data: dict[str, Any] = {"engine": engine, "settings": asdict(settings), "words": settings_in_words(settings, jobs)}
    if engine == "here" or not jobs:
        return data
    if engine == "slurm":
        site, request = slurm_request(settings, jobs, workers)
        words = f"on Slurm: {describe(site, request)}"
        return {**data, "workers": request.jobs * request.workers, "request": {**asdict(request), "words": words}}
    require_fitting_device(settings, jobs)
    count = None
    if engine == "background":
        count = background_workers(settings, jobs, workers)
    return {**data, "workers": count or workers_wanted(workers, settings, jobs)}


def settings_in_words(settings: Execute, jobs: Sequence[Job]) -> str:
    """``jobs: at most 10, each for 11h30m; a worker has 2 CPUs, 4GB and 1 GPU shared by 4 runs``."""
    time = f"each for {settings.time}" if settings.time else "no time limit set"
    memory = settings.memory or "the default memory"
    shared = ""
    if settings.runs_per_gpu > 1:
        shared = f" shared by {settings.runs_per_gpu} runs"
    gpu = f"1 GPU{shared}" if settings.gpus else "no GPU"
    per_job = ""
    if settings.workers_per_job > 1:
        per_job = f", {plural(settings.workers_per_job, 'worker')} in each"
    where = f", in partition {settings.partition!r}" if settings.partition else ""
    extra = ""
    if settings.sbatch:
        extra = f"; sbatch: {', '.join(f'{k}={v}' for k, v in settings.sbatch.items())}"
    worker = listed([plural(settings.cpus_for(jobs), "CPU"), memory, gpu])
    return f"jobs: at most {settings.array:,}, {time}{where}{per_job}; a worker has {worker}{extra}"


def send(study: Study, root: Path, engine: str, workers: int | None, stacking: Stacking = ALONE) -> SentRuns:
    """Submit the unfinished runs of a study as jobs, with a note on earlier jobs that have not ended."""
    earlier, _ = queues.queued(submissions(root, study.name)[0])
    sent = study.send(engine, workers, root, stacking)
    if sent is not None and earlier:
        jobs = plural(len(earlier), "job")
        words = f"not ended yet: {jobs} of this study submitted earlier: {brief_ids([j.id for j in earlier])}"
        sent = replace(sent, notes=(*sent.notes, words))
    return SentRuns(study, sent, sum(s.finished for s in study.status(root)))


def brief_ids(ids: Sequence[str]) -> str:
    """``1234_[0-9]`` for an array, process numbers without their start."""
    plain = [i.partition(":")[0] for i in ids]
    arrays = dict.fromkeys(i.partition("_")[0] for i in plain)
    if len(plain) > 1 and all("_" in i for i in plain) and len(arrays) == 1:
        return f"{next(iter(arrays))}_[0-{len(plain) - 1}]"
    return ", ".join(plain)
