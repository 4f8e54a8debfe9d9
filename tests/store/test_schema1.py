"""Runs of the first schema, whose folders have other names: listed, shown, judged, pooled with new ones, continued.

``tests/cases/schema1`` holds one small run of each kind, as that version wrote them (host names and pictures left out).
"""

import json
import shutil
from pathlib import Path

import pytest

from grokscope import configio, flat_regime
from grokscope.archive.importing import import_archive
from grokscope.cli import run as cli
from grokscope.config import Budget
from grokscope.report.read.subjects import gather
from grokscope.store import find_runs, open_run
from grokscope.store.folders import find_run
from grokscope.store.query import run_rows, sql
from grokscope.study.study import Study
from grokscope.train.branch import branch
from grokscope.train.driver import extend, train
from grokscope.verdicts import run_verdicts
from stored_runs import assert_same_numbers
from tiny import same_folder_content

CASES = Path(__file__).parents[1] / "cases" / "schema1"
NAMES = json.loads((CASES / "names.json").read_text())
TRAINED = [kind for kind in NAMES if kind not in ("own", "imported")]
RESUMABLE = [kind for kind in TRAINED if kind != "images"]
"""The state of the image network was too large to keep."""


@pytest.fixture
def root(tmp_path):
    return shutil.copytree(CASES / "stored", tmp_path / "runs")


def stored(root, kind):
    return open_run(root / NAMES[kind])


def config_of(run):
    return configio.load_run(run.config)


def holds(now, then):
    """Whether a table has all that an older one had, tables within it too."""
    if isinstance(then, dict):
        return all(key in now and holds(now[key], value) for key, value in then.items())
    return now == then


@pytest.mark.parametrize("kind", NAMES)
def test_the_record_reads_as_the_present_version_writes_it(root, kind):
    raw = json.loads((root / NAMES[kind] / "config.json").read_text())
    run = stored(root, kind)
    assert raw["schema"] == 1
    assert run.record["schema"] == configio.SCHEMA
    now, then = (configio.flatten(config) for config in (run.config, flat_regime.nested(raw["config"])))
    assert holds(now, then), "fields that came later are at their defaults"
    if kind in TRAINED:
        assert configio.dump(config_of(run)) == run.config


def test_listing_sql_and_verdicts_know_every_one(root):
    rows = {row["id"]: row for row in run_rows(root)}
    assert set(rows) == set(NAMES.values())
    assert not [row["id"] for row in rows.values() if row["state"] == "unreadable"]
    assert rows[NAMES["interrupted"]]["state"] == "interrupted"
    assert len(sql('select id from runs where "regime.lr" = 0.01', root)) >= 5
    for kind in NAMES:
        assert run_verdicts(stored(root, kind)), kind


@pytest.mark.parametrize("kind", NAMES)
def test_each_is_shown(root, kind, capsys):
    assert cli(["show", str(root / NAMES[kind])]) == 0
    assert NAMES[kind] in capsys.readouterr().out


def test_a_run_on_data_that_are_drawn_otherwise_now_is_not_taken_for_one_of_today(root):
    """The task of the stored images has another data version since: the same config is another run."""
    config = config_of(stored(root, "images"))
    assert config.task.data_version > 1
    assert find_run(root, config).path == root / config.run_id()


@pytest.mark.parametrize("kind", RESUMABLE)
def test_each_is_found_by_what_it_is(root, kind):
    run = stored(root, kind)
    assert config_of(run).run_id() != run.id, "the schemes name folders differently"
    assert find_run(root, config_of(run)).path == run.path


def test_an_import_is_never_taken_for_the_run(root):
    shutil.rmtree(root / NAMES["classification"])
    config = config_of(stored(root, "imported"))
    assert find_run(root, config).path == root / config.run_id()


def test_old_and_new_runs_of_one_setting_are_one_group(root):
    old = stored(root, "classification")
    raw = {k: v for k, v in old.config.items() if v is not None} | {"seed": 7}
    new = train(configio.load_run(raw), root)
    first, second = gather([old, new])
    assert first.group == second.group
    assert {first.name, second.name} == {old.id, new.id}


