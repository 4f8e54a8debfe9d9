"""Measuring checkpoints after a run: the run's own numbers, once, kept beside the metrics, and read by everyone."""

import json
import math
import shutil
import warnings

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import grokscope as gs
from grokscope.cli import run as grokscope
from grokscope.measuring import checkpoints
from grokscope.results.measured import FOLDER, Measured
from grokscope.store.measured import measured_of, measured_rows
from grokscope.train.branch import branch
from grokscope.train.driver import train
from grokscope.trajectory import from_run
from tiny import COMPILED, fitting, tiny

pytestmark = pytest.mark.usefixtures("one_thread")


KEPT = {"checkpoint.every": 20, "evaluate.every": 20, "diagnose.every": 20}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(tiny(KEPT), tmp_path_factory.mktemp("runs"))


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained.path, tmp_path / trained.id)
    return gs.open_run(tmp_path / trained.id)


def test_what_is_measured_later_is_what_the_run_would_have_said(run, tmp_path):
    names = ["hessian", "kernel", "jacobian_rank", "distance", "simplicity", "margins", "description_length"]
    asked = train(tiny({**KEPT, "measure": names}), tmp_path / "asked")
    rows = {row["step"]: row for row in asked.rows()}
    result = gs.measure(run, names, every_checkpoint=True)
    assert [row["step"] for row in result.rows] == [20, 40, 60]
    assert result.computed == 3
    for row in result.rows:
        assert len(row) > 20
        for column, value in row.items():
            assert value == pytest.approx(rows[row["step"]][column], rel=1e-6, abs=1e-9), column


def test_the_run_itself_stays_as_it_was(run):
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    gs.measure(run, "hessian", every_checkpoint=True)
    after = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    assert {p: after[p] for p in before} == before
    assert [p.relative_to(run.path).as_posix() for p in after.keys() - before.keys()] == ["measured/hessian.json"]


def counting(monkeypatch):
    calls = []
    measured = checkpoints.TorchEngine.measured

    def counted(self, measurements):
        calls.append((self.step, [m.name for m in measurements]))
        return measured(self, measurements)

    monkeypatch.setattr(checkpoints.TorchEngine, "measured", counted)
    return calls


def test_nothing_is_measured_twice(run, monkeypatch):
    calls = counting(monkeypatch)
    gs.measure(run, "gap", at=[20])
    first = (run.path / FOLDER / "gap.json").read_bytes()
    assert gs.measure(run, "gap", at=[20]).computed == 0
    assert (run.path / FOLDER / "gap.json").read_bytes() == first
    result = gs.measure(run, ["gap", "distance"], every_checkpoint=True)
    assert calls == [
        (20, ["gap"]), (20, ["distance"]), (40, ["gap"]), (40, ["distance"]), (60, ["gap"]), (60, ["distance"])
    ]  # fmt: skip
    assert [row["step"] for row in result.rows] == [20, 40, 60]


def test_an_interruption_loses_nothing(run, monkeypatch):
    calls = counting(monkeypatch)

    def stop(progress):
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gs.measure(run, "gap", every_checkpoint=True, watch=stop)
    gs.measure(run, "gap", every_checkpoint=True)
    assert [step for step, _ in calls] == [20, 40, 60]


def test_other_parameters_and_other_weights_are_measured_anew(run, monkeypatch):
    calls = counting(monkeypatch)
    one = gs.measure(run, {"name": "hessian", "rows": 4, "probes": 2}, at=[20, 40]).rows
    other = gs.measure(run, {"name": "hessian", "rows": 8, "probes": 2}, at=[20, 40]).rows
    assert one[0]["hessian_top"] != other[0]["hessian_top"]
    assert len(calls) == 4
    path = run.checkpoints()[20]
    save_file({n: 2 * w for n, w in load_file(path).items()}, path)
    again = gs.measure(run, {"name": "hessian", "rows": 8, "probes": 2}, at=[20, 40]).rows
    assert [step for step, _ in calls[4:]] == [20]
    assert again[0]["hessian_top"] != other[0]["hessian_top"]
    assert again[1] == other[1]


def test_by_default_the_last_checkpoint_and_a_probe_is_one_of_many(run):
    assert [row["step"] for row in gs.measure(run, "gap").rows] == [60]
    result = gs.measure(run, "distance", every_checkpoint=True, probe=True)
    assert (result.computed, result.left) == (1, 2)
    assert result.seconds is not None
    assert result.seconds > 0


