"""grokscope verdict on logs: several files, groups, joined files, and what is printed where something is wrong."""

import json
from pathlib import Path

import pytest

from foreign.many_logs import GROUP, OPTIONS, write_groups, write_log
from grokscope.cli import run as cli

CASES = Path(__file__).parent.parent / "cases" / "logs"


def told(capsys: pytest.CaptureFixture[str], *args: object, code: int = 0) -> str:
    assert cli([str(a) for a in args]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_one_bad_file_is_named_beside_the_verdicts_of_the_others(tmp_path: Path, capsys):
    good = write_log(tmp_path / "a.jsonl", 300)
    bad = tmp_path / "b.jsonl"
    bad.write_text('{"step": 0}\n{"step"\n{}\n')
    out = told(capsys, "verdict", good, bad, tmp_path / "none.csv", *OPTIONS)
    assert f"{good}  test   grokked" in out
    assert f"not judged: {bad}: line 2: not valid JSON" in out
    assert "not judged: " + str(tmp_path / "none.csv") + ": no such file" in out
    assert "note: the trivial predictor's accuracy was not given" in out
    found = json.loads(told(capsys, "verdict", good, bad, *OPTIONS, "--json"))
    assert found[str(good)]["test"]["verdict"] == "grokked"
    assert any("trivial" in note for note in found[str(good)]["test"]["notes"])
    assert "line 2" in found[str(bad)]["error"]
    assert "line 2: not valid JSON" in told(capsys, "verdict", bad, *OPTIONS, code=2)


def test_a_folder_and_a_quoted_pattern(tmp_path: Path, capsys):
    write_groups(tmp_path, a=[300, None])
    for source in (tmp_path, f"{tmp_path}/*.jsonl"):
        found = json.loads(told(capsys, "verdict", source, *OPTIONS, "--json"))
        assert [v["test"]["verdict"] for v in found.values()] == ["grokked", "memorized"]


def test_groups_are_printed_and_given_as_json(tmp_path: Path, capsys):
    write_groups(tmp_path, fast=[300, 310, 320], slow=[700, 720, None])
    write_log(tmp_path / "stray.jsonl", 100)
    words = ["verdict", f"{tmp_path}/*.jsonl", *OPTIONS, "--group", GROUP]
    out = told(capsys, *words)
    lines = out.splitlines()
    assert lines[0].split() == ["group", "logs", "verdicts", "reached", "median", "T_gen", "[step]"]
    assert lines[1].split()[:4] == ["fast", "3", "3", "grokked"]
    assert "2 of 3" in lines[2]
    assert "fast and slow: log-rank p = 0.1 (two-sided, exact; smallest attainable 0.1)" in out
    assert f"in no group, because the pattern does not match: {tmp_path / 'stray.jsonl'}" in out
    found = json.loads(told(capsys, *words, "--json"))
    assert [(g["name"], g["n"], g["T_gen"]["events"]) for g in found["groups"]] == [("fast", 3, 3), ("slow", 3, 2)]
    assert found["comparisons"][0]["test"]["p"] == pytest.approx(0.1)
    assert len(found["sources"]) == 7
    assert found["unmatched"] == [str(tmp_path / "stray.jsonl")]


def test_the_command_that_names_suggest_runs(tmp_path: Path, capsys):
    path = CASES / "lightning_two_rows_per_step.csv"
    err = told(capsys, "verdict", path, code=2)
    line = next(line for line in err.splitlines() if "did you mean: grokscope " in line)
    words = line.partition("did you mean: grokscope ")[2].split()
    assert words[:2] == ["verdict", str(path)]
    assert "val" in json.loads(told(capsys, *words, "--json"))[str(path)]


def test_joined_files_are_one_log(capsys):
    pair = [CASES / "tensorboard_train_acc.csv", CASES / "tensorboard_val_acc.csv"]
    names = ["--step", "Step", "--train", "tensorboard_train_acc", "--held-out", "val=tensorboard_val_acc"]
    (found,) = json.loads(told(capsys, "verdict", *pair, "--join", *names, "--json")).values()
    assert found["val"]["verdict"] == "grokked"
    assert "--join needs two files" in told(capsys, "verdict", pair[0], "--join", *names, code=2)


def test_remedies_are_options_of_the_command_line(tmp_path: Path, capsys):
    err = told(capsys, "verdict", CASES / "percent_memorized_below_1pct.csv", "--step", "epoch", "--train", "tr",
               "--held-out", "te", code=2)  # fmt: skip
    assert "pass --scale 0.01 for all columns" in err
    log = tmp_path / "log.csv"
    log.write_text("step,train_acc,test_acc\n0,.1,.1\n10,.1,.1\n5,.1,.1\n")
    assert "pass --repeated 'last'" in told(capsys, "verdict", log, *OPTIONS, code=2)
    assert "5 evaluations" not in told(capsys, "verdict", log, *OPTIONS, "--repeated", "last")
    assert "did you mean --step 'step'?" in told(capsys, "verdict", log, *OPTIONS[2:], code=2)


PERCENT = ("--step", "epoch", "--train", "tr", "--held-out", "te", "--scale", "0.01", "--json")


def test_one_scale_reads_a_log_in_percent_and_refuses_one_in_shares(tmp_path: Path, capsys):
    """A column below 1 % is in percent, too, where another column says so; a log wholly in 0..1 is not."""
    path = CASES / "percent_memorized_below_1pct.csv"
    (found,) = json.loads(told(capsys, "verdict", path, *PERCENT)).values()
    assert found["held_out"]["milestones"]["final"] == pytest.approx(0.0086)
    assert found["held_out"]["milestones"]["T_fit"] == {"at": 100, "previous": 1, "censored": False}
    shares = tmp_path / "shares.csv"
    shares.write_text("epoch,tr,te\n1,.01,.008\n100,1,.009\n200,1,.0085\n")
    assert "every value is already in 0..1" in told(capsys, "verdict", shares, *PERCENT, code=2)


def test_rules_work_on_several_logs_too(tmp_path: Path, capsys):
    good = write_log(tmp_path / "a.jsonl", 300)
    (tmp_path / "b.jsonl").write_text("{}\n")
    out = told(capsys, "verdict", tmp_path, *OPTIONS, "--rule", "final")
    assert str(good) in out
    assert f"not read: {tmp_path / 'b.jsonl'}" in out
    assert "unknown rule" in told(capsys, "verdict", good, *OPTIONS, "--rule", "fnal", code=2)
