"""Sections as such: each is one file, page and files show the same blocks, and a stranger's section costs nobody."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from grokscope import registry
from grokscope.report import build_report, sections
from grokscope.report.figure_files import write_figures
from grokscope.report.read.material import collect
from grokscope.report.sections import claim, sections_of
from grokscope.report.sections.blocks import Fold, Panel, Plots, Section, Table, Words, figure_name
from grokscope.store import find_runs, open_run
from report.synthetic import GROKKED, write_run

ASKED = {"title": None, "study": None, "expectations": None, "criteria": None, "split": None, "remake": None}
FOLDER = Path(sections.__file__).parent


def material_of(root):
    return collect(find_runs(root), **ASKED, out=root / "r.html")


@pytest.fixture
def material(tmp_path):
    write_run(tmp_path, "a", 0, GROKKED)
    return material_of(tmp_path)


def test_sections_are_files_with_a_place_of_their_own():
    modules = [import_module(f"{sections.__name__}.{path.stem}") for path in FOLDER.glob("[a-z]*.py")]
    places = [module.PLACE for module in modules if hasattr(module, "PLACE")]
    assert len(places) >= 12
    assert len(set(places)) == len(places)
    for module in modules:
        assert hasattr(module, "PLACE") == hasattr(module, "section"), module.__name__


def test_a_new_file_is_a_new_section_and_nothing_else_is_touched(material, monkeypatch, tmp_path):
    package = tmp_path / "more"
    package.mkdir()
    (package / "lucky_seeds.py").write_text(
        "from grokscope.report.sections.blocks import Section, Words\n"
        "PLACE = 45.0\n"
        "def section(material):\n"
        "    return Section('lucky', 'Luck', 'Lucky seeds', [Words(f'{len(material.lead)} run')])\n"
    )
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(package)])
    keys = [s.key for s in sections_of(material)]
    assert keys[keys.index("lucky") - 1] == "times"


def plots_of(blocks):
    for block in blocks:
        if isinstance(block, Plots):
            yield block
        if isinstance(block, Fold):
            yield from plots_of(block.blocks)


def test_each_figure_of_the_page_is_drawn_by_the_call_that_draws_its_file(material, tmp_path):
    drawn = []

    def draw(figure, scale):
        drawn.append(scale)

    panel = Panel(draw, (100.0, 80.0), "One number: 1.")
    section = Section("mine", "Mine", "Mine", [Plots("one", [panel]), Fold("more", [Plots("two", [panel])])])
    files = write_figures([section], tmp_path / "figures", ("png",))
    assert [f.name for f in files] == ["mine_one.png", "mine_one.txt", "mine_two.png", "mine_two.txt"]
    assert drawn == ["log", "log"]
    from grokscope.report.layout import laid_out

    laid_out(section)
    assert drawn[2:] == ["log", "linear"] * 2


def test_every_block_of_figures_is_also_a_file(material, tmp_path):
    every = sections_of(material)
    named = {figure_name(s.key, plots) for s in every for plots in plots_of(s.blocks)}
    files = {f.stem for f in write_figures(every, tmp_path / "figures", ("png",))}
    assert named <= files
    assert {"curves", "curves_linear", "diagnostics"} <= files


def plugged(monkeypatch, name, function):
    point = SimpleNamespace(name=name, load=lambda: function)
    monkeypatch.setattr(sections, "entry_points", lambda group: [point] if group == "grokscope.sections" else [])


def test_another_packages_section_stands_before_the_runs(material, monkeypatch):
    plugged(monkeypatch, "lab", lambda m: Section("lab", "Lab", "Our lab", [Words(f"{len(m.subjects)} run here")]))
    keys = [s.key for s in sections_of(material)]
    assert keys.index("times") < keys.index("lab") < keys.index("runs")


def test_a_section_registered_in_this_process_stands_before_the_runs(material, registered_here_only):
    @registry.register
    def lab(material):
        return Section("lab", "Lab", "Our lab", [Words(f"{len(material.subjects)} run here")])

    keys = [s.key for s in sections_of(material)]
    assert keys.index("times") < keys.index("lab") < keys.index("runs")
    registry._SECTIONS.clear()
    assert "lab" not in [s.key for s in sections_of(material)]


def test_two_sections_of_one_name_and_what_is_no_section_are_refused(registered_here_only):
    def named(module):
        def lab(material):
            return None

        lab.__module__ = module
        return lab

    registry.register(named("a_lab"))
    registry.register(named("a_lab"))
    assert "a_lab" in registry.modules_here()
    with pytest.raises(ValueError, match="section 'lab' is registered by a_lab already"):
        registry.register(named("b_lab"))
    with pytest.raises(ValueError, match="neither a class nor a function"):
        registry.register("lab")


def test_a_section_of_another_package_that_fails_names_itself_and_costs_the_page_nothing(tmp_path, monkeypatch):
    def broken(_):
        raise KeyError("no such column")

    plugged(monkeypatch, "lab", broken)
    run = open_run(write_run(tmp_path, "a", 0, GROKKED))
    html = build_report([run], tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    assert "The plug-in “lab” could not make this section: KeyError" in html
    assert 'id="verdicts"' in html


def test_heads_of_columns_follow_their_numbers_where_they_do_not_say():
    from grokscope.report.sections.blocks import Group, Row, Value

    table = Table("t", ["Run", "Word", "Number"], [Group("", [Row("a", [Value("x", number=False), Value("1")])])])
    assert [h.number for h in table.heads] == [False, False, True]
    assert [h.number for h in Table("t", ["Run", "Word"], []).heads] == [False, False]


def test_a_study_without_claim_and_expectations_has_no_empty_section(material):
    assert claim.section(replace(material, study={"title": "Hypotheses alone"}, expectations=[])) is None
    alone = {"claim": "Only with decay."}
    assert claim.section(replace(material, study=alone, expectations=[])) is None  # the first screen has it
    beside = claim.section(replace(material, study=alone | {"hypotheses": [{}]}, expectations=[]))
    assert (beside.title, beside.blocks[0].text) == ("The claim", "Only with decay.")
    unchecked = claim.section(replace(material, study={"expect": [{}]}, expectations=[]))
    assert "have not been checked" in unchecked.blocks[0].text
