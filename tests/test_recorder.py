"""A loop of somebody else's, recorded: what was logged is what is read, and mistakes are named."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from grokscope import open_run
from grokscope.recorder import Recorder
from grokscope.verdicts import run_verdicts


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
        with pytest.raises(ValueError, match="being trained by pid"):
            Recorder(tmp_path / "mine")


def test_the_example_runs(capsys):
    runpy.run_path(str(Path(__file__).parent.parent / "examples" / "own_loop.py"), run_name="__main__")
    assert "id_val: " in capsys.readouterr().out
