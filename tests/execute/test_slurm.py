"""A study on a real Slurm of one node, which the test starts and ends."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from slurm_here import CannotStart, missing, running_slurm

from execute_studies import FOREVER, log_of, trained_once, write_study
from grokscope import cli
from grokscope.execute.slurm_site import read_site, slurm
from grokscope.execute.submissions import submissions
from grokscope.store import Run
from grokscope.study import Study
from tiny import same_folder_content

pytest.importorskip("submitit", reason="the extra slurm is not installed")
pytestmark = pytest.mark.slow
WAIT_S = 240


@pytest.fixture(scope="module")
def conf(tmp_path_factory):
    """The configuration of a Slurm that runs; on what starts where it cannot, the reason to skip."""
    if why := missing():
        pytest.skip(why)
    try:
        with running_slurm(tmp_path_factory.mktemp("cluster") / "slurm") as path:
            yield path
    except CannotStart as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def here(conf, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", str(conf))
    yield
    subprocess.run(["scancel", "--partition=tests"], check=False)
    wait_for(lambda: slurm("squeue", "--noheader") == "", "the queue to empty")


def wait_for(ready: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not ready():
        assert time.monotonic() < deadline, f"waited for {what}: {slurm('squeue')}"
        time.sleep(0.5)


def call(capsys, *words: object) -> dict:
    assert cli.run([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def printed(root: Path) -> str:
    return "\n".join(f"{p.name}: {p.read_text(errors='replace')}" for p in sorted(root.glob("jobs/*/*/*log*")))


def test_six_runs_by_two_jobs_each_trained_once(tmp_path, capsys):
    file, root = write_study(tmp_path, seeds=range(6), execute="array = 2\ntime = '5m'\nsave_s = 30"), tmp_path / "runs"
    sent = call(capsys, "study", "run", file, "--on", "slurm", "--root", root)
    assert sent["runs"] == 6
    assert len(sent["jobs"]) == 2
    study = Study.load(file)
    wait_for(lambda: all(s.finished for s in study.status(root)), "six runs")
    study.run(workers=0, root=tmp_path / "calm")
    for run in (tmp_path / "calm").iterdir():
        same_folder_content(run, root / run.name)
        assert trained_once(root / run.name), log_of(root / run.name)
    wait_for(lambda: slurm("squeue", "--noheader") == "", "the jobs to end")
    queue = call(capsys, "study", "status", file, "--root", root)["queue"]
    assert (queue["jobs"], queue["problems"]) == ([], [])
    again = call(capsys, "study", "run", file, "--on", "slurm", "--root", root)
    assert (again["jobs"], again["done_before"]) == ([], 6)


def test_a_requeued_job_goes_on_exactly(tmp_path, capsys):
    file, root = write_study(tmp_path, seeds=[0], steps=6_000, execute="array = 1\ntime = '10m'"), tmp_path / "runs"
    (job,) = call(capsys, "study", "run", file, "--on", "slurm", "--root", root)["jobs"]
    (entry,) = Study.load(file).entries
    run = Run(root / entry.config.run_id())
    wait_for(lambda: list(run.path.glob("resume/*.pt")), "a state")
    slurm("scontrol", "requeue", job)
    wait_for(lambda: run.status["state"] == "interrupted", "the run to be saved")
    assert 0 < run.status["step"] < 6_000
    wait_for(lambda: run.status["state"] == "done", f"the run to go on\n{printed(root)}")
    assert trained_once(run.path, 6_000)
    Study.load(file).run(workers=0, root=tmp_path / "calm")
    same_folder_content(tmp_path / "calm" / run.id, run.path)


def test_a_signal_of_its_time_saves_and_requeues(tmp_path, capsys):
    """Slurm's own signal before the end of the time, sent early; a job whose time is up asks to begin again."""
    file, root = write_study(tmp_path, seeds=[0], steps=FOREVER, execute="requeues = 1"), tmp_path / "runs"
    (job,) = call(capsys, "study", "run", file, "--on", "slurm", "--root", root)["jobs"]
    (entry,) = Study.load(file).entries
    run = Run(root / entry.config.run_id())
    wait_for(lambda: list(run.path.glob("resume/*.pt")), "a state")
    slurm("scancel", "--signal=USR2", job)
    wait_for(lambda: "requeued" in printed(root), "the job to requeue itself")
    step = run.status["step"]
    wait_for(lambda: run.status["state"] == "running" and run.status["step"] > step, "the run to go on")
    wait_for(lambda: slurm("squeue", "--noheader", "--format=%T").strip() == "RUNNING", "the job to run")
    slurm("scancel", "--signal=USR2", job)
    wait_for(
        lambda: "not requeued, because this job already restarted 1 times" in printed(root), "the limit of requeues"
    )
    assert run.status["state"] == "interrupted"