def test_the_start_is_the_seeds_or_that_of_a_branch(run, tmp_path):
    later = gs.measure(run, "distance", at=[20]).rows[0]
    config = branch(run, {"regime.lr": 2e-2}, step=40, root=tmp_path / "branched")
    child = train(config, tmp_path / "branched")
    row = gs.measure(child, ["distance", "pac_bayes"], at=[20]).rows[0]
    start, now = (
        load_file(child.path / "checkpoints" / name) for name in ("start.safetensors", "st00000020.safetensors")
    )
    wanted = math.sqrt(sum(float((now[n].double() - start[n].double()).square().sum()) for n in start))
    assert row["distance_total"] == pytest.approx(wanted, rel=1e-6)
    assert row["distance_total"] != later["distance_total"]
    assert "pac_bayes_bound" not in row


def test_of_an_import_the_start_is_known_only_from_a_checkpoint(run):
    record = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(json.dumps({**record, "lineage": {"kind": "archive"}}))
    imported = gs.open_run(run.path)
    result = gs.measure(imported, ["distance", "hessian"])
    assert "hessian_top" in result.rows[0]
    assert not any(column.startswith("distance") for column in result.rows[0])
    assert "before the first step are not known" in result.results[0].reasons["distance"]
    (run.path / FOLDER / "distance.json").unlink()
    shutil.copy(
        run.path / "checkpoints" / "st00000020.safetensors", run.path / "checkpoints" / "st00000000.safetensors"
    )
    assert gs.measure(imported, "distance", at=[20]).rows[0]["distance_total"] == 0


def test_what_a_checkpoint_cannot_tell_is_said(run):
    result = gs.measure(run, "mechanisms")
    reasons = result.results[0].reasons
    assert "no weight of the network is scale-invariant" in reasons["rotation"]
    assert any("contains no optimizer step" in why for why in reasons.values())
    assert not any(column.startswith("cos_update") for column in result.rows[0])


# -- what cannot be measured ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ("hesian", {}, "did you mean 'hessian'"),
        ({"name": "hessian", "rows": 0}, {}, "rows must be positive"),
        ([], {}, "at least one"),
        (["gap", "gap"], {}, "each measurement once"),
        ("gap", {"at": [33]}, "no checkpoint at step 33; nearest: 40, 20"),
        ("gap", {"at": [20], "every_checkpoint": True}, "not both"),
    ],
    ids=str,
)
def test_mistakes_are_named(run, arguments, options, words):
    with pytest.raises(ValueError, match=words):
        gs.measure(run, arguments, **options)
    assert not (run.path / FOLDER).exists()


def test_a_damaged_checkpoint_costs_only_itself(run):
    (run.path / "checkpoints" / "st00000040.safetensors").write_bytes(b"no weights")
    result = gs.measure(run, "gap", every_checkpoint=True)
    assert [row["step"] for row in result.rows] == [20, 60]
    assert len(result.problems) == 1
    assert "st00000040" in result.problems[0]
    other = {n: w[:1] for n, w in load_file(run.checkpoints()[20]).items()}
    save_file(other, run.checkpoints()[20])
    assert "st00000020" in gs.measure(run, "distance", every_checkpoint=True).problems[0]


def test_with_nothing_to_measure_there_is_an_error(run, tmp_path):
    for path in (run.path / "checkpoints").glob("*"):
        path.write_bytes(b"no weights")
    with pytest.raises(ValueError, match="cut short, damaged"):
        gs.measure(run, "gap", every_checkpoint=True)
    shutil.rmtree(run.path / "checkpoints")
    with pytest.raises(ValueError, match="no checkpoints"):
        gs.measure(run, "gap")
    compiled = train(tiny(COMPILED), tmp_path / "compiled")
    with pytest.raises(ValueError, match="compiled"):
        gs.measure(compiled, "gap")


def test_outputs_that_checkpoints_do_not_hold_are_not_measured(tmp_path):
    changes = {"regime.interventions": [{"name": "subtract_initial", "from": 0}]}
    with pytest.raises(ValueError, match="an intervention changes the evaluated outputs"):
        gs.measure(train(tiny({**KEPT, **changes}), tmp_path), "gap")


def test_damaged_records_are_named_and_measured_anew(run):
    before = gs.measure(run, "gap").rows
    path = run.path / FOLDER / "gap.json"
    path.write_text(path.read_text()[:-30])
    with pytest.warns(UserWarning, match=r"gap.json.*excluded"):
        assert measured_of(run.path) == []
    with pytest.warns(UserWarning, match=r"gap.json.*measured again"):
        assert gs.measure(run, "gap").rows == before
    assert Measured.read(path).columns == ("id_val_gap",)


