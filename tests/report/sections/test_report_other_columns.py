"""Columns that nobody described reach the page, under a plain name and with their own numbers."""

import re

import numpy as np
import pytest

from grokscope.recorder import Recorder
from grokscope.report import build_report
from grokscope.report.read.judged_run import read
from grokscope.report.read.measured_columns import group_bands
from grokscope.report.read.subjects import gather
from grokscope.report.sections.other_columns import DRAWN
from grokscope.store import find_runs
from grokscope.trajectory import Criteria
from grokscope.vocabulary.columns import panels
from report.synthetic import GROKKED, write_run


def record(folder, seed=0, **own):
    """A recorded run with columns of the user's own: name -> function of the row's number."""
    with Recorder(folder, seed=seed, name="mine", n={"train": 100, "id_val": 500}, trivial={"id_val": 0.1}) as rec:
        for row in range(1, 61):
            late = 0.1 if row < 40 else 0.99
            values = {name: make(row) for name, make in own.items()}
            rec.log(row * 10, train_acc=min(1.0, row / 5), train_loss=1 / row, id_val_acc=late, **values)


def page_of(root):
    """(the page, the text of its section of other columns without tags; empty where there is none)."""
    html = build_report(find_runs(root), root / "r.html", formats=("png",)).read_text(encoding="utf-8")
    section = re.search(r'<section[^>]*id="other-columns".*?</section>', html, re.DOTALL)
    return html, " ".join(re.sub(r"<svg.*?</svg>|<[^>]+>", " ", section[0], flags=re.DOTALL).split()) if section else ""


def test_a_measurement_of_ones_own_is_drawn_with_its_numbers(tmp_path):
    for seed in range(2):
        record(tmp_path / f"s{seed}", seed, my_lab_score=lambda row: 2.0 + row, ood_test_f1=lambda row: 0.25)
    html, text = page_of(tmp_path)
    assert "Other columns" in text
    assert "my lab score against step, median per group: mine from 3 to 62." in html
    assert "f1, ood_test against step, median per group: mine from 0.25 to 0.25." in html
    assert (tmp_path / "r_figures" / "other_columns.png").exists()


def test_a_page_without_such_columns_has_no_such_section(tmp_path):
    record(tmp_path / "s0")
    html, text = page_of(tmp_path)
    assert text == ""
    assert "Other columns" not in html


def test_a_split_that_the_recorder_was_told_nothing_of_is_not_lost(tmp_path):
    """ood_val_acc was logged, but not named when the recorder was made: it is known from its rows, and judged."""
    record(tmp_path / "s0", ood_val_acc=lambda row: 0.5)
    html = page_of(tmp_path)[0]
    assert "Held-out ood_val starts at 0.50, is 0.50 at step 310 and ends at 0.50" in html
    assert 'aria-label="Verdicts on ood_val"' in html


def test_many_columns_are_named_and_the_first_drawn(tmp_path):
    record(tmp_path / "s0", **{f"feature_{i}": lambda row, i=i: float(i) for i in range(DRAWN + 3)})
    html, text = page_of(tmp_path)
    assert len(re.findall(r"feature \d+ against step, median", html)) == DRAWN
    names = ", ".join(f"feature_{i}" for i in range(DRAWN, DRAWN + 2))
    assert f"3 columns not drawn, but available in the CSV of each run: {names} and feature_{DRAWN + 2}." in text


def test_a_column_without_a_number_is_named(tmp_path):
    record(tmp_path / "s0", my_score=lambda row: float(np.nan), mine=lambda row: 1.0)
    assert "1 column without a finite value: my_score." in page_of(tmp_path)[1]


@pytest.mark.parametrize(
    ("loss", "drawn"),
    [("mse", False), ({"name": "mse"}, False), ("cross_entropy", True), ({"name": "stablemax"}, True), (None, True)],
)
def test_softmax_collapse_is_drawn_only_where_a_softmax_was_trained(loss, drawn, tmp_path):
    """None stands for a log whose loss nobody wrote down: what it holds is shown."""
    write_run(tmp_path, "a", 0, GROKKED, loss=loss)
    members = read(gather(find_runs(tmp_path)), "id_val", Criteria(), neighbors=False)
    (collapse,) = panels(["softmax_collapse"], ["id_val"])
    assert bool(group_bands(collapse, {"a": members})) == drawn
