"""Dissections of a received archive are kept, counted and shown as they came."""

import re

import pytest
from archive_samples import RUN, STANDARD, write_archive

from grokscope.archive.importing import import_archive
from grokscope.report import build_report
from grokscope.report.read.published import published_tables

KS = (0, 4, 8, 16, 32, 64, 128, 256)


@pytest.fixture
def archive(tmp_path):
    folder = write_archive(tmp_path / "archive")
    rows = [
        f"{run},{k},{k / 1000 + n},0.1" for n, run in enumerate((RUN, STANDARD, "a_run_that_is_not_here")) for k in KS
    ]
    (folder / "figures" / "m6_summary.csv").write_text("\n".join(["run_id,K,hospital,random", *rows]) + "\n")
    return folder


def test_rows_of_a_published_summary_go_to_their_runs_and_what_makes_them_up_is_said(archive, tmp_path):
    found = import_archive(archive, tmp_path / "runs")
    assert found.runs
    for n, run in enumerate(found.runs):
        tables, unread = published_tables(run.path)
        (summary,) = [t for t in tables if t.title == "m6_summary.csv"]
        assert unread == []
        assert summary.head == ("run_id", "K", "hospital", "random")
        assert [row[1] for row in summary.rows] == [str(k) for k in KS]
        assert len({row[0] for row in summary.rows}) == 1
        assert summary.rows[1][2] == str(0.004 + n)
        told = "figures/m6_summary.csv: 8 of its 24 rows are this run's; it has rows of 3 runs"
        assert told in found.notes[run.id]


def test_what_came_along_is_shown_under_its_own_names(archive, tmp_path):
    found = import_archive(archive, tmp_path / "runs")
    html = build_report(found.runs, tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    words = " ".join(re.sub(r"<[^>]+>", " ", html[html.index("As published") :]).split())
    assert "They were not recompu" in words
    assert "m6.json K hospital 0 0 4 0.1" in words
    assert "In another format" not in html


@pytest.mark.parametrize("text", ["", "run_id,K\n", "K,hospital\n0,1\n", "\0\n"])
def test_a_summary_that_names_no_run_costs_nothing(archive, tmp_path, text):
    (archive / "figures" / "m6_summary.csv").write_text(text)
    found = import_archive(archive, tmp_path / "runs")
    assert len(found.runs) == 2
    assert not list((tmp_path / "runs").rglob("m6_summary.csv"))


def test_parts_of_a_file_become_tables_and_damaged_ones_are_named(tmp_path):
    folder = tmp_path / "mechinterp" / "published"
    folder.mkdir(parents=True)
    (folder / "m1.json").write_text(
        '{"epoch": 200, "layer1": {"acc": 0.5}, "alpha": [-3, 0, 3], "curve": [0.1, 0.2, 0.3],'
        ' "draws": [1, 2], "rows": [{"a": 1}, {"a": 2, "b": null}]}'
    )
    (folder / "m4.json").write_text("{")
    tables, unread = published_tables(tmp_path)
    assert unread == ["m4.json"]
    assert [(t.title, t.head, t.rows) for t in tables] == [
        ("m1.json", ("name", "value"), (("epoch", "200"),)),
        ("m1.json", ("alpha", "curve"), (("-3", "0.1"), ("0", "0.2"), ("3", "0.3"))),
        ("m1.json", ("draws",), (("1",), ("2",))),
        ("m1.json: layer1", ("name", "value"), (("acc", "0.5"),)),
        ("m1.json: rows", ("a", "b"), (("1", ""), ("2", "null"))),
    ]
