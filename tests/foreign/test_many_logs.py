"""Several logs at once: which files are meant, a bad one beside good ones, and groups compared over their seeds."""

from pathlib import Path

import pytest

import grokscope as gs
from foreign.many_logs import COLUMNS, GROUP, rows, write_groups, write_log
from grokscope.foreign import groups as groups_module
from grokscope.foreign.sources import find_sources


def test_files_folders_and_patterns(tmp_path: Path):
    folder = write_groups(tmp_path / "logs", a=[300] * 11)
    (folder / "README.md").write_text("x")
    (folder / "deep").mkdir()
    write_log(folder / "deep" / "b.csv.gz", 200)
    names = [f"a_s{i}.jsonl" for i in range(11)]
    found = find_sources([folder])
    assert [s.path.name for s in found.sources] == names
    assert "README.md" in found.left[0]
    assert [s.path.name for s in find_sources([f"{folder}/*.jsonl"]).sources] == names
    assert [s.path.name for s in find_sources([f"{folder}/**/*.csv.gz"]).sources] == ["b.csv.gz"]
    again = find_sources([folder / "a_s1.jsonl", folder / "a_s1.jsonl", folder])
    assert [s.path.name for s in again.sources] == ["a_s1.jsonl", *(n for n in names if n != "a_s1.jsonl")]
    nothing = find_sources([tmp_path / "no*.csv", tmp_path / "none.csv", tmp_path])
    assert not nothing.sources
    assert [words.rpartition(": ")[2] for words in nothing.errors.values()][:2] == [
        "no file matches", "no such file or folder",
    ]  # fmt: skip
    assert len(nothing.errors) == 3


def test_a_bad_log_costs_the_others_nothing(tmp_path: Path):
    folder = write_groups(tmp_path, a=[300, None])
    (folder / "a_s2.jsonl").write_text('{"step": 0, "train_acc": 3, "test_acc": 0}\n')
    found = gs.verdicts_of_logs(folder, **COLUMNS)
    assert [log.verdicts["test"].verdict if log.verdicts else None for log in found] == ["grokked", "memorized", None]
    assert list(found.errors) == [str(folder / "a_s2.jsonl")]
    assert "column 'train_acc': 3 is not an accuracy" in found.errors[str(folder / "a_s2.jsonl")]
    assert any("trivial predictor" in note for note in found[0].notes)
    with pytest.raises(ValueError, match="3 is not an accuracy"):
        gs.verdicts_of_logs(folder / "a_s2.jsonl", **COLUMNS)
    with pytest.raises(ValueError, match="no such file"):
        gs.verdicts_of_logs([folder / "none.jsonl"], **COLUMNS)


def test_notes_reach_the_verdict():
    found = gs.verdict([{"note": "settings"}, *rows(300)], **COLUMNS)["test"]
    assert any("excluded because they have no step: row 1" in note for note in found.notes)
    assert found.to_dict()["notes"] == list(found.notes)


def test_groups_have_their_counts_medians_and_tests(tmp_path: Path):
    slow: list[int | None] = [700, 720, 740, 760, None]
    folder = write_groups(tmp_path, fast=[300, 310, 320, 330, 340], slow=slow)
    write_log(folder / "other.jsonl", 300)
    found = gs.verdicts_of_logs(f"{folder}/*.jsonl", group=GROUP, **COLUMNS)
    fast, slow_group = found.groups
    assert (fast.name, fast.n, fast.verdicts, fast.T_gen.median) == ("fast", 5, {"grokked": 5}, 320)
    assert (slow_group.name, slow_group.verdicts) == ("slow", {"grokked": 4, "memorized": 1})
    assert (slow_group.T_gen.events, slow_group.T_gen.n, slow_group.T_gen.median) == (4, 5, 740)
    (test,) = found.comparisons
    assert test.test.p == pytest.approx(2 / 252)
    assert test.test.smallest_p == pytest.approx(2 / 252)
    assert found.unmatched == (str(folder / "other.jsonl"),)
    assert [log.seed for log in found if log.group == "fast"] == [0, 1, 2, 3, 4]


def test_equal_groups_are_not_told_apart(tmp_path: Path):
    gens: list[int | None] = [300, 400, 500, 600]
    folder = write_groups(tmp_path, a=gens, b=gens)
    (test,) = gs.verdicts_of_logs(folder, group=GROUP, **COLUMNS).comparisons
    assert test.test.p == 1.0


def test_pairs_of_one_family_are_adjusted_and_many_groups_are_not_hunted_through(tmp_path: Path, monkeypatch):
    folder = write_groups(tmp_path, a=[300, 310, 320], b=[500, 510, 520], c=[700, 710, 720])
    found = gs.verdicts_of_logs(folder, group=GROUP, **COLUMNS)
    assert [c.groups for c in found.comparisons] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [c.p_holm for c in found.comparisons] == pytest.approx([0.3, 0.3, 0.3])
    monkeypatch.setattr(groups_module, "COMPARED", 2)
    assert gs.verdicts_of_logs(folder, group=GROUP, **COLUMNS).comparisons == ()


def test_patterns_of_groups_match_names_and_folders():
    pattern = groups_module.Pattern(GROUP)
    assert pattern.match(Path("a/b/wd=1.0_s12.jsonl")) == ("wd=1.0", 12)
    assert pattern.match(Path("x_s3.csv.gz")) == ("x", 3)
    assert pattern.match(Path("x_s3_more.csv")) is None
    folders = groups_module.Pattern(r"(?P<lr>[^/]+)/(?P<wd>[^/]+)/seed(?P<seed>\d+)")
    assert folders.match(Path("runs/0.1/1.0/seed7.csv")) == ("lr=0.1, wd=1.0", 7)
    with pytest.raises(ValueError, match="has no named group"):
        groups_module.Pattern(r".*_s\d+")
    with pytest.raises(ValueError, match="is not a valid regular expression"):
        groups_module.Pattern(r"(?P<setting>.*")
