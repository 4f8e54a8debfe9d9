"""Workers on one study: each run once, whoever dies, is stopped or comes late."""

import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from grokscope import cli
from grokscope.commands.worker import seconds_until
from grokscope.commands.worker import worker as worker_verb
from grokscope.store import Run, claims, lock
from grokscope.study import Stopped, Study
from grokscope.study import worker as room
from grokscope.study.worker import Worker
from tiny import TINY, TINY_TOML, same_folder_content

FILE = (
    "seeds = {seeds}\n"
    + TINY_TOML
    + """
[budget]
steps = {steps}
[evaluate]
every = 7
at = [0]
[diagnose]
every = 20
[checkpoint]
every = {keep}
[hardware]
resume_every_s = 0.0
"""
)


def write_study(folder: Path, seeds: list[int], steps: int = 60, keep: int = 15) -> Path:
    path = folder / "study.toml"
    path.write_text(FILE.format(seeds=seeds, steps=steps, keep=keep))
    return path


def start(file: Path, root: Path, *more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "grokscope.cli", "worker", str(file), "--root", str(root), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def log_of(run: Path) -> str:
    return (run / "logs" / "train.log").read_text()


def study(**more: object) -> Study:
    return Study.from_dict({**TINY, "seeds": [0, 1, 2], **more})


def test_a_worker_trains_what_a_study_run_would(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    study().run(workers=0, root=here)
    outcomes = Worker(study().entries, there).work()
    assert [o.state for o in outcomes] == ["done"] * 3
    for run in here.iterdir():
        same_folder_content(run, there / run.name)
    assert Worker(study().entries, there).work() == []


def test_a_run_that_another_process_trains_is_left_to_it(tmp_path):
    held = tmp_path / study().entries[1].config.run_id()
    with lock.claimed(held):
        outcomes = Worker(study().entries, tmp_path).work()
    assert sorted((o.state, o.job.config.seed) for o in outcomes) == [("done", 0), ("done", 2), ("elsewhere", 1)]
    assert [o.state for o in Worker(study().entries, tmp_path).work()] == ["done"]


def test_a_worker_that_waits_takes_over_what_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "ASK_AGAIN_S", 0.01)
    held = lock.claimed(tmp_path / study().entries[1].config.run_id())
    held.__enter__()

    class LettingGo(room.Silent):
        def ended(self, outcome: object) -> None:
            del outcome
            if len(one.outcomes) == 1:  # one of three is trained, the second is being told of
                held.__exit__(None, None, None)

    one = Worker(study().entries, tmp_path, LettingGo(), wait=True)
    assert [o.state for o in one.work()] == ["done"] * 3


def test_three_deaths_in_a_row_mark_a_run_failed_and_retry_tries_it_again(tmp_path):
    one = Study.from_dict({**TINY, "seeds": [5]})
    folder = tmp_path / one.entries[0].config.run_id()
    code = (
        "import os, sys; from pathlib import Path; from grokscope.store import lock\n"
        "with lock.claimed(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    for _ in range(3):
        subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
    (outcome,) = Worker(one.entries, tmp_path).work()
    assert outcome.state == "failed"
    assert "3 workers in a row died on this run" in outcome.message
    assert Run(folder).status["state"] == "failed"
    assert one.status(tmp_path)[0].message == outcome.message
    assert Worker(one.entries, tmp_path).work() == [], "it stays failed"
    assert [o.state for o in Worker(one.entries, tmp_path, retry=True).work()] == ["done"]
    assert claims.deaths(folder) == 0


def test_what_is_marked_failed_is_named_with_the_way_to_try_it_again(tmp_path, capsys):
    file, root = write_study(tmp_path, [5, 6]), tmp_path / "runs"
    folder = root / Study.load(file).entries[0].config.run_id()
    folder.mkdir(parents=True)
    words = {"machine": claims.this_machine(), "deaths": 2, "expires_s": 120.0}
    (folder / ".claim-000003.json").write_text(json.dumps(words) + "\n")
    assert cli.run(["worker", str(file), "--root", str(root)]) == 1
    out = capsys.readouterr().out
    assert "with --retry, a worker tries failed runs again" in out
    assert "the same command" not in out
    assert cli.run(["worker", str(file), "--root", str(root)]) == 0
    out = capsys.readouterr().out
    assert f"skipped, marked failed earlier: {folder}: 3 workers in a row died on this run" in out
    assert cli.run(["worker", str(file), "--root", str(root), "--json"]) == 0
    assert [s["run"] for s in json.loads(capsys.readouterr().out)["left_failed"]] == [folder.name]
    assert cli.run(["worker", str(file), "--root", str(root), "--retry"]) == 0
    assert "marked failed" not in capsys.readouterr().out


def test_two_deaths_do_not(tmp_path):
    one = Study.from_dict({**TINY, "seeds": [5]})
    folder = tmp_path / one.entries[0].config.run_id()
    folder.mkdir(parents=True)
    words = {"machine": claims.this_machine(), "deaths": 1, "expires_s": 120.0}
    (folder / ".claim-000002.json").write_text(json.dumps(words) + "\n")
    assert [o.state for o in Worker(one.entries, tmp_path).work()] == ["done"]


def test_sigterm_saves_the_run_and_leaves_the_rest(tmp_path):
    file = write_study(tmp_path, [0, 1], steps=10_000_000, keep=10_000_000)
    worker = start(file, tmp_path / "runs", "--json")
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("runs/*/resume/state*.pt")):
            assert worker.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        worker.terminate()
        said = worker.communicate(timeout=60)[1]
    finally:
        worker.kill()
    assert worker.returncode == 130
    assert "2 of 2 runs unfinished" in said
    (run,) = (tmp_path / "runs").iterdir()
    assert Run(run).status["state"] == "interrupted"
    newest = claims.newest(run)
    assert newest is not None
    assert newest.released


def test_a_worker_stops_at_its_time(tmp_path):
    study(seeds=[0]).run(workers=0, root=tmp_path / "warm")  # what is imported once takes none of the time
    file = write_study(tmp_path, [0], steps=10_000_000, keep=10_000_000)
    with pytest.raises(Stopped, match="1 of 1 runs unfinished"):
        worker_verb(file, root=tmp_path / "runs", until="3s")
    (run,) = (tmp_path / "runs").iterdir()
    assert Run(run).status["state"] == "interrupted"


def test_a_worker_whose_time_is_over_at_once_says_what_is_left(tmp_path, capsys):
    file = write_study(tmp_path, [0, 1])
    assert cli.run(["worker", str(file), "--root", str(tmp_path / "runs"), "--until", "0m"]) == 130
    said = capsys.readouterr().err
    assert "stopped with 2 of 2 runs unfinished; run the same command again to resume" in said


def test_a_worker_that_is_stopped_while_it_looks_says_what_is_left(tmp_path, monkeypatch):
    looked = []

    def stopped(self):
        looked.append(self)
        if len(looked) == 1:
            raise KeyboardInterrupt
        return in_order(self)

    in_order = Worker._in_order
    monkeypatch.setattr(Worker, "_in_order", stopped)
    with pytest.raises(Stopped, match="2 of 2 runs unfinished"):
        worker_verb(write_study(tmp_path, [0, 1]), root=tmp_path / "runs")


@pytest.mark.parametrize(
    "verb", [["worker"], ["study", "run", "--workers", "0"], ["study", "run", "--on", "background"], ["study", "extend",
    "--steps", "90"]], ids=" ".join,
)  # fmt: skip
def test_a_folder_where_nobody_may_write_is_one_message_and_not_one_a_run(verb, tmp_path, monkeypatch, capsys):
    file, root = write_study(tmp_path, [0, 1, 2]), tmp_path / "runs"
    monkeypatch.setattr("grokscope.files.os.access", lambda path, mode: Path(path) != tmp_path)
    head = 2 if verb[0] == "study" else 1
    assert cli.run([*verb[:head], str(file), "--root", str(root), *verb[head:]]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert f"{root}: this user may not write here" in said[0]
    assert not root.exists()


def test_a_read_only_file_system_is_called_so(tmp_path, monkeypatch):
    monkeypatch.setattr("grokscope.files.os.access", lambda path, mode: False)
    monkeypatch.setattr("grokscope.files.os.statvfs", lambda path: SimpleNamespace(f_flag=os.ST_RDONLY))
    with pytest.raises(ValueError, match="this file system is read-only"):
        study().run(0, tmp_path)


def test_what_a_newer_version_wrote_is_left_alone_and_the_rest_is_trained(tmp_path):
    newer = tmp_path / study().entries[1].config.run_id() / "config.json"
    newer.parent.mkdir()
    newer.write_text(json.dumps({"schema": 99, "config": {}}))
    outcomes = Worker(study().entries, tmp_path).work()
    states = {o.job.config.seed: o.state for o in outcomes}
    assert states == {0: "done", 1: "failed", 2: "done"}
    assert "written by a newer grokscope" in next(o.message for o in outcomes if o.state == "failed")
    assert [path.name for path in newer.parent.iterdir()] == ["config.json"]


def test_a_study_file_that_is_edited_meanwhile_changes_nothing_for_a_worker_that_runs(tmp_path, capsys):
    file, root = write_study(tmp_path, [0, 1]), tmp_path / "runs"
    before = [entry.config.run_id() for entry in Study.load(file).entries]

    class Editing(room.Silent):
        def begin(self, jobs: object, workers: int) -> None:
            file.write_text(file.read_text().replace("lr = 1e-2", "lr = 2e-2"))

    assert [o.state for o in worker_verb(file, root=root, board=Editing()).outcomes] == ["done"] * 2
    assert sorted(path.name for path in root.iterdir()) == sorted(before)
    assert {s.state for s in Study.load(file).status(root)} == {"new"}, "the edited file has other runs"
    assert cli.run(["worker", str(file), "--root", str(root), "--runs", before[0]]) == 2
    assert "editing the settings of a study changes its runs" in capsys.readouterr().err


NOON = datetime(2030, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90m", 5400), ("1h30m", 5400), ("2d", 172_800), ("20s", 20), ("12:30", 1800), ("11:30", 23.5 * 3600),
     ("2030-01-31T13:00", 3600), ("2030-01-31T13:00+01:00", None), ("2030-01-31T11:59", None), ("25:00", None),
     ("soon", None), ("", None), ("-5m", None)],
)  # fmt: skip
def test_until(text, seconds):
    if seconds is None:
        with pytest.raises(ValueError, match="--until"):
            seconds_until(text, NOON)
    else:
        assert seconds_until(text, NOON) == seconds


def test_commands_for_a_launcher(tmp_path, capsys):
    file = write_study(tmp_path, [0, 1, 2])
    root = tmp_path / "runs"
    assert cli.run(["study", "plan", str(file), "--root", str(root), "--commands", "runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"grokscope worker {file} --root {root} --runs ") for line in lines)
    assert cli.run(lines[1].split()[1:]) == 0
    assert [path.name for path in root.iterdir()] == [lines[1].split()[-1]]
    capsys.readouterr()
    assert cli.run(["study", "plan", str(file), "--root", str(root), "--commands", "workers", "--workers", "8"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"grokscope worker {file} --root {root}"] * 2  # two are left
    assert cli.run(["study", "plan", str(file), "--root", str(root), "--commands", "workers", "--workers", "-1"]) == 2
    assert "--workers must be at least 1" in capsys.readouterr().err
    assert cli.run(["worker", str(file), "--root", str(root), "--runs", "other"]) == 2
    assert "has no run 'other'" in capsys.readouterr().err
    assert cli.run(["worker", str(file), "--root", str(root)]) == 0
    capsys.readouterr()
    assert cli.run(["study", "plan", str(file), "--root", str(root), "--commands", "runs"]) == 0
    assert capsys.readouterr() == ("", "no run is left to train, so there are no commands\n")


@pytest.mark.parametrize("way", ["worker", "inline"])
def test_a_run_that_was_stopped_while_it_was_judged_is_done_and_the_rest_is_left(way, tmp_path, monkeypatch):
    def stopped(run: Run) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("grokscope.execute.attempt._judge", stopped)
    if way == "worker":
        outcomes = Worker(study().entries, tmp_path).work()
    else:
        with pytest.raises(Stopped) as caught:
            study().run(workers=0, root=tmp_path)
        outcomes = caught.value.outcomes
    assert sorted((o.state, o.step) for o in outcomes) == [("done", 60), ("waiting", 0), ("waiting", 0)]


def test_a_signal_in_the_middle_of_an_import_waits_for_its_end(tmp_path, monkeypatch):
    """Torch's own import answers an exception with SIGABRT."""
    (tmp_path / "slow_to_come.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(0.3)\nwhole = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    one = Worker(study().entries, tmp_path)
    imported = []

    def look() -> None:
        imported.append(importlib.import_module("slow_to_come").whole)
        time.sleep(20)

    with room.listening(one), pytest.raises(KeyboardInterrupt):
        look()
    assert imported == [True]
    assert one.stopping
    with room.listening(one):  # what was put off until after the end is forgotten
        importlib.reload(sys.modules["slow_to_come"])
    time.sleep(0.2)


@pytest.mark.parametrize("launcher", ["sh {file}", "tr '\\n' '\\0' < {file} | xargs -0 -P 2 -I LINE sh -c LINE"])
def test_printed_lines_are_carried_out_by_a_shell_whatever_the_folder_is_called(launcher, tmp_path, capsys):
    folder, tools = tmp_path / "it's a [b] $HOME", tmp_path / "bin"
    folder.mkdir()
    tools.mkdir()
    (tools / "grokscope").write_text(f'#!/bin/sh\nexec {sys.executable} -m grokscope.cli "$@"\n')
    (tools / "grokscope").chmod(0o755)
    file, root = write_study(folder, [0, 1]), folder / "runs"
    assert cli.run(["study", "plan", str(file), "--root", str(root), "--commands", "runs"]) == 0
    (tmp_path / "tasks.txt").write_text(capsys.readouterr().out)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    command = launcher.format(file=tmp_path / "tasks.txt")
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert {s.state for s in Study.load(file).status(root)} == {"done"}


@pytest.mark.slow
def test_two_hundred_runs_by_four_workers_with_twenty_kills(tmp_path):
    """Each run is complete, bit for bit what an undisturbed one is, and was trained once."""
    file = write_study(tmp_path, list(range(200)), steps=150, keep=50)
    root, calm = tmp_path / "runs", tmp_path / "calm"
    rng, kills, workers = random.Random(0), 0, [start(file, root) for _ in range(4)]
    deadline = time.monotonic() + 900
    while kills < 20 or any(w.poll() is None for w in workers):
        assert time.monotonic() < deadline
        time.sleep(rng.uniform(0.3, 1.5))
        for number, one in enumerate(workers):
            if one.poll() is not None and len(done_of(root)) < 200:
                said = one.communicate()[1]
                assert one.returncode in (0, -signal.SIGKILL), said
                workers[number] = start(file, root)
        if kills < 20 and done_of(root):
            os.kill(rng.choice([w for w in workers if w.poll() is None]).pid, signal.SIGKILL)
            kills += 1
    for one in workers:
        one.communicate()
    left = start(file, root)
    said = left.communicate(timeout=300)[1]
    assert left.returncode == 0, said
    loaded = Study.load(file)
    assert {s.state for s in loaded.status(root)} == {"done"}
    loaded.run(workers=0, root=calm)
    runs = list(calm.iterdir())
    assert len(runs) == 200
    for run in runs:
        same_folder_content(run, root / run.name)
    for run in (summary.parents[1] for summary in done_of(root)):
        assert log_of(run).count("done at step 150") == 1, log_of(run)


def done_of(root: Path) -> list[Path]:
    return list(root.glob("*/results/summary.json"))
