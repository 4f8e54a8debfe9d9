"""A run folder, read: what state it is in, what is wrong with it, what it holds."""

import json
import os
import signal
import socket
import time

import numpy as np
import pytest

from grokscope.files import write_json
from grokscope.store import Run, find_runs, open_run
from grokscope.store.lock import exclusive
from grokscope.store.metrics import Damaged, columns, read_rows
from grokscope.train.driver import train
from tiny import tiny


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(tiny({"hardware.resume_every_s": 1000.0, "regime.name": "mine"}, seed=3), tmp_path_factory.mktemp("r"))


def folder(root, name="run", config=None, **record):
    """A run folder made by hand."""
    path = root / name
    record = {"schema": 1, "config": config or {"regime": {"name": "r"}, "seed": 0}, **record}
    write_json(path / "config.json", record)
    return path


def test_a_folder_named_in_text_is_a_run_too(trained):
    run = Run(str(trained.path))  # type: ignore[arg-type]
    assert run == trained
    assert run.rows() == trained.rows()
    assert run.status == trained.status


def test_a_run_is_read_by_name(trained):
    run = open_run(str(trained.path))
    assert run.id == trained.path.name
    assert (run.label, run.seed) == ("mine", 3)
    assert run.facts["kind"] == "classification"
    assert run.facts["threshold"] == 0.95
    assert run.facts["splits"]["id_val"].keys() == {"n", "trivial_acc"}
    metrics = run.metrics()
    assert metrics["step"].dtype == np.int64
    assert len(metrics["train_acc"]) == len(metrics["step"]) == len(run.rows())
    assert np.isnan(metrics["rank_effective"][1]), "not diagnosed at this step"


# -- finding ----------------------------------------------------------------------------------------------------------


def test_runs_are_found_by_name_and_nothing_else_is(tmp_path):
    assert find_runs(tmp_path / "absent") == []
    for name in ("b", "a"):
        folder(tmp_path, name)
    (tmp_path / "not-a-run").mkdir()
    (tmp_path / "file").write_text("x")
    assert [r.id for r in find_runs(tmp_path)] == ["a", "b"]
    assert [r.id for r in find_runs(tmp_path / "a")] == ["a"]


def test_a_folder_that_is_no_run_says_what_it_is(tmp_path):
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        open_run(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"is not a run \(it has no config\.json\)$"):
        open_run(tmp_path)
    folder(tmp_path, "one")
    with pytest.raises(ValueError, match=r"it has no config\.json\); it contains 1 runs, for example .*one"):
        open_run(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is not a run"):
        open_run(tmp_path / "file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not readable as JSON"),
        ("", "not readable as JSON"),
        ("[]", "not the config of a grokscope run"),
        ("{}", "not the config of a grokscope run"),
        ('{"config": 3}', "not the config of a grokscope run"),
        ('{"schema": 4, "config": {}}', r"written by a newer grokscope \(schema 4 > 3\); upgrade"),
        ('{"schema": "x", "config": {}}', "newer grokscope"),
    ],
)
def test_a_damaged_or_newer_config_is_an_error_on_opening(tmp_path, content, message):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        open_run(tmp_path)
    assert len(find_runs(tmp_path)) == 1, "listing still shows that it is there"


# -- state ------------------------------------------------------------------------------------------------------------


def status(path, state, **more):
    write_json(path / "status.json", {"state": state, "step": 5, "host": socket.gethostname(), "pid": 1, **more})


def test_a_run_without_status_is_planned(tmp_path):
    assert Run(folder(tmp_path)).status == {"state": "planned", "step": 0}


@pytest.mark.parametrize("state", ["done", "failed", "diverged", "interrupted"])
def test_a_final_state_is_believed(tmp_path, state):
    path = folder(tmp_path)
    status(path, state)
    assert Run(path).status["state"] == state


def test_running_means_that_somebody_holds_the_run(tmp_path):
    path = folder(tmp_path)
    status(path, "running", heartbeat=time.time())
    assert Run(path).status["state"] == "interrupted", "nobody does, however fresh the heartbeat"
    with exclusive(path):
        assert Run(path).status["state"] == "running"
    assert Run(path).status["state"] == "interrupted"


