"""Competing features: what a row holds, what is nested, and which part of it can be learned."""

import numpy as np
import pytest

from grokscope.tasks.competing import CompetingFeatures

SMALL = CompetingFeatures(n_train=30, n_test=20, memorization_scale=10.0, signal_scale=0.1)


def test_the_memorization_part_is_one_hot_in_training_and_absent_elsewhere():
    data = SMALL.build(0)
    train, held_out = data.splits["train"], data.splits["id_val"]
    np.testing.assert_array_equal(train.x[:, 5:], 10 * np.eye(30, dtype=np.float32))
    assert not held_out.x[:, 5:].any()
    assert train.x.shape == (30, 35)
    assert held_out.x.shape == (20, 35)
    assert train.x.dtype == np.float32
    assert (data.classes, data.threshold) == (2, 0.95)


def test_labels_are_the_side_of_the_unit_teacher():
    data = SMALL.build(0)
    teacher = np.array(data.meta["teacher"])
    assert np.linalg.norm(teacher) == pytest.approx(1, abs=1e-12)
    for split in data.splits.values():
        np.testing.assert_array_equal(split.y, split.x[:, :5].astype(np.float64) @ teacher >= 0)


def test_signal_features_are_standard_normal_times_their_scale():
    x = CompetingFeatures(n_train=1, n_test=20000, signal_scale=0.1).build(0).splits["id_val"].x[:, :5]
    np.testing.assert_allclose(np.cov(x.T), 0.01 * np.eye(5), atol=5e-4)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=5e-3)


def test_scales_change_the_features_and_not_the_problem():
    plain = CompetingFeatures(n_train=30, n_test=20).build(0)
    scaled = SMALL.build(0)
    assert plain.meta["teacher"] == scaled.meta["teacher"]
    for name in ("train", "id_val"):
        np.testing.assert_allclose(scaled.splits[name].x[:, :5], 0.1 * plain.splits[name].x[:, :5], rtol=1e-6)
        np.testing.assert_array_equal(scaled.splits[name].y, plain.splits[name].y)


def test_examples_are_nested_and_held_out_ones_do_not_move():
    small = CompetingFeatures(n_train=30).build(7)
    large = CompetingFeatures(n_train=300).build(7)
    np.testing.assert_array_equal(small.splits["train"].x[:, :5], large.splits["train"].x[:30, :5])
    np.testing.assert_array_equal(small.splits["train"].y, large.splits["train"].y[:30])
    np.testing.assert_array_equal(small.splits["id_val"].x[:, :5], large.splits["id_val"].x[:, :5])
    assert small.meta["teacher"] == large.meta["teacher"]


def test_seeds_differ_and_repeat():
    first, again, other = (SMALL.build(s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.splits["train"].x, again.splits["train"].x)
    assert first.meta["teacher"] != other.meta["teacher"]
    assert (first.splits["train"].x[:20, :5] != first.splits["id_val"].x[:, :5]).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_train": 0}, "n_train must be at least 1"),
        ({"n_test": 0}, "n_test must be at least 1"),
        ({"signal_dims": 0}, "signal_dims must be at least 1"),
        ({"memorization_scale": -1.0}, "memorization_scale must be finite and not negative"),
        ({"memorization_scale": float("inf")}, "memorization_scale must be finite"),
        ({"signal_scale": 0.0}, "signal_scale must be finite and positive"),
        ({"signal_scale": float("nan")}, "signal_scale must be finite and positive"),
    ],
)
def test_impossible_settings_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        CompetingFeatures(**fields)
