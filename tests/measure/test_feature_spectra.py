"""Spectra against closed forms."""

import math

import numpy as np
import pytest
import torch

from grokscope.measure.spectra import spectra

NAMES = ("rank_effective", "rank_participation", "rank_stable")


def ranks(features):
    out = spectra(torch.as_tensor(features))
    return {name: out[name].item() for name in NAMES}


def with_singular_values(s, n=40, d=10, seed=0):
    """Centered features (n, d) whose singular values are s."""
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(np.c_[np.ones(n), rng.standard_normal((n, len(s)))])[0][:, 1:]  # orthogonal to the constant
    right = np.linalg.qr(rng.standard_normal((d, len(s))))[0]
    return left * np.asarray(s, float) @ right.T


@pytest.mark.parametrize("r", [1, 2, 5, 10])
def test_r_equal_orthogonal_directions_have_rank_r_in_every_sense(r):
    assert ranks(with_singular_values([3.0] * r)) == pytest.approx(dict.fromkeys(NAMES, r))


def test_unequal_singular_values_by_hand():
    share = np.array([4.0, 2.0, 2.0]) / 8
    entropy = -sum(p * math.log(p) for p in share)
    assert ranks(with_singular_values([4.0, 2.0, 2.0])) == pytest.approx(
        {
            "rank_effective": math.exp(entropy),
            "rank_participation": (16 + 4 + 4) ** 2 / (256 + 16 + 16),
            "rank_stable": (16 + 4 + 4) / 16,
        }
    )


def test_features_are_centered_and_scale_does_not_matter():
    features = with_singular_values([4.0, 2.0, 1.0])
    assert ranks(features + 100.0) == pytest.approx(ranks(features))
    assert ranks(1e-3 * features) == pytest.approx(ranks(features))


def test_the_stable_rank_is_below_the_participation_ratio_below_the_effective_rank_here():
    got = ranks(np.random.default_rng(0).standard_normal((200, 30)))
    assert 1 < got["rank_stable"] < got["rank_participation"] < got["rank_effective"] < 30


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constant_features_have_no_rank(value, dtype):
    """0.1 has no exact mean in float32; its rounding must not count as a direction."""
    assert all(math.isnan(v) for v in ranks(torch.full((1000, 3), value, dtype=dtype)).values())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_have_none_either(value):
    """LAPACK would raise, and a diverged run would end as a failed one."""
    features = torch.randn(20, 4)
    features[3, 2] = value
    assert all(math.isnan(v) for v in ranks(features).values())


def test_a_single_example_has_no_rank():
    assert all(math.isnan(v) for v in ranks(torch.randn(1, 4)).values())