def test_a_field_that_was_added_since_is_at_its_default(root):
    path = root / NAMES["classification"] / "config.json"
    record = json.loads(path.read_text())
    del (
        record["config"]["regime"]["autocast"],
        record["config"]["task"]["operation"],
        record["config"]["evaluate"]["unit"],
    )
    path.write_text(json.dumps(record))
    run = stored(root, "classification")
    assert (run.config["regime"]["autocast"], run.config["evaluate"]["unit"]) == ("none", "steps")
    assert find_run(root, config_of(run)).path == run.path


@pytest.mark.parametrize("kind", ["classification", "compiled", "regression", "scheduled", "branch"])
def test_a_finished_one_is_not_trained_again(root, kind):
    run = stored(root, kind)
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file() and p.name != ".lock"}
    assert train(config_of(run), root).path == run.path
    assert before == {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file() and p.name != ".lock"}


def test_an_interrupted_one_goes_on_where_it_lies(root):
    run = stored(root, "interrupted")
    assert train(config_of(run), root).path == run.path
    assert_same_numbers(run.path, CASES / "expected" / "resumed")


def test_a_finished_one_is_extended_where_it_lies(root):
    run = extend(stored(root, "classification"), Budget(steps=90))
    assert run.id == NAMES["classification"]
    assert_same_numbers(run.path, CASES / "expected" / "extended")
    assert run.facts["data"] == {"version": 1}, "nobody can tell what it began with"


@pytest.mark.filterwarnings("ignore:the checkpoints of these steps are no longer there")  # some were not stored
@pytest.mark.parametrize("kind", [k for k in RESUMABLE if k not in ("interrupted", "scheduled")])
def test_each_kind_is_extended_as_under_its_new_name(root, tmp_path, kind):
    old = stored(root, kind)
    renamed = shutil.copytree(old.path, tmp_path / "renamed" / config_of(old).run_id())
    budget = Budget(steps=old.status["step"] + 30)
    ways = [extend(open_run(path), budget).path for path in (old.path, renamed)]
    same_folder_content(*ways)


def test_a_schedule_that_depends_on_the_length_is_refused(root):
    with pytest.raises(ValueError, match="depends on the length"):
        extend(stored(root, "scheduled"), Budget(steps=90))


def test_a_branch_leaves_from_one_and_finds_itself_again(root):
    parent = stored(root, "classification")
    config = branch(parent, {"regime.weight_decay": 0.0, "budget.steps": 30}, step=30)
    assert train(config, root).id == NAMES["branch"], "the same branch was made by the older version"
    renamed = open_run(parent.path.rename(root / "parent"))
    config = branch(renamed, {"regime.weight_decay": 0.0, "budget.steps": 30}, step=30)
    assert train(config, root).id == NAMES["branch"], "nor does it matter what the parent's folder is called"


def test_a_study_counts_them_as_done(root):
    old = stored(root, "classification")
    tables = {k: old.config[k] for k in ("task", "model", "regime", "budget", "evaluate", "diagnose", "checkpoint")}
    raw = json.loads(json.dumps(tables), object_hook=lambda d: {k: v for k, v in d.items() if v is not None})
    study = Study.from_dict({**raw, "seeds": [0, 1]}, "s")
    states = {s.entry.config.seed: (s.state, s.run.id) for s in study.status(root)}
    assert states[0] == ("done", NAMES["classification"])
    assert states[1][0] == "partial", "the interrupted one, whose label is another"
    study.run(0, root)
    assert [s.state for s in study.status(root)] == ["done", "done"]
    assert len(find_runs(root)) == len(NAMES)


def test_an_archive_of_an_older_export_is_imported(tmp_path):
    found = import_archive(CASES / "archive_run", tmp_path)
    assert not found.problems
    assert found[0].record["schema"] == configio.SCHEMA
    assert run_verdicts(found[0])
