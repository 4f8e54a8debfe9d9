"""Records of a dissection by older rules are outdated, with the command that makes them again."""

import json
import shutil
from pathlib import Path

import pytest

from grokscope.cli import run as cli
from grokscope.files import write_json
from grokscope.report import build_report
from grokscope.results.dissection import RULES
from grokscope.store import open_run
from grokscope.store.dissected import outdated

CASES = Path(__file__).parents[1] / "cases" / "schema1"
NAME = json.loads((CASES / "names.json").read_text())["images"]


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(CASES / "stored" / NAME, tmp_path / NAME)


def write(folder, where, rules, selection, **settings):
    record = {"rules": rules, "selection": selection, "settings": {"draws": 99, "seed": 0, **settings}, "m1": {}}
    write_json(folder / "mechinterp" / where / "m1.json", {k: v for k, v in record.items() if v is not None})


def test_records_of_before_there_were_versions_are_outdated(folder):
    assert outdated(folder) == {"final": f"grokscope dissect {folder} --checkpoints final --draws 9"}


def test_those_of_the_present_rules_are_not(folder):
    for name in ("m1", "m5"):
        path = folder / "mechinterp" / f"{name}.json"
        write_json(path, json.loads(path.read_text()) | {"rules": RULES})
    assert outdated(folder) == {}
    assert outdated(folder / "nothing") == {}


def test_the_command_asks_for_what_was_asked_for(folder):
    write(folder, ".", RULES - 1, "peak_ood_val", draws=19, seed=3)
    write_json(folder / "mechinterp" / "requests.json",
               {"peak_ood_val": {"split": "train", "sites": ["layer1", "global_pool"], "steer_sites": []}})  # fmt: skip
    assert outdated(folder)["peak_ood_val"].split(" --")[1:] == [
        "checkpoints peak_ood_val", "split train", "sites layer1 global_pool", "draws 19", "seed 3"
    ]  # fmt: skip


def test_a_trajectory_is_redone_as_one(folder):
    for step in (2, 4, 6):
        write(folder, f"step{step:08d}", None, f"step={step}")
    write(folder, ".", None, "step=6")
    assert list(outdated(folder)) == ["all"]


def test_other_programs_records_are_not_ours_to_judge(folder):
    shutil.rmtree(folder / "mechinterp")
    write_json(folder / "mechinterp" / "m6.json", {"K": [0, 4], "hospital": [0.0, 0.1]})
    (folder / "mechinterp" / "m1.json").write_text("{")
    assert outdated(folder) == {}


def test_they_are_shown_by_show_and_report(folder, capsys):
    command = f"grokscope dissect {folder} --checkpoints final"
    assert cli(["show", str(folder)]) == 0
    shown = capsys.readouterr().out.replace("\n", " ")
    assert "outdated dissection (older rules)" in shown
    assert cli(["show", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outdated_dissections"]["final"].startswith(command)
    page = build_report([open_run(folder)], folder.parent / "report.html", formats=()).read_text()
    assert f"To update: {command}" in page