def test_on_another_machine_the_heartbeat_decides(tmp_path):
    path = folder(tmp_path)
    for age, state in ((5, "running"), (600, "interrupted")):
        write_json(
            path / "status.json", {"state": "running", "host": "elsewhere", "heartbeat": time.time() - age, "step": 1}
        )
        assert Run(path).status["state"] == state


def test_a_killed_process_leaves_an_interrupted_run(tmp_path):
    config = tiny({"budget.steps": 10**6, "hardware.resume_every_s": 1000.0})
    child = os.fork()
    if child == 0:
        try:
            train(config, tmp_path)
        finally:
            os._exit(1)
    path = tmp_path / config.run_id()
    deadline = time.monotonic() + 60
    while not (path / "results" / "metrics.jsonl").exists() or not Run(path).rows():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert open_run(path).status["state"] == "running"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert open_run(path).status["state"] == "interrupted"
    assert json.loads((path / "status.json").read_text())["state"] == "running", "reading changes nothing"


def test_a_broken_status_is_named(tmp_path):
    path = folder(tmp_path)
    (path / "status.json").write_text("{")
    with pytest.raises(ValueError, match=r"status\.json: not readable as JSON"):
        _ = Run(path).status


# -- checkpoints ------------------------------------------------------------------------------------------------------


def test_checkpoints_are_sorted_by_step_whatever_their_unit(tmp_path):
    path = folder(tmp_path, facts={"steps_per_epoch": 10})
    (path / "checkpoints").mkdir()
    names = ["ep00003", "st00000007", "ep00020", "final", "start", "st-x", "epoch"]
    for name in names:
        (path / "checkpoints" / f"{name}.safetensors").write_bytes(b"")
    (path / "checkpoints" / ".st00000009.safetensors.12.tmp").write_bytes(b"")
    assert [(s, p.stem) for s, p in Run(path).checkpoints().items()] == [
        (7, "st00000007"),
        (30, "ep00003"),
        (200, "ep00020"),
    ]
    assert Run(folder(tmp_path, "none")).checkpoints() == {}


def test_reading_everything_changes_nothing(trained):
    before = {p: p.stat().st_mtime_ns for p in trained.path.rglob("*")}
    run = open_run(trained.path)
    _ = run.status, run.rows(), run.metrics(), run.checkpoints(), run.record, find_runs(trained.path.parent)
    assert before == {p: p.stat().st_mtime_ns for p in trained.path.rglob("*")}


@pytest.mark.parametrize(
    "odd",
    [
        '{"step": 1, "x": 1.0},{"step": 2, "x": 2.0}',  # two rows in a line
        '{"step": 1, "x": [{}\n{}]}\n{"step": 2},{"step": 3}',  # as many rows as lines, and none of them whole
        '[1\n2]\n{"step": 4},{"step": 5}',
        '{"step": true}',
        '{"step": 1.0}',
        "7",
    ],
)
def test_rows_parsed_in_one_go_are_refused_as_line_by_line(tmp_path, odd):
    """Joining the lines must not make rows of what is none in any of them."""
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 0, "x": 0.5}}\n{odd}\n{{"step": 9}}\n')
    with pytest.raises(Damaged, match="line 2"):
        read_rows(path)


def test_columns_of_rows_with_different_keys_are_those_of_each_row():
    rows = [
        {"step": 0, "a": 1, "b": None},
        {"step": 1, "b": 2.5, "a": True},
        {"step": 2, "late": "text", "a": 10**400},
        {"step": 3, "a": 4},
    ]
    table = columns(rows)
    assert list(table) == ["step", "a", "b", "late"]
    assert table["step"].dtype == np.int64
    np.testing.assert_array_equal(table["a"], [1, 1, np.nan, 4])
    np.testing.assert_array_equal(table["b"], [np.nan, 2.5, np.nan, np.nan])
    assert np.isnan(table["late"]).all()
