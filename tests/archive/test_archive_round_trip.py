"""Out and in again: the same evaluations to the last bit, the same weights, and nothing of this machine."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from archive_samples import RUN, write_archive

from grokscope import configio
from grokscope.archive import export_archive, import_archive
from grokscope.config import Budget
from grokscope.files import read_json, write_json
from grokscope.store import Run, open_run
from grokscope.store.checkpoints import load_weights
from grokscope.train.driver import train
from tiny import tiny

HOSPITALS: dict[str, Any] = {
    "task": {"name": "hospitals", "n_train": 48, "n_eval": 32, "image_size": 16},
    "model": {"name": "small-resnet", "width": 4},
    "regime": {"recipe": "grokking-favorable", "batch_size": 16},
    "budget": {"epochs": 6},
    "evaluate": {"every": 1, "unit": "epochs"},
    "diagnose": {"every": 2, "unit": "epochs"},
    "checkpoint": {"every": 2, "unit": "epochs"},
    "seed": 7,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Run:
    """A real run of the synthetic hospitals, 18 steps long."""
    from grokscope.overlay import resolve

    raw = {**HOSPITALS, "regime": resolve(HOSPITALS["regime"])}
    return open_run(train(configio.load_run(raw), tmp_path_factory.mktemp("trained")).path)


def same_run(one: Run, two: Run) -> None:
    for name in ("metrics.jsonl", "history.json"):
        assert (one.path / "results" / name).read_bytes() == (two.path / "results" / name).read_bytes()
    for key in (a := one.metrics()):
        np.testing.assert_array_equal(a[key], two.metrics()[key])
    assert one.config == two.config
    assert one.record["passed"] == two.record["passed"]
    drop = lambda facts: {k: v for k, v in facts.items() if k != "notes"}  # noqa: E731
    assert drop(one.facts) == drop(two.facts)
    assert {k: p.name for k, p in one.checkpoints().items()} == {k: p.name for k, p in two.checkpoints().items()}
    for path in (one.path / "checkpoints").iterdir():
        a, b = load_weights(path), load_weights(two.path / "checkpoints" / path.name)
        assert a.keys() == b.keys()
        assert all(a[k].equal(b[k]) and a[k].dtype == b[k].dtype for k in a)


@pytest.mark.parametrize("weights", ["pt", "safetensors"])
def test_a_run_comes_back_as_it_went(trained, tmp_path, weights):
    done = export_archive([trained], tmp_path / "out", weights=weights, formats=())
    assert [p[:26] for p in done.problems] == ["README.md has no license: "]
    found = import_archive(done.path, tmp_path / "runs")
    assert found.problems == ()
    same_run(trained, found[0])
    assert found[0].status["state"] == "done"
    assert found[0].status["step"] == trained.status["step"] == 18
    assert import_archive(done.path, tmp_path / "runs").changed == ()


def test_what_came_back_can_be_trained_on(trained, tmp_path):
    from grokscope.train.branch import branch

    export_archive([trained], tmp_path / "out", formats=())
    run = import_archive(tmp_path / "out", tmp_path / "runs")[0]
    config = branch(run, {"budget.epochs": 1, "regime.lr": 1e-9, "regime.weight_decay": 0.0})
    grown = train(config, tmp_path / "runs")
    here = branch(trained, {"budget.epochs": 1, "regime.lr": 1e-9, "regime.weight_decay": 0.0}, root=tmp_path / "here")
    other = train(here, tmp_path / "here")
    assert grown.rows() == other.rows()


def test_the_branch_carries_its_own_start(trained, tmp_path):
    from grokscope.train.branch import branch

    config = branch(trained, {"budget.epochs": 1}, step=6, root=tmp_path / "runs")
    run = open_run(train(config, tmp_path / "runs").path)
    export_archive([run], tmp_path / "out", formats=())
    back = import_archive(tmp_path / "out", tmp_path / "back")
    assert back.problems == ()
    same_run(run, back[0])
    assert (back[0].path / "checkpoints" / "start.safetensors").exists()
    assert back[0].record["lineage"]["before"]["run"] == trained.id


def test_twice_out_and_in_is_once(trained, tmp_path):
    export_archive([trained], tmp_path / "one", formats=())
    first = import_archive(tmp_path / "one", tmp_path / "a")[0]
    export_archive([first], tmp_path / "two", formats=())
    second = import_archive(tmp_path / "two", tmp_path / "b")[0]
    same_run(trained, second)
    assert second.record["lineage"]["run"] == first.record["lineage"]["run"] == trained.id


@pytest.mark.usefixtures("tiny_network")
def test_a_published_archive_goes_out_as_it_came(tmp_path):
    archive = write_archive(tmp_path / "archive")
    runs = import_archive(archive, tmp_path / "runs")
    done = export_archive(runs, tmp_path / "out", formats=())
    folder, original = done.path / "runs" / RUN, archive / "runs" / RUN
    assert (folder / "results/history.json").read_bytes() == (original / "results/history.json").read_bytes()
    ours = json.loads((folder / "config.json").read_text())
    assert json.loads((original / "config.json").read_text()).items() <= ours.items()
    assert json.loads((folder / "results/summary.json").read_text())["best_epoch"] == 350
    for path in (original / "checkpoints").iterdir():
        one, two = (torch.load(p / path.name, weights_only=True) for p in (path.parent, folder / "checkpoints"))
        assert all(one[k].equal(two[k]) for k in one)
    again = import_archive(done.path, tmp_path / "again")
    assert again.problems == ()
    same_run(runs[0], again[0])


def test_without_its_metrics_the_rows_of_the_history_come(trained, tmp_path):
    export_archive([trained], tmp_path / "out", formats=())
    (tmp_path / "out" / "runs" / trained.id / "results" / "metrics.jsonl").unlink()
    found = import_archive(tmp_path / "out", tmp_path / "runs")
    assert len(found.problems) == 1
    assert "only the rows of history.json" in found.problems[0]
    assert found[0].rows() == [trained.rows()[0], trained.rows()[-1]]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("schema", 99, "newer grokscope"),
        ("config", {"task": {"name": "hospitalz"}}, "hospitalz"),
        ("facts", {"kind": "classification"}, "facts: missing or damaged"),
    ],
)
def test_an_export_that_cannot_be_read_is_named(trained, tmp_path, key, value, words):
    export_archive([trained], tmp_path / "out", formats=())
    path = tmp_path / "out" / "runs" / trained.id / "config.json"
    data = json.loads(path.read_text())
    data["grokscope"][key] = value
    path.write_text(json.dumps(data))
    found = import_archive(tmp_path / "out", tmp_path / "runs")
    assert len(found) == 0
    assert len(found.problems) == 1
    assert words in found.problems[0]


def test_a_hostile_name_stays_inside_the_root(trained, tmp_path):
    export_archive([trained], tmp_path / "out", formats=())
    path = tmp_path / "out" / "runs" / trained.id / "config.json"
    data = json.loads(path.read_text())
    data["grokscope"]["id"] = "../../escaped-12345678"
    path.write_text(json.dumps(data))
    found = import_archive(tmp_path / "out", tmp_path / "deep" / "runs")
    assert found[0].path.parent == tmp_path / "deep" / "runs"
    assert found[0].id.startswith("hospitals_s7-")


def test_damaged_metrics_are_named(trained, tmp_path):
    export_archive([trained], tmp_path / "out", formats=())
    path = tmp_path / "out" / "runs" / trained.id / "results" / "metrics.jsonl"
    path.write_bytes(path.read_bytes().replace(b'{"step": 3,', b'{"step": 999,'))
    found = import_archive(tmp_path / "out", tmp_path / "runs")
    assert len(found.problems) == 1
    assert "metrics.jsonl" in found.problems[0]
    assert "does not follow" in found.problems[0]


def test_interrupted_runs_stay_interrupted(tmp_path):
    from grokscope.train.driver import Interrupted, extend

    with pytest.raises(Interrupted) as stopped:
        train(tiny(), tmp_path / "runs", interrupt_at=30)
    run = open_run(stopped.value.run.path)
    done = export_archive([run], tmp_path / "out", formats=())
    assert any("interrupted at step 30" in p for p in done.problems)
    found = import_archive(done.path, tmp_path / "back")
    status = found[0].status
    assert (status["state"], status["step"], status["total_steps"]) == ("interrupted", 30, 60)
    assert found.problems == ()  # it is whole, as far as it came
    (done.path / "runs" / run.id / "checkpoints" / "st00000030.pt").unlink()
    assert any("1 of 2 missing: st00000030" in p for p in import_archive(done.path, tmp_path / "less").problems)
    with pytest.raises(ValueError, match="was imported"):
        extend(found[0], Budget(steps=100))


def test_dissections_travel_but_a_newer_one_stays(trained, tmp_path):
    one, cache = trained.path / "mechinterp" / "m1.json", trained.path / "mechinterp" / "features" / "a.npz"
    write_json(one, {"version": 1})
    cache.parent.mkdir()
    cache.write_bytes(b"large")
    done = export_archive([trained], tmp_path / "out", formats=())
    assert not list(done.path.rglob("*.npz"))
    run = import_archive(done.path, tmp_path / "runs")[0]
    copy = run.path / "mechinterp" / "m1.json"
    assert copy.read_bytes() == one.read_bytes()
    write_json(one, {"version": 2})
    export_archive([trained], tmp_path / "out", formats=())
    assert import_archive(done.path, tmp_path / "runs").problems == ()
    assert copy.read_bytes() == one.read_bytes()  # it was the archive's: renewed
    write_json(copy, {"mine": 1})
    write_json(one, {"version": 3})
    export_archive([trained], tmp_path / "out", formats=())
    found = import_archive(done.path, tmp_path / "runs")
    assert len(found.problems) == 1
    assert "m1.json: the run already has a newer one" in found.problems[0]
    assert read_json(copy) == {"mine": 1}


def test_a_loop_of_ones_own_travels_too(tmp_path):
    from grokscope.recorder import Recorder

    model = torch.nn.Linear(3, 2)
    with Recorder(tmp_path / "mine", model, n={"train": 50, "id_val": 100}, trivial={"id_val": 0.5}, seed=3) as rec:
        for step in range(0, 60, 10):
            rec.log(step, train_acc=min(1.0, 0.5 + step / 40), id_val_acc=0.5 + step / 200, train_loss=1 / (1 + step))
        rec.checkpoint(50)
    done = export_archive([tmp_path / "mine"], tmp_path / "out", formats=())
    card = (done.path / "README.md").read_text()
    assert "a training loop of the author's own" in card
    assert "## Regimes" not in card
    found = import_archive(done.path, tmp_path / "runs")
    assert found.problems == ()
    run, original = found[0], open_run(tmp_path / "mine")
    assert run.rows() == original.rows()
    assert run.config == original.config
    assert load_weights(run.checkpoints()[50])["weight"].equal(model.weight)
    assert (run.id[:5], run.status["state"]) == ("mine-", "done")


def test_a_train_run_is_not_mistaken_for_its_import(trained, tmp_path):
    export_archive([trained], tmp_path / "out", formats=())
    run = import_archive(tmp_path / "out", trained.path.parent)[0]
    assert run.path != trained.path
    assert Path(run.path).parent == trained.path.parent
    assert configio.load_run(run.config).run_id() == trained.id


@pytest.mark.parametrize("option", [{"scale": 0.01}, {"mapping": {"ood_test_acc": "x"}}, {"n": {"ood_test": 5}}])
def test_options_that_an_own_archive_has_no_use_for_are_refused_and_not_ignored(trained, tmp_path, option):
    export_archive([trained], tmp_path / "out", formats=())
    with pytest.raises(ValueError, match="every run of this archive was written by grokscope and records this itself"):
        import_archive(tmp_path / "out", tmp_path / "runs", **option)
