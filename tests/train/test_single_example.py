"""The compiled single-example update against a dense reference, and what the toy does and does not do."""

import csv

import numpy as np
import pytest

from grokscope.task_data import Split
from grokscope.tasks.competing import CompetingFeatures
from grokscope.train.single_example import (
    CurveRow,
    accuracy,
    comparison_text,
    early_stop_comparison,
    epoch_orders,
    initial_weights,
    published_curve,
    train_epochs,
    write_csv,
)

HARD = CompetingFeatures(memorization_scale=10.0, signal_scale=0.1)


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


def test_chunks_equal_one_call_and_resume_from_the_generator_state():
    signal, _, y, start, _ = problem()
    whole, chunked = start.copy(), start.copy()
    train_epochs(signal, 3.0, y, whole, epoch_orders(np.random.default_rng(5), 24, 30), 0.05, 1e-3)
    rng = np.random.default_rng(5)
    train_epochs(signal, 3.0, y, chunked, epoch_orders(rng, 24, 7), 0.05, 1e-3)
    state = rng.bit_generator.state
    resumed = np.random.default_rng(0)
    resumed.bit_generator.state = state
    train_epochs(signal, 3.0, y, chunked, epoch_orders(resumed, 24, 23), 0.05, 1e-3)
    np.testing.assert_array_equal(whole, chunked)


def test_each_epoch_visits_every_example_once_in_an_order_of_its_own():
    orders = epoch_orders(np.random.default_rng(0), 50, 200)
    assert (orders.shape, orders.dtype) == ((200, 50), np.int64)
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(50), (200, 1)))
    assert len(np.unique(orders, axis=0)) == 200
    first = np.bincount(orders[:, 0], minlength=50)
    assert first.max() < 20  # 4 expected at each place


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


def test_accuracy_is_a_count_and_zero_scores_are_class_one():
    x = np.array([[1.0], [-1.0], [0.0], [0.0]], np.float32)
    split = Split(x, np.array([1, 1, 1, 1]))
    assert accuracy(split, np.array([2.0])) == 0.75


def test_initial_weights_are_zero_as_published_and_random_on_the_signal_when_asked():
    assert not initial_weights(HARD, 0).any()
    w = initial_weights(HARD, 0, 50.0)
    assert not w[5:].any()
    assert (np.abs(w[:5]) > 0).all()
    np.testing.assert_array_equal(w, 50 * initial_weights(HARD, 0, 1.0))
    assert (w[:5] != initial_weights(HARD, 1, 50.0)[:5]).all()


@pytest.mark.parametrize("seed", range(3))
def test_as_published_it_does_not_grok(seed):
    rows = published_curve(seed=seed)
    assert [r.epoch for r in rows] == [1, *range(200, 6001, 200)]
    assert rows[0].test_acc > 0.95  # at once, not late
    assert rows[0].test_acc > rows[-1].test_acc - 0.03
    assert rows[1].weight_norm == pytest.approx(rows[-1].weight_norm, rel=5e-3)  # nothing happens in between
    assert rows[-1].train_acc == 1


def fit_and_gen(rows):
    fit = next(r.epoch for r in rows if r.train_acc >= 0.99)
    return fit, next((r.epoch for r in rows if r.test_acc >= 0.95), None)


@pytest.mark.parametrize("seed", range(3))
def test_it_groks_with_loud_memorization_and_a_wrong_start_and_decay_sets_the_delay(seed):
    rows = published_curve(HARD, seed=seed, epochs=600, log_every=1, signal_init=50.0)
    fit, gen = fit_and_gen(rows)
    assert fit <= 15
    assert gen is not None
    assert 100 < gen < 500
    assert max(r.test_acc for r in rows if 10 <= r.epoch <= 80) < 0.7
    assert rows[500].test_acc > 0.95

    slower = published_curve(HARD, seed=seed, epochs=4000, log_every=10, signal_init=50.0, weight_decay=1e-4)
    slow_fit, slow_gen = fit_and_gen(slower)
    assert slow_fit <= 15
    assert slow_gen is not None
    assert 7 < slow_gen / gen < 13

    never = published_curve(HARD, seed=seed, epochs=3000, signal_init=50.0, weight_decay=0.0)
    assert max(r.test_acc for r in never) < 0.7
    assert never[-1].train_acc > 0.99


def test_the_early_stopped_training_is_the_start_of_the_long_one():
    early, late = early_stop_comparison(HARD, seed=0, early=50, late=500, signal_init=50.0)
    rows = {r.epoch: r for r in published_curve(HARD, seed=0, epochs=500, log_every=50, signal_init=50.0)}
    assert (early, late) == (rows[50], rows[500])
    assert early.train_acc == pytest.approx(1, abs=0.01)
    assert early.test_acc < 0.7 < 0.95 < late.test_acc
    assert late.weight_norm < early.weight_norm


def test_the_comparison_is_told_in_a_line_each():
    text = comparison_text([CurveRow(500, 1.0, 0.45678, 12.0), CurveRow(6000, 1.0, 0.98, 3.25)])
    assert text == (
        "   500 epochs -> train acc: 1.0000, test acc: 0.4568, ||w||2: 12.0000\n"
        "  6000 epochs -> train acc: 1.0000, test acc: 0.9800, ||w||2: 3.2500"
    )


def test_the_csv_has_the_published_columns_and_loses_no_digit(tmp_path):
    rows = published_curve(CompetingFeatures(n_train=20, n_test=30), seed=0, epochs=7, log_every=3)
    assert [r.epoch for r in rows] == [1, 3, 6, 7]
    write_csv(rows, tmp_path / "curve.csv")
    text = (tmp_path / "curve.csv").read_text()
    assert text.startswith("epoch,train_acc,test_acc,weight_norm\n1,")
    read = [CurveRow(int(r[0]), *map(float, r[1:])) for r in list(csv.reader(text.splitlines()))[1:]]
    assert read == rows


def test_impossible_lengths_are_refused():
    with pytest.raises(ValueError, match="epochs and log_every must be at least 1, got 0 and 200"):
        published_curve(seed=0, epochs=0)
    with pytest.raises(ValueError, match=r"early must lie in \[1, late\), got 500 and late = 500"):
        early_stop_comparison(seed=0, late=500)
