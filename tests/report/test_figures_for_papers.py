"""Figures for papers: each has its forms, its caption with n, and the numbers that it draws; text in them is text."""

import csv
import json
import re
import zlib
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from grokscope.report import build_report
from grokscope.report.figure_files import caption, write_figures
from grokscope.report.sections.blocks import Panel, Plots, Section, figure_name
from grokscope.report.sections.figure_data import runs_of_groups
from grokscope.store import find_runs
from report.synthetic import UNGROKKED, write_run, write_study
from results.samples import dissection

FORMS = ("png", "pdf", "svg")


def unseen(rows):
    """The planted course of two unseen hospitals: ood_val peaks and decays as id_val does, ood_test a tenth below."""
    for row in rows:
        row |= {"ood_val_acc": row["id_val_acc"], "ood_val_correct": row["id_val_correct"], "ood_val_n": 1597}
        correct = max(row["id_val_correct"] - 160, 0)
        row |= {"ood_test_acc": correct / 1597, "ood_test_correct": correct, "ood_test_n": 1597}
        row |= {"rank_effective": 40.0 + row["step"] / 1000}


def add_splits(folder):
    record = json.loads((folder / "config.json").read_text())
    record["facts"]["splits"] |= {s: {"n": 1597, "trivial_acc": 0.5} for s in ("ood_val", "ood_test")}
    (folder / "config.json").write_text(json.dumps(record))


@pytest.fixture(scope="module")
def shortcut_figures(tmp_path_factory):
    """Two regimes of two seeds, dissected at two checkpoints."""
    root = tmp_path_factory.mktemp("shortcut")
    for regime, decay in (("standard", 1e-4), ("favorable", 5e-3)):
        for seed in range(2):
            folder = write_run(root / "runs", regime, seed, UNGROKKED, last=2000, edit=unseen, weight_decay=decay)
            add_splits(folder)
            dissection().write(folder / "mechinterp")
            for step in (1000, 2000):
                dissection(selection=f"step={step}").write(folder / "mechinterp" / f"step{step:08d}")
    build_report(find_runs(root / "runs"), root / "r.html", formats=FORMS)
    return root / "r_figures"


@pytest.fixture(scope="module")
def plain_figures(tmp_path_factory):
    root = tmp_path_factory.mktemp("plain")
    write_study(root / "runs")
    build_report(find_runs(root / "runs"), root / "r.html", formats=FORMS)
    return root / "r_figures"


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize("which", ["shortcut_figures", "plain_figures"])
def test_every_figure_has_its_forms_a_caption_with_n_and_its_numbers(which, request):
    folder = request.getfixturevalue(which)
    names = {f.stem for f in folder.glob("*.png")}
    assert names
    for name in names:
        for form in FORMS:
            assert (folder / f"{name}.{form}").stat().st_size > 500, (name, form)
        words = (folder / f"{name}.txt").read_text(encoding="utf-8")
        assert re.search(r"\bn = \d", words), words
        (data,) = re.findall(r"^Data: (\S+\.csv)\.$", words, re.MULTILINE)
        rows = rows_of(folder / data)
        assert len(rows) > 1, name
        assert all(row["panel"] for row in rows), name
        assert not re.search(r"(\w+)_\1\b", name), "a name that says the same twice"


@pytest.mark.slow
def test_the_figures_of_the_shortcut_study_are_all_there(shortcut_figures):
    names = {f.stem for f in shortcut_figures.glob("*.pdf")}
    wanted = {"ood_trajectories", "steering_by_regime", "effects_by_run", "dissection_m6", "dissection_layers",
              "norm_and_rank"}  # fmt: skip
    assert wanted <= names  # peak against n is drawn where the sizes differ


@pytest.mark.slow
def test_the_numbers_beside_a_figure_are_those_that_were_planted(shortcut_figures):
    ends = [r for r in rows_of(shortcut_figures / "norm_and_rank.csv") if r["panel"] == "weight norm, L2"]
    last = [float(r["median"]) for r in ends if r["step"] in ("2000", "2000.0") and r["median"]]
    assert len(last) == 2
    run = next(iter(sorted(shortcut_figures.parent.glob("runs/*favorable*s0-*"))))
    logged = find_runs(run)[0].metrics()["norm_total"][-1]
    singles = [float(r["value"]) for r in ends if r["run"] == run.name and r["step"] in ("2000", "2000.0")]
    assert singles == [logged]
    assert all(low <= m <= high for m, low, high in [
        (float(r["median"]), float(r["low"]), float(r["high"])) for r in ends if r["median"]
    ])  # fmt: skip
    heads = {r["on"] for r in rows_of(shortcut_figures / "steering_by_regime.csv")}
    assert heads == {"test"}


def text_operators(pdf: bytes) -> int:
    """How often a content stream of the file shows text."""
    shown = 0
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        try:
            content = zlib.decompress(stream.strip(b"\r\n"))
        except zlib.error:
            continue
        shown += len(re.findall(rb"\]\s*TJ|\)\s*Tj|>\s*Tj", content))
    return shown