def test_status_joins_the_queue_and_cancel_ends_this_study_alone(tmp_path, capsys):
    one = write_study(tmp_path, "one", seeds=range(6), steps=FOREVER, execute="array = 5")
    other = write_study(tmp_path, "other", seeds=[9], steps=FOREVER, execute="array = 1")
    root = tmp_path / "runs"
    sent = call(capsys, "study", "run", other, "--on", "slurm", "--root", root)["jobs"]
    wait_for(lambda: slurm("squeue", "--noheader", "--format=%T").split() == ["RUNNING"], "the other study to begin")
    call(capsys, "study", "run", one, "--on", "slurm", "--root", root)
    study = Study.load(one)
    wait_for(lambda: sum(s.state == "running" for s in study.status(root)) == 3, "three of one node's four CPUs")
    status = call(capsys, "study", "status", one, "--root", root)
    jobs = {j["job"]: j for j in status["queue"]["jobs"]}
    assert sorted(j["state"] for j in jobs.values()) == ["pending", "pending", "running", "running", "running"]
    assert "Resources" in {j["note"] for j in jobs.values() if j["state"] == "pending"}
    running = {r["run"]: r["job"] for r in status["runs"] if r["state"] == "running"}
    assert len(set(running.values())) == 3
    for run, job in running.items():
        assert jobs[job]["runs"] == [run]
        assert jobs[job]["state"] == "running"
    cancelled = call(capsys, "study", "cancel", one, "--root", root)["cancelled"]
    assert {j["job"] for j in cancelled} == set(jobs)
    wait_for(lambda: {s.state for s in study.status(root)} == {"partial", "new"}, "the runs to be saved")
    wait_for(lambda: slurm("squeue", "--noheader").count("\n") == 1, "the cancelled jobs to go")
    assert all(s.state == "running" for s in Study.load(other).status(root))
    assert [j["job"] for j in call(capsys, "study", "cancel", other, "--root", root)["cancelled"]] == sent
    assert cli.run(["study", "cancel", str(other), "--root", str(root)]) == 0
    wait_for(lambda: slurm("squeue", "--noheader") == "", "an empty queue")
    assert cli.run(["study", "cancel", str(one), "--root", str(root)]) == 0
    assert "no job of 'one' is left to cancel" in capsys.readouterr().out


def test_limits_are_read_and_kept(tmp_path, capsys):
    site = read_site()
    assert (site.partition, site.max_time_s, site.max_array) == ("tests", 3600, 8)
    assert [(n.cpus, n.memory_mb) for n in site.nodes] == [(4, 8000)]
    root = tmp_path / "runs"
    for setting, words in {
        "time = '2h'": "$.execute.time: 2h is above MaxTime of partition 'tests', 01:00:00",
        "memory = '9GB'": "$.execute.memory: 9GB; no machine of partition 'tests' has more than",
        "cpus = 5": "$.execute.cpus: 5; no machine of partition 'tests' has more than 4",
        "partition = 'gpu'": "Slurm has no 'gpu', but tests and closed",
        "partition = 'closed'": "'closed' takes no jobs now",
        "sbatch = { constraint = 'none-such' }": "the jobs were refused: sbatch: error: ",
    }.items():
        file = write_study(tmp_path, seeds=[0], execute=setting)
        assert cli.run(["study", "run", str(file), "--on", "slurm", "--root", str(root)]) == 2
        assert words in capsys.readouterr().err
    assert slurm("squeue", "--noheader") == ""
    file = write_study(tmp_path, seeds=range(20), execute="array = 12\ntime = '10m'\nmemory = '500MB'")
    plan = call(capsys, "study", "plan", file, "--on", "slurm", "--root", root, "--no-probe")["jobs"]
    assert plan["request"]["jobs"] == 8
    assert "8 jobs in place of 12: more are not taken at once here (MaxArraySize 8" in plan["request"]["notes"][0]
    assert plan["request"]["memory_mb"] == 500


