"""Worker processes: real ones, killed, interrupted and robbed of their parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from grokscope.execute import processes
from grokscope.execute.processes import Processes
from grokscope.execute.protocol import Job, Silent
from grokscope.store import Run, lock
from grokscope.study import Stopped, Study
from tiny import TINY, same_folder_content, tiny


def study(**more: Any) -> Study:
    return Study.from_dict({**TINY, "seeds": [0, 1, 2], **more})


def endless(**more: Any) -> Study:
    """Runs that last until somebody ends them."""
    return study(budget={"steps": 10_000_000}, evaluate={"per_decade": 5}, diagnose={}, checkpoint={}, **more)


class Acting(Silent):
    """A board that does something at the first progress of a job, from the executor's own thread."""

    def __init__(self, act: Any):
        self.act, self.seen = act, set()

    def progress(self, job: Job, step: int, total: int, steps_per_s: float) -> None:
        if step and job.run.name not in self.seen:
            self.seen.add(job.run.name)
            self.act(job)


def holder(run: Path) -> int:
    return int((run / ".lock").read_text().split()[1])


def test_workers_train_what_this_process_would(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    study().run(workers=0, root=here)
    outcomes = study().run(workers=2, root=there)
    assert [o.state for o in outcomes] == ["done"] * 3
    for run in here.iterdir():
        same_folder_content(run, there / run.name)


def test_a_killed_worker_costs_its_run_only_and_is_recorded(tmp_path):
    made = study(
        arm=[
            {"name": "doomed", "budget.steps": 10_000_000, "seeds": [0]},
            {"name": "fine", "regime.optimizer.eps": 1e-7},
        ],
        seeds=[0, 1],
    )

    def kill_the_doomed(job: Job) -> None:
        if job.total > 60:
            os.kill(holder(job.run), signal.SIGKILL)

    outcomes = made.run(workers=2, root=tmp_path, board=Acting(kill_the_doomed))
    assert sorted((o.job.config.regime.name, o.state) for o in outcomes) == [
        ("doomed", "failed"), ("fine", "done"), ("fine", "done"),
    ]  # fmt: skip
    stand = made.status(tmp_path)[0]
    assert stand.state == "failed"
    assert "killed by SIGKILL" in stand.message
    assert stand.step > 0


@pytest.mark.slow
def test_a_run_that_failed_by_a_kill_goes_on_from_its_resume_state(tmp_path):
    made = endless(seeds=[0])
    made.run(workers=1, root=tmp_path, board=Acting(lambda job: os.kill(holder(job.run), signal.SIGKILL)))
    saved = max(int(p.stem[5:]) for p in (made.status(tmp_path)[0].run.path / "resume").glob("state*.pt"))
    shorter = study(seeds=[0], budget={"steps": saved}, evaluate={"per_decade": 5}, diagnose={}, checkpoint={})
    assert [o.state for o in shorter.run(workers=1, root=tmp_path)] == ["done"]
    log = (shorter.status(tmp_path)[0].run.path / "logs" / "train.log").read_text()
    assert f"resumed at step {saved}" in log


def test_a_run_that_another_process_trains_is_left_alone(tmp_path):
    made = study()
    busy = tmp_path / made.runs()[1].run_id()
    with lock.exclusive(busy):
        outcomes = made.run(workers=2, root=tmp_path)
    assert sorted(o.state for o in outcomes) == ["done", "done", "elsewhere"]
    elsewhere = next(o for o in outcomes if o.state == "elsewhere")
    assert elsewhere.job.run == busy
    assert f"pid {os.getpid()}" in elsewhere.message
    assert not (busy / "config.json").exists()


def test_asking_to_stop_saves_running_runs_and_begins_no_others(tmp_path):
    made = endless(seeds=[0, 1, 2])
    board = Acting(lambda job: len(board.seen) == 1 and os.kill(os.getpid(), signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Stopped, match="3 of 3 runs unfinished") as stopped:
        made.run(workers=2, root=tmp_path, board=board)
    assert signal.getsignal(signal.SIGINT) is before
    assert sorted(o.state for o in stopped.value.outcomes)[-1] == "waiting"
    assert board.seen
    for outcome in stopped.value.outcomes:
        if outcome.job.run.name in board.seen:
            run = Run(outcome.job.run)
            assert (outcome.state, run.status["state"]) == ("interrupted", "interrupted")
            assert (run.path / "resume" / f"state{run.status['step']:010d}.pt").exists()
            assert not lock.is_held(run.path)


@pytest.mark.slow
def test_a_second_request_does_not_wait(tmp_path):
    made = endless(seeds=[0])

    def insist(job: Job) -> None:
        os.kill(holder(job.run), signal.SIGSTOP)  # a worker that cannot answer
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(Stopped) as stopped:
        made.run(workers=1, root=tmp_path, board=Acting(insist))
    assert [o.state for o in stopped.value.outcomes] == ["interrupted"]
    assert made.status(tmp_path)[0].state == "partial"


@pytest.mark.slow
def test_workers_save_and_leave_when_their_parent_dies(tmp_path):
    raw = {**TINY, "budget": {"steps": 10_000_000}, "evaluate": {"per_decade": 5}, "diagnose": {}}
    script = tmp_path / "parent.py"  # no main guard: workers do not run the caller's script again
    script.write_text(
        f"from grokscope import Study\nStudy.from_dict({raw!r}).run(workers=1, root={str(tmp_path / 'runs')!r})\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)])
    run = wait_for(lambda: next(iter((tmp_path / "runs").glob("*/resume/state*.pt")), None)).parent.parent
    worker = holder(run)
    parent.kill()
    parent.wait()
    wait_for(lambda: not Path(f"/proc/{worker}").exists() or None)
    assert Run(run).status["state"] == "interrupted"
    assert not lock.is_held(run)


def test_what_a_task_prints_does_not_disturb_the_pool(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("print('hello from the start of every interpreter', flush=True)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [o.state for o in study(seeds=[0]).run(workers=1, root=tmp_path / "runs")] == ["done"]


def test_no_jobs_need_no_workers():
    assert Processes(2).execute([], Silent()) == []


def wait_for(ask: Any, seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (found := ask()) is not None:
            return found
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def test_more_threads_than_cpus_are_told_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "usable_cpus", lambda: 2)
    jobs = [Job(tiny(seed=s, hardware__threads=2), tmp_path) for s in (0, 1)]
    assert processes._crowded(jobs, 1) == ""
    assert "2 workers of 2 threads each share 2 CPUs" in processes._crowded(jobs, 2)
    assert processes._crowded(jobs, 2).endswith("--workers 1")
    assert processes._crowded([Job(tiny(), tmp_path)] * 9, 9) == "", "one thread each: what was asked for"
