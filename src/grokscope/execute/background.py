"""Background jobs on this machine through submitit's local executor, which continue after the command and its terminal
have ended. Cluster jobs can be tried out this way.

    python -m grokscope.execute.background SUBMISSION JOBS WORKERS_PER_JOB MINUTES

is the process between: in a session of its own it starts the jobs, records their process ids and ends, so that they
have no parent to wait for them and no terminal to lose.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from grokscope.checks import require
from grokscope.execute.processes import require_importable, usable_cpus
from grokscope.execute.protocol import Job
from grokscope.execute.queues import process_id
from grokscope.execute.remote import RemoteWorker
from grokscope.execute.settings import Execute, require_fitting_device
from grokscope.execute.stacks import ALONE, Stacking
from grokscope.execute.submissions import new_submission, read_submission
from grokscope.execute.submit import ONE_THREAD, Sent, import_submitit, python_path, submitted, workers_wanted
from grokscope.vocabulary.text import plural

LOG = "start.log"
"""What is said while the jobs are started, and by whoever watches over them."""
DECADE_MIN = 10 * 365 * 24 * 60
"""The time limit of a job to which none is given: submitit wants one."""


def send_to_background(
    study: str, root: Path, jobs: Sequence[Job], settings: Execute, workers: int | None, stacking: Stacking = ALONE
) -> Sent:
    """Start jobs on this machine, as many as its CPUs hold unless a number of workers is given.

    Raises:
        ValueError: without submitit, and for settings that do not fit the runs.
    """
    import_submitit()
    require_importable(jobs)
    stacking.require(jobs)
    require_fitting_device(settings, jobs)
    cpus = settings.cpus_for(jobs)
    count = background_workers(settings, jobs, workers)
    per_job = min(settings.workers_per_job, count)
    minutes = DECADE_MIN if settings.seconds is None else max(1, int(settings.seconds // 60))
    submission = new_submission(study, root, "background", jobs, asdict(settings), stacking)
    arguments = [str(submission.folder), str(-(-count // per_job)), str(per_job), str(minutes)]
    environment = {**os.environ, **dict.fromkeys(ONE_THREAD, str(cpus)), "PYTHONPATH": python_path()}
    done = subprocess.run(
        [sys.executable, "-P", "-m", __name__, *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        start_new_session=True, env=environment,
    )  # fmt: skip
    log = submission.folder / LOG
    said = done.stderr + (log.read_text(errors="replace") if log.exists() else "")
    require(done.returncode == 0, f"the jobs could not be started: {' '.join(said.split()[-40:])}")
    submission = read_submission(submission.folder)
    return Sent(submission, f"started in the background: {plural(len(submission.ids), 'job')} on this machine")


def background_workers(settings: Execute, jobs: Sequence[Job], workers: int | None) -> int:
    """Workers that this machine gets: those that were asked for, else as many as its CPUs hold."""
    wanted = workers_wanted(workers, settings, jobs)
    if workers is not None:
        return wanted
    return min(wanted, max(1, usable_cpus() // settings.cpus_for(jobs)))


def main(folder: str, count: str, per_job: str, minutes: str) -> None:
    """Start the jobs, and record their process ids here: whoever asked may have been killed meanwhile."""
    submitit = import_submitit()
    settings = json.loads((Path(folder) / "submission.json").read_text())["settings"]
    executor = submitit.AutoExecutor(folder=folder, cluster="local")
    executor.update_parameters(timeout_min=int(minutes), tasks_per_node=int(per_job), gpus_per_node=settings["gpus"])
    worker = RemoteWorker(Path(folder), settings["gpus"], settings["runs_per_gpu"])
    log = os.open(Path(folder) / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):  # what the jobs inherit must not be the pipe on which somebody waits for the end
        os.dup2(log, stream)
    sent = submitted(executor, worker, int(count), submitit)
    read_submission(Path(folder)).with_ids([process_id(int(job.job_id)) for job in sent])
    os._exit(0)  # not by way of the interpreter's end, which would look for the jobs


if __name__ == "__main__":
    main(*sys.argv[1:])
