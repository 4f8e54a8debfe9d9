"""One bad file is named and costs the other runs nothing; nothing inside a run is followed elsewhere."""

import json
import os
import shutil

import pytest

from grokscope.commands.look import ls, show
from grokscope.commands.report import report
from grokscope.files import read_json, write_json
from grokscope.store import find_runs, open_run
from grokscope.store.query import run_rows
from grokscope.study import Study
from tiny import TINY


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    Study.from_dict({**TINY, "seeds": [0, 1, 2]}).run(workers=0, root=root)
    return root


@pytest.fixture
def root(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "runs")


CONFIG = {
    "no JSON": "{",
    "a list": "[]",
    "text for the task": '{"config": {"task": "modular"}}',
    "a number for a name": '{"config": {"regime": {"name": 3}}}',
    "text for the facts": '{"config": {}, "facts": "x"}',
    "text for a split": '{"config": {}, "facts": {"splits": {"train": "x"}}}',
    "text for a size": '{"config": {}, "facts": {"splits": {"train": {"n": "x"}}}}',
    "numbers for notes": '{"config": {}, "facts": {"notes": [1]}}',
    "nested": "[" * 100_000,
    "a huge number": '{"config": ' + "9" * 5000 + "}",
    "no text": "\xff\xfe",
}


@pytest.mark.parametrize("kind", CONFIG)
def test_a_config_that_cannot_be_read_is_listed_named_and_left_out(root, tmp_path, kind):
    bad = find_runs(root)[1]
    (bad.path / "config.json").write_text(CONFIG[kind], encoding="latin-1")
    rows = ls(root).rows
    assert [row["state"] for row in rows] == ["done", "unreadable", "done"]
    assert f"{bad.id}/config.json" in rows[1]["error"]
    assert f"unreadable: {rows[1]['error']}" in str(ls(root))
    with pytest.raises(ValueError, match=f"{bad.id}/config"):
        show(bad.path)


def test_a_report_leaves_out_what_cannot_be_read_and_says_so(root, tmp_path):
    first, second, third = find_runs(root)
    (first.path / "config.json").write_text("{")
    (second.path / "results" / "metrics.jsonl").write_text("not json\n")
    with pytest.warns(UserWarning, match=f"{first.id}/config.*excluded"):
        page = report([root], out=tmp_path / "page.html").path.read_text()
    assert third.id in page
    assert "not a row of metrics" in page
    for run in (second, third):
        (run.path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=f"{first.id}/config"):
        report([root], out=tmp_path / "page.html")


STATUS = {
    "no JSON": "{",
    "a list": "[1]",
    "no state": '{"step": 3}',
    "a number for the state": '{"state": 3, "step": 3}',
    "text for the step": '{"state": "done", "step": "3"}',
    "text for the error": '{"state": "failed", "step": 3, "error": "x"}',
    "text for a time": '{"state": "running", "host": "x", "step": 3, "heartbeat": "x"}',
}


@pytest.mark.parametrize("kind", STATUS)
def test_a_status_that_cannot_be_read_is_named_and_the_config_shown(root, kind):
    bad = find_runs(root)[1]
    (bad.path / "status.json").write_text(STATUS[kind])
    assert [row["state"] for row in run_rows(root)] == ["done", "unreadable", "done"]
    with pytest.warns(UserWarning, match=r"status\.json"):
        shown = show(bad.path)
    assert "status.json" in shown.data()["problems"][0]
    assert "modular" in str(shown)


def drop_line(path, number):
    lines = path.read_text().splitlines(keepends=True)
    del lines[number]
    path.write_text("".join(lines))


METRICS = {
    "no JSON": lambda path: path.write_text("x\n" + path.read_text()),
    "emptied": lambda path: path.write_text(""),
    "deleted": lambda path: path.unlink(),
    "cut": lambda path: path.write_text(path.read_text()[:400]),
    "a row deleted in the middle": lambda path: drop_line(path, 4),
    "the last row deleted": lambda path: drop_line(path, -1),
    "a step of true": lambda path: path.write_text('{"step": true}\n' + path.read_text()),
    "a huge step": lambda path: path.write_text(path.read_text() + '{"step": ' + "9" * 30 + "}\n"),
    "nested": lambda path: path.write_text(path.read_text() + "[" * 100_000 + "\n"),
}


