"""``grokscope stopping``: runs and logs from disk, bad ones named, the same numbers in the table and in JSON."""

import json

import pytest

import grokscope as gs
from grokscope import cli
from report.synthetic import GROKKED, MEMORIZED, UNGROKKED, write_run


@pytest.fixture
def runs(tmp_path):
    for seed in range(3):
        write_run(tmp_path, "late", seed, GROKKED)
    write_run(tmp_path, "never", 3, MEMORIZED)
    write_run(tmp_path, "going", 4, GROKKED, state="running", until=500)
    return tmp_path


def asked(capsys, *words):
    code = cli.run(["stopping", *map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_table_and_json_say_the_same_and_unfinished_runs_are_named(runs, capsys):
    code, data = asked(capsys, runs, "--reach", "train_acc=0.99", "--then", "0", "15000")
    assert code == 0
    at_once, later = (r for r in data["rules"] if r["group"] == "")
    assert (at_once["runs"], at_once["grokked"], at_once["missed"]) == (4, 3, 3)
    assert (later["stopped"], later["missed"]) == (4, 0)
    assert "unfinished and excluded: digits_going" in data["notes"][0]
    assert {r["group"] for r in data["rules"]} == {"", "late", "never"}
    assert cli.run(["stopping", str(runs), "--reach", "train_acc=0.99", "--by-group"]) == 0
    out = capsys.readouterr().out
    assert "4 runs trained to the end, judged on id_val" in out
    assert "at train_acc >= 0.99" in out
    assert "0.29 to 1.00" in out
    assert "\nlate\n" in out


def test_unfinished_runs_are_replayed_when_asked_for(runs, capsys):
    _, data = asked(capsys, runs, "--reach", "train_acc=0.99", "--unfinished")
    assert data["runs"] == 5
    assert "their last evaluation counts as the end: digits_going" in data["notes"][0]


def test_from_python_it_is_the_same(runs, capsys):
    rule = gs.StopRule(kind="patience", on="id_val_acc", patience=5)
    result = gs.stopping(runs, [rule])
    _, data = asked(capsys, runs, "--on", "id_val_acc", "--patience", "5")
    assert json.loads(json.dumps(result.to_dict(), default=str)) == data


def test_by_default_a_grid_is_tried_and_the_needed_patience_is_told(runs, capsys):
    assert cli.run(["stopping", str(runs)]) == 0
    out = capsys.readouterr().out
    assert out.count("no better") == 16
    assert "to miss none of the 3 that grokked, a patience on train_loss must be" in out


def test_a_log_whose_split_may_be_chosen_on_is_honest_and_another_is_an_oracles(tmp_path, capsys):
    rows = "".join(f"{i},{min(1, i / 10)},{0.1 if i < 40 else 0.98}\n" for i in range(1, 60))
    (tmp_path / "log.csv").write_text(f"epoch,train_acc,val_acc\n{rows}")
    (tmp_path / "bad.csv").write_text("epoch,train_acc,val_acc\n1,x,y\n")
    columns = ["--step", "epoch", "--train", "train_acc"]
    code, data = asked(capsys, tmp_path, *columns, "--held-out", "id_val=val_acc", "--on", "id_val_acc")
    assert code == 0
    assert not any(r["oracle"] for r in data["rules"])
    assert "bad.csv" in str(data["errors"])
    _, data = asked(capsys, tmp_path / "log.csv", *columns, "--held-out", "test=val_acc", "--on", "test_acc")
    assert all(r["oracle"] for r in data["rules"])
    assert data["rules"][0]["name"].endswith("oracle (chosen on test)")
    assert cli.run(["stopping", str(tmp_path / "log.csv"), *columns, "--held-out", "test=val_acc"]) == 0
    assert "no valid training procedure could use it" in capsys.readouterr().out


def test_an_early_peak_is_what_a_stop_saves(tmp_path, capsys):
    for seed in range(2):
        write_run(tmp_path, "peaked", seed, UNGROKKED)
    _, data = asked(capsys, tmp_path, "--on", "id_val_acc", "--patience", "10")
    (rule,) = data["rules"]
    assert rule["share_missed"] is None
    assert rule["regret"]["end"] < -0.02


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--on", "id_val_los", "--patience", "3"], "cannot watch 'id_val_los'"),
        (["--on", "ood_val_loss", "--patience", "3"], "no run has a column 'ood_val_loss'"),
        (["--reach", "train_acc"], "expected column=level"),
        (["--patience", "3"], "name one or more"),
        (["--split", "ood_val"], "no held-out split 'ood_val'"),
    ],
)
def test_mistakes_end_with_code_2_and_the_remedy(runs, capsys, words, message):
    assert cli.run(["stopping", str(runs), *words]) == 2
    assert message in capsys.readouterr().err


def test_an_empty_folder_and_unnamed_columns_are_refused(tmp_path, capsys):
    assert cli.run(["stopping", str(tmp_path)]) == 2
    (tmp_path / "log.csv").write_text("epoch,train_acc,val_acc\n1,0.5,0.5\n")
    assert cli.run(["stopping", str(tmp_path)]) == 2
    assert "name the columns of the logs" in capsys.readouterr().err
