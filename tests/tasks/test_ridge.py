"""The linear teacher: targets are what the formula says, splits are nested, training has the clocks that are known."""

import math

import numpy as np
import pytest

from grokscope import configio
from grokscope.mechanism.oracles import Ridge
from grokscope.tasks.ridge import RidgeTask
from grokscope.tasks.trivial import trivial_metrics
from grokscope.train.driver import train
from grokscope.trajectory import Criteria, verdict
from grokscope.trajectory.series import from_run


def test_targets_are_the_teachers():
    data = RidgeTask(m=50, n_train=10, n_val=4000).build(3)
    teacher = np.array(data.meta["teacher"])
    assert np.linalg.norm(teacher) == pytest.approx(1)
    for split in data.splits.values():
        np.testing.assert_allclose(split.y, split.x @ teacher, atol=1e-6)
    assert data.splits["id_val"].x.std() == pytest.approx(1 / math.sqrt(50), rel=0.01)
    assert trivial_metrics(data)["id_val"]["loss"] == pytest.approx(1 / 50, rel=0.2)


def test_more_examples_keep_the_earlier_ones():
    few, many = RidgeTask(m=50, n_train=10).build(0), RidgeTask(m=50, n_train=20).build(0)
    np.testing.assert_array_equal(few.splits["train"].x, many.splits["train"].x[:10])
    np.testing.assert_array_equal(few.splits["id_val"].y, many.splits["id_val"].y)


def test_as_many_examples_as_weights_are_refused():
    with pytest.raises(ValueError, match=r"n_train must be below m \(50\), got 50"):
        RidgeTask(m=50, n_train=50)


def test_training_has_the_clocks_of_the_closed_form(tmp_path):
    """A small one, trained by the engine that trains everything: both milestones within their grid and the spread of
    data between the two."""
    config = configio.load_run(
        {
            "task": {"name": "ridge", "m": 200, "n_train": 20},
            "model": {"name": "linear", "signal_dims": 200, "signal_init": 1.0},
            "regime": {"optimizer": "sgd", "lr": 0.5, "weight_decay": 4e-3, "loss": "squared_error", "batch_size": 0},
            "budget": {"steps": 1500},
            "evaluate": {"every": 5},
        }
    )
    run = train(config, tmp_path / "runs")
    known = [Ridge(m=200, n=20, decay=2e-3, steps=3000, seed=seed).first_below(0.05) for seed in range(5)]
    found = verdict(from_run(run), criteria=Criteria(fit_loss=0.05, generalize_loss=0.05))
    for at, clock in ((found.milestones.T_fit.at, 0), (found.milestones.T_gen.at, 1)):
        times = [k[clock] for k in known]
        assert 0.8 * min(times) < at < 1.25 * max(times)
    assert found.verdict is None
    assert "times the trivial predictor's" in found.reason
