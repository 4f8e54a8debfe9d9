"""The columns that a run leaves beside its metrics are those of its rows, or nobody believes them."""

import json
import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest

from grokscope.execute.attempt import attempt
from grokscope.store import find_runs, gathering, kept_columns, metrics
from grokscope.store.metrics import columns
from grokscope.store.query import sql
from tiny import tiny

ROWS = "select * from metrics order by run, step"


def make_run(folder: Path, rows: str, leave: bool = True) -> Path:
    (folder / "results").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"schema": 1, "config": {"seed": 0}}))
    (folder / "results" / "metrics.jsonl").write_text(rows)
    if leave:
        kept_columns.leave(folder)
    return folder


def lines(*rows: dict) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


PLAIN = lines({"step": 0, "loss": 1.5, "n": 7}, {"step": 3, "loss": None, "extra": 1e-300}, {"step": 9, "flag": True})


def test_columns_are_those_of_the_rows(tmp_path):
    run = make_run(tmp_path / "run", PLAIN)
    kept, parsed = kept_columns.recall(run), columns(metrics.read_rows(run / "results" / "metrics.jsonl"))
    assert kept is not None
    assert list(kept) == list(parsed) == ["step", "loss", "n", "extra", "flag"]
    for name, values in parsed.items():
        assert kept[name].dtype == values.dtype
        np.testing.assert_array_equal(kept[name], values)
        kept[name][0] = 5  # they are the caller's own, as parsed ones are


def test_the_process_that_trains_leaves_them_and_every_reader_of_curves_takes_them(tmp_path, monkeypatch):
    assert attempt(tiny(seed=3), tmp_path, (), lambda *_: None)[0] == "done"
    (run,) = find_runs(tmp_path)
    parsed, answer = columns(run.rows()), sql(ROWS, tmp_path)
    shutil.rmtree(tmp_path / ".index")

    def never(*_: object) -> None:
        raise AssertionError("the rows were parsed, although their columns are there")

    monkeypatch.setattr("grokscope.store.run.read_rows", never)
    kept = run.metrics()
    assert list(kept) == list(parsed)
    assert all(np.array_equal(kept[name], parsed[name], equal_nan=True) for name in parsed)
    assert sql(ROWS, tmp_path) == answer


