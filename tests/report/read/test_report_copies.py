"""A run and its imports are one seed: counted once, and said so."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from grokscope import registry
from grokscope.report import build_report
from grokscope.report.read.copies import copies_note, set_aside
from grokscope.report.read.material import collect
from grokscope.report.read.subjects import as_subjects
from grokscope.store import Run, open_run
from report.synthetic import GROKKED, MEMORIZED, write_run


def runs_in(root: Path) -> list[Run]:
    return [open_run(p.parent) for p in sorted(root.rglob("config.json"))]


def imported(root: Path, seed: int, shape=GROKKED, digest: str | None = None, config=None, **more) -> Path:
    """A run folder as an import leaves it."""
    folder = write_run(root, "r", seed, shape, **more)
    path = folder / "config.json"
    record = json.loads(path.read_text())
    record["lineage"] = {"kind": "archive", "archive": "a", "run": "x", "digest": digest or f"{root.name}{seed}"}
    record["config"] |= config or {}
    path.write_text(json.dumps(record))
    return folder


def kept(root: Path) -> tuple[list[str], list[str]]:
    """Paths from the root of what counts, and of what is left out."""
    counted, copies = set_aside(as_subjects(runs_in(root)))
    return [Path(str(s.path)).parent.name for s in counted], [Path(str(c.copy.path)).parent.name for c in copies]


def test_a_run_and_its_imports_count_once(tmp_path):
    for seed in range(3):
        imported(tmp_path / "a", seed)
        imported(tmp_path / "b", seed)
        write_run(tmp_path / "z", "r", seed, GROKKED)
    counted, left = kept(tmp_path)
    assert counted == ["z"] * 3, "the runs themselves, although they come last"
    assert sorted(left) == ["a"] * 3 + ["b"] * 3


def test_without_the_run_its_first_import_counts(tmp_path):
    imported(tmp_path / "a", 0)
    imported(tmp_path / "b", 0)
    assert kept(tmp_path) == (["a"], ["b"])


def test_other_seeds_settings_starts_and_numbers_are_other_runs(tmp_path):
    write_run(tmp_path / "a", "r", 0, GROKKED)
    imported(tmp_path / "seed", 1)
    imported(tmp_path / "decay", 0, weight_decay=0.5)
    imported(tmp_path / "branch", 0, config={"start": {"run": "a", "step": 10, "digest": "d"}})
    imported(tmp_path / "again", 0, shape=MEMORIZED)
    assert kept(tmp_path)[1] == []


def test_where_the_data_lie_is_no_setting(tmp_path):
    where = next(
        (name, f.name)
        for name in registry.entries("task")
        for f in fields(registry.load("task", name))
        if not f.metadata.get("identity", True)
    )
    for place in "ab":
        imported(tmp_path / place, 0, config={"task": {"name": where[0], "n_train": 9, where[1]: place}})
    assert kept(tmp_path) == (["a"], ["b"])


def test_two_folders_of_one_run_are_one_seed_whatever_they_measured(tmp_path):
    write_run(tmp_path / "a", "r", 0, GROKKED)
    write_run(tmp_path / "b", "r", 0, MEMORIZED)
    write_run(tmp_path / "c", "r", 1, GROKKED)
    write_run(tmp_path / "d", "r", 0, GROKKED, weight_decay=0.5)
    assert kept(tmp_path) == (["a", "c", "d"], ["b"])


def test_of_two_folders_of_one_run_the_furthest_counts_and_a_damaged_one_last(tmp_path):
    folders = [write_run(tmp_path / name, "r", 0, GROKKED) for name in "abc"]
    for folder, step in zip(folders, (10, 30, 40), strict=True):
        status = json.loads((folder / "status.json").read_text())
        (folder / "status.json").write_text(json.dumps(status | {"state": "interrupted", "step": step}))
    (folders[2] / "results" / "metrics.jsonl").write_text("not json\n")
    assert kept(tmp_path)[0] == ["b"]
    page = build_report(runs_in(tmp_path), tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    assert "2 runs excluded from this page (other folders of runs that are already counted)" in page
    assert f"{folders[0]} (of {folders[1]})" in page
    assert "2 copies not counted" in page


def test_a_folder_given_twice_or_linked_is_one_run(tmp_path):
    folder = write_run(tmp_path / "a", "r", 0, GROKKED)
    (tmp_path / "link").symlink_to(folder)
    counted, copies = set_aside(as_subjects([open_run(folder), open_run(folder), open_run(tmp_path / "link")]))
    assert [len(counted), len(copies)] == [1, 2]


def test_two_folders_of_one_run_that_learned_from_other_data_are_refused(tmp_path):
    for place in "ab":
        path = write_run(tmp_path / place, "r", 0, GROKKED) / "config.json"
        record = json.loads(path.read_text())
        record["facts"] = record["facts"] | {"data": {"version": 1, "digests": {"train": place * 32}}}
        path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="different data in split train"):
        build_report(runs_in(tmp_path), tmp_path / "r.html", formats=())


def test_grouped_verdicts_count_a_run_once_and_name_the_other_folder(tmp_path):
    from grokscope.foreign import verdicts_of_logs

    for place, seeds in (("x_a", (0, 1, 2)), ("x_b", (0,))):
        for seed in seeds:
            write_run(tmp_path / place, "r", seed, GROKKED)
    found = verdicts_of_logs([tmp_path / "x_a", tmp_path / "x_b"], group=r".*/(?P<place>x)_.*")
    assert [g.n for g in found.groups] == [3]
    assert len(found) == 4, "all are judged"
    assert [str(tmp_path / "x_b") in words and "not counted" in words for words in found.left] == [True]


def test_the_same_files_are_the_same_run_however_they_were_read(tmp_path):
    imported(tmp_path / "a", 0, digest="d")
    imported(tmp_path / "b", 0, digest="d", threshold=0.8, weight_decay=0.5)
    assert kept(tmp_path) == (["a"], ["b"])


def test_an_import_of_a_part_is_a_copy(tmp_path):
    """An archive made while the run was going on; keys that only one of the two knows do not tell them apart."""
    write_run(tmp_path / "a", "r", 0, GROKKED)
    imported(tmp_path / "b", 0, until=3000, config={"new": 1})
    imported(tmp_path / "c", 0, until=-1)
    assert kept(tmp_path) == (["a"], ["b", "c"])


def test_groups_headline_and_survival_count_the_original_only(tmp_path):
    for seed in range(2):
        write_run(tmp_path / "a", "r", seed, GROKKED)
        imported(tmp_path / "b", seed)
    page = build_report(runs_in(tmp_path), tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    text = " ".join(re.sub(r"<svg.*?</svg>|<[^>]+>", " ", page, flags=re.DOTALL).split())
    assert "All 2 runs grokked." in text
    assert "2 runs launched = 2 finished" in text
    assert "2 imported copies not counted" in text
    assert "2 runs excluded from this page (imported copies of runs that are already counted): " in text
    for seed in range(2):
        folder = f"digits_r_n200_s{seed}-0000000{seed}"
        assert f"{tmp_path / 'b' / folder} (of {tmp_path / 'a' / folder})" in text
    material = collect(
        runs_in(tmp_path), title=None, study=None, expectations=None, criteria=None, split=None, remake=None,
        out=tmp_path / "r.html",
    )  # fmt: skip
    assert {g: len(m) for g, m in material.groups().items()} == {"r": 2}
    assert copies_note([]) == ""
    assert "imported copies" not in build_report(runs_in(tmp_path / "a"), tmp_path / "s.html", formats=()).read_text(
        encoding="utf-8"
    )
