"""Dissecting runs of the first schema: as their twins of today where their data can still be drawn, else refused."""

import json
import shutil
from pathlib import Path

import pytest

from grokscope import configio
from grokscope.cli import run as cli
from grokscope.dissect.runs import dissect_run
from grokscope.report.read.dissections import find_dissections
from grokscope.report.read.judged_run import read
from grokscope.report.read.subjects import gather
from grokscope.results.settings import Settings
from grokscope.store import find_runs, open_run
from grokscope.tasks.hospitals import Hospitals
from grokscope.tasks.hospitals.files import write_table
from grokscope.train.driver import train
from grokscope.trajectory import Criteria

STORED = Path(__file__).parents[1] / "cases" / "schema1" / "stored"
FAST = Settings(draws=9, permutations=49, resamples=49, probe_controls=1, halves=4)
LATER = ("augment_flip", "augment_crop", "augment_stain")
"""Settings of the regime that the first schema did not have."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of one setting: seed 0 in the form of the first schema, seed 1 as it is written today."""
    folder = tmp_path_factory.mktemp("table")
    table = write_table(folder, Hospitals(n_train=40, n_eval=120, image_size=16, patients=40, slides=40), 0)
    raw = {
        "task": {"name": "table", "path": str(table)},
        "model": {"name": "small-resnet", "width": 2},
        "regime": {"recipe": "standard"},
        "budget": {"steps": 6},
        "evaluate": {"every": 3},
    }
    root = folder / "runs"
    old, new = (train(configio.load_run({**raw, "seed": seed}), root) for seed in (0, 1))
    return as_first_written(old), new


def as_first_written(run):
    """The run's folder as the first schema left it: its number and settings, no facts of the data, another name."""
    file = run.path / "config.json"
    record = json.loads(file.read_text())
    record["schema"] = 1
    del record["facts"]["data"]
    for key in LATER:
        del record["config"]["regime"][key]
    file.write_text(json.dumps(record))
    return open_run(run.path.rename(run.path.with_name(run.id.rpartition("-")[0] + "-00000000")))


@pytest.fixture(scope="module")
def dissected(runs):
    return [next(iter(dissect_run(run, settings=FAST, figures=False)))[1] for run in runs]


def test_its_dissection_is_that_of_the_same_run_written_today(runs, dissected, tmp_path):
    old, _ = runs
    twin = train(configio.load_run(old.config), tmp_path)
    ((_, result),) = dissect_run(twin, settings=FAST, figures=False)
    before = json.loads((old.path / "mechinterp" / "m1.json").read_text())
    after = json.loads((twin.path / "mechinterp" / "m1.json").read_text())
    assert before["m1"] == after["m1"]
    assert dissected[0].where.cell == result.where.cell


def test_the_report_puts_it_into_the_group_of_its_new_twin(runs, dissected):
    subjects = gather(find_runs(runs[0].path.parent))
    readings = read(subjects, "ood_test", Criteria(), neighbors=False)
    assert {r.subject.name for r in readings} == {run.id for run in runs}
    dissections = find_dissections(readings).main
    assert {d.reading.subject.name for d in dissections} == {run.id for run in runs}
    assert len({d.reading.subject.group for d in dissections}) == 1


def test_one_whose_data_are_drawn_otherwise_now_is_refused_with_the_reason(tmp_path, capsys):
    name = "hospitals_standard_n24_s0-62b8a3f3"
    folder = shutil.copytree(STORED / name, tmp_path / name)
    before = {p: p.read_bytes() for p in folder.rglob("*.json")}
    assert cli(["dissect", str(folder), "--draws", "9", "--no-figures"]) == 2
    told = capsys.readouterr().err
    assert f"{name}: trained on version 1 of the data of task 'hospitals', and this grokscope draws version 2" in told
    assert "Traceback" not in told
    assert any("mechinterp" in p.parts for p in before), "its old dissection stays as it is"
    assert before == {p: p.read_bytes() for p in folder.rglob("*.json")}
