"""A command that is killed while it sends jobs: what was sent is known, and what was not is no trouble."""

import os
import signal
import time
from pathlib import Path

import pytest

from execute_studies import FOREVER, write_study
from grokscope.execute import background, queues
from grokscope.execute.submissions import new_submission, submissions
from grokscope.study import Study


def in_child(act) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            act()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("n", [1, 2])
def test_killed_between_its_two_files_nothing_was_sent(n, tmp_path, monkeypatch):
    jobs = [s.job() for s in Study.load(write_study(tmp_path)).status(tmp_path / "runs")]

    def send() -> None:
        count, real = 0, os.replace

        def replace(*args: object) -> None:
            nonlocal count
            count += 1
            if count == n:
                kill()
            real(*args)  # type: ignore[arg-type]

        os.replace = replace  # type: ignore[assignment]
        new_submission("mine", tmp_path / "runs", "background", jobs, {})

    assert in_child(send) == -signal.SIGKILL
    assert submissions(tmp_path / "runs", "mine") == ([], []), "neither jobs nor a problem"


def test_jobs_in_the_background_are_known_although_their_sender_was_killed(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    study = Study.load(write_study(tmp_path, seeds=[0], steps=FOREVER))
    root = tmp_path / "runs"

    def send() -> None:
        background.read_submission = kill  # the first thing it does once the jobs are started
        study.send("background", 1, root)

    assert in_child(send) == -signal.SIGKILL
    sent, problems = submissions(root, "study")
    jobs, unasked = queues.queued(sent)
    try:
        assert (len(jobs), problems, unasked) == (1, [], [])
    finally:
        queues.cancel(jobs)
        deadline = time.monotonic() + 120
        while queues.queued(sent)[0] and time.monotonic() < deadline:
            time.sleep(0.1)


def test_jobs_of_slurm_are_found_by_name_where_their_numbers_were_not_written(tmp_path, monkeypatch):
    jobs = [s.job() for s in Study.load(write_study(tmp_path)).status(tmp_path / "runs")]
    sent = new_submission("mine", tmp_path / "runs", "slurm", jobs, {})
    asked: list[tuple[str, ...]] = []

    def slurm(*words: str) -> str:
        asked.append(words)
        return f"17_0|{sent.job_name}|RUNNING|None|node1\n17_1|another|PENDING|Priority|\n"

    monkeypatch.setattr(queues, "slurm", slurm)
    monkeypatch.setattr(queues, "cluster_name", lambda: "hpc")
    (job,), problems = queues.queued([sent])
    assert (job.id, job.state, problems) == ("17_0", "running", [])
    queues.cancel([job])
    assert asked[-1] == ("scancel", "17_0")
    (again,), _ = submissions(tmp_path / "runs", "mine")
    assert again.cancelled, "a job of it that begins later ends at once"


def test_what_was_never_sent_is_no_problem_where_there_is_no_slurm(tmp_path, monkeypatch):
    def none() -> str:
        raise ValueError("there is no Slurm here")

    monkeypatch.setattr(queues, "cluster_name", none)
    sent = new_submission("mine", tmp_path / "runs", "slurm", [], {})
    assert queues.queued([sent]) == ([], [])
    assert queues.queued([sent.with_ids(["17_0"], "hpc")])[1], "but those that were"
    assert Path(sent.folder).is_dir()