def test_nothing_is_written_through_a_link(run, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (run.path / FOLDER).symlink_to(elsewhere)
    with pytest.raises(ValueError, match="symbolic link"):
        gs.measure(run, "gap")
    assert list(elsewhere.iterdir()) == []


# -- who reads it -----------------------------------------------------------------------------------------------------


def test_columns_of_a_run_hold_it_at_evaluated_steps_and_keep_the_runs_own(run):
    plain = run.metrics()
    gs.measure(run, ["gap", "logits"], every_checkpoint=True)
    with_gap = run.metrics()
    assert with_gap["step"].tolist() == plain["step"].tolist()
    known = ~np.isnan(with_gap["id_val_gap"])
    assert with_gap["step"][known].tolist() == [20, 40, 60]
    assert with_gap.keys() - plain.keys() == {"id_val_gap"}
    for column, values in plain.items():
        np.testing.assert_array_equal(values, with_gap[column])
    assert "id_val_gap" in from_run(run).measured


def test_a_checkpoint_between_two_evaluations_is_in_sql(tmp_path):
    run = train(tiny({"checkpoint.every": 15, "evaluate.every": 20}), tmp_path)
    gs.measure(run, "gap", at=[15])
    assert "id_val_gap" not in run.metrics()
    rows = gs.sql("select run, step, id_val_gap from measured", tmp_path)
    assert [(row["run"], row["step"]) for row in rows] == [(run.id, 15)]
    assert rows[0]["id_val_gap"] == measured_rows(run.path)[15]["id_val_gap"]


def test_sql_joins_it_and_is_empty_without_it(run):
    root = run.path.parent
    assert gs.sql("select * from measured", root) == []
    gs.measure(run, ["gap", "hessian"], every_checkpoint=True)
    query = (
        "select m.step, m.train_loss, k.hessian_top from metrics m join measured k on k.run = m.run and k.step = m.step"
    )
    rows = gs.sql(query, root)
    assert [row["step"] for row in rows] == [20, 40, 60]
    assert all(row["hessian_top"] is not None for row in rows)


def test_the_report_draws_it(run, tmp_path):
    gs.measure(run, ["hessian"], every_checkpoint=True)
    page = gs.build_report([run], tmp_path / "report.html")
    assert "largest Hessian eigenvalue" in page.read_text()


# -- the verb ---------------------------------------------------------------------------------------------------------


def test_the_verb_measures_says_what_it_takes_and_shows(run, capsys):
    assert grokscope(["measure", str(run.path), "--measure", "gap,distance", "--every-checkpoint"]) == 0
    out, err = capsys.readouterr()
    assert "3 measured now" in out
    assert "id_val_gap" in out
    assert "1 of 3 done" in err
    assert "left" in err
    assert grokscope(["measure", str(run.path), "--measure", "gap", "--at", "20", "40", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [row["step"] for row in data[0]["rows"]] == [20, 40]
    assert data[0]["computed"] == 0
    assert grokscope(["show", str(run.path)]) == 0
    assert "measured afterward: gap at 3 checkpoints up to step 60: id_val_gap" in capsys.readouterr().out
    assert grokscope(["show", str(run.path), "--json"]) == 0
    assert {m["measurement"] for m in json.loads(capsys.readouterr().out)["measured"]} == {"gap", "distance"}


def test_a_measurement_with_nothing_to_say_shows_why_in_place_of_an_empty_table(run, capsys):
    assert grokscope(["measure", str(run.path), "--measure", "rotation"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert not any(line.startswith("column") for line in lines)
    assert "none of these measurements applies to this run:" in lines
    assert any(line.startswith("not available: rotation: no weight of the network is") for line in lines)


def test_a_probe_tells_the_cost_and_stops(run, capsys):
    assert grokscope(["measure", str(run.path), "--measure", "gap", "--every-checkpoint", "--probe"]) == 0
    assert "2 checkpoints left" in capsys.readouterr().out


def test_one_run_that_cannot_be_measured_never_costs_the_others_theirs(run, tmp_path, capsys):
    other = tmp_path / "nothing"
    other.mkdir()
    assert grokscope(["measure", str(other), str(run.path), "--measure", "gap"]) == 1
    out = capsys.readouterr().out
    assert "id_val_gap" in out
    assert "not measured" in out
    assert grokscope(["measure", str(other), "--measure", "gap"]) == 2
    assert "is not a run" in capsys.readouterr().err


def test_images_are_measured_too(tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*too few for an invariance penalty")
        run = train(tiny({**fitting("task", "hospitals"), **KEPT, "budget.steps": 20}), tmp_path)
        row = gs.measure(run, ["jacobian_rank", "kernel", "simplicity"]).rows[0]
    assert row["jacobian_rank"] > 1
    assert 0 <= row["kernel_distance"] <= 1
