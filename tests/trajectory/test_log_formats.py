"""Logs as people have them: every container gives the same trajectory, and what was done to read it is said."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope.trajectory import Trajectory, from_log, verdict
from grokscope.trajectory.logs.guess import suggest

CASES = Path(__file__).parent.parent / "cases" / "logs"
STEPS = {"step": "step", "train": "train_acc", "held_out": {"test": "test_acc"}}


def text_file(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def noted(t: Trajectory, words: str) -> bool:
    return any(words in note for note in t.notes)


# -- the cases ---------------------------------------------------------------------------------------------------------


def test_lightning_writes_two_rows_a_step():
    t = from_log(CASES / "lightning_csvlogger.csv", step="step", train="train_acc", held_out="val_acc")
    assert t.step.tolist() == [49, 99, 149]
    assert t.train.tolist() == [0.5, 1.0, 1.0]
    assert t.held_out["held_out"].tolist() == [0.10, 0.11, 0.99]
    t = from_log(
        CASES / "lightning_two_rows_per_step.csv", step="epoch", train="train_acc", held_out="val_acc",
        train_loss="train_loss", held_out_loss="val_loss",
    )  # fmt: skip
    assert t.train_loss is not None
    assert not np.isnan([t.train, t.held_out["held_out"], t.train_loss, t.held_out_loss["held_out"]]).any()
    assert t.step.tolist() == list(range(len(t.step)))


def test_hugging_face_keeps_its_rows_in_log_history():
    path = CASES / "hf_trainer_state.json"
    names = {"step": "step", "train": "train_accuracy", "held_out": "eval_accuracy", "train_loss": "loss"}
    t = from_log(path, **names)
    assert t.step.tolist() == list(range(0, 4000, 50))
    assert t.train_loss is not None
    assert not np.isnan([t.train, t.held_out["held_out"], t.train_loss]).any()

    class State:
        log_history = json.loads(path.read_text())["log_history"]

    assert verdict(from_log(State(), **names)).to_dict() == verdict(t).to_dict()


def test_the_only_list_of_rows_is_the_log():
    path = CASES / "nested_history.json"
    t = from_log(path, **STEPS)
    assert (len(t.step), t.last_step) == (200, 9950)
    assert from_log(json.loads(path.read_text()), **STEPS).train.tolist() == t.train.tolist()


def test_keras_history_has_no_step():
    path = CASES / "keras_history_without_epoch.json"
    t = from_log(path, train="accuracy", held_out={"val": "val_accuracy"}, train_loss="loss")
    columns = json.loads(path.read_text())
    assert t.step.tolist() == list(range(1, len(columns["accuracy"]) + 1))
    assert noted(t, "rows are counted from 1")

    class History:
        history = columns

    assert from_log(History(), train="accuracy", held_out="val_accuracy").train.tolist() == t.train.tolist()


def test_lines_without_a_step_are_left_out_and_said():
    t = from_log(CASES / "meta_and_summary_lines.jsonl", **STEPS)
    assert t.step.tolist() == list(range(0, 1010, 10))
    assert noted(t, "no step: line 1, 103")


def test_only_a_doubled_column_that_is_asked_for_is_an_error():
    path = CASES / "doubled_header_of_an_unused_column.csv"
    assert from_log(path, **STEPS).step[-1] > 0
    with pytest.raises(ValueError, match="'note' more than once"):
        from_log(path, **STEPS, norm="note")


def test_tensorboard_exports_a_file_for_each_chart():
    pair = [CASES / "tensorboard_train_acc.csv", CASES / "tensorboard_val_acc.csv"]
    t = from_log(pair, step="Step", train="tensorboard_train_acc", held_out={"val": "tensorboard_val_acc"})
    again = from_log(pair, step="Step", train="tensorboard_train_acc:Value", held_out="tensorboard_val_acc:Value")
    assert t.step.tolist() == again.step.tolist() == list(range(0, 10 * len(t.step), 10))
    assert t.train[:5].tolist() == [0, 0.25, 0.5, 0.75, 1.0]
    assert t.held_out["val"][:3].tolist() == [0.02, 0.02, 0.02]
    assert not np.isnan([t.train, t.held_out["val"]]).any()
    with pytest.raises(ValueError, match="'Value' is in 2 of the files; choose one: 'tensorboard_train_acc:Value'"):
        from_log(pair, step="Step", train="Value", held_out="tensorboard_val_acc")
    with pytest.raises(ValueError, match=r"no column 'tensorboard_va_acc'.*did you mean 'tensorboard_val_acc'"):
        from_log(pair, step="Step", train="tensorboard_train_acc", held_out="tensorboard_va_acc")


def test_joined_files_keep_every_step(tmp_path: Path):
    one = text_file(tmp_path / "a.csv", "step,train\n0,.1\n10,1\n30,1\n")
    two = text_file(tmp_path / "b.csv", "step,val\n0,.1\n20,.2\n")
    t = from_log([one, two], step="step", train="train", held_out="val")
    assert t.step.tolist() == [0, 10, 20, 30]
    assert t.train.tolist() == pytest.approx([0.1, 1, np.nan, 1], nan_ok=True)
    assert t.held_out["held_out"].tolist() == pytest.approx([0.1, np.nan, 0.2, np.nan], nan_ok=True)
    with pytest.raises(ValueError, match="name their common step column"):
        from_log([one, two], train="train", held_out="val")
    with pytest.raises(ValueError, match=r"b\.csv: no column 'stp'|a\.csv: no column 'stp'"):
        from_log([one, two], step="stp", train="train", held_out="val")


def test_percent_is_scaled_in_all_columns_or_in_none():
    path = CASES / "percent_memorized_below_1pct.csv"
    t = from_log(path, step="epoch", train="tr", held_out="te", scale=0.01)
    assert t.train.tolist() == [0.01, 1.0, 1.0, 1.0, 1.0]
    assert t.held_out["held_out"][-1] == pytest.approx(0.0086)
    with pytest.raises(ValueError, match=r"line 3, column 'tr': 100 .*scale=0\.01 for all columns"):
        from_log(path, step="epoch", train="tr", held_out="te")
    shares = {"epoch": [1, 100, 200], "tr": [0.01, 1, 1], "te": [0.008, 0.009, 0.0085]}
    with pytest.raises(ValueError, match=r"every value is already in 0\.\.1 \(largest 1\)"):
        from_log(shares, step="epoch", train="tr", held_out="te", scale=0.01)


def test_one_column_cannot_be_both_splits():
    with pytest.raises(ValueError, match="are the same column 'acc'"):
        from_log(CASES / "same_column_twice.csv", step="step", train="acc", held_out="acc")


# -- more of what people have ------------------------------------------------------------------------------------------


def test_wandb_puts_the_run_in_front_of_the_metric(tmp_path: Path):
    text = (
        '"Step","run-1 - train_acc","run-1 - train_acc__MIN","run-1 - train_acc__MAX","run-1 - val_acc"\n'
        '0,"0.1","0.1","0.1","0.1"\n10,"1","1","1","0.2"\n'
    )
    path = text_file(tmp_path / "wandb.csv", text)
    t = from_log(path, step="Step", train="train_acc", held_out="val_acc")
    assert t.train.tolist() == [0.1, 1.0]
    two = text_file(tmp_path / "two.csv", "Step,a - train_acc,a - val_acc,b - train_acc,b - val_acc\n0,.1,.2,.3,.4\n")
    with pytest.raises(ValueError, match="2 runs have a column 'train_acc': a, b; choose one with part='a'"):
        from_log(two, step="Step", train="train_acc", held_out="val_acc")
    t = from_log(two, step="Step", train="train_acc", held_out="val_acc", part="b")
    assert (t.train.tolist(), t.held_out["held_out"].tolist()) == ([0.3], [0.4])
    rows = [{"_step": 0, "_runtime": 3.2, "train/acc": 0.1, "val/acc": 0.1}, {"_step": 5, "train/acc": 1.0}]
    history = text_file(tmp_path / "history.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
    assert from_log(history, step="_step", train="train/acc", held_out="val/acc").train.tolist() == [0.1, 1.0]


def test_two_parts_that_could_be_the_log_are_named(tmp_path: Path):
    rows = [{"step": i, "train_acc": 1.0, "test_acc": 0.1} for i in range(3)]
    both = {"config": {"layers": [{"type": "a"}, {"type": "b"}]}, "first": {"rows": rows}, "second": rows[:2]}
    path = text_file(tmp_path / "log.json", json.dumps(both))
    with pytest.raises(
        ValueError, match=r"2 parts could be the log: 'second' and 'first\.rows'; choose one with part="
    ):
        from_log(path, **STEPS)
    assert len(from_log(path, **STEPS, part="second").step) == 2
    assert len(from_log(path, **STEPS, part="first.rows").step) == 3
    with pytest.raises(ValueError, match="no part 'scond'; did you mean 'second'"):
        from_log(path, **STEPS, part="scond")
    with pytest.raises(ValueError, match=r"no part has all of step, train_ac, test_acc: second has step, train_acc"):
        from_log(path, **{**STEPS, "train": "train_ac"})


def test_columns_beside_settings_and_lists_of_another_length():
    log = {"p": 97, "hidden": [200, 200], "step": [0, 1, 2], "train_acc": [0, 1, 1], "test_acc": [0, 0, 1]}
    assert from_log(log, **STEPS).train.tolist() == [0, 1, 1]
    with pytest.raises(ValueError, match="columns differ in length"):
        from_log({**log, "test_acc": [0]}, **STEPS)


def test_numbers_inside_objects_have_dotted_names(tmp_path: Path):
    rows = [{"step": i, "train": {"acc": 1.0}, "eval": {"test": {"acc": 0.5}}} for i in range(3)]
    path = text_file(tmp_path / "log.jsonl", "\n".join(json.dumps(r) for r in rows))
    assert from_log(path, step="step", train="train.acc", held_out="eval.test.acc").train.tolist() == [1, 1, 1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("packed", [False, True])
def test_encodings_and_gzip(tmp_path: Path, encoding: str, packed: bool):
    data = "step,train_acc,test_acc,größe\n0,.5,.1,1\n1,1,.2,1\n".encode(encoding)
    path = tmp_path / f"log.csv{'.gz' * packed}"
    path.write_bytes(gzip.compress(data) if packed else data)
    assert from_log(path, **STEPS).train.tolist() == [0.5, 1.0]


def test_what_is_no_text_is_said(tmp_path: Path):
    path = tmp_path / "log.csv"
    for data, words in (
        ("step,größe\n".encode("latin-1"), "save it as UTF-8"),
        ("step,train".encode("utf-16-le"), "byte order mark"),
        (gzip.compress(b"step,train_acc\n" * 99)[:-9], "damaged gzip"),
        (b"\x1f\x8bnothing", "damaged gzip"),
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=words):
            from_log(path, **STEPS)


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("# a run of mine\nstep,train_acc,test_acc\n0,.5,.1\n# resumed\n1,1,.2\n", ""),
        ("# step train_acc test_acc\n0.0 0.5 0.1\n1.0 1.0 0.2\n", "header was read from the comment"),
        ("#step,train_acc,test_acc\n0,0.5,0.1\n1,1,0.2\n", "header was read from the comment"),
        ("step train_acc  test_acc\n0   .5 .1\n1    1 .2\n", ""),
        ("step , train_acc , test_acc \n 0 , .5 , .1 \n1,1 , .2  \n", ""),
        ("step,train_acc,test_acc,\n0,.5,.1,\n1,1,.2,\n", ""),
        ("step,train_acc,test_acc\n0,.5,.1\nstep,train_acc,test_acc\n1,1,.2\n", "header is repeated in line 3"),
        ("step;train_acc;test_acc\n0;.5;.1\n1;1;.2\n", ""),
        ('step,train_acc,test_acc,text\n0,.5,.1,"a, b\n# c"\n1,1,.2,\n', ""),
    ],
)
def test_text_files_of_all_sorts(tmp_path: Path, text: str, notes: str):
    t = from_log(text_file(tmp_path / "log.csv", text), **STEPS, trivial=0.0)
    assert t.step.tolist() == [0, 1]
    assert t.train.tolist() == [0.5, 1.0]
    assert t.held_out["test"].tolist() == [0.1, 0.2]
    assert noted(t, notes) if notes else t.notes == ()


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("0,95", "a comma is ambiguous"),
        ("1,234", "a comma is ambiguous"),
        ("1.234,5", "a comma is ambiguous"),
        ("95%", r"remove the percent sign and pass scale=0\.01"),
        ("1_000", "'1_000' is not a number"),
        ("9" * 400, r"\(402 characters\) is too large"),
        ("1e400", "'1e400' is too large"),
        ("x" * 1000, r"\.\.\. \(1,002 characters\) is not a number"),
    ],
)
def test_a_number_that_could_be_misread_is_refused(tmp_path: Path, cell: str, message: str):
    path = text_file(tmp_path / "log.csv", f'step;train_acc;test_acc\n0;"{cell}";.1\n')
    with pytest.raises(ValueError, match=rf"log\.csv: line 2, column 'train_acc': .*{message}"):
        from_log(path, **STEPS)
    if cell.isdigit() or cell == "1e400":
        for source in (
            text_file(tmp_path / "log.json", f'[{{"step": 0, "train_acc": {cell}, "test_acc": 0}}]'),
            text_file(tmp_path / "log.jsonl", f'{{"step": 0, "train_acc": {cell}, "test_acc": 0}}'),
        ):
            with pytest.raises(ValueError, match=r"column 'train_acc': .* is too large"):
                from_log(source, **STEPS)


@pytest.mark.parametrize("cell", ["", "-", "None", "NA", "null", "nan", "NaN", "inf", " "])
def test_a_blank_accuracy_is_no_evaluation(tmp_path: Path, cell: str):
    path = text_file(tmp_path / "log.csv", f"step,train_acc,test_acc\n0,.5,.1\n1,1,{cell}\n2,1,.2\n")
    t = from_log(path, **STEPS)
    assert t.curve("test").step.tolist() == [0, 2]


# -- steps that repeat or go back --------------------------------------------------------------------------------------

RESUMED = "step,train_acc,test_acc\n0,.1,.1\n10,.5,.1\n20,.9,.1\n30,.95,.2\n15,.8,.1\n25,1,.3\n"


def test_a_resumed_log_is_refused_until_the_user_says_what_counts(tmp_path: Path):
    path = text_file(tmp_path / "log.csv", RESUMED)
    with pytest.raises(
        ValueError,
        match=r"line 6, column 'step': 15 goes backward from 30 in line 5; "
        r".*repeated='last'",
    ):
        from_log(path, **STEPS)
    t = from_log(path, **STEPS, repeated="last")
    assert t.step.tolist() == [0, 10, 15, 25]
    assert t.train.tolist() == [0.1, 0.5, 0.8, 1.0]
    assert noted(t, "2 evaluations were replaced")
    with pytest.raises(ValueError, match="repeated: unknown value 'lst'; did you mean 'last'"):
        from_log(path, **STEPS, repeated="lst")


def test_rows_of_one_step_that_contradict_each_other_are_named(tmp_path: Path):
    path = text_file(tmp_path / "log.csv", "step,train_acc,test_acc\n0,.1,.1\n10,.5,.1\n10,.6,\n")
    with pytest.raises(
        ValueError, match=r"line 4.*step 10 repeats, and 'train_acc' differs: 0\.5 in line 3, 0\.6 here"
    ):
        from_log(path, **STEPS)
    t = from_log(path, **STEPS, repeated="last")
    assert t.train.tolist() == [0.1, 0.6]
    assert t.held_out["test"].tolist() == [0.1, 0.1]


def test_rows_without_any_asked_value_are_no_evaluations(tmp_path: Path):
    text = "step,train_acc,test_acc,lr\n0,.1,.1,\n5,,,1\n3,,,1\n10,1,.1,\n99,,,1\n"
    t = from_log(text_file(tmp_path / "log.csv", text), **STEPS)
    assert t.step.tolist() == [0, 10]


# -- the columns are not named -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (
            "hf_trainer_state.json",
            "step='step', train='train_accuracy', train_loss='loss', held_out={'eval': 'eval_acc",
        ),
        ("keras_history_without_epoch.json", "(..., train='accuracy', train_loss='loss', held_out={'val': 'val_accu"),
        ("lightning_csvlogger.csv", "step='step', train='train_acc', held_out={'val': 'val_acc'}"),
        ("min_stops_there.csv", "step='step', train='train', held_out={'test': 'test'}"),
        ("nested_history.json", "step='step', train='train_acc', held_out={'test': 'test_acc'}"),
        ("percent_memorized_below_1pct.csv", "step='epoch', train='tr', held_out={'te': 'te'}"),
        ("mheight_told_01.csv", "--kind regression --train-loss train_loss --held-out-loss val_loss --trivial-loss"),
        ("same_column_twice.csv", "it has step, acc"),
    ],
)
def test_the_right_columns_are_suggested_and_not_taken(file: str, words: str):
    with pytest.raises(ValueError, match="name its columns") as error:
        from_log(CASES / file)
    assert words in str(error.value)
    if words.startswith("it has"):
        assert "did you mean" not in str(error.value)


def test_a_probe_is_no_held_out_accuracy_of_the_network(tmp_path):
    columns = ["step", "train_acc", "id_val_acc", "id_val_probe_acc", "val_linear_probe_accuracy"]
    assert suggest(columns).held_out == {"id_val": "id_val_acc"}
    assert suggest(["step", "train_acc", "id_val_probe_acc"]).held_out == {}


def test_a_step_column_that_is_there_is_not_replaced_by_row_numbers():
    with pytest.raises(ValueError, match="name the column of the step; did you mean step='step'"):
        from_log(CASES / "nested_history.json", train="train_acc", held_out="test_acc")


def test_options_of_the_other_kind_are_refused():
    with pytest.raises(ValueError, match="trivial_loss does not apply to classification"):
        from_log(CASES / "nested_history.json", **STEPS, trivial_loss=1.0)
    columns = {"step": "epoch", "train_loss": "train_loss", "held_out_loss": "val_loss", "trivial_loss": 1.36}
    with pytest.raises(ValueError, match="scale does not apply to regression"):
        from_log(CASES / "mheight_told_01.csv", kind="regression", **columns, scale=0.01)


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_a_wide_table_is_read_and_only_the_asked_columns_are_kept(tmp_path: Path):
    extra = [f"c{i}" for i in range(30_000)]
    lines = [",".join(["step", "train_acc", "test_acc", *extra])]
    lines += [",".join([str(i), "1", "0.1", *(["0"] * len(extra))]) for i in range(20)]
    path = text_file(tmp_path / "log.csv", "\n".join(lines))
    assert len(from_log(path, **STEPS).step) == 20
    with pytest.raises(ValueError, match=r"and 29,963 more") as error:
        from_log(path)
    assert len(str(error.value)) < 2000


def test_hostile_files_are_refused_at_once(tmp_path: Path):
    deep = "[" * 100_000 + "]" * 100_000
    for name, text, words in (
        ("a.csv", f'step,train_acc,test_acc,x\n0,1,1,"{"x" * 140_000}"\n', "longer than 131,072 characters"),
        ("b.csv", 'step,train_acc,test_acc,x\n0,1,1,"never closed\n1,1,1,\n', "a quote is opened and never closed"),
        ("c.json", deep, "nested too deeply"),
        ("d.jsonl", deep + "\n", "line 1: nested too deeply"),
        ("e.json", '{"a":' * 900 + "1" + "}" * 900, "expected a list of rows"),
        ("f.csv", "0,0.1,0.2\n1,0.2,0.3\n", "the first line contains numbers instead of column names"),
        ("g.csv", f"step,train_acc,test_acc\n1{'0' * 20},1,1\n", "below 9007199254740992"),
    ):
        with pytest.raises(ValueError, match=words):
            from_log(text_file(tmp_path / name, text), **STEPS)


def test_a_file_beyond_the_limit_is_refused_packed_or_not(tmp_path: Path):
    text = "step,train_acc,test_acc\n" + "".join(f"{i},1.0,0.5\n" for i in range(100_000))
    plain = text_file(tmp_path / "log.csv", text)
    packed = tmp_path / "log.csv.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    for path in (plain, packed):
        with pytest.raises(ValueError, match=r"larger than 1 MB; raise the limit with max_mb=10"):
            from_log(path, **STEPS, max_mb=1)
        assert len(from_log(path, **STEPS).step) == 100_000


def test_pipes_and_devices_are_not_opened(tmp_path: Path):
    import os

    os.mkfifo(tmp_path / "log.csv")
    for path in (tmp_path / "log.csv", Path("/dev/zero")):
        with pytest.raises(ValueError, match="is a pipe or a device"):
            from_log(path, **STEPS)


# -- the same rows, whatever the container -----------------------------------------------------------------------------

CELL = st.one_of(st.none(), st.integers(0, 1000).map(lambda k: k / 1000))


def containers(rows: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    names = list(rows[0])
    columns = {name: [row[name] for row in rows] for name in names}

    def text(mark: str) -> str:
        lines = [mark.join(names)] + [mark.join("" if v is None else str(v) for v in row.values()) for row in rows]
        return "\n".join(lines) + "\n"

    lines = "".join(json.dumps(row) + "\n" for row in rows)
    sparse = [{k: v for k, v in row.items() if v is not None} for row in rows]
    return {
        "csv": text_file(folder / "a.csv", text(",")),
        "tsv": text_file(folder / "a.tsv", text("\t")),
        "semicolon": text_file(folder / "b.csv", text(";")),
        "jsonl": text_file(folder / "a.jsonl", lines),
        "sparse jsonl": text_file(folder / "b.jsonl", "".join(json.dumps(row) + "\n" for row in sparse)),
        "json list": text_file(folder / "a.json", json.dumps(rows)),
        "json columns": text_file(folder / "b.json", json.dumps(columns)),
        "nested json": text_file(folder / "c.json", json.dumps({"args": {"lr": 1}, "out": {"log": rows}}, indent=1)),
        "pandas json": text_file(folder / "d.json", pd.DataFrame(columns).to_json()),
        "frame": pd.DataFrame(columns),
        "indexed frame": pd.DataFrame(columns).set_index("step"),
        "rows": rows,
        "columns": columns,
        "arrays": {k: np.array(v, dtype=float) for k, v in columns.items()},
    }


@settings(max_examples=40, deadline=None)
@given(cells=st.lists(st.tuples(st.integers(1, 50), CELL, CELL), min_size=2, max_size=12))
def test_the_same_rows_give_the_same_trajectory_whatever_the_container(cells, tmp_path_factory):
    steps = np.cumsum([step for step, _, _ in cells]).tolist()
    rows = [{"step": s, "train_acc": a, "test_acc": b} for s, (_, a, b) in zip(steps, cells, strict=True)]
    rows[0] = {"step": steps[0], "train_acc": 0.5, "test_acc": 0.5}
    expected = from_log(rows, **STEPS)
    kept = [row for row in rows if row["train_acc"] is not None or row["test_acc"] is not None]
    assert expected.step.tolist() == [row["step"] for row in kept]
    for name, source in containers(rows, tmp_path_factory.mktemp("same")).items():
        t = from_log(source, **STEPS)
        assert t.step.tolist() == expected.step.tolist(), name
        np.testing.assert_array_equal(t.train, expected.train, name)
        np.testing.assert_array_equal(t.held_out["test"], expected.held_out["test"], name)
        assert t.notes == expected.notes, name