def test_two_engines_and_this_command_on_one_study(tmp_path, capsys):
    file, root = write_study(tmp_path, seeds=range(12), steps=300, execute="array = 2"), tmp_path / "runs"
    call(capsys, "study", "run", file, "--on", "slurm", "--root", root)
    call(capsys, "study", "run", file, "--on", "background", "--workers", 1, "--root", root)
    local = [sys.executable, "-m", "grokscope.cli", "study", "run", str(file), "--root", str(root), "--workers", "1"]
    subprocess.run(local, check=True, capture_output=True, timeout=WAIT_S)
    study = Study.load(file)
    wait_for(lambda: all(s.finished for s in study.status(root)), "twelve runs")
    assert all(trained_once(s.run.path, 300) for s in study.status(root))
    assert {s.engine for s in submissions(root, study.name)[0]} == {"slurm", "background"}
    call(capsys, "study", "cancel", file, "--root", root)


SEEN = """
import os
from dataclasses import dataclass
from pathlib import Path

import grokscope as gs


@gs.register
@dataclass(frozen=True, kw_only=True)
class Seen(gs.Schedule):
    '''The learning rate as it is. Misleads: never.'''

    name = "seen-here"

    def build(self, lr, total):
        return lambda step: lr


if "SLURM_LOCALID" in os.environ:
    name = Path(__file__).parent / f"seen_by_{os.environ['SLURM_LOCALID']}"
    name.write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
"""
"""A plug-in module that says which cards its worker may use."""


def test_two_runs_share_each_of_two_gpus(tmp_path, capsys):
    """Cards that nobody has: what Slurm hands out is seen, and the runs train on the CPU and say so."""
    assert [n.gpus for n in read_site().nodes] == [2]
    (tmp_path / "seen_lab.py").write_text(SEEN)
    execute = "array = 1\ngpus = 2\nruns_per_gpu = 2\ntime = '10m'"
    file, root = write_study(tmp_path, seeds=range(5), steps=FOREVER, execute=execute), tmp_path / "runs"
    text = file.read_text().replace("[hardware]", '[hardware]\ndevice = "cuda"')
    file.write_text(f'plugins = ["seen_lab"]\n{text}')
    (job,) = call(capsys, "study", "run", file, "--on", "slurm", "--root", root)["jobs"]
    study = Study.load(file)
    wait_for(lambda: sum(s.state == "running" for s in study.status(root)) == 4, f"four runs\n{printed(root)}")
    asked = slurm("scontrol", "show", "job", job)
    assert "gpu:2" in asked or "gpu=2" in asked, asked
    visible = {path.name[-1]: path.read_text() for path in tmp_path.glob("seen_by_*")}
    assert visible == {"0": "0", "1": "0", "2": "1", "3": "1"}
    call(capsys, "study", "cancel", file, "--root", root)
    wait_for(lambda: slurm("squeue", "--noheader") == "", "the queue to empty")
    assert sorted(s.state for s in study.status(root)) == ["new", *["partial"] * 4]


# -- stacks -----------------------------------------------------------------------------------------------------------


def steps_of(study: Study, root: Path) -> list[int]:
    return [Run(root / entry.config.run_id()).status["step"] for entry in study.entries]


def states_of(study: Study, root: Path) -> set[str]:
    return {Run(root / entry.config.run_id()).status["state"] for entry in study.entries}


def has_states(study: Study, root: Path) -> bool:
    return all(list((root / entry.config.run_id()).glob("resume/*.pt")) for entry in study.entries)


