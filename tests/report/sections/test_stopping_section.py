"""The section on early stopping: the numbers of the verb, and nothing where it decides nothing."""

import grokscope as gs
from grokscope.report.read.material import collect
from grokscope.report.sections.blocks import Bullets, Plots, Table, Words
from grokscope.report.sections.stopping import section
from grokscope.store import find_runs
from report.synthetic import GROKKED, MEMORIZED, UNGROKKED, write_run

ASKED = {"title": None, "study": None, "expectations": None, "criteria": None, "split": None, "remake": None}


def made(root):
    return section(collect(find_runs(root), **ASKED, out=root / "r.html"))


def of(kind, found):
    return [block for block in found.blocks if isinstance(block, kind)]


def test_it_shows_the_numbers_of_the_verb(tmp_path):
    for seed in range(3):
        write_run(tmp_path, "late", seed, GROKKED)
    write_run(tmp_path, "never", 3, MEMORIZED)
    write_run(tmp_path, "going", 4, GROKKED, state="running", until=500)
    found = made(tmp_path)
    assert found is not None
    expected = gs.stopping(tmp_path).of()
    (table,) = of(Table, found)
    rows = {row.label: [value.main for value in row.cells] for row in table.groups[0].rows}
    assert len(rows) == len(expected) == 19
    for rule in expected:
        assert rows[rule.name][1] == f"{rule.missed} of 3"
        assert rows[rule.name][4] == f"{rule.spent:.2f}"
    (plots,) = of(Plots, found)
    assert len(plots.panels) == 3
    assert "at train_acc >= 0.99: 1.000" in plots.panels[0].alt
    assert len(of(Bullets, found)[0].lines) == 4
    assert "1 of 5 runs are unfinished" in str([w.text for w in of(Words, found)])


def test_without_grokking_there_is_no_share_to_draw(tmp_path):
    write_run(tmp_path, "peaked", 0, UNGROKKED)
    found = made(tmp_path)
    assert found is not None
    (plots,) = of(Plots, found)
    assert [panel.alt.split(",")[0] for panel in plots.panels] == [
        "Share of each run's steps that is used", "Held-out score at the end minus that at the stop",
    ]  # fmt: skip


def test_where_nothing_rose_or_fell_it_is_left_out(tmp_path):
    write_run(tmp_path, "never", 0, MEMORIZED)
    assert made(tmp_path) is None
