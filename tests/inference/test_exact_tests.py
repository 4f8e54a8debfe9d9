"""The exact tests that know their p at every assumed effect: against scipy, by enumeration, and at their limits."""

from itertools import combinations, product
from math import inf

import numpy as np
import pytest
from scipy import stats

from grokscope.inference import boschloo, decide, fisher, mann_whitney
from grokscope.inference.needed import power_of, seeds_for_shares, seeds_for_shift
from grokscope.inference.ranks import MOST, TimedArms, drawn_sums, flipped_sums
from grokscope.inference.shares import TwoShares, decided_tables
from grokscope.inference.swaps import slope, slopes, swaps
from grokscope.trajectory.times import Times

RNG = np.random.default_rng(3)


def seen(moments, end=1000.0, every=10.0):
    """Times of runs evaluated each `every` steps up to `end`."""
    at = np.ceil(np.asarray(moments, dtype=float) / every) * every
    reached = at <= end
    grid = np.arange(every, end + 1, every)
    before = np.where(at > every, at - every, -inf)
    return Times(
        before=np.where(reached, before, -inf), at=np.where(reached, at, end), observed=reached, grids=(grid,) * len(at)
    )


def timed(a, b, paired=False, effect="ratio", a_end=1000.0, b_end=1000.0):
    return TimedArms(a=seen(a, a_end), b=seen(b, b_end), a_end=a_end, b_end=b_end, paired=paired, effect=effect)


# -- ranks of times ---------------------------------------------------------------------------------------------------


def test_on_one_grid_without_censoring_it_is_the_exact_mann_whitney_test_with_ties():
    for seed in range(5):
        x = np.random.default_rng(seed).integers(1, 9, 11) * 10.0
        test, wanted = timed(x[:5], x[5:]), mann_whitney(x[:5], x[5:])
        assert test.p()["two-sided"] == pytest.approx(wanted.p)
        assert test.p()["less"] == pytest.approx(mann_whitney(x[:5], x[5:], "less").p)


def test_what_was_not_reached_is_later_than_all_that_was_and_ties_with_itself():
    a, b = timed([100, 200, 5000], [300, 6000, 7000]).scores(1.0).reshape(2, 3)
    assert list(a) == [-5, -3, 3]  # 100 is sooner than five runs
    assert list(b) == [-1, 3, 3]


def test_what_the_shorter_arm_could_not_have_seen_counts_for_neither():
    """Both arms have the same times; one was trained ten times as long."""
    moments = [80, 120, 300, 400, 700]
    short, long = seen(moments, 200.0), seen(moments, 2000.0)
    arms = TimedArms(a=short, b=long, a_end=200.0, b_end=2000.0, paired=False)
    assert arms.scores(1.0)[:5].tolist() == arms.scores(1.0)[5:].tolist()
    assert arms.p()["two-sided"] == 1.0


def test_pairs_are_exchanged_within_seeds_only():
    a, b = [100, 200, 300, 400, 500], [110, 210, 310, 410, 510]  # each a little later: ranks of arms hardly differ
    assert timed(a, b, paired=True).p()["less"] == 1 / 32
    assert timed(a, b).p()["less"] > 0.3


@pytest.mark.parametrize("paired", [False, True])
def test_the_interval_leaves_out_no_effect_exactly_where_the_test_rejects_it(paired):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        arms = timed(100 * np.exp(0.5 * rng.normal(size=6)), 170 * np.exp(0.5 * rng.normal(size=6)), paired)
        interval, _ = arms.interval(0.05)
        assert interval is not None
        inside = interval[0] < 1 < interval[1]
        assert inside == (arms.p()["two-sided"] > 0.1)


def test_intervals_claim_the_level_that_they_attain():
    assert timed([100] * 5, [200] * 5, paired=True).interval(0.025)[1] == 0.9375
    assert timed([100, 110, 120], [200, 210, 220]).interval(0.025)[1] == pytest.approx(0.9)
    assert timed([100, 110], [200, 210]).interval(0.025) == ((0.0, inf), 1.0)  # two runs bound nothing
    assert timed([100] * 5, [200] * 5).interval(0.05)[1] == pytest.approx(1 - 24 / 252)


