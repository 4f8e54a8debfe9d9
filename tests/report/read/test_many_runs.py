"""Reports of many runs: how much of them is in memory, what is read again, and what the page says when not every run is
listed."""

import csv
import gc
import json
import re
import shutil
import weakref
from importlib import import_module

import numpy as np
import pytest

from grokscope.report import build_report
from grokscope.report.read import material as material_of
from grokscope.report.read import shelf
from grokscope.report.read.bands import group_band
from grokscope.report.read.judged_run import read
from grokscope.report.read.material import collect
from grokscope.report.read.subjects import Labeled, as_subjects, gather, subject_from_run
from grokscope.report.sections import mechanisms, sections_of
from grokscope.store import find_runs, kept_columns
from grokscope.trajectory import Criteria, from_run
from report.synthetic import GROKKED, MEMORIZED, UNGROKKED, write_run

ASKED = {"title": None, "study": None, "expectations": None, "criteria": None, "split": None, "remake": None}


def mixed(root, runs: int = 4):
    """Grokked, never grokked, ungrokked, diverged, failed, unreadable, damaged and cut-off runs."""
    for seed in range(runs):
        write_run(root, "late", seed, GROKKED)
        write_run(root, "never", seed, MEMORIZED, clip=2.0)
        write_run(root, "lost", seed, UNGROKKED, clip=3.0)
    diverged, failed, bare, damaged, cut = (write_run(root, "late", seed, GROKKED) for seed in range(20, 25))
    said(diverged, state="diverged")
    said(failed, state="failed", error={"type": "RuntimeError", "message": "out of memory"})
    said(bare, state="failed", error={"type": "RuntimeError", "message": "never began"})
    (bare / "results" / "metrics.jsonl").unlink()
    (damaged / "results" / "metrics.jsonl").write_text('{"step": 3}\n{"step": 1}\n')
    rows = (cut / "results" / "metrics.jsonl").read_text().splitlines(keepends=True)
    (cut / "results" / "metrics.jsonl").write_text("".join(rows[:30]))
    said(cut, state="interrupted", step=json.loads(rows[29])["step"])
    return root


def listed(page: str) -> set[str]:
    return set(re.findall(r'<tr[^>]* id="(run-\d+)"', page))


def said(folder, **status):
    path = folder / "status.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **status}))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return mixed(tmp_path_factory.mktemp("runs"))


def test_a_page_of_runs_that_are_not_in_memory_is_the_page_of_runs_that_are(root, tmp_path, monkeypatch):
    pages = []
    for kept in (64, 1):
        monkeypatch.setattr(shelf.Shelf.__init__, "__defaults__", (kept,))
        out = tmp_path / str(kept) / "report.html"
        build_report(find_runs(root), out, formats=(), remake="again")
        pages.append(out.read_text())
    assert pages[0] == pages[1]


def test_no_more_runs_are_whole_in_memory_than_the_shelf_holds(root, monkeypatch):
    """Counted at every curve that is made, from the first file to the last section."""
    monkeypatch.setattr(shelf.Shelf.__init__, "__defaults__", (3,))
    alive: weakref.WeakSet = weakref.WeakSet()
    most = 0
    original = shelf.Loaded.trajectory.func

    def counted(loaded):
        nonlocal most
        trajectory = original(loaded)
        alive.add(trajectory)
        gc.collect()
        most = max(most, len(alive))
        return trajectory

    property_of = type(shelf.Loaded.trajectory)(counted)
    property_of.__set_name__(shelf.Loaded, "trajectory")
    monkeypatch.setattr(shelf.Loaded, "trajectory", property_of)
    monkeypatch.setattr(material_of, "MANY_RUNS", 5)
    sections_of(collect(find_runs(root), **ASKED, out=root / "r.html"))
    assert 3 <= most <= 3 + 2  # those of the shelf, the one that is being made, and the one in hand


def test_columns_and_curves_from_the_file_are_those_that_were_put_in(root):
    holding = shelf.Shelf(kept=1)
    runs = [run for run in find_runs(root) if "late" in run.id][:3]
    subjects = [subject_from_run(run, holding) for run in runs]
    for run, subject in zip(runs, subjects, strict=True):
        table = run.metrics()
        assert list(subject.metrics) == list(table)
        for name, values in table.items():
            np.testing.assert_array_equal(subject.metrics[name], values)
            assert subject.metrics[name].dtype == values.dtype
        for name in ("train", "id_val", "norm_total", "probe"):
            curve, wanted = subject.curve(name, "id_val"), shelf.curve_of(subject.trajectory, name, "id_val")
            assert (curve is None) == (wanted is None)
            if curve is not None and wanted is not None:
                np.testing.assert_array_equal(curve[1], wanted[1])
        assert "nothing" not in subject.metrics
        with pytest.raises(KeyError):
            subject.metrics["nothing"]


