"""Reading a growing file of rows, and the record of what arrived of it."""

import json

import pytest

from grokscope.track.chosen import named_trackers, spelled
from grokscope.track.ledger import Ledger, place_of
from grokscope.track.tail import Line, Tail
from grokscope.track.to_tensorboard import TensorBoard
from grokscope.track.to_wandb import WandB


def steps(lines):
    return [line.step for line in lines]


def test_rows_are_returned_once_and_only_when_they_are_whole(tmp_path):
    path, tail = tmp_path / "metrics.jsonl", Tail(tmp_path / "metrics.jsonl")
    assert tail.new() == []
    path.write_text('{"step": 0, "train_acc": 0.5, "T": null, "n": 3}\n{"step": 5, "tra')
    (line,) = tail.new()
    assert (line.step, line.values) == (0, {"train_acc": 0.5, "n": 3.0})
    assert tail.new() == []
    with open(path, "a") as file:
        file.write('in_acc": 1}\n')
    assert steps(tail.new()) == [5]
    assert tail.steps == {0, 5}


def test_all_rows_come_again_where_the_file_was_replaced_or_cut(tmp_path):
    path, tail = tmp_path / "metrics.jsonl", Tail(tmp_path / "metrics.jsonl")
    path.write_text('{"step": 0}\n{"step": 5}\n')
    assert steps(tail.new()) == [0, 5]
    (tmp_path / "new").write_text('{"step": 0}\n{"step": 7}\n{"step": 9}\n')
    (tmp_path / "new").rename(path)
    assert steps(tail.new()) == [0, 7, 9]
    assert tail.steps == {0, 7, 9}
    path.write_text('{"step": 0}\n')
    assert steps(tail.new()) == [0]


@pytest.mark.parametrize("line", ["{}", "nonsense", "[1]", '{"step": -1}', '{"step": 1.5}', '{"step": true}'])
def test_a_damaged_row_is_named(line, tmp_path):
    (tmp_path / "m").write_text(f'{{"step": 0}}\n{line}\n')
    with pytest.raises(ValueError, match="m, line 2: not a row of metrics"):
        Tail(tmp_path / "m").new()


LINES = [Line(0, {}, 11), Line(5, {}, 22)]


def test_what_arrived_is_known_to_the_next_process(tmp_path):
    ledger = Ledger(tmp_path, WandB())
    ledger.begin()
    ledger.note(LINES)
    ledger.close(33, "somewhere")
    ledger.release()
    path = tmp_path / "track" / "wandb.jsonl"
    with open(path, "a") as file:
        file.write('{"step": 9, "cr')  # killed in the middle of a line
    again = Ledger(tmp_path, WandB())
    assert (again.sent, again.closed, again.where, again.key) == ({0: 11, 5: 22}, 33, "somewhere", ledger.key)
    again.note([Line(9, {}, 44)])
    again.release()
    third = Ledger(tmp_path, WandB())
    assert third.sent == {0: 11, 5: 22, 9: 44}
    assert third.closed is None, "rows came after the end"
    third.release()


def test_two_processes_do_not_mirror_one_run_to_one_place(tmp_path):
    ledger = Ledger(tmp_path, WandB())
    with pytest.raises(ValueError, match="another process mirrors this run there already"):
        Ledger(tmp_path, WandB())
    Ledger(tmp_path, WandB(project="another")).release()
    ledger.release()
    Ledger(tmp_path, WandB()).release()


def test_a_damaged_record_is_refused_with_the_remedy(tmp_path):
    Ledger(tmp_path, WandB()).release()
    path = tmp_path / "track" / "wandb.jsonl"
    path.write_text('{"tracker": "wandb", "key": "a"}\n{"stop": 3}\n')
    with pytest.raises(ValueError, match=r"wandb.jsonl, line 2: damaged.*; delete the file to mirror the run anew"):
        Ledger(tmp_path, WandB())


def test_places_and_spellings():
    assert place_of(WandB()) == "wandb"
    assert place_of(WandB(project="a")) != place_of(WandB(project="b"))
    for tracker in (WandB(project="a", entity="b"), WandB(project="2030"), TensorBoard(), TensorBoard(dir="/tmp/x")):
        assert named_trackers(spelled(tracker), "track") == (tracker,)
    assert named_trackers([{"name": "wandb", "project": "a"}, "tensorboard"], "track") == (
        WandB(project="a"), TensorBoard(),
    )  # fmt: skip
    assert named_trackers("none", "track") == named_trackers(None, "track") == ()
    assert named_trackers(["wandb"], "track", file=[WandB(project="a")]) == (WandB(project="a"),)
    assert named_trackers(["wandb:mode=offline"], "track", file=[WandB(project="a")]) == (WandB(mode="offline"),)


@pytest.mark.parametrize(
    ("variable", "mode", "continues"),
    [
        (None, "auto", False),
        ("offline", "auto", False),
        ("online", "auto", True),
        ("online", "offline", False),
        ("offline", "online", False),
        (None, "online", True),
    ],
)
def test_wandb_is_offline_unless_told_otherwise(variable, mode, continues, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    assert WandB(mode=mode).continues() is continues


def test_a_table_of_trackers_names_its_faults():
    for raw, words in (
        ([3], "expected the name of a tracker, got 3"),
        ({"project": "x"}, "a tracker needs a name"),
        ({"name": "wandb", "mode": "on"}, "unknown value 'on'"),
    ):
        with pytest.raises(ValueError, match=words):
            named_trackers(raw, "$.track")


def test_the_record_is_lines_of_json(tmp_path):
    ledger = Ledger(tmp_path, TensorBoard())
    ledger.begin("k")
    ledger.note(LINES)
    ledger.release()
    lines = (tmp_path / "track" / "tensorboard.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"tracker": "tensorboard", "key": "k"}, {"step": 0, "crc": 11}, {"step": 5, "crc": 22},
    ]  # fmt: skip