def damage(run: Path, kind: str) -> None:
    file, rows = run / "results" / "columns.bin", run / "results" / "metrics.jsonl"
    if kind == "grown":
        with open(rows, "a") as growing:
            growing.write('{"step": 20, "loss": 0.5}\n')
    elif kind == "rewritten":  # of one size, and with the time of its content set back
        times = rows.stat()
        rows.write_text(PLAIN.replace("1.5", "2.5"))
        os.utime(rows, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif kind == "flipped":
        data = bytearray(file.read_bytes())
        data[-9] ^= 4
        file.write_bytes(data)
    elif kind == "cut":
        file.write_bytes(file.read_bytes()[:-8])
    elif kind == "empty":
        file.write_bytes(b"")
    elif kind == "other version":
        text = file.read_bytes().partition(b" ")[2].replace(b"[%d," % kept_columns.VERSION, b"[0,", 1)
        file.write_bytes(b"%d " % zlib.crc32(text) + text)
    elif kind == "no header":
        file.write_bytes(b"%d 7\n" % zlib.crc32(b"7\n"))
    elif kind == "linked":
        file.rename(run.parent / "elsewhere")
        file.symlink_to(run.parent / "elsewhere")
    elif kind == "gone":
        file.unlink()


@pytest.mark.parametrize(
    "kind", ["grown", "rewritten", "flipped", "cut", "empty", "other version", "no header", "linked", "gone"]
)
def test_what_does_not_fit_the_metrics_is_not_believed(tmp_path, kind):
    run = make_run(tmp_path / "run", PLAIN)
    assert kept_columns.recall(run) is not None
    damage(run, kind)
    assert kept_columns.recall(run) is None
    rows = metrics.read_rows(run / "results" / "metrics.jsonl")
    assert [(r["step"], r["loss"]) for r in sql(ROWS, tmp_path)] == [(r["step"], r.get("loss")) for r in rows]


def test_columns_that_came_from_elsewhere_are_not_believed_although_they_fit(tmp_path):
    """Size and time of the metrics agree, as in an archive that keeps times; the numbers are false."""
    run = make_run(tmp_path / "ours" / "run", PLAIN)
    file = run / "results" / "columns.bin"
    text = file.read_bytes().partition(b" ")[2].replace(np.float64(1.5).tobytes(), np.float64(2.5).tobytes())
    file.write_bytes(b"%d " % zlib.crc32(text) + text)
    assert sql(ROWS, tmp_path / "ours")[0]["loss"] == 2.5, "here they are as good as ours"
    copied = shutil.copytree(run, tmp_path / "theirs" / "run")  # keeps the times of the content
    assert kept_columns.recall(copied) is None
    assert sql(ROWS, tmp_path / "theirs")[0]["loss"] == 1.5


@pytest.mark.parametrize(
    "odd",
    ['"text"', "[1]", "{}", "9" * 400, '1, "LOSS": 2', '1, "run": 2', '1, "": 2', '1, "Step": 2', '1, "a\\nb": 2'],
)
def test_of_rows_that_hold_more_than_numbers_nothing_is_left(tmp_path, odd):
    run = make_run(tmp_path / "run", PLAIN.replace("1.5", odd))
    assert not (run / "results" / "columns.bin").exists()


@pytest.mark.parametrize("rows", ["", "no row\n", '{"step": 3}\n{"step": 3}\n', '{"step": 0, "lo'])
def test_of_damaged_or_absent_rows_nothing_is_left(tmp_path, rows):
    assert not (make_run(tmp_path / "run", rows) / "results" / "columns.bin").exists()


def test_a_link_in_their_place_is_not_written_through(tmp_path):
    run = make_run(tmp_path / "run", PLAIN, leave=False)
    (tmp_path / "precious").write_text("keep me")
    (run / "results" / "columns.bin").symlink_to(tmp_path / "precious")
    kept_columns.leave(run)
    assert (tmp_path / "precious").read_text() == "keep me"


@pytest.mark.parametrize("kept", [True, False])
def test_runs_are_gathered_in_pieces_of_bounded_size(tmp_path, monkeypatch, kept):
    """Runs of unlike columns and lengths, with infinite and absent values, in one piece or in many."""
    one, many = tmp_path / "one", tmp_path / "many"
    for root in (one, many):
        for number in range(7):
            rows = [{"step": s, "loss": s / 7, ("acc", "ACC", "r2")[number % 3]: number} for s in range(number + 1)]
            make_run(root / f"run{number}", lines(*rows).replace(": 0.0,", ": 1e999,"), leave=kept)
    held = []
    write = gathering._Files.flush
    monkeypatch.setattr(gathering._Files, "flush", lambda files: (held.append(len(files._held)), write(files))[1])
    whole = sql(ROWS, one)
    assert max(held) == 7
    held.clear()
    monkeypatch.setattr(gathering, "CELLS", 10)
    assert sql(ROWS, many) == whole
    assert max(held) < 4
    assert len(whole) == 28
    assert [row["loss"] for row in whole if row["step"] == 0] == [None] * 7
    assert list(whole[0]) == ["run", "step", "loss", "acc", "r2"]
    assert [row["acc"] for row in whole if row["run"] == "run1"] == [1.0, 1.0]


def test_an_index_that_cannot_be_written_is_asked_all_the_same(tmp_path, monkeypatch):
    for number in range(3):
        make_run(tmp_path / "runs" / f"run{number}", PLAIN)
    right = sql(ROWS, tmp_path / "runs")
    (tmp_path / "runs" / ".index" / "metrics.json").unlink()
    monkeypatch.setattr("grokscope.store.index.os.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    monkeypatch.setattr(gathering, "CELLS", 10)
    assert sql(ROWS, tmp_path / "runs") == right
