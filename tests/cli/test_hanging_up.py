"""A terminal that is closed, or a connection that is lost, stops a run as SIGTERM does; under nohup it does not."""

import signal
import subprocess
import sys
import time

import pytest

from grokscope.store import find_runs

RUN = """
task = { name = "modular", p = 7 }
model = { name = "embedding-mlp", embedding = 4, hidden = [8] }
regime = { lr = 1e-2, batch_size = 8 }
budget = { steps = 100_000_000 }
evaluate = { every = 100 }
"""


def begun(root):
    return [run for run in find_runs(root) if run.status["step"]]


def start(kind, tmp_path, front=()):
    """The command line in a session of its own, until its runs train."""
    file = tmp_path / "file.toml"
    file.write_text(RUN + ("" if kind == "train" else "seeds = [0, 1]\n"))
    workers = ["--workers", "2"] if kind != "train" else []
    command = [*front, sys.executable, "-m", "grokscope.cli", *kind.split(), str(file), *workers]
    process = subprocess.Popen(
        [*command, "--root", str(tmp_path / "runs")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(begun(tmp_path / "runs")) < 1 + len(workers) // 2 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return process


SLOW = pytest.mark.slow
CASES = [
    pytest.param("train", signal.SIGHUP),
    pytest.param("train", signal.SIGTERM, marks=SLOW),
    pytest.param("study run", signal.SIGHUP, marks=SLOW),
    pytest.param("study run", signal.SIGTERM, marks=SLOW),
]


@pytest.mark.parametrize(("kind", "number"), CASES)
def test_a_hang_up_saves_says_how_to_go_on_and_exits_as_sigterm_does(kind, number, tmp_path):
    process = start(kind, tmp_path)
    try:
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "run the same command again" in err
    assert "Traceback" not in err
    runs = begun(tmp_path / "runs")
    assert runs
    for run in runs:
        assert run.status["state"] == "interrupted"
        assert (run.path / "resume" / f"state{run.status['step']:010d}.pt").exists()


@pytest.mark.slow
def test_a_worker_that_is_hung_up_on_saves_its_run(tmp_path):
    process = start("study run", tmp_path)
    try:
        runs = begun(tmp_path / "runs")
        for run in runs:
            subprocess.run(["kill", "-HUP", str(run.status["pid"])], check=True)
        process.communicate(timeout=120)
    finally:
        process.kill()
    for run in runs:
        assert run.status["state"] == "interrupted"
        assert run.status["saved_step"] == run.status["step"] > 0


@pytest.mark.slow
def test_under_nohup_a_run_outlives_its_terminal(tmp_path):
    process = start("train", tmp_path, front=("nohup",))
    try:
        process.send_signal(signal.SIGHUP)
        (run,) = begun(tmp_path / "runs")
        before, deadline = run.status["step"], time.monotonic() + 120
        while run.status["step"] <= before + 100:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
