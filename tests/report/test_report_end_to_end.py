"""A real run, a real dissection, a real page: every number that the records hold stands on the page, and none is
missing."""

import ast
import html as markup
import re
import warnings
from pathlib import Path

import pytest
import torch

import grokscope
from grokscope import configio
from grokscope.dissect.runs import dissect_run
from grokscope.report import build_report
from grokscope.results import Dissection, Settings
from grokscope.results.neurons import summary_key
from grokscope.train.driver import train
from grokscope.vocabulary.text import NONE, digits

RAW = {
    "task": {"name": "hospitals", "n_train": 96, "n_eval": 192, "image_size": 16, "patients": 16, "slides": 16},
    "model": {"name": "small-resnet", "width": 4},
    "regime": {"recipe": "standard"},
    "budget": {"steps": 100},
    "evaluate": {"every": 50},
    "checkpoint": {"every": 50},
}
FEW = Settings(draws=39, permutations=99, resamples=99, probe_controls=1, halves=6)
MISSING = {NONE, "", "-", "nan", "no interval", "no control", "no eraser", "no probe"}
"""What a cell or what stands beneath it says where a number is not known."""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """(records of the last checkpoint, section of the page that shows it, without its figures)."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("real")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a probe on few examples may not converge
        run = train(configio.load_run(RAW), root / "runs")
        list(dissect_run(run, "all", settings=FEW, figures=False))
    text = build_report([run], root / "report.html", formats=()).read_text(encoding="utf-8")
    section = text[text.index('id="dissection"') :].split("</section>")[0]
    return Dissection.read(run.path / "mechinterp"), section


def cells(section: str, label: str) -> list[list[list[str]]]:
    """Of the table with that label: per row, per cell, the texts in it."""
    table = section[section.index(f'aria-label="{label}"') :].split("</table>")[0]
    rows = re.findall(r"<tr.*?</tr>", table.partition("<tbody")[2], re.DOTALL)
    texts = lambda cell: [markup.unescape(t).strip() for t in re.split(r"<[^>]+>", cell) if t.strip()]  # noqa: E731
    return [[texts(cell) for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)] for row in rows]


def test_no_value_of_a_real_dissection_is_missing_on_its_page(page):
    records, section = page
    (row,) = [row for row in cells(section, "Effects with their controls") if row]
    assert len(row) == 9
    for cell in row:
        assert cell, "an empty cell"
        parts = [part for text in cell for part in re.split(r"; |, |: ", text)]
        assert not {part.strip() for part in parts} & MISSING, cell
        assert not re.search(r"\bnan\b|\bNone\b", " ".join(cell)), cell
    erasure = records.m4.by(records.where.eraser)
    outside = records.m5.curve("ood_test")
    read = records.m1.at("pooled", "environment").test
    assert read is not None
    assert records.m5.reliability is not None
    beyond = records.m6.on("test", records.settings.ablation).summary_values.environment
    wanted = [
        read.balanced, erasure.refitted.balanced, erasure.effects["test"].env_gap_drop.value,
        erasure.effects["ood_test"].accuracy_drop.value, records.m5.slope_size, None, records.m5.reliability.mean,
        beyond[summary_key("env_gap_drop", "random")],
    ]  # fmt: skip
    shown = {i: value for i, value in enumerate(wanted) if i != 5}  # the curve is in words, below
    assert None not in shown.values()
    assert [row[i][0] for i in shown] == [digits(value) for value in shown.values() if value is not None]
    assert row[5][0].startswith("monotone" if outside.monotone else "not monotone")
    assert row[5][1] == "on ood_test"
    assert row[8][0] == records.where.cell


def test_every_battery_and_the_trajectory_have_a_figure_with_words(page):
    _, section = page
    alts = " ".join(re.findall(r'aria-label="([^"]*)"', section))
    for title in ("M1. What", "M4. Erasing", "M5. Steering", "M6. Ablating", "Dissections over", "Probes by layer"):
        (words,) = re.findall(rf"{re.escape(title)}[^\"]*", alts)[:1]
        assert re.search(r"\d", words), words
        assert not re.search(rf"(with|before|refitted|lost|neurons|p|most at) {NONE}|\bnan\b|not known", words), words


def test_the_calibration_on_the_page_is_complete(page):
    _, section = page
    rows = [row for row in cells(section, "Calibration on planted shortcuts") if row]
    assert len(rows) > 10
    assert all(re.fullmatch(r"[<>]?\d+ %", cell[0]) for row in rows for cell in row)


READERS = (
    "report/read/dissections.py", "report/sections/dissection.py", "report/sections/dissection_tables.py",
    "figures/checkpoint_view.py", "figures/along.py", "figures/dissection_files.py", "figures/picture.py",
    "figures/dissection_limits.py", "figures/dissection_panels.py", "figures/layer_map.py",
    "figures/parts/probes.py", "figures/parts/erasure.py", "figures/parts/steering.py", "figures/parts/neurons.py",
    "archive/m6_table.py", "study/dissected.py",
)  # fmt: skip
"""Whoever shows or exports what a dissection measured."""


def by_text(source: str) -> list[str]:
    """Where fields are asked for by a text, which no type checker follows: ``x["p"]``, ``x.get("p")``, ``getattr``.
    The scene ``"test"`` is a key of the data and no field; the facts of a run are no records."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            key = node.slice.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            key = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "dig"):
            key = ast.unparse(node)
        else:
            continue
        if isinstance(key, str) and key != "test" and "facts" not in ast.unparse(node):
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("name", READERS)
def test_records_are_read_by_attribute_so_that_the_type_checker_sees_a_renamed_field(name):
    assert by_text((Path(grokscope.__file__).parent / name).read_text()) == []


def test_reading_by_text_would_be_noticed():
    bad = 'a["balanced"]\nb.get("interval")\ngetattr(c, "p")\nd["test"].flips\ne[0]\ndig(f, "x")\n'
    assert [line.split(":")[0] for line in by_text(bad)] == ["1", "2", "3", "6"]