@pytest.mark.parametrize("kind", METRICS)
def test_damaged_metrics_are_visible_in_ls_and_show(root, kind):
    bad = find_runs(root)[1]
    METRICS[kind](bad.path / "results" / "metrics.jsonl")
    for _ in range(2):
        rows = ls(root).rows
        assert [row["state"] for row in rows] == ["done", "damaged", "done"]
        assert "metrics.jsonl" in rows[1]["error"]
        assert rows[1]["verdict"] is None
    assert f"damaged: {rows[1]['error']}" in str(ls(root))
    assert [row["id"] for row in ls(root, state="damaged").rows] == [bad.id]
    with pytest.warns(UserWarning, match=r"metrics\.jsonl"):
        shown = show(bad.path)
    assert shown.data()["status"]["state"] == "done"
    assert "metrics.jsonl" in str(shown)


def test_a_run_of_before_the_size_was_recorded_is_asked_for_its_last_row(root):
    bad = find_runs(root)[1]
    status = read_json(bad.path / "status.json")
    del status["metrics_bytes"]
    write_json(bad.path / "status.json", status)
    assert ls(root).rows[1]["state"] == "done"
    drop_line(bad.path / "results" / "metrics.jsonl", -1)
    assert "the last row is of step" in ls(root).rows[1]["error"]


def test_a_damaged_kept_verdict_is_judged_anew(root):
    right = [(row["verdict"], row["T_gen"]) for row in ls(root).rows]
    for run in find_runs(root):
        path = run.path / "results" / "verdict.json"
        path.write_text(path.read_text().replace('"milestones"', '"milestonez"'))
    assert [(row["verdict"], row["T_gen"]) for row in ls(root).rows] == right


FILES = ["config.json", "status.json", "results/metrics.jsonl", "results"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_links_and_fifos_inside_a_run_are_not_opened(root, tmp_path, name, kind):
    bad = find_runs(root)[1]
    path, elsewhere = bad.path / name, tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere) if kind == "link" else os.mkfifo(path)
    before = elsewhere.stat().st_mtime_ns
    rows = run_rows(root)
    assert rows[1]["state"] in ("unreadable", "damaged")
    assert f"{path}: is {'a symbolic link' if kind == 'link' else 'a FIFO'}" in rows[1]["error"]
    assert [rows[0]["state"], rows[2]["state"]] == ["done", "done"]
    assert elsewhere.stat().st_mtime_ns == before


def test_a_checkpoint_that_is_a_link_is_left_out_and_named(root, tmp_path):
    run = find_runs(root)[1]
    path = run.checkpoints()[30]
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.warns(UserWarning, match=rf"{path.name}: is a symbolic link"):
        assert list(run.checkpoints()) == [15, 45, 60]


def test_a_run_may_be_a_link_to_a_folder_elsewhere(root, tmp_path):
    run = find_runs(root)[1]
    moved = run.path.rename(tmp_path / "elsewhere")
    run.path.symlink_to(moved)
    assert [row["state"] for row in run_rows(root)] == ["done"] * 3
    assert open_run(run.path).rows()


def test_a_link_among_the_runs_that_leads_nowhere_is_no_run(root):
    (root / "nowhere").symlink_to(root / "absent")
    (root / "loop").symlink_to(root / "loop")
    assert len(find_runs(root)) == 3


def test_values_that_are_no_numbers_are_missing(root):
    run = find_runs(root)[1]
    path = run.path / "results" / "metrics.jsonl"
    row = {**run.rows()[-1], "step": 61, "extra": 10**400, "lr": "text"}
    path.write_text(path.read_text() + json.dumps(row) + "\n")
    metrics = run.metrics()
    assert metrics["extra"][-1] != metrics["extra"][-1]
    assert metrics["lr"][-1] != metrics["lr"][-1]