@pytest.mark.slow
def test_text_in_files_is_text(shortcut_figures):
    pdfs, svgs = (list(shortcut_figures.glob(f"*.{ending}")) for ending in ("pdf", "svg"))
    assert len(pdfs) == len(svgs) > 0
    for pdf in pdfs:
        content = pdf.read_bytes()
        assert b"/FontFile2" in content, f"{pdf.name}: no font is embedded"
        assert b"/Type3" not in content, f"{pdf.name}: outlines, which no editor can change"
        assert text_operators(content) > 3, pdf.name
    for svg in svgs:
        root = ET.fromstring(svg.read_text(encoding="utf-8"))
        assert len(list(root.iter("{http://www.w3.org/2000/svg}text"))) > 3, svg.name


def test_outlines_would_be_noticed(tmp_path):
    import matplotlib as mpl

    from grokscope.figures.canvas import RC, drawn

    figure = drawn(lambda f: f.text(0.1, 0.1, "words"), 100, 100)
    with mpl.rc_context(RC | {"pdf.fonttype": 3}):
        figure.savefig(tmp_path / "x.pdf")
    assert b"/Type3" in (tmp_path / "x.pdf").read_bytes()


def of(*panels, **more):
    return Section("one", "One", "One", [Plots("two", panels, **more)])


def panel(name, **more):
    return Panel(lambda figure, _: figure.text(0.1, 0.1, name), (100.0, 80.0), f"{name}: 1.", name, **more)


def test_a_sample_that_all_panels_share_is_said_once():
    (plots,) = of(panel("a", sample="3 runs"), panel("b", sample="3 runs"), caption="Drawn.").blocks
    words = caption(of(), plots, "x.csv")
    assert words.splitlines() == ["Drawn.", "(a) a.", "(b) b.", "In each panel n = 3 runs.", "Data: x.csv."]


def test_what_a_panel_measures_is_a_sentence_of_its_caption():
    (plots,) = of(panel("gradient norm", sample="3 runs", note="over all parameters")).blocks
    assert caption(of(), plots, None).splitlines()[1] == "gradient norm: n = 3 runs. Over all parameters."


def test_panels_stand_under_the_letters_of_their_caption(tmp_path):
    panels = [panel("decay 0.1"), Panel(lambda figure, _: figure.text(0.1, 0.1, "."), (100.0, 80.0), "b: 1.")]
    section = of(*panels, axes=lambda scale: f"Horizontal axis: step ({scale} scale).", linear_file=True)
    write_figures([section], tmp_path, ("svg",))
    drawn = (tmp_path / "one_two.svg").read_text()
    assert re.findall(r">(\([a-z]\)[^<]*)<", drawn) == ["(a) decay 0.1", "(b)"]
    assert "Horizontal axis: step (log scale)." in drawn
    assert "Horizontal axis: step (linear scale)." in (tmp_path / "one_two_linear.svg").read_text()
    assert (tmp_path / "one_two.txt").read_text().splitlines()[1:3] == ["(a) decay 0.1.", "(b) b."]
    write_figures([of(panel("alone"))], tmp_path, ("svg",))
    assert ">alone<" in (tmp_path / "one_two.svg").read_text()


def test_runs_of_many_groups_are_counted_once_where_their_number_is_one():
    assert runs_of_groups({"a": 5, "b": 4}) == "5 runs of a and 4 runs of b"
    assert runs_of_groups({"a": 5, "b": 5}) == "5 runs of a and 5 runs of b"
    many = {f"group {i}": 2 for i in range(8)}
    assert runs_of_groups(many) == "2 runs of each of 8 groups"
    assert "1 run of odd" in runs_of_groups({**many, "odd": 1})


def test_names_say_nothing_twice_and_two_figures_cannot_share_one(tmp_path):
    assert figure_name("effects", Plots("effects", [])) == "effects"
    assert figure_name("effects", Plots("cells", [])) == "effects_cells"
    section = Section("one", "One", "One", [Plots("two", [panel("a")]), Plots("two", [panel("b")])])
    with pytest.raises(ValueError, match="two figures are called one_two"):
        write_figures([section], tmp_path, ("png",))


def test_data_lie_beside_the_figure_under_their_panels_name(tmp_path):
    rows = [{"step": 1, "median": np.float64(0.5).item()}, {"step": 2, "median": float("nan")}]
    files = write_figures([of(panel("a", data=lambda: rows), panel("b", data=lambda: rows))], tmp_path, ("png",))
    assert [f.name for f in files] == ["one_two.png", "one_two.csv", "one_two.txt"]
    assert rows_of(tmp_path / "one_two.csv") == [
        {"panel": p, "step": s, "median": m} for p in "ab" for s, m in (("1", "0.5"), ("2", ""))
    ]