def test_kept_verdicts_give_the_page_that_judging_anew_gives(root, tmp_path, monkeypatch):
    first, again, judged_anew = (tmp_path / name / "report.html" for name in ("a", "b", "c"))
    copy = shutil.copytree(root, tmp_path / "copy")  # nothing is kept of a copy: its files have other times
    build_report(find_runs(copy), first, formats=(), remake="again")
    build_report(find_runs(copy), again, formats=(), remake="again")
    monkeypatch.setattr("grokscope.report.read.judged_run.kept_of", lambda *_: {})
    build_report(find_runs(copy), judged_anew, formats=(), remake="again")
    assert first.read_text() == again.read_text() == judged_anew.read_text()


def test_a_verdict_kept_of_other_rows_is_not_believed(root, tmp_path):
    """The file was read, and then grew: what was kept since is of more rows than the page has."""
    copy = shutil.copytree(root, tmp_path / "copy")
    subjects = gather(find_runs(copy))
    (late,) = (s for s in subjects if s.group == "late" and s.seed == 0)
    path = copy / late.name / "results" / "metrics.jsonl"
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join(rows[: len(rows) // 3]))
    (short,) = read([s for s in gather(find_runs(copy)) if s.name == late.name], "id_val", Criteria())
    (whole,) = read([late], "id_val", Criteria())
    assert whole.outcome == "grokked"
    assert short.outcome != "grokked"


def test_a_page_of_too_many_runs_to_list_counts_all_and_names_those_without_a_verdict(root, tmp_path, monkeypatch):
    monkeypatch.setattr("grokscope.report.read.matrix.TILES", 0)  # so many runs have no tiles
    whole = tmp_path / "whole" / "report.html"
    build_report(find_runs(root), whole, formats=(), remake="again")
    for name, value in {"MANY_RUNS": 5, "LISTED": 12, "EXAMPLES": 1}.items():
        monkeypatch.setattr(material_of, name, value)
    out = tmp_path / "some" / "my report.html"
    build_report(find_runs(root), out, formats=(), remake="again")
    page, full = out.read_text(), whole.read_text()
    assert len(listed(page)) < len(listed(full)) == 17
    for kind in ('section id="times"', 'section id="events"', 'dl class="summary"'):
        of = f"<{kind}.*?</{kind.partition(' ')[0]}>"
        parts = [re.findall(of, text, re.DOTALL) for text in (page, full)]
        assert parts[0] == parts[1] != []
    for run in find_runs(root):
        state = json.loads((run.path / "status.json").read_text())["state"]
        if state in ("failed", "interrupted"):
            assert run.id in page
    assert "17 runs are listed" in page
    assert 'href="my%20report_verdicts.csv"' in page
    text = (out.parent / "my report_verdicts.csv").read_text()
    table = list(csv.DictReader(text.splitlines()))
    assert len(table) == 17 * len({row["split"] for row in table})
    assert {row["run"] for row in table} == {run.id for run in find_runs(root)}
    links = set(re.findall(r'href="#(run-\d+[^"]*)"', page))
    assert links <= set(re.findall(r'id="([^"]+)"', page))


def test_of_many_runs_each_is_made_a_curve_once(root, tmp_path, monkeypatch):
    """What asks for all curves of a run asks while it is in memory: reading, judging and explaining it."""
    copy = shutil.copytree(root, tmp_path / "copy")
    collect(find_runs(copy), **ASKED, out=root / "r.html")  # keeps the verdicts
    made: list[str] = []
    original = shelf.Loaded.trajectory.func
    counted = type(shelf.Loaded.trajectory)(lambda loaded: (made.append(loaded.id), original(loaded))[1])
    counted.__set_name__(shelf.Loaded, "trajectory")
    monkeypatch.setattr(shelf.Loaded, "trajectory", counted)
    monkeypatch.setattr(shelf.Shelf.__init__, "__defaults__", (1,))
    monkeypatch.setattr(material_of, "MANY_RUNS", 5)
    material = collect(find_runs(copy), **ASKED, out=root / "r.html")
    assert sorted(made) == sorted(set(made))
    assert len(made) >= 15
    del made[:]
    section = mechanisms.section(material)
    assert section is not None
    assert len(made) <= len(section.blocks[1].groups[0].rows)  # only whom it quotes


def test_milestones_that_are_kept_are_not_read_again(root, tmp_path, monkeypatch):
    copy = shutil.copytree(root, tmp_path / "copy")
    fresh = collect(find_runs(copy), **ASKED, out=root / "r.html")
    reader = import_module("grokscope.trajectory.milestones")  # the package has a function of this name
    monkeypatch.setattr(reader, "_milestones", lambda *_: pytest.fail("read again"))
    kept = collect(find_runs(copy), **ASKED, out=root / "r.html")
    for one, two in zip(fresh.lead, kept.lead, strict=True):
        assert (one.outcome, one.events, one.unseen, one.milestones) == (
            two.outcome, two.events, two.unseen, two.milestones)  # fmt: skip


def test_mechanisms_of_many_runs_say_what_those_of_few_say(root, monkeypatch):
    few = mechanisms.section(collect(find_runs(root), **ASKED, out=root / "r.html"))
    monkeypatch.setattr(material_of, "MANY_RUNS", 5)
    many = mechanisms.section(collect(find_runs(root), **ASKED, out=root / "r.html"))
    assert few is not None
    assert few == many


def test_a_study_holds_no_more_runs_whole_than_its_page_of_folders(root, monkeypatch):
    """Runs under a study's label lie on one shelf, too."""
    runs = [Labeled(run, f"as {run.label}", run.seed or 0, dict) for run in find_runs(root)]
    subjects = as_subjects(runs)
    shelves = {id(s.evaluations.shelf) for s in subjects if isinstance(s.evaluations, shelf.Shelved)}
    assert len(shelves) == 1
    assert {s.group for s in subjects} == {f"as {run.label}" for run in find_runs(root)}


def test_blocks_of_the_file_hold_runs_of_any_columns_and_lengths(root, monkeypatch):
    """Whole runs and single columns, in another order than they were written in, and with no room to read ahead."""
    for block, ahead in ((shelf.BLOCK, shelf.READ_AHEAD), (3_000, 1)):
        monkeypatch.setattr(shelf, "BLOCK", block)
        monkeypatch.setattr(shelf, "READ_AHEAD", ahead)
        holding = shelf.Shelf(kept=7)
        runs = [run for run in find_runs(root) if (run.path / "results" / "metrics.jsonl").exists()]
        subjects = [(run, subject_from_run(run, holding)) for run in runs]
        readable = [(run, s) for run, s in subjects if isinstance(s.evaluations, shelf.Shelved)]
        assert len({s.evaluations.rows for _, s in readable}) > 1
        for run, subject in readable[::-2] + readable[::3]:
            table = run.metrics()
            for name in reversed(table):
                np.testing.assert_array_equal(subject.metrics[name], table[name])
                assert subject.metrics[name].dtype == table[name].dtype
            np.testing.assert_array_equal(subject.trajectory.train, shelf.curve_of(from_run(run), "train", "")[1])


@pytest.mark.parametrize("runs", [1, 2, 5, 6, 9, 40])
def test_a_band_of_curves_on_one_grid_is_that_of_the_same_curves_interpolated(runs):
    rng = np.random.default_rng(runs)
    step = np.unique(np.geomspace(1, 1e4, 60).astype(int))
    values = rng.normal(size=(runs, len(step)))
    values[:, 2::5] = np.nan  # not measured at these steps
    known = ~np.isnan(values[0])
    band = group_band([(step, v) for v in values])
    wanted = group_band([(step[known].astype(float), v[known]) for v in values[:-1]] + [(step, values[-1])])
    assert (band.kind, band.n, band.total) == (wanted.kind, wanted.n, wanted.total)
    np.testing.assert_array_equal(band.step, step[known])
    np.testing.assert_array_equal(band.median, np.median(values[:, known], axis=0))
    for one, two in ((band.median, wanted.median), (band.low, wanted.low), (band.high, wanted.high)):
        np.testing.assert_array_equal(one, two)


def test_columns_left_by_the_training_give_the_page_that_parsing_gives(root, tmp_path):
    pages = []
    copy = shutil.copytree(root, tmp_path / "copy")
    for name in ("parsed", "kept"):
        out = tmp_path / name / "report.html"
        build_report(find_runs(copy), out, formats=(), remake="again")
        pages.append(out.read_text())
        for run in find_runs(copy):
            kept_columns.leave(run.path)
    assert len(list(copy.glob("*/results/columns.bin"))) > 10
    assert pages[0] == pages[1]


def test_the_collector_of_garbage_works_again_after_a_page_and_after_a_refused_one(root, tmp_path, monkeypatch):
    build_report(find_runs(root)[:1], tmp_path / "a" / "report.html", formats=(), remake="again")
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    monkeypatch.setattr("grokscope.report.build.render", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_report(find_runs(root)[:1], tmp_path / "b" / "report.html", formats=(), remake="again")
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
