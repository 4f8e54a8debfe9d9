import numpy as np
import pytest
from test_dissect_controls import scene_of

from grokscope.dissect.neurons import (
    ablated,
    half_point,
    ranking,
    standardized_gap,
    variance_matched_orders,
    within_variance,
)

RNG = np.random.default_rng


def test_ablated_logits_equal_the_head_on_edited_features():
    scene, head = scene_of(k=3)
    rng = RNG(0)
    values = rng.standard_normal(8)
    orders = np.stack([rng.permutation(8) for _ in range(4)])
    for k in (0, 1, 5, 8):
        fast = ablated(scene, head.weight, values, orders, k)
        for order, z in zip(orders, fast, strict=True):
            h = scene.h.copy()
            h[:, order[:k]] = values[order[:k]]
            np.testing.assert_allclose(z, head.logits(h), atol=1e-10)


def test_score_by_hand_and_dead_neurons_last():
    rng = RNG(1)
    z = np.repeat([0, 3, 4], 200)
    h = rng.standard_normal((600, 5)) * [1, 2, 1, 1, 0]
    h[z == 4, 1] += 4.0
    h[z == 3, 2] -= 1.0
    h[:, 4] = 7.0
    score = standardized_gap(h, z)
    assert ranking(score).tolist()[:2] == [1, 2]
    assert score[1] == pytest.approx(2.0, abs=0.25)
    assert score[4] == 0
    within = np.sqrt(np.mean([h[z == c].var(axis=0) for c in (0, 3, 4)], axis=0))
    means = np.stack([h[z == c].mean(axis=0) for c in (0, 3, 4)])
    np.testing.assert_allclose(score[:4], (np.ptp(means, axis=0) / np.where(within == 0, 1, within))[:4])
    # a neuron that is constant within each class and differs between them separates perfectly
    h[:, 4] = z
    assert ranking(standardized_gap(h, z))[0] == 4


def test_scores_do_not_depend_on_units():
    rng = RNG(2)
    h, z = rng.standard_normal((90, 6)), np.arange(90) % 3
    np.testing.assert_allclose(standardized_gap(h, z), standardized_gap(h * [1, 10, 0.1, 1e3, 1e-3, 5] + 4, z))


def test_orders_matched_in_variance_hold_what_the_ranked_neurons_hold():
    rng = RNG(3)
    variance = np.exp(2 * rng.standard_normal(64))
    top = np.argsort(-variance + 2 * rng.standard_normal(64))
    ks = (0, 4, 8, 16)
    held = lambda order: np.mean([variance[order[:k]].sum() for k in ks if k])  # noqa: E731
    orders = variance_matched_orders(rng, variance, top, ks, 300)
    assert np.mean([held(o) for o in orders]) == pytest.approx(held(top), rel=0.05)
    uniform = np.mean([held(rng.permutation(64)) for _ in range(300)])
    assert held(top) > 2 * uniform
    assert all(sorted(o) == list(range(64)) for o in orders)


def test_variance_within_environments_ignores_their_means():
    rng = RNG(4)
    z = np.arange(600) % 2
    h = rng.standard_normal((600, 2))
    h[:, 0] += 10 * z
    np.testing.assert_allclose(within_variance(h, z), 1, atol=0.15)


def test_half_point():
    assert half_point((0, 4, 8), np.array([0.0, 1.0, 3.0]), 4.0) == pytest.approx(6.0)
    assert half_point((0, 4, 8), np.array([0.0, 5.0, 5.0]), 4.0) == pytest.approx(1.6)
    assert half_point((0, 4, 8), np.array([0.0, 0.1, 0.2]), 4.0) is None
    assert half_point((4, 8), np.array([3.0, 3.0]), 4.0) == 4.0
