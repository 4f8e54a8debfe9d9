"""A loop of somebody else's, recorded: what was logged is what is read, and mistakes are named."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from grokscope import open_run
from grokscope.recorder import Recorder
from grokscope.store.run import find_runs
from grokscope.train.driver import train
from grokscope.verdicts import run_verdicts
from tiny import tiny


def memorize_then_grok(rec, last=60):
    for step in range(1, last + 1):
        rec.log(step * 10, train_acc=min(1.0, step / 5), train_loss=1 / step, id_val_acc=0.1 if step < 40 else 0.99)


def test_what_was_logged_is_read_and_judged(tmp_path):
    model = torch.nn.Linear(3, 2)
    with Recorder(tmp_path / "mine", model, n={"train": 100, "id_val": 500}, trivial={"id_val": 0.1}) as rec:
        memorize_then_grok(rec)
        rec.checkpoint(600)
    run = open_run(tmp_path / "mine")
    assert run.status["state"] == "done"
    assert list(run.checkpoints()) == [600]
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert run.metrics()["norm_total"][0] == pytest.approx(float(weights.norm()))
    assert np.array_equal(run.metrics()["step"], np.arange(10, 610, 10))
    assert run_verdicts(run)["id_val"].verdict == "grokked"


def test_splits_whose_sizes_nobody_gave_are_judged_too(tmp_path):
    with Recorder(tmp_path / "mine") as rec:
        memorize_then_grok(rec)
    run = open_run(tmp_path / "mine")
    assert run_verdicts(run)["id_val"].verdict == "grokked"
    assert run.facts["splits"] == {"train": {}, "id_val": {}}
    with Recorder(tmp_path / "mine") as rec:  # continued, and one more split scored from then on
        rec.log(610, train_acc=1.0, ood_val_acc=0.5)
    assert open_run(tmp_path / "mine").facts["splits"].keys() == {"train", "id_val", "ood_val"}


def test_a_second_recording_replaces_from_its_first_step_on(tmp_path):
    with Recorder(tmp_path / "mine") as rec:
        for step in (1, 2, 3, 4):
            rec.log(step, train_acc=0.5)
    with Recorder(tmp_path / "mine") as rec:
        for step in (3, 5):
            rec.log(step, train_acc=0.7)
    assert [(r["step"], r["train_acc"]) for r in open_run(tmp_path / "mine").rows()] == [
        (1, 0.5),
        (2, 0.5),
        (3, 0.7),
        (5, 0.7),
    ]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 1}, "seed 0, not 1"),
        ({"name": "with decay"}, "name 'own loop', not 'with decay'"),
        ({"task": "regression"}, "task 'classification', not 'regression'"),
        ({"model": torch.nn.Linear(2, 2)}, "model 'NoneType', not 'Linear'"),
    ],
)
def test_a_folder_with_another_recording_is_refused_and_left_as_it_was(tmp_path, other, message):
    with Recorder(tmp_path / "mine") as rec:
        rec.log(1, train_acc=0.5)
    before = (tmp_path / "mine" / "config.json").read_bytes()
    with pytest.raises(ValueError, match=f"another run .*{message}.*choose another folder"):
        Recorder(tmp_path / "mine", **other)
    assert (tmp_path / "mine" / "config.json").read_bytes() == before
    with Recorder(tmp_path / "mine") as rec:  # the refusal left no lock
        rec.log(2, train_acc=0.5)
    assert len(open_run(tmp_path / "mine").rows()) == 2


def test_a_run_that_was_trained_is_never_recorded_over(tmp_path):
    run = train(tiny(), tmp_path)
    before = (run.path / "config.json").read_bytes()
    with pytest.raises(ValueError, match="not recorded by a Recorder"):
        Recorder(run.path)
    assert (run.path / "config.json").read_bytes() == before


def test_a_threshold_of_zero_is_kept(tmp_path):
    with Recorder(tmp_path / "mine", task="regression", threshold=0.0, trivial={"train": 1.0}) as rec:
        rec.log(1, train_loss=0.5)
    assert open_run(tmp_path / "mine").facts["threshold"] == 0.0


def test_an_error_in_the_loop_leaves_a_failed_run_with_its_rows(tmp_path):
    rec = Recorder(tmp_path / "mine")
    rec.log(1, train_acc=0.5)
    rec.__exit__(RuntimeError, RuntimeError(), None)
    assert open_run(tmp_path / "mine").status["state"] == "failed"
    assert len(open_run(tmp_path / "mine").rows()) == 1


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match="unknown split 'test'"):
        Recorder(tmp_path / "a", n={"test": 3})
    with Recorder(tmp_path / "mine") as rec:
        rec.log(5, train_acc=0.5)
        with pytest.raises(ValueError, match="step 5 does not follow 5"):
            rec.log(5, train_acc=0.5)
        with pytest.raises(ValueError, match="train_acc: expected a number, got 'high'"):
            rec.log(6, train_acc="high")
        with pytest.raises(ValueError, match="needs the model"):
            rec.checkpoint(6)


def test_the_example_runs(capsys):
    runpy.run_path(str(Path(__file__).parent.parent / "examples" / "own_loop.py"), run_name="__main__")
    assert "id_val: " in capsys.readouterr().out


def test_numbers_of_numpy_are_numbers_everywhere(tmp_path):
    """Loops keep their counts in numpy and torch; what is stored is what was meant, as JSON."""
    with Recorder(
        tmp_path / "mine",
        torch.nn.Linear(2, 2),
        seed=np.int64(3),
        threshold=np.float32(0.75),
        n={"train": np.int32(100), "id_val": torch.tensor(500)},
        trivial={"id_val": np.float64(0.5)},
        config={
            "lr": np.float32(0.5),
            "layers": np.array([4, 8]),
            "inner": {"betas": (0.9, np.float64(0.99))},
            "at": Path("x"),
        },
    ) as rec:
        rec.log(np.int64(1), train_acc=np.float32(0.5), id_val_acc=torch.tensor(0.25), tokens=np.int64(7))
        assert rec.checkpoint(np.int64(1)).name == "st00000001.safetensors"
    run = open_run(tmp_path / "mine")
    assert run.config["seed"] == 3
    assert run.config["own"] == {"lr": 0.5, "layers": [4, 8], "inner": {"betas": [0.9, 0.99]}, "at": "x"}
    facts = run.facts
    assert facts["threshold"] == 0.75
    assert facts["splits"] == {"train": {"n": 100}, "id_val": {"n": 500, "trivial_acc": 0.5}}
    assert [{k: row[k] for k in ("step", "train_acc", "id_val_acc", "tokens")} for row in run.rows()] == [
        {"step": 1, "train_acc": 0.5, "id_val_acc": 0.25, "tokens": 7}
    ]
    assert isinstance(run.rows()[0]["tokens"], int)
    assert isinstance(facts["splits"]["id_val"]["n"], int)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1.5}, "seed: expected a whole number, got 1.5"),
        ({"task": "clasification"}, "task: expected one of classification, regression, got 'clasification'"),
        ({"threshold": 95}, "threshold: no score is above 1, got 95"),
        ({"measure": "hessian"}, r"measure: expected a list of names; write \['hessian'\]"),
        ({"model": len}, "model: expected a torch module, got <built-in function len>"),
        ({"n": {"train": "many"}}, r"n\['train'\]: expected a number, got 'many'"),
        ({"trivial": {"id_val": None}}, r"trivial\['id_val'\]: expected a number"),
        ({"config": {"a": {"b": object()}}}, r"config\['a'\]\['b'\]: object cannot be kept as JSON"),
    ],
)
def test_what_cannot_be_kept_is_named_and_leaves_no_run_and_no_lock(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        Recorder(tmp_path / "mine", **options)
    assert not (tmp_path / "mine" / "config.json").exists()
    Recorder(tmp_path / "mine").finish()


def test_a_checkpoint_at_no_step_is_refused(tmp_path):
    with (
        Recorder(tmp_path / "mine", torch.nn.Linear(1, 1)) as rec,
        pytest.raises(ValueError, match="whole number >= 0"),
    ):
        rec.checkpoint(1.5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n": 100}, 'n: expected numbers by split, {"id_val": 1000}, got 100'),
        ({"n": {"train": -5}}, r"n\['train'\]: expected a number of examples, got -5"),
        ({"n": {"train": 2.5}}, r"n\['train'\]: expected a number of examples, got 2.5"),
        ({"trivial": 0.5}, 'trivial: expected numbers by split, {"id_val": 0.1}, got 0.5'),
        ({"trivial": {"id_val": 50}}, r"trivial\['id_val'\]: an accuracy is a share from 0 to 1, got 50; divide"),
        ({"name": 3}, "name: expected a text, got 3"),
        ({"config": [1]}, r"config: expected a mapping, got \[1\]"),
        ({"measure": 3}, "measure: expected a list of measurements, got 3"),
        ({"model": dict}, "model: expected a torch module, got <class 'dict'>"),
        ({"folder": None}, "folder: expected a path, got None"),
    ],
)
def test_arguments_of_a_wrong_type_are_named(given, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        Recorder(**{"folder": tmp_path / "mine", **given})
    assert not (tmp_path / "mine").exists()


def test_a_folder_of_runs_does_not_become_one(tmp_path):
    """Its runs would be found by nobody: a folder with a config is a run, whatever it holds."""
    Recorder(tmp_path / "runs" / "mine").finish()
    with pytest.raises(ValueError, match=r"runs holds 1 run, for example mine; give a folder of the run's own"):
        Recorder(tmp_path / "runs")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file; give a folder of the run's own"):
        Recorder(tmp_path / "file")
    assert [run.id for run in find_runs(tmp_path / "runs")] == ["mine"]


def test_accuracies_in_percent_are_refused(tmp_path):
    with Recorder(tmp_path / "mine", n={"train": 10}) as rec:
        with pytest.raises(ValueError, match="id_val_acc: an accuracy is a share from 0 to 1, got"):
            rec.log(1, train_acc=1.0, id_val_acc=93.5)
        rec.log(1, train_acc=1.0, id_val_acc=float("nan"), my_acc=93.5, id_val_loss=7.0)
    assert len(rec.run.rows()) == 1


def test_a_recording_ends_in_a_known_state(tmp_path):
    rec = Recorder(tmp_path / "mine")
    with pytest.raises(ValueError, match="state: expected one of done, diverged, interrupted, failed, got 'perfect'"):
        rec.finish("perfect")
    assert rec.finish("diverged").status["state"] == "diverged"
