"""`study phase` and the report of a study with a phase diagram, from a file to the page."""

import csv
import json

import pytest

from grokscope import cli
from grokscope.study import Study

STUDY = """
schema = 2
name = "map"
seeds = [0, 1]
task = { name = "modular", p = 7 }
model = { name = "embedding-mlp", embedding = 4, hidden = [8] }
budget = { steps = 40 }
evaluate = { every = 10, at = [0] }
axes = { "regime.weight_decay" = [0.5, 0.1], "regime.lr" = [0.1, 0.01] }
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "map.toml"
    path.write_text(STUDY)
    return path


def test_before_anything_ran_every_cell_is_there_and_empty(file, tmp_path, capsys):
    assert cli.run(["study", "phase", str(file), "--root", str(tmp_path / "runs"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [(c["planned"], c["judged"], c["waiting"]) for c in data["diagram"]["cells"]] == [(2, 0, 2)] * 4
    assert data["pareto"] is None
    assert cli.run(["study", "phase", str(file), "--root", str(tmp_path / "runs")]) == 0
    assert "none of 2 judged" in capsys.readouterr().out


def test_a_study_without_two_settings_says_why(tmp_path, capsys):
    path = tmp_path / "one.toml"
    path.write_text(STUDY.replace(', "regime.lr" = [0.1, 0.01]', ""))
    assert cli.run(["study", "phase", str(path)]) == 0
    assert "no phase diagram: 1 setting varies (regime.weight_decay)" in capsys.readouterr().out


def test_a_mistake_in_the_block_is_one_message(file, capsys):
    file.write_text(file.read_text() + '\n[phase]\nx = "regime.lr"\ny = "regime.weight_dekay"\n')
    assert cli.run(["study", "phase", str(file)]) == 2
    err = capsys.readouterr().err
    assert "$.phase.y: unknown key 'regime.weight_dekay'; did you mean 'regime.weight_decay'" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_from_real_runs_to_the_page_and_its_files(file, tmp_path, capsys):
    root = tmp_path / "runs"
    assert cli.run(["study", "run", str(file), "--root", str(root), "--workers", "0"]) == 0
    capsys.readouterr()
    assert cli.run(["study", "phase", str(file), "--root", str(root), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [c["judged"] for c in told["diagram"]["cells"]] == [2] * 4
    page = Study.load(file).report(tmp_path / "r.html", root)
    html = page.read_text(encoding="utf-8")
    assert 'id="phase"' in html
    assert "Of 4 cells of lr and weight_decay" in html
    assert json.loads((tmp_path / "r_phase.json").read_text()) == told
    assert (tmp_path / "r_figures" / "phase_maps.png").is_file()
    assert 'download="phase_cells.csv"' in html
    with (tmp_path / "r_figures" / "phase_maps.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["judged"] for row in rows] == ["2"] * 16  # four maps of four cells
    assert "2 judged runs in each of 4 cells" in (tmp_path / "r_figures" / "phase_maps.txt").read_text()
