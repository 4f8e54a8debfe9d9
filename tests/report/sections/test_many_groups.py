"""A report of more groups than a figure can show: every line is in the key, nothing that generalized is left out, and
names that differ only at their ends stay apart."""

import pytest

from grokscope.figures.canvas import drawn
from grokscope.report.draw.axis import curve_axis
from grokscope.report.draw.group_map import draw_overview, overview_size
from grokscope.report.draw.survival import APART, PLOT
from grokscope.report.figure_files import plots_of
from grokscope.report.read.curves import make_panel
from grokscope.report.read.material import Material, collect
from grokscope.report.sections import measured_columns, times
from grokscope.report.sections.blocks import Words
from grokscope.store import find_runs
from grokscope.vocabulary.text import briefs
from report.synthetic import GROKKED, MEMORIZED, write_run

ASKED = {"title": None, "study": None, "expectations": None, "criteria": None, "split": None, "remake": None}
FRONT = "a long name that all of the groups of this study share, number"
LATE = [f"{FRONT} {i}" for i in (10, 11)]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Ten groups that memorize, and after them two that grok and have columns that the others lack."""
    root = tmp_path_factory.mktemp("many")
    for i in range(10):
        write_run(root, f"{FRONT} {i}", i, MEMORIZED, last=4000)
    for i, name in enumerate(LATE, 10):
        write_run(root, name, i, GROKKED, fourier=True)
    return collect(find_runs(root), **ASKED, out=root / "r.html")


def test_groups_that_generalized_are_among_the_curves_of_survival(material):
    section = times.section(material)
    (plots,) = plots_of(section.blocks)
    named = [entry.words.partition(" (n =")[0] for entry in plots.key]
    rows = {row["group"] for row in plots.panels[0].data()}
    assert set(LATE) <= rows
    assert len(rows) == 8
    assert rows == set(named[:-1])  # the last entry is of censored runs
    assert len({(entry.role, entry.dash) for entry in plots.key}) == 9
    said = " ".join(str(b.text) for b in section.blocks if isinstance(b, Words))
    assert "Of 12 groups 8 are drawn" in said
    assert APART / PLOT < 0.04


def test_every_line_of_a_measured_column_is_in_the_key(material):
    section = measured_columns.section(material)
    assert section is not None
    (plots,) = plots_of(section.blocks)
    named = {entry.words for entry in plots.key}
    lines = [set(panel.hover.curves) for panel in plots.panels]
    assert set(LATE) in lines  # what only they measured
    assert all(one <= named for one in lines)
    assert named == set().union(*lines)
    assert len({(entry.role, entry.dash) for entry in plots.key}) == len(named)


def test_the_map_names_each_group_apart_and_inside_the_figure(material):
    panels = [make_panel(name, members, material.splits) for name, members in material.groups().items()]
    figure = drawn(lambda f: draw_overview(f, panels, curve_axis(material.lead, "log")), *overview_size(panels))
    figure.canvas.draw()
    labels = [label for label in figure.axes[0].get_yticklabels() if label.get_text()]
    assert len({label.get_text() for label in labels}) == len(panels) == 12
    assert min(label.get_window_extent().x0 for label in labels) >= 0


def test_names_are_cut_where_they_stay_apart():
    assert briefs(["decay 0.1", "decay 1"], 9) == ["decay 0.1", "decay 1"]
    assert briefs(["train_fraction=0.2 weight_decay=1", "train_fraction=0.2 weight_decay=3"], 11) == [
        "train…cay=1", "train…cay=3",
    ]  # fmt: skip
    assert briefs(["same start one same end", "same start two same end"], 9) == ["1. same… end", "2. same… end"]
    assert briefs(["decay budget 15, no norm layer"], 28) == ["decay budget… no norm layer"]  # no 1 of the 15


def test_a_cut_name_is_never_longer_than_its_place():
    for name in ("decay budget 15, no norm layer", "a b c d e f g h i j k l m n o p q r s t u v w x y z", "x" * 50):
        for length in range(5, 30):
            assert len(briefs([name], length)[0]) <= length
