"""Effective sample sizes on planted curves: the size, what surely bounds it, and silence where nothing is known."""

import numpy as np
import pytest

from grokscope.inference.effective_size import Plain, as_plain, falls, read_off

SIZES = np.array([100, 200, 400, 800])


def straight(n):
    """.1 more for each doubling from .5 at 100."""
    return 0.5 + 0.1 * np.log2(np.asarray(n) / 100)


def planted(seeds=6, noise=0.01, seed=0, curve=straight):
    rng = np.random.default_rng(seed)
    own = 0.3 * rng.normal(size=seeds)  # seeds differ by more than the sizes' noise: pairing removes it
    plain = Plain(SIZES, curve(SIZES)[:, None] + own + noise * rng.normal(size=(4, seeds)))
    return plain, lambda n: curve(n) + own + noise * rng.normal(size=seeds)


def test_a_size_between_two_is_read_off_and_bounded_by_them():
    plain, at = planted()
    found = read_off(plain, at(283), paired=True)
    assert found.size == pytest.approx(283, rel=0.1)
    assert (found.sign, found.low, found.high) == ("", 200, 400)
    assert found.level == 0.95
    assert "sign-flip" in found.method


def test_straight_lines_in_log_n_and_the_smallest_size_on_a_plateau():
    plain = Plain(SIZES, np.array([[0.5] * 3, [0.6] * 3, [0.8] * 3, [0.8] * 3]))
    middle = read_off(plain, np.array([0.7, 0.69, 0.71]), paired=True)
    assert middle.size == pytest.approx(200 * 2**0.5)
    assert read_off(plain, np.array([0.8, 0.8, 0.8]), paired=True).size == 400
    assert read_off(plain, np.array([0.5, 0.5, 0.5]), paired=True).size == 100


def test_beyond_the_sizes_it_is_censored_and_never_extrapolated():
    plain, at = planted()
    above, below = read_off(plain, at(3200), paired=True), read_off(plain, at(20), paired=True)
    assert (above.size, above.sign, above.low, above.high) == (None, ">", 800, None)
    assert (below.size, below.sign, below.low, below.high) == (None, "<", None, 100)


def test_pairing_by_seed_tells_what_independent_arms_do_not():
    plain, at = planted()
    other = at(283)
    unpaired = read_off(plain, other, paired=False)
    assert (unpaired.low, unpaired.high) != (200, 400)
    assert unpaired.size == read_off(plain, other, paired=True).size
    assert "Welch" in unpaired.method


def test_five_pairs_claim_what_they_attain_and_three_take_a_t_test():
    plain, at = planted(seeds=5)
    assert read_off(plain, at(283), paired=True).level == 0.9375
    plain, at = planted(seeds=3, noise=0.001)
    found = read_off(plain, at(283), paired=True)
    assert (found.low, found.high, found.level) == (200, 400, 0.95)
    assert "normal" in found.method
    with pytest.raises(ValueError, match="2 seeds, and 3 are needed"):
        read_off(Plain(SIZES, plain.values[:, :2]), np.array([0.5, 0.6]), paired=True)


def test_three_values_that_agree_are_no_certainty():
    plain = Plain(np.array([100, 200]), np.array([[0.5] * 3, [0.7] * 3]))
    for paired in (True, False):
        found = read_off(plain, np.array([0.6] * 3), paired=paired)
        assert (found.low, found.high) == (None, None)
        assert found.size == pytest.approx(100 * 2**0.5)


def test_noise_alone_is_not_monotone_and_a_real_fall_is_told():
    plain, _ = planted(curve=lambda n: 0.5 + 0.0 * np.asarray(n))
    assert falls(plain) == ""
    plain, _ = planted(curve=lambda n: 0.9 - 0.1 * np.log2(np.asarray(n) / 100))
    assert falls(plain).startswith("it does worse at 800 than at 100")


def test_an_arm_that_is_the_plain_one_is_rarely_called_anything_else():
    """Null data: the same curve at 200, 400 times with 5 seeds; each side's level is 1 in 32."""
    larger = smaller = told = 0
    for seed in range(400):
        plain, at = planted(seeds=5, noise=0.03, seed=seed)
        found = read_off(plain, at(200), paired=True)
        larger += found.low is not None and found.low >= 200
        smaller += found.high is not None and found.high <= 200
        told += found.low is not None or found.high is not None
    limit = 1 / 32 + 2 * np.sqrt(1 / 32 * 31 / 32 / 400)
    assert larger / 400 <= limit
    assert smaller / 400 <= limit
    assert told / 400 > 0.8  # and it is no silence that keeps the level


def test_times_count_the_other_way():
    steps = [[800, 810, 790], [400, 410, 390], [200, 205, 195]]
    plain = as_plain([100, 200, 400], steps, larger_is_better=False)
    assert read_off(plain, -np.array([401, 409, 391.0]), paired=True).size == pytest.approx(200, rel=0.01)