def test_a_median_that_was_not_reached_leaves_its_side_open_and_two_leave_nothing():
    late = [300, 2000, 3000, 4000, 5000]
    test = timed([100, 110, 120, 130, 140], late)
    assert test.estimate == (pytest.approx(0.12), "<")
    interval, _ = test.interval(0.05)
    assert interval is not None
    assert interval[0] == 0.0
    assert interval[1] < 1
    turned, _ = timed(late, [100, 110, 120, 130, 140]).interval(0.05)
    assert turned is not None
    assert turned[1] == inf
    assert timed(late, late).estimate == (None, "")
    assert timed(late, late).interval(0.05)[0] is None
    apart, _ = timed([100, 110, 120, 130, 140], late, effect="difference").interval(0.05)
    assert apart is not None
    assert apart[0] == -inf


def test_a_planted_ratio_and_difference_are_in_their_intervals():
    x = 200 * np.exp(0.3 * RNG.normal(size=8))
    low, high = timed(x * 0.5, x, a_end=1e4, b_end=1e4).interval(0.05)[0] or (0, 0)
    assert low < 0.5 < high < 1
    low, high = timed(x + 400, x, effect="difference", a_end=1e4, b_end=1e4).interval(0.05)[0] or (0, 0)
    assert 0 < low < 400 < high


def test_distributions_of_sums_are_those_of_enumeration():
    scores = (0, 2, 2, 5, 7)
    sums = np.bincount([sum(c) for c in combinations(scores, 2)], minlength=13) / 10
    assert drawn_sums(scores, 2) == pytest.approx(sums)
    signed = [sum(s * x for s, x in zip(signs, (1, 3, 3), strict=True)) for signs in product((-1, 1), repeat=3)]
    assert flipped_sums((1, 3, 3)) == pytest.approx(np.bincount(np.array(signed) + 7, minlength=15) / 8)


def test_many_runs_are_compared_by_the_normal_law_of_the_same_scores():
    x = 100 * np.exp(0.5 * RNG.normal(size=MOST + 20))
    half = len(x) // 2
    test = timed(x[:half], 1.3 * x[half:], a_end=1e5, b_end=1e5)
    wanted = stats.mannwhitneyu(test.a.at, test.b.at, alternative="less", method="asymptotic").pvalue
    assert test.p()["less"] == pytest.approx(wanted, rel=0.02)
    assert "normal" in test.method


@pytest.mark.parametrize("paired", [True, False])
def test_arms_of_more_runs_than_a_float_can_count_arrangements_have_an_interval(paired):
    """2 ** 1,100 and the arrangements of 2,200 runs are larger than any float."""
    x = 100 * np.exp(0.3 * RNG.normal(size=1100))
    test = timed(0.8 * RNG.permutation(x), x, paired=paired, a_end=1e5, b_end=1e5)
    (low, high), level = test.interval(0.025)
    assert level == pytest.approx(0.95)
    assert 0.7 < low < 0.8 < high < 0.9
    for end, side in ((low * 0.999, "greater"), (high * 1.001, "less")):
        assert test.p(end)[side] <= 0.025


def test_scores_count_who_is_surely_sooner_and_surely_later():
    test = timed(np.array([10.0, 30.0, 30.0, 70.0]), np.array([20.0, 30.0, 90.0]), a_end=60, b_end=60)
    before, at = np.r_[test.a.before, test.b.before], np.r_[test.a.at, test.b.at]
    late = np.r_[~test.a.observed, ~test.b.observed] | (at > 60)
    before, at = np.where(late, 60, before), np.where(late, np.inf, at)
    wanted = [
        sum(other <= b for other in at) - sum(a <= other for other in before) for b, a in zip(before, at, strict=True)
    ]
    assert test.scores(1.0).tolist() == wanted


# -- means and slopes -------------------------------------------------------------------------------------------------


def test_the_permutation_of_two_means_is_scipys():
    a, b = RNG.normal(size=5), RNG.normal(size=6) + 0.8
    for side in ("greater", "less", "two-sided"):
        wanted = stats.permutation_test(
            (a, b), lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis), vectorized=True, n_resamples=np.inf,
            alternative=side,
        )  # fmt: skip
        assert swaps(a, b).p()[side] == pytest.approx(wanted.pvalue)
    (low, high), level = swaps(a, b).interval("two-sided")
    assert low < a.mean() - b.mean() < high
    assert level == pytest.approx(1 - 2 * 11 / 462)
    for end, side in ((low, "greater"), (high, "less")):  # just inside it is not rejected, just outside it is
        step = 1e-6 if side == "greater" else -1e-6
        assert swaps(a, b).p(end + step)[side] > 0.025 > swaps(a, b).p(end - step)[side]


