"""The recipes that must behave as described, on their own seeds: slow, and far from any boundary."""

import pytest

from grokscope import configio
from grokscope.train.driver import train
from grokscope.trajectory import from_run, verdict

pytestmark = pytest.mark.slow

E1 = {
    "task": {"name": "modular", "p": 59},
    "model": {"name": "embedding-mlp", "embedding": 64, "hidden": [128]},
    "regime": {"recipe": "modular"},
    "budget": {"steps": 1000},
    "evaluate": {"every": 10},
    "diagnose": {"every": 250},
    "checkpoint": {"at": []},
    "hardware": {"resume_every_s": 1000.0},
}


def trained(root, changes=None, base=E1):
    return train(configio.load_run(configio.overlay(base, changes or {})), root)


def first(run, column, threshold):
    """Step of the first row that reaches the threshold, None when none does."""
    return next((row["step"] for row in run.rows() if row[column] >= threshold), None)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_modular_addition_groks(tmp_path, seed):
    run = trained(tmp_path, {"seed": seed})
    fit, gen = first(run, "train_acc", 0.99), first(run, "id_val_acc", 0.95)
    assert 20 <= fit <= 60
    assert 400 <= gen <= 650
    found = verdict(from_run(run), "id_val")
    assert found.verdict == "grokked"
    assert found.robust
    early, last = (next(r for r in run.rows() if r["step"] == step) for step in (250, 1000))
    assert last["fourier_key_frequencies"] <= 10
    assert last["fourier_embedding_gini"] > 0.5 > early["fourier_embedding_gini"]
    assert last["fourier_explained"] > 0.8 > early["fourier_explained"]
    assert last["fourier_restricted_loss"] < 0.01
    assert early["fourier_restricted_loss"] < 1, "the circuit is there before it shows"
    assert early["id_val_acc"] < 0.2
    assert last["fourier_excluded_loss"] > early["fourier_excluded_loss"], "the memorized part goes"


def test_without_decay_it_never_does(tmp_path):
    run = trained(tmp_path, {"regime.weight_decay": 0.0, "budget.steps": 1500})
    assert first(run, "train_acc", 0.99) <= 60
    assert max(row["id_val_acc"] for row in run.rows()) < 0.05
    assert verdict(from_run(run), "id_val").verdict == "memorized"


def test_the_orthogonal_gradient_groks_without_decay(tmp_path):
    run = trained(tmp_path, {"regime.weight_decay": 0.0, "regime.grad_filter": "orthogonal", "budget.steps": 600})
    assert 100 <= first(run, "id_val_acc", 0.95) <= 350


def test_more_decay_groks_sooner(tmp_path):
    """The clock runs at about lr times decay: four times the decay, more than half of four times sooner."""
    gen = {
        wd: first(trained(tmp_path, {"regime.weight_decay": wd, "budget.steps": 1400}), "id_val_acc", 0.95)
        for wd in (0.5, 1.0, 2.0)
    }
    assert gen[2.0] < gen[1.0] < gen[0.5]
    assert gen[0.5] > 2 * gen[2.0]


def test_the_quadratic_network_generalizes_almost_at_once(tmp_path):
    changes = {
        "model": {"name": "quadratic-mlp", "width": 256},
        "regime": {"recipe": None, "loss": "mse", "lr": 1e-2, "optimizer": "adamw", "weight_decay": 5.0},
        "budget.steps": 300,
        "evaluate.every": 2,
    }
    run = trained(tmp_path, changes)
    fit, gen = first(run, "train_acc", 0.99), first(run, "id_val_acc", 0.95)
    assert 30 <= gen <= 80
    assert gen / fit < 4


def test_sparse_parity_in_batches_groks(tmp_path):
    raw = {
        "task": {"name": "parity"},
        "model": {"name": "mlp", "hidden": [1000]},
        "regime": {"optimizer": "sgd", "lr": 0.1, "loss": "hinge", "weight_decay": 0.01, "batch_size": 32},
        "budget": {"epochs": 250},
        "evaluate": {"every": 2, "unit": "epochs"},
        "diagnose": {"at": []},
        "checkpoint": {"at": []},
    }
    run = trained(tmp_path, base=raw)
    fit, gen = first(run, "train_acc", 0.99), first(run, "id_val_acc", 0.98)
    assert fit / 32 < 60
    assert 80 <= gen / 32 <= 250
    assert gen > 2 * fit


@pytest.mark.parametrize(("scale", "wanted"), [(1.0, "generalized"), (8.0, "grokked")])
def test_a_large_initialization_delays_digits(tmp_path, scale, wanted):
    """With decay 0.5: about 1,200 steps to fit and 2,600 to generalize from scale 8, no delay from scale 1."""
    raw = {
        "task": {"name": "digits"},
        "model": {"name": "mlp"},
        "regime": {"recipe": "large-init", "weight_decay": 0.5, "init_scale": scale},
        "budget": {"steps": 4500},
        "evaluate": {"every": 25},
        "diagnose": {"at": []},
        "checkpoint": {"at": []},
    }
    run = trained(tmp_path, base=raw)
    fit, gen = first(run, "train_acc", 0.99), first(run, "id_val_acc", 0.90)
    if wanted == "generalized":
        assert gen <= 2 * fit
    else:
        assert 800 <= fit <= 1800
        assert 1900 <= gen <= 3600
    assert verdict(from_run(run), "id_val").verdict == wanted
