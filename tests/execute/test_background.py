"""Jobs in the background of this machine, through submitit's local executor: submitted, joined, cancelled, shared."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from execute_studies import FOREVER, log_of, trained_once, write_study
from grokscope import cli
from grokscope.execute.queues import queued
from grokscope.execute.submissions import read_submission, submissions
from grokscope.store import Run
from grokscope.study import Study
from tiny import same_folder_content

pytest.importorskip("submitit", reason="the extra slurm is not installed")
pytestmark = pytest.mark.slow
WAIT_S = 240
PLUGIN = """
from dataclasses import dataclass

import grokscope as gs


@gs.register
@dataclass(frozen=True, kw_only=True)
class Steady(gs.Schedule):
    '''The learning rate as it is. Misleads: never.'''

    name = "steady-beside"

    def build(self, lr, total):
        return lambda step: lr
"""


def wait_for(ready: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not ready():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.2)


def call(capsys, *words: object, code: int = 0) -> dict:
    assert cli.run([*map(str, words), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def alive(root: Path) -> int:
    return len(queued(submissions(root, "study")[0])[0])


@pytest.fixture
def cleanup(tmp_path):
    yield
    for one in tmp_path.glob("*/jobs/*/*"):
        for job in queued([read_submission(one)])[0]:
            subprocess.run(["kill", job.id.partition(":")[0]], check=False)


def test_jobs_and_this_command_train_each_run_once(tmp_path, capsys, cleanup):
    """Two engines and a worker by hand at once; jobs go on with the file that was sent, although it changes."""
    file, root = write_study(tmp_path, seeds=range(8), steps=200, execute="array = 2"), tmp_path / "runs"
    study = Study.load(file)
    sent = call(capsys, "study", "run", file, "--on", "background", "--workers", 2, "--root", root)
    assert (sent["runs"], len(sent["jobs"])) == (8, 2)
    by_hand = [sys.executable, "-m", "grokscope.cli", "worker", str(file), "--root", str(root)]
    local = [sys.executable, "-m", "grokscope.cli", "study", "run", str(file), "--root", str(root), "--workers", "1"]
    others = [subprocess.Popen(c, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for c in (by_hand, local)]
    for other in others:
        said = other.communicate(timeout=WAIT_S)[0]
        assert other.returncode == 0, said
    wait_for(lambda: all(s.finished for s in study.status(root)), "eight runs")
    study.run(workers=0, root=tmp_path / "calm")
    for run in (tmp_path / "calm").iterdir():
        same_folder_content(run, root / run.name)
        assert trained_once(root / run.name, 200), log_of(root / run.name)
    wait_for(lambda: alive(root) == 0, "the jobs to end")


def test_status_names_the_job_of_a_run_and_cancel_saves_it(tmp_path, capsys, cleanup):
    file, root = write_study(tmp_path, seeds=[0, 1], steps=FOREVER), tmp_path / "runs"
    (job,) = call(capsys, "study", "run", file, "--on", "background", "--workers", 1, "--root", root)["jobs"]
    file.write_text(file.read_text().replace("p = 7", "p = 5"))
    wait_for(lambda: list(root.glob("*/resume/*.pt")), "a state")
    file.write_text(file.read_text().replace("p = 5", "p = 7"))
    status = call(capsys, "study", "status", file, "--root", root)
    (row,) = [r for r in status["runs"] if r["state"] == "running"]
    assert [(j["job"], j["state"], j["runs"]) for j in status["queue"]["jobs"]] == [(job, "running", [row["run"]])]
    assert row["job"] == job.partition(":")[0]
    (sent,), _ = submissions(root, "study")
    more = call(capsys, "study", "run", file, "--on", "background", "--workers", 1, "--root", root)
    assert more["notes"] == [f"not ended yet: 1 job of this study submitted earlier: {row['job']}"]
    wait_for(
        lambda: len({r["job"] for r in call(capsys, "study", "status", file, "--root", root)["runs"]}) == 2, "both"
    )
    cancelled = call(capsys, "study", "cancel", file, "--root", root)["cancelled"]
    assert [(j["job"], j["state"]) for j in cancelled] == [(job, "running"), (more["jobs"][0], "running")]
    wait_for(lambda: alive(root) == 0, "the job to end")
    assert Run(root / row["run"]).status["state"] == "interrupted"
    assert Run(root / row["run"]).status["step"] > 0
    assert read_submission(sent.folder).cancelled is not None
    assert call(capsys, "study", "cancel", file, "--root", root)["cancelled"] == []


def test_a_run_that_failed_before_is_tried_again_once(tmp_path, capsys, cleanup):
    file, root = write_study(tmp_path, seeds=[0]), tmp_path / "runs"
    (entry,) = Study.load(file).entries
    from grokscope.execute.attempt import record_failure

    assert record_failure(entry.config, root, entry.passed, "a node burned down")
    time.sleep(0.05)
    call(capsys, "study", "run", file, "--on", "background", "--root", root)
    run = Run(root / entry.config.run_id())
    wait_for(lambda: run.status["state"] == "done", "the run to be trained")
    wait_for(lambda: alive(root) == 0, "the job to end")


def test_what_fails_while_a_job_works_is_left_failed(tmp_path):
    from grokscope.execute.attempt import record_failure
    from grokscope.study.worker import Worker

    study = Study.load(write_study(tmp_path, seeds=[0]))
    (entry,) = study.entries
    assert record_failure(entry.config, tmp_path, entry.passed, "no such data")
    failed = (tmp_path / entry.config.run_id() / "status.json").stat().st_mtime
    assert Worker(study.entries, tmp_path, retry_failed_before=failed - 10).work() == []
    assert [o.state for o in Worker(study.entries, tmp_path, retry_failed_before=failed + 10).work()] == ["done"]


def test_jobs_know_the_plugin_module_beside_the_study(tmp_path, capsys, cleanup):
    (tmp_path / "beside_lab.py").write_text(PLUGIN)
    file, root = write_study(tmp_path, seeds=[0]), tmp_path / "runs"
    text = file.read_text().replace("seeds =", 'plugins = ["beside_lab"]\nseeds =', 1)
    file.write_text(re.sub(r"lr = 1e-2", 'lr = 1e-2\nschedule = "steady-beside"', text))
    command = [
        sys.executable,
        "-m",
        "grokscope.cli",
        "study",
        "run",
        str(file),
        "--on",
        "background",
        "--root",
        str(root),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=WAIT_S)
    wait_for(lambda: list(root.glob("*/results/summary.json")), "the run to be trained")
    wait_for(lambda: alive(root) == 0, "the job to end")
