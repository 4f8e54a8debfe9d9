"""Logs that grokscope did not write: formats, sparse columns, and complaints that name row and column."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grokscope.trajectory import Trajectory, from_log, milestones, verdict

COLUMNS = {"epoch": [0, 10, 100, 1000], "train_acc": [0.2, 0.7, 1.0, 1.0], "val_acc": [0.1, 0.1, 0.1, 0.97]}
ROWS = [dict(zip(COLUMNS, values, strict=True)) for values in zip(*COLUMNS.values(), strict=True)]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def csv_text(delimiter: str = ",") -> str:
    lines = [delimiter.join(COLUMNS)] + [delimiter.join(str(v) for v in row.values()) for row in ROWS]
    return "\n".join(lines) + "\n"


def sources(tmp: Path) -> dict[str, Any]:
    return {
        "csv": write(tmp / "log.csv", csv_text()),
        "bom": write(tmp / "bom.csv", "\ufeff" + csv_text()),
        "crlf": write(tmp / "crlf.csv", csv_text().replace("\n", "\r\n")),
        "semicolon": write(tmp / "s.csv", csv_text(";")),
        "tsv": write(tmp / "log.tsv", csv_text("\t")),
        "text": write(tmp / "log.txt", csv_text()),
        "jsonl": write(tmp / "log.jsonl", "".join(json.dumps(r) + "\n" for r in ROWS)),
        "json list": write(tmp / "log.json", json.dumps(ROWS)),
        "json columns": write(tmp / "cols.json", json.dumps(COLUMNS)),
        "jsonl as json": write(tmp / "lines.json", "\n".join(json.dumps(r) for r in ROWS)),
        "no suffix": write(tmp / "log", json.dumps(ROWS)),
        "string path": str(tmp / "log.csv"),
        "columns": COLUMNS,
        "arrays": {k: np.array(v) for k, v in COLUMNS.items()},
        "rows": ROWS,
        "generator": (r for r in ROWS),
        "frame": pd.DataFrame(COLUMNS),
    }


def read(source: Any, **changes: Any) -> Trajectory:
    return from_log(source, **{"step": "epoch", "train": "train_acc", "held_out": "val_acc", **changes})


def test_every_format_gives_the_same_trajectory(tmp_path: Path):
    for name, source in sources(tmp_path).items():
        t = read(source, trivial=0.1)
        assert t.step.dtype == np.int64, name
        assert t.step.tolist() == COLUMNS["epoch"], name
        assert t.train.tolist() == COLUMNS["train_acc"], name
        assert t.held_out["held_out"].tolist() == COLUMNS["val_acc"], name
        assert t.notes == (), name
        assert verdict(t).verdict == "grokked", name


def test_splits_take_the_names_given():
    log = {**COLUMNS, "ood_acc": COLUMNS["val_acc"]}
    t = read(log, held_out={"id_val": "val_acc", "ood_test": "ood_acc"}, n={"train": 10}, trivial={"id_val": 0.1})
    assert t.splits == ["id_val", "ood_test"]
    assert t.trivial == {"id_val": 0.1}
    with pytest.raises(ValueError, match=r"trivial names 'id_vl'.*did you mean 'id_val'"):
        read(COLUMNS, held_out={"id_val": "val_acc"}, trivial={"id_vl": 0.1})


def test_an_unknown_trivial_predictor_is_noted_not_invented():
    t = read(COLUMNS)
    assert t.trivial == {}
    assert any("trivial predictor" in note for note in t.notes)
    assert verdict(t).evidence["trivial"] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": "train_ac"}, "no column 'train_ac'; did you mean 'train_acc'"),
        ({"step": "steps"}, "no column 'steps'"),
        ({"held_out": {"id_val": "vall_acc"}}, "did you mean 'val_acc'"),
        ({"train": None}, "name the columns"),
        ({"held_out": None}, "name the columns"),
        ({"held_out": {"train": "train_acc"}}, "names a split 'train'"),
        (
            {"held_out_loss": {"train": "train_loss"}},
            "held_out_loss names a split 'train'; give that column as train_loss=",
        ),
        ({"n": 0}, "n must be at least 1"),
        ({"kind": "regression", "train": None, "held_out": None}, "name its columns"),
        ({"kind": "regression", "held_out": None, "held_out_loss": "val_acc"}, "give trivial_loss"),
        ({"kind": "regression", "held_out": None, "held_out_loss": "val_acc", "trivial_loss": 0.0}, "must be positive"),
    ],
)
def test_a_wrong_mapping_says_what_to_change(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        read(COLUMNS, **changes)


def test_percent_is_never_guessed():
    percent = {**COLUMNS, "train_acc": [20, 70, 100, 100], "val_acc": [10, 10, 10, 97]}
    with pytest.raises(ValueError, match=r"row 1, column 'train_acc': 20 .*pass scale=0\.01"):
        read(percent)
    t = read(percent, scale=0.01)
    assert t.train.tolist() == pytest.approx(COLUMNS["train_acc"])
    with pytest.raises(ValueError, match=r"is already in 0\.\.1"):
        read(COLUMNS, scale=0.01)
    mixed = {**COLUMNS, "val_acc": [10, 10, 10, 97]}
    with pytest.raises(ValueError, match="column 'val_acc'"):
        read(mixed)
    assert read(mixed, scale={"held_out": 0.01}).held_out["held_out"][-1] == pytest.approx(0.97)


@pytest.mark.parametrize(
    ("epochs", "message"),
    [
        (
            [0, 10, 10, 1000],
            r"row 3, column 'epoch': step 10 repeats, and 'train_acc' differs: 0.7 in row 2, 1 here; .*last",
        ),
        ([0, 100, 10, 1000], r"row 3, column 'epoch': 10 goes backward from 100 in row 2; .*repeated='last'"),
        ([0, None, 10, 1000], r"row 2, column 'epoch': a step must be a number"),
        ([-1, 0, 10, 1000], r"row 1, column 'epoch'"),
    ],
)
def test_steps_must_only_grow(epochs: list[Any], message: str):
    with pytest.raises(ValueError, match=message):
        read({**COLUMNS, "epoch": epochs})


def test_fractional_epochs_stay_fractional():
    t = read({**COLUMNS, "epoch": [0, 0.5, 1, 1.5]})
    assert t.step.tolist() == [0, 0.5, 1, 1.5]


def test_a_cell_that_is_no_number_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"log\.csv: line 3, column 'val_acc': 'oops' is not a number"):
        read(write(tmp_path / "log.csv", csv_text().replace("10,0.7,0.1", "10,0.7,oops")))
    with pytest.raises(ValueError, match=r"row 2, column 'train_acc': True is not a number"):
        read({**COLUMNS, "train_acc": [0.1, True, 1, 1]})
    with pytest.raises(ValueError, match=r"row 1, column 'train_acc': \[1\] is not a number"):
        read([{**r, "train_acc": [1]} for r in ROWS])


@pytest.mark.parametrize("text", ["", "\n \n", "epoch,train_acc,val_acc\n", "[]"])
def test_an_empty_log_is_an_error(tmp_path: Path, text: str):
    with pytest.raises(ValueError, match="the log has no rows"):
        read(write(tmp_path / "log", text))


def test_empty_tables_in_memory_are_errors():
    for empty in ({}, [], pd.DataFrame()):
        with pytest.raises(ValueError, match="the log has no rows"):
            read(empty)


def test_files_that_cannot_be_read_say_why(tmp_path: Path):
    with pytest.raises(ValueError, match=r"nope\.csv: no such file"):
        read(tmp_path / "nope.csv")
    with pytest.raises(ValueError, match="is a folder"):
        read(tmp_path)
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not a text file"):
        read(tmp_path / "b.csv")
    with pytest.raises(ValueError, match="cannot read a log from int"):
        read(3)
    with pytest.raises(ValueError, match="row 1 is int"):
        read([1, 2])
    with pytest.raises(ValueError, match="expected a list of rows"):
        read(write(tmp_path / "x.json", '{"history": {"a": 1}}'))
    with pytest.raises(ValueError, match=r"line 2: not valid JSON"):
        read(write(tmp_path / "y.json", '[{"epoch": 1},\n oops]'))
    with pytest.raises(ValueError, match="columns differ in length"):
        read({"epoch": [1, 2], "train_acc": [1]})


def test_a_cut_last_line_is_left_out_with_a_note(tmp_path: Path):
    lines = [json.dumps(r) for r in ROWS]
    t = read(write(tmp_path / "log.jsonl", "\n".join(lines) + "\n" + '{"epoch": 2000, "train_'))
    assert len(t.step) == 4
    assert any("line 5" in n and "incomplete" in n for n in t.notes)
    t = read(write(tmp_path / "log.csv", csv_text() + "2000,1.0"))
    assert len(t.step) == 4
    assert any("line 6" in n and "incomplete" in n for n in t.notes)


def test_a_broken_line_elsewhere_is_an_error(tmp_path: Path):
    lines = [json.dumps(r) for r in ROWS]
    with pytest.raises(ValueError, match="line 2: not valid JSON"):
        read(write(tmp_path / "log.jsonl", "\n".join([lines[0], '{"epoch": 1', *lines[1:]])))
    with pytest.raises(ValueError, match="line 5: not valid JSON"):  # whole, since it ends in a newline, and broken
        read(write(tmp_path / "log.jsonl", "\n".join([*lines, '{"epoch": 1'][:5]) + "\n"))
    with pytest.raises(ValueError, match="line 3: 2 cells under a header of 3"):
        read(write(tmp_path / "log.csv", csv_text().replace("10,0.7,0.1", "10,0.7")))
    with pytest.raises(ValueError, match="'epoch' more than once"):
        read(write(tmp_path / "log.csv", csv_text().replace("train_acc", "epoch")))


@pytest.mark.parametrize("blank", [None, float("nan"), "", "NA"])
def test_a_split_evaluated_in_some_rows_only(blank: Any):
    t = read({**COLUMNS, "val_acc": [0.1, blank, 0.1, 0.97]}, trivial=0.1)
    assert t.curve("held_out").step.tolist() == [0, 100, 1000]
    assert milestones(t).T_gen.previous == 100
    assert milestones(t).evaluations == 3


def test_an_unrelated_column_changes_nothing():
    plain, more = read(COLUMNS), read({**COLUMNS, "lr": ["high", "low", "", "?"]})
    assert verdict(plain).to_dict() == verdict(more).to_dict()


def test_counts_are_recovered_from_rounded_means():
    thirds = {**COLUMNS, "val_acc": [0.33333334, 0.33333334, 0.6666667, 0.99999994]}
    t = read(thirds, n=3)
    assert t.counted == {"held_out"}
    assert t.held_out["held_out"].tolist() == [1 / 3, 1 / 3, 2 / 3, 1.0]
    assert t.n == {"held_out": 3}
    coarse = read({**COLUMNS, "val_acc": [0.33, 0.33, 0.67, 1.0]}, n=3)  # rounded for reading: not the counts
    assert coarse.counted == frozenset()


def test_losses_say_divergence_in_words_or_in_numbers(tmp_path: Path):
    text = "epoch,train_acc,val_acc,loss\n0,.2,.1,1.0\n10,1,.1,.1\n20,1,.1,nan\n30,1,.1,NaN\n"
    t = read(write(tmp_path / "log.csv", text), train_loss="loss")
    assert t.non_finite_from == 20
    assert verdict(t).verdict == "diverged"
    rows = [{**r, "loss": x} for r, x in zip(ROWS, [1.0, 0.1, float("inf"), float("nan")], strict=True)]
    path = write(tmp_path / "log.jsonl", "\n".join(json.dumps(r) for r in rows))
    assert read(path, train_loss="loss").non_finite_from == 100


@pytest.mark.parametrize("blank", [None, float("nan"), ""])
def test_a_loss_that_goes_blank_for_good_is_divergence_only_if_the_score_fell_with_it(blank: Any):
    fell = {**COLUMNS, "train_acc": [0.2, 1.0, 0.1, 0.1], "loss": [1.0, 0.1, blank, blank]}
    t = read(fell, train_loss="loss")
    assert t.non_finite_from == 100
    assert any("read as not finite" in n for n in t.notes)
    stayed = {**COLUMNS, "loss": [1.0, 0.1, blank, blank]}
    t = read(stayed, train_loss="loss")
    assert t.non_finite_from is None
    assert any("read as not logged" in n for n in t.notes)
    sparse = {**fell, "loss": [1.0, blank, 0.1, blank]}
    assert read(sparse, train_loss="loss").non_finite_from is None


def test_regression_from_losses_or_from_r2():
    log = {"e": [1, 2, 3], "tr": [1.36, 0.136, 0.0136], "va": [3.0, 3.0, 0.136]}
    t = from_log(log, step="e", kind="regression", train_loss="tr", held_out_loss={"id_val": "va"}, trivial_loss=1.36)
    assert t.held_out["id_val"] == pytest.approx([1 - 3 / 1.36, 1 - 3 / 1.36, 0.9])
    assert t.threshold == 0.9
    assert t.trivial == {"train": 0.0, "id_val": 0.0}
    direct = {"e": [1, 2], "tr": [0.0, 0.99], "va": [-5.0, 0.95]}
    t = from_log(direct, step="e", kind="regression", train="tr", held_out={"id_val": "va"})
    assert t.held_out["id_val"].tolist() == [-5.0, 0.95]


def test_norms_by_name():
    log = {**COLUMNS, "w": [4.0, 5, 6, 7], "h": [1.0, 1, 1, 1]}
    t = read(log, norm="w")
    assert t.norm is not None
    assert t.norm.tolist() == [4, 5, 6, 7]
    t = read(log, norm={"total": "w", "head": "h"})
    assert list(t.norm_groups) == ["head"]


def test_nothing_heavy_is_imported():
    import subprocess
    import sys

    heavy = ("torch", "pandas", "sklearn", "matplotlib")
    code = f"import sys, grokscope.trajectory; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
