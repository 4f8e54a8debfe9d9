"""The sign-flip test and the interval that inverts it; power with its own error; whole numbers of any make."""

from itertools import product
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope.inference import fisher, power, sign_flip
from grokscope.results.seed_tests import interval_words


def brute_p(d: np.ndarray, shift: float, side: str) -> float:
    x = d - shift
    sums = np.array([np.dot(signs, x) for signs in product((1, -1), repeat=len(d))])
    above, below = (sums >= x.sum() - 1e-9).mean(), (sums <= x.sum() + 1e-9).mean()
    return {"greater": above, "less": below, "two-sided": min(1, 2 * min(above, below))}[side]


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 8), st.integers(0, 10**6), st.sampled_from(["two-sided", "greater", "less"]))
def test_the_interval_holds_just_the_shifts_that_are_not_rejected(n: int, seed: int, side):
    d = np.random.default_rng(seed).normal(0.3, 1, n)
    result = sign_flip(d, side)
    assert result.p == pytest.approx(brute_p(d, 0, side))
    low, high = result.interval
    alpha = 1 - result.level
    for end, inwards in ((low, 1), (high, -1)):
        if np.isfinite(end):
            assert brute_p(d, end + inwards * 1e-6, side) > alpha + 1e-12
            assert brute_p(d, end - inwards * 1e-6, side) <= alpha + 1e-12
    assert brute_p(d, min(max(d.mean(), low), high), side) > alpha


def test_five_pairs_attain_93_75_per_cent():
    d = [0.3, -0.1, 0.5, 0.2, 0.05]
    result = sign_flip(d)
    assert result.level == 1 - 2 / 32
    assert result.interval == (pytest.approx(-0.1), pytest.approx(0.5))
    assert "93.75 %: -0.1 to 0.5" in result.sentence()
    assert sign_flip(np.arange(1.0, 9)).level == 1 - 2 * 6 / 256  # eight pairs come close to .95


def test_what_cannot_be_bounded_is_unbounded():
    assert sign_flip([1.0, 2, 3, 4]).interval == (-inf, inf)
    assert "no bounded interval" in sign_flip([1.0, 2, 3, 4]).sentence()
    low, high = sign_flip(np.arange(1.0, 7), "greater").interval
    assert 0 < low <= 2
    assert high == inf


def test_the_interval_covers_what_it_says():
    """Exactly 1 - 2/32 for five symmetric differences; a percentile bootstrap covers .74 to .84 of so few."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        low, high = sign_flip(rng.standard_t(3, 5)).interval
        hits += low <= 0 <= high
    assert abs(hits / 2000 - 0.9375) < 0.017


def test_many_pairs_draw_their_patterns_for_test_and_interval_alike():
    d = np.random.default_rng(1).normal(0.4, 1, 40)
    result = sign_flip(d)
    low, high = result.interval
    t = 2.02 * d.std(ddof=1) / np.sqrt(40)
    assert (low, high) == (pytest.approx(d.mean() - t, abs=0.05), pytest.approx(d.mean() + t, abs=0.05))
    assert (low > 0) == (result.p <= 1 - result.level)


def test_no_width_is_no_certainty():
    result = sign_flip([0.5] * 6)
    assert result.interval == (0.5, 0.5)
    assert "no width: the values agree, which is no certainty" in result.sentence()
    assert "no width" not in interval_words(0.4, 0.5)


def test_power_says_its_simulation_error():
    ranks = power("mann-whitney", (6, 6))
    assert ranks.draws == 4000
    assert 0.005 < ranks.error["1"] < 0.0085
    pairs = power("sign-flip", (8,))
    assert pairs.error["1"] == pytest.approx(np.sqrt(pairs["1"] * (1 - pairs["1"]) / pairs.draws), rel=0.05)
    assert pairs.error["1"] > 0.012  # a thousand draws, no .008
    assert "±" in str(pairs)
    assert power("fisher", (8, 8)).error["2"] == 0  # computed, not simulated
    assert power("sign-flip", (5,)).error["2"] == 0  # p can never be so small: that is known exactly
    sure = power("mann-whitney", (20, 20), (9.0,))
    assert sure["9"] == 1
    assert sure.error["9"] > 0  # 4,000 of 4,000 is no certainty


def test_whole_numbers_may_be_numpys():
    k, n = np.int64(4), np.int32(5)
    assert fisher((k, n), (np.uint8(1), 3)).p == fisher((4, 5), (1, 3)).p
    with pytest.raises(ValueError, match="a: expected"):
        fisher((True, 5), (1, 3))
