"""The index of many runs: it answers as their files do, whatever happens to them or to it."""

import json
import os
import shutil
from pathlib import Path

import pytest

from grokscope.cli import run as cli
from grokscope.config import RunConfig
from grokscope.execute.attempt import attempt
from grokscope.store import Run, find_runs, query, run_index
from grokscope.store.folders import Folders
from grokscope.store.query import run_rows
from grokscope.store.run_index import RunIndex
from grokscope.study import Study
from grokscope.study.run_state import read_study_run
from grokscope.verdicts import run_verdicts
from report.synthetic import GROKKED, MEMORIZED, write_run
from tiny import TINY, tiny


def judge(run: Run, state: str):
    return run_verdicts(run, state=state)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run_index, "WORTH", 1)
    for seed in range(4):
        write_run(tmp_path / "runs", "wd 0.1", seed, GROKKED if seed % 2 else MEMORIZED)
    return tmp_path / "runs"


def never(*_: object):
    raise AssertionError("read, although the index knows it")


def plainly(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """The rows as the files say, without an index."""
    with monkeypatch.context() as without:
        without.setattr(query, "stamps_of", lambda run: None)
        return run_rows(root, judge)


def test_the_second_question_reads_no_run_and_answers_alike(root, monkeypatch):
    first = run_rows(root, judge)
    assert first == run_rows(root, judge), "the verdicts that were judged just now are kept, and then known"
    assert (root / ".index" / "runs.json").exists()
    monkeypatch.setattr(query, "_read", never)
    assert run_rows(root, judge) == first
    assert json.loads(json.dumps(first)) == first
    monkeypatch.chdir(root.parent)
    assert [row["path"] for row in run_rows("runs", judge)] == [str(Path("runs") / row["id"]) for row in first]


def test_changed_new_and_deleted_runs_are_noticed(root, monkeypatch):
    for _ in range(2):
        run_rows(root, judge)
    one, two, three, four = find_runs(root)
    record = json.loads((one.path / "config.json").read_text())
    record["config"]["regime"]["lr"] = 0.125
    (one.path / "config.json").write_text(json.dumps(record))
    status = json.loads((two.path / "status.json").read_text())
    (two.path / "status.json").write_text(json.dumps(status | {"state": "failed", "error": {"message": "too bad"}}))
    rows = (three.path / "results" / "metrics.jsonl").read_text().splitlines(keepends=True)
    (three.path / "results" / "metrics.jsonl").write_text("".join(rows[:-1]))
    shutil.rmtree(four.path)
    write_run(root, "new", 9, GROKKED)
    now = run_rows(root, judge)
    assert now == plainly(root, monkeypatch)
    by_id = {row["id"]: row for row in now}
    assert by_id[one.id]["regime.lr"] == 0.125
    assert (by_id[two.id]["state"], by_id[two.id]["error"]) == ("failed", "too bad")
    assert four.id not in by_id
    assert len(by_id) == 4
    run_rows(root, judge)
    assert four.id not in json.loads((root / ".index" / "runs.json").read_bytes().partition(b"\n")[2])["runs"]


@pytest.mark.parametrize(
    "damage",
    [b"", b"{}", b"not json\n{}", b"{}\n{}", b"\xff\xfe"],
    ids=["empty", "no head", "no json", "another head", "no text"],
)
def test_a_damaged_index_is_made_anew(root, damage):
    right = [run_rows(root, judge) for _ in range(2)][1]
    path = root / ".index" / "runs.json"
    whole = path.read_bytes()
    path.write_bytes(damage)
    assert run_rows(root, judge) == right
    assert path.read_bytes().partition(b"\n")[0] == whole.partition(b"\n")[0]


def test_one_changed_letter_and_an_older_version_are_not_believed(root, monkeypatch):
    right = [run_rows(root, judge) for _ in range(2)][1]
    path = root / ".index" / "runs.json"
    path.write_bytes(path.read_bytes().replace(b'"grokked"', b'"rokkedg"'))
    assert run_rows(root, judge) == right
    monkeypatch.setattr(run_index, "VERSION", run_index.VERSION + 1)
    assert not RunIndex(root)._entries, "written by another version"
    assert run_rows(root, judge) == right
    assert RunIndex(root)._entries


def test_an_index_that_came_with_the_runs_is_not_believed(root, tmp_path):
    """Its times are those of another disk, or of another copy: every run is read and judged anew."""
    for _ in range(2):
        run_rows(root, judge)
    copied = tmp_path / "copied"
    shutil.copytree(root, copied)
    index = RunIndex(copied)
    assert index._entries
    assert not any(index.recall(run, run_index.stamps_of(run)) for run in find_runs(copied))


def test_a_link_in_place_of_the_index_is_neither_read_nor_written(root, tmp_path):
    outside = tmp_path / "outside.json"
    outside.write_text("mine")
    (root / ".index").mkdir()
    (root / ".index" / "runs.json").symlink_to(outside)
    for _ in range(3):
        assert len(run_rows(root, judge)) == 4
    assert outside.read_text() == "mine"


@pytest.mark.skipif(os.getuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_cannot_be_written_answers_all_the_same(root):
    right = run_rows(root, judge)
    root.chmod(0o555)
    try:
        assert run_rows(root, judge) == right
    finally:
        root.chmod(0o755)


def test_what_cannot_be_written_answers_all_the_same(root, monkeypatch):
    def refuse(*_: object, **__: object):
        raise PermissionError(13, "read-only")

    monkeypatch.setattr(run_index.os, "replace", refuse)
    right = run_rows(root, judge)
    assert run_rows(root, judge) == right
    assert not list((root / ".index").glob("*")), "and nothing half-written stays"


def test_two_at_once_are_both_right(root):
    one, two = RunIndex(root), RunIndex(root)
    runs = find_runs(root)
    run_rows(root, judge)  # judged, so that the files stay as they are
    for index, mine in ((one, runs[:2]), (two, runs[2:])):
        for run in mine:
            stamps = run_index.stamps_of(run)
            index.note(run, stamps, query._read(run, judge)[0])
        index.save()
    assert run_rows(root, judge) == run_rows(root, judge)
    assert len(RunIndex(root)._entries) == 4


def test_running_damaged_and_foreign_runs_are_never_kept(root):
    for _ in range(2):
        run_rows(root, judge)
    one, two, three, _ = find_runs(root)
    status = json.loads((one.path / "status.json").read_text())
    (one.path / "status.json").write_text(json.dumps(status | {"state": "running"}))
    (two.path / "status.json").write_text(json.dumps(status | {"metrics_bytes": 1}))
    record = json.loads((three.path / "config.json").read_text())
    (three.path / "config.json").write_text(json.dumps(record | {"plugins": {"optimizer lion": "my_lab:Lion"}}))
    for _ in range(2):
        rows = {row["id"]: row["state"] for row in run_rows(root, judge)}
        assert (rows[one.id], rows[two.id]) == ("interrupted", "damaged")
    index = RunIndex(root)
    assert not any(index.recall(run, run_index.stamps_of(run)) for run in (one, two, three))


def test_a_row_without_a_verdict_says_nothing_to_who_can_judge(root):
    assert [row["verdict"] for row in run_rows(root)] == [None] * 4, "nothing was judged, and nobody asked to"
    assert {row["verdict"] for row in run_rows(root, judge)} == {"grokked", "memorized"}


def test_the_process_that_trains_leaves_the_row_for_the_first_look(tmp_path, monkeypatch):
    config: RunConfig = tiny(seed=3)
    assert attempt(config, tmp_path, (), lambda *_: None)[0] == "done"
    (run,) = find_runs(tmp_path)
    assert (run.path / "results" / "row.json").exists()
    right = plainly(tmp_path, monkeypatch)
    monkeypatch.setattr(query, "_read", never)
    assert run_rows(tmp_path, judge) == right
    (run.path / "results" / "row.json").write_bytes(b"12 []\n")
    with pytest.raises(AssertionError, match="read, although"):
        run_rows(tmp_path, judge)


def test_a_study_stands_as_its_files_say_with_and_without_the_index(tmp_path, monkeypatch):
    made = Study.from_dict({**TINY, "seeds": [0, 1, 2]})
    made.only(seeds=[0, 1]).run(workers=0, root=tmp_path)
    monkeypatch.setattr("grokscope.study.study.WORTH", 1)
    known = made.status(tmp_path)
    assert [s.known is not None for s in known] == [True, True, False]
    assert [s.state for s in known] == ["done", "done", "new"]
    plain = [read_study_run(entry, Folders(tmp_path)) for entry in made.entries]
    assert known == plain
    longer = Study.from_dict({**TINY, "seeds": [0], "budget": {"steps": 90}})
    assert longer.status(tmp_path)[0].state == "partial", "the same run is not finished for a longer budget"
    taken = tmp_path / made.entries[2].config.run_id()
    known[0].run.path.rename(taken)
    assert made.status(tmp_path)[2].state == "unreadable", "the name says one run, the config another"


def test_the_index_serves_the_command_line(root, capsys):
    assert cli(["ls", str(root), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    for _ in range(2):
        assert cli(["ls", str(root), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == first
    assert cli(["sql", "select count(*) n from runs where verdict = 'grokked'", "--root", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"n": 2}]
