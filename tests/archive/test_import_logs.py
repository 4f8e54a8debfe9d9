"""Logs of other programs kept as runs: the same verdicts, nothing twice, and nothing that the log does not hold."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

import grokscope as gs
from foreign.many_logs import COLUMNS, GROUP, OPTIONS, write_groups, write_log
from grokscope.archive import import_logs
from grokscope.cli import run as cli
from grokscope.trajectory import from_log, from_run

CASES = Path(__file__).parent.parent / "cases" / "logs"


def same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b, equal_nan=True))


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("step,train_acc,test_acc\n0,.1,.1\n10,1,\n20,,.97\n", {"trivial": 0.1}),
        ("step,train_acc,test_acc,l\n0,.1,.1,2\n10,1,.1,\n20,1,.97,.1\n", {"train_loss": "l"}),
        ("step,train_acc,test_acc,l\n0,.1,.1,2\n10,1,.1,\n20,.1,.1,nan\n", {"train_loss": "l", "n": {"train": 10}}),
        ("step,train_acc,test_acc,v,w\n0,.1,.5,1,3\n10,1,.5,inf,4\n", {"held_out_loss": {"test": "v"}, "norm": "w"}),
        ("step,train_acc,test_acc\n0,.3333333,.25\n10,1,.5\n", {"n": {"train": 3, "test": 4}}),
        ("step,train_acc,test_acc\n0,.1,-3\n10,.99,.95\n", {"kind": "regression"}),
        (
            "step,a,b\n0,1.4,1.5\n10,.01,inf\n20,.01,.1\n",
            {"kind": "regression", "train": None, "held_out": None, "train_loss": "a", "held_out_loss": {"test": "b"},
             "trivial_loss": {"train": 1.36, "test": 1.4}},
        ),
    ],
)  # fmt: skip
def test_the_run_is_the_trajectory_of_the_log(tmp_path: Path, text: str, columns: dict):
    log = tmp_path / "log.csv"
    log.write_text(text)
    given = {**COLUMNS, **columns}
    before = from_log(log, **given)
    (run,) = import_logs(log, tmp_path / "runs", **given).runs
    after = from_run(run)
    assert after.step.tolist() == before.step.tolist()
    assert (after.kind, after.threshold, after.counted) == (before.kind, before.threshold, before.counted)
    assert (after.trivial, after.n) == (before.trivial, before.n)
    assert same(after.train, before.train)
    assert same(after.train_loss, before.train_loss)
    assert same(after.norm, before.norm)
    for split in before.splits:
        assert same(after.held_out[split], before.held_out[split]), split
        assert same(after.held_out_loss.get(split), before.held_out_loss.get(split)), split
    assert after.non_finite_from == before.non_finite_from


def test_importing_again_does_nothing_and_a_grown_log_updates_its_run(tmp_path: Path):
    log = write_log(tmp_path / "a_s0.jsonl", 700, last=500)
    first = import_logs(log, tmp_path / "runs", group=GROUP, **COLUMNS)
    (run,) = first.runs
    assert first.changed == (run.id,)
    assert gs.verdict(run.path)["test"].verdict == "memorized"
    stamp = (run.path / "config.json").stat().st_mtime_ns
    assert import_logs(log, tmp_path / "runs", group=GROUP, **COLUMNS).changed == ()
    assert (run.path / "config.json").stat().st_mtime_ns == stamp
    moved = log.rename(tmp_path / "moved_s0.jsonl")
    again = import_logs(moved, tmp_path / "runs", group="(?P<g>moved|a)_s(?P<seed>0)", **COLUMNS)
    assert [r.id for r in again.runs] == [run.id]
    moved.rename(log)
    write_log(log, 700, last=1000)
    grown = import_logs(log, tmp_path / "runs", group=GROUP, **COLUMNS)
    assert [r.id for r in grown.runs] == [run.id] == list(grown.changed)
    assert gs.verdict(run.path)["test"].verdict == "grokked"
    assert len(gs.find_runs(tmp_path / "runs")) == 1
    lineage = grown.runs[0].record["lineage"]
    assert (lineage["kind"], lineage["file"]) == ("log", "a_s0.jsonl")
    assert str(tmp_path) not in json.dumps(grown.runs[0].record)


def test_copies_and_doubled_seeds_are_named(tmp_path: Path):
    write_groups(tmp_path, a=[300])
    (tmp_path / "a_s1.jsonl").write_bytes((tmp_path / "a_s0.jsonl").read_bytes())
    write_log(tmp_path / "more" / "a_s0.jsonl", 400)
    done = import_logs([tmp_path, tmp_path / "more"], tmp_path / "runs", group=GROUP, **COLUMNS)
    assert len(done.runs) == 2
    assert any("has the very content of a_s0.jsonl" in words for words in done.problems)
    assert any("is of group a, seed 0" in words and "both are counted" in words for words in done.problems)


def test_what_cannot_be_kept_is_named_and_the_rest_is_kept(tmp_path: Path):
    write_groups(tmp_path, a=[300, None])
    (tmp_path / "bad.csv").write_text("step,train_acc,test_acc\n0,x,1\n")
    (tmp_path / "half.csv").write_text("step,train_acc,test_acc\n0.5,1,1\n")
    done = import_logs(tmp_path, tmp_path / "runs", **COLUMNS)
    assert len(done.runs) == 2
    assert [run.label for run in done.runs] == ["a_s0.jsonl", "a_s1.jsonl"]
    assert [run.config["seed"] for run in done.runs] == [None, None]
    assert len(done.problems) == 2
    assert "fractional" in done.problems[1]
    with pytest.raises(ValueError, match="'x' is not a number"):
        import_logs(tmp_path / "bad.csv", tmp_path / "runs", **COLUMNS)


def test_everything_that_looks_at_runs_looks_at_them(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_groups(tmp_path / "logs", fast=[300, 320, 340], slow=[700, 720, None])
    assert cli(["archive", "import-logs", "logs/*.jsonl", "--group", GROUP, *OPTIONS, "--task", "mine"]) == 0
    out = capsys.readouterr().out
    assert "6 runs in runs, 6 of them new or updated" in out
    assert "  fast: 3 runs" in out
    assert cli(["ls", "runs"]) == 0
    assert capsys.readouterr().out.count("grokked") == 5
    query = "select regime, task, count(*) as n, median(T_gen) as m from runs group by all order by regime"
    assert cli(["sql", query, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0] == {"regime": "fast", "task": "mine", "n": 3, "m": 320}
    one, two = sorted(str(p) for p in (tmp_path / "runs").glob("fast*"))[:2]
    assert cli(["compare", one, two]) == 0
    assert cli(["show", one]) == 0
    out = capsys.readouterr().out
    assert "read from the log fast_s0.jsonl" in out
    assert "made on" not in out
    assert cli(["verdict", "runs", "--group", r"(?P<setting>\w+)_s(?P<seed>\d)-.*", "--json"]) == 0
    assert [g["T_gen"]["median"] for g in json.loads(capsys.readouterr().out)["groups"]] == [320, 720]
    assert cli(["archive", "export", "runs", "--out", "out", "--formats"]) in (0, 1)
    assert cli(["archive", "import", "out", "--root", "back"]) in (0, 1)
    assert len(gs.find_runs("back")) == 6


@pytest.mark.slow
def test_a_hundred_and_thirty_logs_are_a_grouped_report_in_two_commands(tmp_path: Path, capsys, monkeypatch):
    """And the report states nothing that the logs do not hold: no machine, no versions, no command that trains it."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for setting in range(13):
        gens = [int(g) for g in rng.integers(20 + setting * 5, 40 + setting * 5, 10) * 10]
        write_groups(tmp_path / "logs", **{f"wd{setting}": gens})
    for i, log in enumerate(sorted((tmp_path / "logs").iterdir())):  # equal curves are still logs of their own
        log.write_text(f'{{"run": {i}}}\n' + log.read_text())
    begun = time.perf_counter()
    assert cli(["archive", "import-logs", "logs", "--group", GROUP, *OPTIONS, "--into", "runs"]) == 0
    assert cli(["report", "runs", "--out", "report.html"]) == 0
    print(f"130 logs to a report: {time.perf_counter() - begun:.1f} s")
    page = (tmp_path / "report.html").read_text()
    assert all(f"wd{setting}" in page for setting in range(13))
    assert "130 runs" in page
    for words in ("grokscope train ", "torch ", "parameters", str(tmp_path)):
        assert words not in page, words