def test_a_stack_whose_job_is_requeued_goes_on_exactly(tmp_path, capsys):
    file, root = (
        write_study(tmp_path, seeds=range(4), steps=4_000, execute="array = 1\ntime = '10m'"),
        tmp_path / "runs",
    )
    words = ["--on", "slurm", "--engine", "stacked", "--stack", 4, "--root", root]
    (job,) = call(capsys, "study", "run", file, *words)["jobs"]
    study = Study.load(file)
    wait_for(lambda: has_states(study, root), f"a state of every member\n{printed(root)}")
    slurm("scontrol", "requeue", job)
    wait_for(lambda: states_of(study, root) == {"interrupted"}, "the stack to be saved")
    assert len(set(steps_of(study, root))) == 1
    assert 0 < steps_of(study, root)[0] < 4_000
    wait_for(lambda: states_of(study, root) == {"done"}, f"the stack to go on\n{printed(root)}")
    study.run(workers=0, root=tmp_path / "calm", engine="stacked", stack=4)
    for run in (tmp_path / "calm").iterdir():
        same_folder_content(run, root / run.name)
        assert trained_once(root / run.name, 4_000), log_of(root / run.name)
        assert Run(root / run.name).facts["stacked"]["members"] == 4


def test_a_time_limit_in_the_middle_of_a_stack_saves_all_of_it_and_so_does_cancelling(tmp_path, capsys):
    """Slurm's own signal at the end of the job's own time: a minute, of which it gives as much as it likes."""
    execute = "array = 1\ntime = '1m'\nsave_s = 20\nrequeues = 5"
    file, root = write_study(tmp_path, seeds=range(4), steps=FOREVER, execute=execute), tmp_path / "runs"
    words = ["--on", "slurm", "--engine", "stacked", "--stack", 4, "--root", root]
    (job,) = call(capsys, "study", "run", file, *words)["jobs"]
    study = Study.load(file)
    wait_for(lambda: "requeued" in printed(root), f"the end of the job's time\n{printed(root)}")
    wait_for(lambda: states_of(study, root) == {"interrupted"}, "the stack to be saved")
    (step,) = set(steps_of(study, root))
    assert step > 0
    wait_for(lambda: min(steps_of(study, root)) > step, f"the stack to go on\n{printed(root)}")
    status = call(capsys, "study", "status", file, "--root", root)
    (row,) = status["queue"]["jobs"]
    assert (row["job"], len(row["runs"])) == (job, 4), "the job trains all members"
    call(capsys, "study", "cancel", file, "--root", root)
    wait_for(lambda: slurm("squeue", "--noheader") == "", "the queue to empty")
    assert states_of(study, root) == {"interrupted"}
    (last,) = set(steps_of(study, root))
    assert last > step
    assert {Run(root / e.config.run_id()).facts["stacked"]["members"] for e in study.entries} == {4}


def test_stacks_of_three_engines_and_of_two_people_on_one_study(tmp_path, capsys):
    """Jobs of Slurm in stacks, one in the background that probes, a Ray, a worker by hand and a plain command."""
    file, root = write_study(tmp_path, seeds=range(40), steps=6_000, execute="array = 2"), tmp_path / "runs"
    words = ["study", "run", file, "--stack", 4, "--root", root]
    call(capsys, *words, "--on", "slurm", "--engine", "stacked")
    call(capsys, *words, "--on", "background", "--workers", 1, "--engine", "auto")
    mine = [sys.executable, "-m", "grokscope.cli"]
    worker = [*mine, "worker", str(file), "--root", str(root), "--engine", "stacked", "--stack", "4"]
    plain = [*mine, "study", "run", str(file), "--root", str(root), "--workers", "1"]
    on_ray = [*plain, "--on", "ray", "--engine", "stacked", "--stack", "4"]
    ways = [worker, plain, *([on_ray] if find_spec("ray") else [])]
    people = [subprocess.Popen(c, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for c in ways]
    for one in people:
        said = one.communicate(timeout=WAIT_S)[0]
        assert one.returncode == 0 or "no Ray could be started" in said, said
    study = Study.load(file)
    wait_for(lambda: all(s.finished for s in study.status(root)), f"40 runs\n{printed(root)}")
    runs = [s.run for s in study.status(root)]
    assert all(trained_once(run.path, 6_000) for run in runs)
    for run in runs:
        steps = [row["step"] for row in run.rows()]
        assert steps == sorted(set(steps))
    assert {s.engine for s in submissions(root, study.name)[0]} >= {"slurm", "background"}
    assert 2 <= max((run.facts.get("stacked") or {}).get("members", 0) for run in runs) <= 4
    call(capsys, "study", "cancel", file, "--root", root)
