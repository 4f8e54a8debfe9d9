"""Dissections side by side, and the page: complete, self-contained, and safe to open."""

import base64
import json
import re
from dataclasses import replace

import pytest

import grokscope as gs
from comparison.planted import arm, log, write
from grokscope.cli import run as cli
from grokscope.files import to_json
from results import samples

EVIL = "<script>alert(1)</script>"


def dissected(folder, slope=1.25, cell="readable and used"):
    whole = samples.dissection(cell)
    replace(whole, m5=replace(whole.m5, slope_size=slope)).write(folder / "mechinterp")
    return folder


def test_numbers_of_dissections_stand_beside_each_other_and_those_that_agree_are_folded(tmp_path, capsys):
    one = dissected(write(tmp_path, "a", 0, 300), slope=1.25)
    two = dissected(write(tmp_path, "b", 0, 300, lr=1e-2), slope=2.0, cell="neither")
    found = gs.compare(one, two)
    rows = {row.name: row for row in found.dissection}
    slope = rows["steer.slope"]
    assert (slope.a.middle, slope.b.middle, slope.difference) == (1.25, 2.0, -0.75)
    assert rows["probe.env.pooled"].difference == 0
    words = {row.name: row for row in found.dissection_words}
    assert (words["answer"].a, words["answer"].b) == ({"readable and used": 1}, {"neither": 1})
    assert cli(["compare", str(one), str(two)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^steer\.slope \[share per step\] +1\.25 +2 +-0\.75$", out, re.MULTILINE)
    assert re.search(r"^dissection: no difference in \d+ numbers \(", out, re.MULTILINE)
    assert not re.search(r"^probe\.env\.pooled", out, re.MULTILINE)


def test_what_is_not_dissected_is_named_with_the_command(tmp_path):
    one, two = dissected(write(tmp_path, "a", 0, 300)), write(tmp_path, "b", 0, 300, lr=1e-2)
    found = gs.compare(one, two)
    assert found.dissection == ()
    assert found.dissection_note == f"b, seed 0: 1 of 1 run not dissected (grokscope dissect {two})"
    other = write(tmp_path, "c", 0, 300, lr=1e-1)
    assert gs.compare(two, other).dissection_note == "", "nothing is dissected, and nobody asked"


def test_several_runs_have_the_median_of_their_dissections(tmp_path):
    for seed, slope in enumerate((1.0, 2.0, 6.0)):
        dissected(write(tmp_path, "a", seed, 300), slope)
        dissected(write(tmp_path, "b", seed, 300, lr=1e-2), 2.0)
    found = gs.compare(f"{tmp_path}/*_a_*", f"{tmp_path}/*_b_*")
    slope = next(row for row in found.dissection if row.name == "steer.slope")
    assert (slope.a.n, slope.a.middle, slope.a.low, slope.a.high, slope.difference) == (3, 2.0, 1.0, 6.0, 0.0)


def test_a_damaged_dissection_is_named_and_costs_nothing_else(tmp_path):
    one, two = (dissected(write(tmp_path, name, 0, 300, lr=lr)) for name, lr in (("a", 1e-3), ("b", 1e-2)))
    (two / "mechinterp" / "m5.json").write_text("{")
    found = gs.compare(one, two)
    assert "m5.json" in found.dissection_note
    assert found.splits


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Three seeds against three, one of which failed; names that a page must not run."""
    root = tmp_path_factory.mktemp("page")
    for seed, T_gen in enumerate((300, 320, 340)):
        dissected(write(root, "a", seed, T_gen))
        dissected(write(root, "b", seed, T_gen + 200, lr=1e-2), slope=2.0)
    write(root, "b", 3, 500, state="failed", last=100, lr=1e-2)
    out = root / "compare.html"
    found = gs.compare(f"{root}/*_a_*", f"{root}/*_b_*", names=("a", EVIL), html=out)
    return out.read_text(), found


def test_the_page_says_first_whether_the_data_are_the_same(page):
    html, found = page
    head = html[html.index("<header") : html.index("</header>")]
    assert head.index(found.says[0]) < head.index("Verdicts on id_val")
    assert [m[1] for m in re.finditer(r'<section id="([\w-]+)"', html)] == [
        "differs", "tests", "curves", "numbers", "dissection", "mechanisms", "runs",
    ]  # fmt: skip


def test_the_page_loads_nothing_and_runs_no_name(page):
    html, _ = page
    assert EVIL not in html
    assert "&lt;script&gt;" in html
    assert not re.search(r'(src|href)="(?!data:|#)', html)


def test_the_page_draws_both_sides_and_their_difference(page):
    html, found = page
    assert html.count("<figure") == 3 == len(found.curves)
    labels = re.findall(r'<figure role="img" aria-label="([^"]*)"', html)
    assert all("3 pairs of one seed and their median" in label for label in labels)
    assert html.count('id="pair:') == 0, "ids are unique on the page"


def test_the_page_carries_the_record(page):
    html, found = page
    data = re.search(r'download="comparison.json" href="data:application/json;base64,([^"]+)"', html)[1]
    assert json.loads(base64.b64decode(data)) == json.loads(to_json(found.to_dict()))


def test_a_failed_run_is_in_the_table_with_its_reason(page):
    html, _ = page
    assert "planted failure" in html
    assert "1 failed or damaged (counted, without a number)" in html


def test_nothing_is_called_significant_below_six_seeds(page):
    assert "significant" not in page[0].split("<script>")[0]


def test_one_run_against_a_log_has_a_page_too(tmp_path, capsys):
    run = write(tmp_path, "a", 0, 300)
    gs.compare(run, log(340), html=tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert "nothing is tested" in html
    assert (
        cli(["compare", str(run), str(write(tmp_path, "b", 0, 300, lr=1e-2)), "--html", f"{tmp_path}/no/x.html"]) == 2
    )
    assert "there is no folder" in capsys.readouterr().err


def test_the_verb_prints_json_that_reads_back(tmp_path, capsys):
    from grokscope.results.comparison import Comparison

    one, two = arm(tmp_path, "a", [300, 340])
    assert cli(["compare", str(one), str(two), "--json"]) == 0
    found = Comparison.from_dict(json.loads(capsys.readouterr().out))
    assert found.settings[0].key == "seed"
    assert cli(["compare", str(one), str(two)]) == 0
    out = capsys.readouterr().out
    assert "tests: one run against one run" in out
    assert re.search(r"^T_gen \[steps\] +300 +290 to 300 +340 +330 to 340 +-40 \[-50, -30\]$", out, re.MULTILINE)
