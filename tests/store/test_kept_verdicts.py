"""Kept verdicts and new rules: what an older version kept is judged anew, once, and the tables show what it lacked."""

import json
from pathlib import Path

import pytest

from grokscope import verdicts
from grokscope.cli import run as cli
from grokscope.store import Run, find_runs, kept_verdicts
from grokscope.store.query import run_rows
from grokscope.verdicts import run_verdicts
from report.synthetic import GROKKED, write_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    write_run(tmp_path, "wd 0.1", 0, GROKKED)
    return find_runs(tmp_path)[0]


def kept_by_an_older_version(run: Run) -> Path:
    """The file as version 1 left it: without T_grok."""
    return _kept_without_T_grok(run, 1)


def _kept_without_T_grok(run: Run, version: int) -> Path:
    run_verdicts(run)
    path = run.path / "results" / "verdict.json"
    data = json.loads(path.read_text())
    for splits in data["by_criteria"].values():
        for verdict in splits.values():
            del verdict["milestones"]["T_grok"]
    data |= {"version": version, "check": kept_verdicts._check(data["by_criteria"])}
    path.write_text(json.dumps(data))
    return path


def test_an_older_verdict_is_judged_anew_exactly_once(run: Run, monkeypatch: pytest.MonkeyPatch):
    path = kept_by_an_older_version(run)
    judgments = []
    judge = verdicts._judge
    monkeypatch.setattr(verdicts, "_judge", lambda *args: judgments.append(args) or judge(*args))
    answers = [run_verdicts(run) for _ in range(3)]
    assert len(judgments) == 1
    assert answers[0] == answers[1] == answers[2]
    T_grok = answers[0]["id_val"].milestones.T_grok
    assert T_grok is not None
    assert T_grok.at > 0
    assert json.loads(path.read_text())["version"] == kept_verdicts.VERSION > 1


def test_the_version_alone_has_a_verdict_judged_anew(run: Run, monkeypatch: pytest.MonkeyPatch):
    run_verdicts(run)
    path = run.path / "results" / "verdict.json"
    monkeypatch.setattr(verdicts, "_judge", None)
    assert run_verdicts(run)["id_val"].verdict == "grokked"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": kept_verdicts.VERSION - 1}))
    with pytest.raises(TypeError):
        run_verdicts(run)


def test_a_kept_verdict_without_a_field_is_no_verdict_of_this_version(run: Run):
    right = run_verdicts(run)
    _kept_without_T_grok(run, kept_verdicts.VERSION)
    assert run_verdicts(run) == right


def test_t_grok_stands_beside_the_other_milestones(run: Run, capsys: pytest.CaptureFixture[str]):
    kept_by_an_older_version(run)
    root = run.path.parent
    assert run_rows(root)[0]["T_grok"] is None, "no judge was given and what is kept is too old"
    assert cli(["ls", str(root), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["T_grok"] >= row["T_gen"] > row["T_fit"]
    assert row["T_grok_censored"] is False
    assert cli(["sql", "select T_grok, T_grok_censored c from runs", "--root", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"T_grok": row["T_grok"], "c": False}]
    assert cli(["show", str(run.path)]) == 0
    assert f", T_grok {row['T_grok']:,}" in capsys.readouterr().out
    assert cli(["show", str(run.path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["verdicts"]["id_val"]["milestones"]
    assert shown["T_grok"]["at"] == row["T_grok"]


def test_without_a_train_loss_there_is_no_t_grok(run: Run, capsys: pytest.CaptureFixture[str]):
    metrics = run.path / "results" / "metrics.jsonl"
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    lossless = [{k: v for k, v in row.items() if k != "train_loss"} for row in rows]
    metrics.write_text("".join(json.dumps(row) + "\n" for row in lossless))
    assert cli(["ls", str(run.path.parent), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["T_grok"], row["T_grok_censored"]) == (None, None)
    assert row["T_gen"] is not None
    assert cli(["show", str(run.path)]) == 0
    assert "T_grok" not in capsys.readouterr().out
