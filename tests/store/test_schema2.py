"""Runs of schema 2, whose regimes are flat: the parameters of all components stand side by side in them. They are
listed, queried, shown, continued, extended, branched from, archived and reported as if they had been written today.

``tests/cases/schema2`` holds one small run of each kind, as that version wrote them (host names left out).
"""

import json
import shutil
from pathlib import Path

import pytest

from grokscope import configio
from grokscope.archive.exporting import export_archive
from grokscope.archive.importing import import_archive
from grokscope.cli import run as cli
from grokscope.config import Budget
from grokscope.report import build_report
from grokscope.store import open_run
from grokscope.store.folders import find_run
from grokscope.store.query import run_rows, sql
from grokscope.study.study import Study
from grokscope.train.branch import branch
from grokscope.train.driver import extend, train
from grokscope.train.filters import GrokfastEMA, GrokfastMA
from grokscope.train.optimizers import SGD, AdamW, Muon
from grokscope.train.schedules import Warmup
from stored_runs import assert_same_numbers

CASES = Path(__file__).parents[1] / "cases" / "schema2"
NAMES = json.loads((CASES / "names.json").read_text())
FINISHED = [kind for kind in NAMES if kind != "interrupted"]


@pytest.fixture
def root(tmp_path):
    return shutil.copytree(CASES / "stored", tmp_path / "runs")


def stored(root, kind):
    return open_run(root / NAMES[kind])


def config_of(run):
    return configio.load_run(run.config)


@pytest.mark.parametrize("kind", NAMES)
def test_the_record_reads_as_the_present_version_writes_it(root, kind):
    raw = json.loads((root / NAMES[kind] / "config.json").read_text())
    run = stored(root, kind)
    assert raw["schema"] == 2
    assert "betas" in raw["config"]["regime"]
    assert run.record["schema"] == configio.SCHEMA
    assert configio.dump(config_of(run)) == run.config


def test_each_parameter_is_with_its_component(root):
    regime = config_of(stored(root, "grokfast")).regime
    assert (regime.optimizer, regime.schedule) == (AdamW(betas=(0.9, 0.98)), Warmup(warmup_steps=5))
    assert regime.grad_filter == GrokfastMA(lambda_=5.0, window=7)
    assert config_of(stored(root, "muon")).regime.optimizer == Muon(eps=1e-7, momentum=0.95), "0 meant its usual one"
    regime = config_of(stored(root, "interrupted")).regime
    assert (regime.optimizer, regime.grad_filter) == (SGD(momentum=0.9), GrokfastEMA(alpha=0.9))


@pytest.mark.parametrize("kind", NAMES)
def test_each_is_found_by_what_it_is(root, kind):
    """In its own folder; where parameters were set that had no effect, in one that is named by them."""
    run = stored(root, kind)
    assert find_run(root, config_of(run)).path == run.path
    assert (config_of(run).run_id() == run.id) == (kind != "unused")


def test_listing_sql_and_show_know_them(root, capsys):
    rows = {row["id"]: row for row in run_rows(root)}
    row = rows[NAMES["grokfast"]]
    assert (row["regime.optimizer"], row["regime.optimizer.betas"]) == ("adamw", "[0.9, 0.98]")
    assert (row["regime.grad_filter"], row["regime.grad_filter.lambda"]) == ("grokfast_ma", 5.0)
    assert "regime.betas" not in row
    query = """select id from runs where "regime.optimizer" = 'sgd' and "regime.optimizer.momentum" > 0.5"""
    assert {row["id"] for row in sql(query, root)} == {NAMES["unused"], NAMES["interrupted"]}
    assert cli(["show", str(root / NAMES["grokfast"])]) == 0
    assert "regime.grad_filter.window" in capsys.readouterr().out


def test_an_interrupted_one_goes_on_where_it_lies(root):
    run = stored(root, "interrupted")
    assert train(config_of(run), root).path == run.path
    assert_same_numbers(run.path, CASES / "expected" / "resumed")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("grokfast", "extended"), ("unused", "extended-unused"), ("muon", "extended-muon")],
)
def test_a_finished_one_is_extended_where_it_lies(root, kind, expected):
    run = extend(stored(root, kind), Budget(steps=90))
    assert run.id == NAMES[kind]
    assert_same_numbers(run.path, CASES / "expected" / expected)
    assert json.loads((run.path / "config.json").read_text())["schema"] == configio.SCHEMA


def test_a_branch_and_a_study_take_them_as_they_are(root):
    run = stored(root, "grokfast")
    config = branch(run, {"regime.optimizer": "sgd", "regime.optimizer.momentum": 0.5}, step=30)
    assert config.regime.optimizer == SGD(momentum=0.5)
    tables = {k: run.config[k] for k in ("task", "model", "regime", "budget", "evaluate", "diagnose", "checkpoint")}
    raw = json.loads(json.dumps(tables), object_hook=lambda d: {k: v for k, v in d.items() if v is not None})
    (standing,) = Study.from_dict({**raw, "seeds": [0]}, "s").status(root)
    assert (standing.state, standing.run.id) == ("done", run.id)


def test_report_and_archive_have_them(root, tmp_path):
    runs = [stored(root, kind) for kind in NAMES]
    page = build_report(runs, tmp_path / "report.html").read_text()
    assert all(NAMES[kind] in page for kind in NAMES)
    export_archive(runs, tmp_path / "archive")
    back = {run.id.rpartition("-")[0]: run for run in import_archive(tmp_path / "archive", tmp_path / "again")}
    assert len(back) == len(NAMES)
    for run in runs:
        assert back[run.id.rpartition("-")[0]].config["regime"] == run.config["regime"]
