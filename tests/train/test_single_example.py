"""The compiled single-example update against a dense reference, and what the toy does and does not do."""

import numpy as np
import pytest

from grokscope import configio
from grokscope.train.driver import make_engine
from grokscope.train.single_example import train_epochs
from toy import epoch_orders

AS_PUBLISHED = {
    "task": {"name": "competing-features"},
    "model": {"name": "linear"},
    "regime": {"optimizer": "sgd", "loss": "logistic", "batch_size": 1, "lr": 0.05, "weight_decay": 1e-3},
    "budget": {"epochs": 6000},
    "engine": "compiled",
}
HARD = {
    "task.memorization_scale": 10.0,
    "task.signal_scale": 0.1,
    "model.signal_dims": 5,
    "model.signal_init": 50.0,
}
"""Loud memorization, and a rule that starts so wrong that it has to be unlearned first."""


def reference(x, y01, w, orders, lr, wd):
    """The published update on dense rows, one step at a time."""
    w = w.copy()
    for i in orders.ravel():
        y = 2.0 * y01[i] - 1.0
        w = (1 - lr * wd) * w
        z = x[i] @ w
        w = w + lr * y * x[i] / (1 + np.exp(y * z))
    return w


def problem(seed=0, n=24, mem_scale=3.0):
    rng = np.random.default_rng(seed)
    signal, y = rng.standard_normal((n, 5)), rng.integers(0, 2, n)
    dense = np.hstack([signal, mem_scale * np.eye(n)])
    w = rng.standard_normal(5 + n)
    return signal, dense, y, w, epoch_orders(rng, n, 40)


@pytest.mark.parametrize("mem_scale", [0.0, 1.0, 10.0])
@pytest.mark.parametrize("wd", [0.0, 1e-3, 1.0])
def test_the_kernel_is_the_published_update(mem_scale, wd):
    signal, dense, y, w, orders = problem(mem_scale=mem_scale)
    expected = reference(dense, y, w, orders, 0.05, wd)
    before = w.copy()
    train_epochs(signal, mem_scale, y, w, orders, 0.05, wd)
    np.testing.assert_allclose(w, expected, rtol=1e-11, atol=1e-13)
    assert not np.allclose(w, before)


def test_decay_comes_before_the_gradient_and_touches_every_weight():
    w = np.array([2.0, 4.0, 8.0])
    train_epochs(np.zeros((2, 1)), 0.0, np.array([0, 1]), w, np.array([[0]]), 0.5, 0.5)
    np.testing.assert_array_equal(w, [1.5, 3.0, 6.0])


def test_a_decay_beyond_one_clears_the_weights_as_published():
    w = np.array([2.0, 4.0])
    train_epochs(np.ones((1, 1)), 1.0, np.array([1]), w, np.array([[0]]), 1.0, 5.0)
    np.testing.assert_allclose(w, [0.5, 0.5])  # from zero, one step of lr sigmoid(0)


def test_float32_signal_is_trained_in_float64():
    signal, dense, y, w, orders = problem()
    rounded = signal.astype(np.float32)
    dense[:, :5] = rounded
    expected = reference(dense, y, w, orders, 0.05, 1e-3)
    train_epochs(rounded, 3.0, y, w, orders, 0.05, 1e-3)
    np.testing.assert_allclose(w, expected, rtol=1e-11, atol=1e-13)


def test_huge_margins_do_not_overflow():
    w = np.array([1e6, 0.0])
    train_epochs(np.ones((1, 1)), 1.0, np.array([1]), w, np.array([[0]]), 0.05, 0.0)
    np.testing.assert_array_equal(w, [1e6, 0.0])
    w = np.array([-1e6, 0.0])
    train_epochs(np.ones((1, 1)), 1.0, np.array([1]), w, np.array([[0]]), 0.05, 0.0)
    np.testing.assert_allclose(w, [-1e6 + 0.05, 0.05], rtol=1e-15)


def test_chunks_equal_one_call():
    signal, _, y, start, orders = problem()
    whole, chunked = start.copy(), start.copy()
    train_epochs(signal, 3.0, y, whole, orders, 0.05, 1e-3)
    for part in (orders[:7], orders[7:8], orders[8:]):
        train_epochs(signal, 3.0, y, chunked, part, 0.05, 1e-3)
    np.testing.assert_array_equal(whole, chunked)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w": np.zeros(29, np.float32)}, "w must be a contiguous float64 array"),
        ({"w": np.zeros(58)[::2]}, "w must be a contiguous float64 array"),
        ({"w": np.zeros(30)}, "w must have 5 signal and 24 memorization weights"),
        ({"y01": np.full(24, -1)}, "y01 must hold 24 labels 0 or 1"),
        ({"y01": np.zeros(23, np.int64)}, "y01 must hold 24 labels 0 or 1"),
        ({"orders": np.array([[24]])}, r"orders must lie in \[0, 24\)"),
        ({"orders": np.array([[-1]])}, r"orders must lie in \[0, 24\)"),
        ({"orders": np.array([0, 1])}, r"orders must be \(epochs, steps\) int64"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(change, message):
    signal, _, y, w, orders = problem()
    given = {"y01": y, "w": w, "orders": orders} | change
    with pytest.raises(ValueError, match=message):
        train_epochs(signal, 1.0, lr=0.05, wd=0.0, **given)


def curve(seed, epochs, **changes):
    """The engine's rows after these epochs, by epoch."""
    config = configio.load_run(configio.overlay(AS_PUBLISHED, {**changes, "seed": seed}))
    data = config.task.build(seed)
    engine = make_engine(config, data)[1]
    rows = {}
    for epoch in epochs:
        engine.advance(epoch * len(data.splits["train"]), False, lambda: False)
        rows[epoch] = engine.row(diagnose=False)
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_as_published_it_does_not_grok_and_stopping_early_misses_nothing(seed):
    rows = curve(seed, [1, 200, 500, 6000])
    assert rows[1]["id_val_acc"] > 0.95  # at once, not late
    assert abs(rows[500]["id_val_acc"] - rows[6000]["id_val_acc"]) < 0.02
    assert rows[200]["norm_total"] == pytest.approx(rows[6000]["norm_total"], rel=5e-3)  # nothing happens in between
    assert rows[6000]["train_acc"] == 1


def fit_and_gen(rows):
    fit = next(epoch for epoch, row in rows.items() if row["train_acc"] >= 0.99)
    return fit, next((epoch for epoch, row in rows.items() if row["id_val_acc"] >= 0.95), None)


@pytest.mark.parametrize("seed", range(3))
def test_it_groks_with_loud_memorization_and_a_wrong_start_and_decay_sets_the_delay(seed):
    rows = curve(seed, range(1, 601), **HARD)
    fit, gen = fit_and_gen(rows)
    assert fit <= 15
    assert gen is not None
    assert 100 < gen < 500
    assert max(rows[epoch]["id_val_acc"] for epoch in range(10, 81)) < 0.8
    assert rows[500]["id_val_acc"] > 0.95
    assert rows[50]["id_val_acc"] < 0.8 < rows[500]["id_val_acc"]  # stopping early would miss the rule

    slower = curve(seed, range(10, 4001, 10), **HARD, **{"regime.weight_decay": 1e-4})
    slow_fit, slow_gen = fit_and_gen(slower)
    assert slow_fit <= 20
    assert slow_gen is not None
    assert 7 < slow_gen / gen < 13

    never = curve(seed, range(200, 3001, 200), **HARD, **{"regime.weight_decay": 0.0})
    assert max(row["id_val_acc"] for row in never.values()) < 0.8
    assert never[3000]["train_acc"] > 0.99