def test_more_arrangements_than_can_be_visited_are_drawn():
    a, b = RNG.normal(size=14), RNG.normal(size=14) + 1
    drawn = swaps(a, b)
    assert not drawn.exact
    assert drawn.p()["two-sided"] == pytest.approx(stats.ttest_ind(a, b).pvalue, abs=0.01)


def test_a_thousand_zeros_and_ones_are_exchanged_by_their_counts():
    """By the same law as unit for unit, which smaller arms are."""
    a, b = (RNG.random(600) < 0.52).astype(float), (RNG.random(601) < 0.48).astype(float)
    counted = swaps(a, b)
    nearly = swaps(a + 1e-9 * RNG.random(600), b)
    for side in ("greater", "less", "two-sided"):
        assert counted.p()[side] == pytest.approx(nearly.p()[side], abs=0.02)
    assert counted.interval("two-sided")[0] == pytest.approx(nearly.interval("two-sided")[0], abs=0.005)
    alike = swaps(np.ones(600), np.ones(600))
    assert alike.p() == {"greater": 1.0, "less": 1.0, "two-sided": 1.0}


def test_arrangements_drawn_in_blocks_are_those_drawn_at_once(monkeypatch):
    a, b = RNG.normal(size=14), RNG.normal(size=14)
    whole = swaps(a, b)
    monkeypatch.setattr("grokscope.inference.swaps.BLOCK", 1000)
    assert np.allclose(swaps(a, b).means, whole.means, rtol=0, atol=1e-12)


def test_a_slope_over_two_values_is_the_difference_of_two_means():
    a, b = RNG.normal(size=3), RNG.normal(size=3) + 1
    two = slopes(np.array([0, 0, 0, 1, 1, 1.0]), np.r_[a, b])
    assert two.total == 20
    assert two.p() == swaps(b, a).p()
    assert two.interval("two-sided", 0.9)[0] == pytest.approx(swaps(b, a).interval("two-sided", 0.9)[0])


def test_a_slope_within_seeds_is_not_hidden_by_the_seeds():
    x, seeds = np.tile([0.0, 1.0, 2.0], 4), np.repeat([0, 1, 2, 3], 3)
    y = 0.5 * x + 10 * seeds + 0.1 * np.random.default_rng(0).normal(size=12)
    within = slopes(x, y, seeds)
    assert slope(x, y, seeds) == pytest.approx(0.5, abs=0.1)
    assert within.p()["two-sided"] < 0.01
    assert slopes(x, y).p()["two-sided"] > 0.5
    (low, high), _ = within.interval("two-sided")
    assert low < 0.5 < high < 1
    with pytest.raises(ValueError, match="only one value"):
        slopes(np.ones(4), np.arange(4.0))


# -- shares -----------------------------------------------------------------------------------------------------------


def test_shares_have_boschloos_p_and_an_interval_that_goes_with_it():
    for a, b in [((5, 5), (0, 5)), ((4, 5), (1, 5)), ((9, 10), (4, 10)), ((0, 5), (0, 5))]:
        known = TwoShares(a, b)
        assert known.p()["two-sided"] == pytest.approx(boschloo(a, b).p, abs=2e-3)
        (low, high), _ = known.interval(0.025) or ((0, 0), 0)
        assert low <= (known.estimate[0] or 0) <= high
        assert (low <= 0 <= high) == (known.p()["two-sided"] > 0.05)
    assert TwoShares((5, 5), (5, 5)).interval(0.05)[0] == pytest.approx((-0.4507, 0.4507), abs=1e-3)
    with pytest.raises(ValueError, match="fisher"):
        TwoShares((1, 300), (2, 300))


def test_which_tables_decide_is_what_the_test_says_of_each():
    for side in ("greater", "two-sided", "less"):
        wanted = [[TwoShares((a, 4), (b, 4)).p()[side] <= 0.05 for b in range(5)] for a in range(5)]
        assert decided_tables(4, side, 0.05).tolist() == wanted


# -- how many seeds ---------------------------------------------------------------------------------------------------


