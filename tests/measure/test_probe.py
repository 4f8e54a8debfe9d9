"""The probe against scikit-learn, on planted and on null features."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from grokscope.measure.probe import STRENGTHS, WIDE, fit_and_select, input_features, probe_rows, probe_scores


def planted(n=400, d=20, classes=3, distance=3.0, seed=0):
    """Features (n, d) whose class means lie `distance` apart from the origin, and labels (n,)."""
    rng = np.random.default_rng(seed)
    means = np.random.default_rng(99).standard_normal((classes, d))
    means *= distance / np.linalg.norm(means, axis=1, keepdims=True)
    y = rng.integers(0, classes, n)
    return torch.tensor(means[y] + rng.standard_normal((n, d)), dtype=torch.float32), torch.tensor(y)


def score(train, held, classes=3):
    out = probe_scores(*train, {"test": held}, classes)["test"]
    return out.correct.item() / out.n, out.low.item(), out.high.item()


def by_scikit(train, held, classes, strength):
    """Accuracy of scikit-learn's ridge on the same rows."""
    x, y = (t.numpy() for t in train)
    fit = fit_and_select(*x.shape)[0].numpy()
    centered = x[fit] - x[fit].mean(0)
    alpha = strength * (centered**2).sum() / x.shape[1]
    model = Ridge(alpha=alpha, solver="svd").fit(x[fit], np.eye(classes)[y[fit]])
    return (model.predict(held[0].numpy()).argmax(1) == held[1].numpy()).mean()


@pytest.mark.parametrize(("n", "d"), [(400, 20), (60, 200)])
def test_the_range_is_that_of_scikit_learns_ridge(n, d):
    train, held = planted(n, d), planted(500, d, seed=1)
    chosen, low, high = score(train, held)
    expected = [by_scikit(train, held, 3, s) for s in STRENGTHS]
    assert low == pytest.approx(min(expected), abs=0.005)
    assert high == pytest.approx(max(expected), abs=0.005)
    assert low <= chosen <= high


def test_features_without_signal_are_at_chance_and_planted_ones_are_read():
    rng = np.random.default_rng(3)
    noise = lambda n, s: (torch.tensor(rng.standard_normal((n, 30)), dtype=torch.float32), planted(n, 30, seed=s)[1])  # noqa: E731
    chosen, _, high = score(noise(600, 1), noise(2000, 2))
    assert abs(chosen - 1 / 3) < 0.05
    assert high < 0.42
    assert score(planted(400, 20, distance=4.0), planted(400, 20, distance=4.0, seed=5))[0] > 0.95


def test_neither_scale_nor_origin_of_the_features_matters():
    train, held = planted(), planted(seed=1)
    moved = [(x * 1000 + 5e4, y) for x, y in (train, held)]
    assert score(*moved) == pytest.approx(score(train, held), abs=0.008)


def test_more_penalty_where_features_outnumber_rows_and_mostly_carry_noise():
    rng = np.random.default_rng(0)
    wide = [(torch.cat([x, 3 * torch.tensor(rng.standard_normal((len(x), 400)), dtype=torch.float32)], 1), y)
            for x, y in (planted(200), planted(500, seed=1))]  # fmt: skip
    chosen, low, high = score(*wide)
    assert low < high
    assert chosen >= low


def test_features_that_are_not_finite_give_nan():
    train, held = planted(), planted(seed=1)
    train[0][3, 2] = float("inf")
    out = probe_scores(*train, {"test": held}, 3)["test"]
    assert out.correct.isnan()
    assert out.high.isnan()


def test_features_whose_squares_overflow_give_nan_and_no_error():
    train, held = planted(), planted(seed=1)
    train[0].mul_(1e25)  # the features of a run that is about to diverge
    out = probe_scores(*train, {"test": held}, 3)["test"]
    assert out.correct.isnan()
    assert out.high.isnan()


def test_constant_features_say_what_the_prior_says():
    y = torch.tensor([0] * 70 + [1] * 30)
    chosen, low, high = score((torch.ones(100, 5), y), (torch.ones(50, 5), torch.zeros(50, dtype=torch.long)), 2)
    assert chosen == low == high == 1.0


def test_fitted_and_selecting_rows_are_apart_and_wide_features_cost_no_more():
    fit, select = fit_and_select(2000, 64)
    assert (len(fit), len(select)) == (1600, 400)
    assert not set(fit.tolist()) & set(select.tolist())
    fit, select = fit_and_select(2000, WIDE + 1)
    assert (len(fit), len(select)) == (WIDE, 400)
    assert [r.tolist() for r in fit_and_select(1, 3)] == [[0], [0]]


def test_rows_are_spread_and_never_more_than_there_are():
    assert probe_rows("train", 5).tolist() == [0, 1, 2, 3, 4]
    assert len(probe_rows("id_val", 100_000)) == 600
    rows = probe_rows("train", 100_000)
    assert len(rows) == 2000
    assert (rows[0], rows[-1]) == (0, 99_999)


def test_raw_inputs_become_features():
    assert input_features(torch.tensor([[0, 2], [1, 1]]), 3).tolist() == [[1, 0, 0, 0, 0, 1], [0, 1, 0, 0, 1, 0]]
    assert input_features(torch.full((2, 3, 4, 4), 255, dtype=torch.uint8), 0).shape == (2, 48)
    assert input_features(torch.full((1, 1, 1, 1), 255, dtype=torch.uint8), 0).item() == 1.0