def test_the_seeds_that_would_decide_are_those_at_which_the_power_is_four_fifths():
    assert seeds_for_shift("mann-whitney", inf, "two-sided") == 4  # 3 v 3 can never reach .05
    assert seeds_for_shift("sign-flip", inf, "two-sided") == 6
    assert seeds_for_shift("sign-flip", inf, "greater") == 5
    n = seeds_for_shift("permutation", 2.0, "two-sided")
    assert n == 6
    powers = [power_of("permutation", (k, k), "two-sided") for k in (n - 1, n)]
    assert powers[0] is not None
    assert powers[1] is not None
    assert powers[0]["2"] < 0.8 <= powers[1]["2"]
    assert seeds_for_shift("permutation", 0.5, "two-sided") == pytest.approx(64, abs=2)  # 63.8 by the t-test


def test_no_number_of_seeds_decides_an_effect_that_is_none_or_goes_the_other_way():
    assert seeds_for_shift("mann-whitney", 0.0, "two-sided") is None
    assert seeds_for_shift("permutation", -1.0, "greater") is None
    assert seeds_for_shift("permutation", 0.01, "greater") is None  # more than a thousand
    assert seeds_for_shares((3, 5), (3, 5), "two-sided") is None
    assert seeds_for_shares((4, 5), (1, 5), "less") is None
    assert seeds_for_shares((5, 5), (0, 5), "two-sided") == 3
    assert (seeds_for_shares((4, 5), (3, 5), "two-sided") or 0) > 60


def test_power_beside_several_looks_is_at_the_level_of_one_look():
    """At p <= .01 (five looks) four against four can show nothing, whichever test is named."""
    a, b = np.array([5.0, 6, 7, 8]), np.array([1.0, 2, 3, 4])
    one, two = (decide.Question(sidedness="greater", alpha=alpha) for alpha in (0.05, 0.01))
    for answer in (lambda q: decide.by_ranks(a, b, q), lambda q: decide.between_shares((4, 4), (0, 4), q, "fisher")):
        at_once, at_each_look = answer(one).power, answer(two).power
        assert at_once is not None
        assert at_each_look is not None
        assert at_each_look["1.5"] == 0.0 < at_once["1.5"]
    expected = power_of("mann-whitney", (4, 4), "greater", 0.01)
    assert decide.by_ranks(a, b, two).power == expected
    assert decide.between_shares((4, 4), (0, 4), two, "boschloo").power is None


# -- intervals of their own kind --------------------------------------------------------------------------------------


@pytest.mark.parametrize("test", [fisher, boschloo])
def test_intervals_of_shares_agree_with_the_test_beside_them_and_cover(test):
    """Newcombe's left out 0 for 3 of 3 against 0 of 3, where Fisher's p is .1, and covered .86."""
    assert fisher((3, 3), (0, 3)).interval[0] <= 0
    for n, m in ((3, 3), (5, 3)):
        known = {(a, b): test((a, n), (b, m)) for a in range(n + 1) for b in range(m + 1)}
        for result in known.values():
            low, high = result.interval
            assert (low < 0 < high) or result.p <= 0.05 or 0 in (low, high)
            assert result.p > 0.05 or low >= 0 or high <= 0
        for pa, pb in product(np.linspace(0.02, 0.98, 9), repeat=2):
            chances = {(a, b): stats.binom.pmf(a, n, pa) * stats.binom.pmf(b, m, pb) for a, b in known}
            held = sum(p for t, p in chances.items() if known[t].interval[0] <= pa - pb <= known[t].interval[1])
            assert held >= 0.95 - 0.02


def test_the_interval_of_cliffs_delta_agrees_with_the_exact_test():
    for n, m in ((3, 3), (4, 3), (4, 4), (5, 5)):
        for chosen in combinations(range(n + m), n):
            a, b = [float(i) for i in chosen], [float(i) for i in range(n + m) if i not in chosen]
            result = mann_whitney(a, b)
            low, high = result.interval
            assert low <= result.effect <= high
            assert (low <= 0 <= high) == (result.p > 0.05) or 0 in (low, high)
    low, high = mann_whitney([4.0, 5, 6], [1.0, 2, 3]).interval  # p = .1 is all that three against three can reach
    assert (low, high) == (0.0, 1.0)
