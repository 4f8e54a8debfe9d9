from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from grokscope.inference import (
    attainable,
    bootstrap_interval,
    boschloo,
    cliffs_delta,
    fisher,
    holm,
    mann_whitney,
    mann_whitney_p,
    mean_peaks,
    power,
    published_inference,
    seeds_of_mean,
    sign_flip,
    smallest_p,
    steering_readings,
)
from grokscope.inference.intervals import share_interval


def test_published_shares_are_reproduced_one_sided_and_given_two_sided():
    monotone, neurons = published_inference()
    assert monotone.p == pytest.approx(0.286, abs=5e-4)
    assert monotone.p_two_sided == pytest.approx(26 / 56)
    assert neurons.p == pytest.approx(0.179, abs=5e-4)
    assert neurons.p_two_sided == pytest.approx(11 / 56)
    assert "one-sided (greater); two-sided 0.464" in monotone.sentence()
    assert not monotone.enough


def test_published_rank_test_is_reproduced_and_its_sidedness_is_open():
    found = attainable(0.071, 5, 3)
    assert found == [(13, "greater"), (14, "two-sided")]
    # five values of which exactly two lie below one of the three, and only one does
    a = [4.5, 4, 6, 7, 8]
    assert mann_whitney(a, [1, 2, 4.7], "greater").p == pytest.approx(4 / 56)
    assert mann_whitney(a, [1, 2, 4.2], "two-sided").p == pytest.approx(4 / 56)


def test_what_five_against_three_seeds_can_ever_show():
    assert smallest_p("mann-whitney", (5, 3)) == pytest.approx(2 / 56)
    assert round(smallest_p("mann-whitney", (5, 3)), 4) == 0.0357
    assert smallest_p("mann-whitney", (3, 3)) == pytest.approx(0.1)
    assert smallest_p("fisher", (3, 3)) == pytest.approx(0.1)
    assert smallest_p("fisher", (5, 3)) == pytest.approx(1 / 56)
    assert smallest_p("boschloo", (3, 3)) == pytest.approx(2 / 64)  # does not condition on the total
    assert smallest_p("sign-flip", (5,)) == pytest.approx(2 / 32)
    assert mann_whitney([3, 4, 5], [0, 1, 2]).can_reach is False
    assert "p <= .05 is impossible" in mann_whitney([3, 4, 5], [0, 1, 2]).sentence()
    with pytest.raises(ValueError, match="unknown test"):
        smallest_p("t", (3, 3))


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_rank_null_is_the_enumerated_one(n, m, seed):
    x = np.random.default_rng(seed).permutation(n + m)
    u = float((x[:n, None] > x[n:]).sum())
    every = [sum(i > j for i in c for j in set(range(n + m)) - set(c)) for c in combinations(range(n + m), n)]
    for side in ("greater", "less", "two-sided"):
        result = mann_whitney(x[:n], x[n:], side)
        above, below = np.mean(np.array(every) >= u), np.mean(np.array(every) <= u)
        wanted = {"greater": above, "less": below, "two-sided": min(1, 2 * min(above, below))}[side]
        assert result.p == pytest.approx(wanted)
        assert mann_whitney_p(u, n, m, side) == pytest.approx(wanted)
        assert result.p >= result.smallest_p - 1e-12
        assert result.statistic == pytest.approx(u)


def test_ties_are_enumerated():
    a, b = [1, 2, 2, 3], [2, 0, 0]
    pool = stats.rankdata(a + b)
    own = pool[:4].sum()
    sums = np.array([pool[list(c)].sum() for c in combinations(range(7), 4)])
    result = mann_whitney(a, b, "greater")
    assert result.p == pytest.approx((sums >= own - 1e-9).mean())
    assert result.method == "exact, ties: all 35 arrangements"
    many = np.random.default_rng(0).integers(0, 3, (2, 40))
    large = mann_whitney(many[0], many[1])
    assert large.method.startswith("ties: 19999 random")
    assert large.p == pytest.approx(stats.mannwhitneyu(many[0], many[1], use_continuity=False).pvalue, abs=0.06)


def test_shares_agree_with_scipy_and_fishers_table():
    for a, b in [((4, 5), (1, 3)), ((0, 6), (5, 7)), ((3, 3), (0, 4))]:
        table = [[a[0], a[1] - a[0]], [b[0], b[1] - b[0]]]
        for side in ("two-sided", "greater", "less"):
            assert fisher(a, b, side).p == pytest.approx(stats.fisher_exact(table, alternative=side).pvalue)
        assert boschloo(a, b).p == pytest.approx(min(1, stats.boschloo_exact(np.transpose(table)).pvalue))
    from grokscope.inference.design import _fisher_table

    for side in ("two-sided", "greater", "less"):
        for (i, j), p in _fisher_table(5, 3, side).items():
            assert p == pytest.approx(fisher((i, 5), (j, 3), side).p), (i, j, side)


def test_boschloo_speaks_of_arms_not_of_columns():
    # more successes in the first arm: small p for "greater", large for "less"
    assert boschloo((5, 5), (0, 3), "greater").p < 0.01
    assert boschloo((5, 5), (0, 3), "less").p > 0.9
    assert boschloo((5, 5), (0, 3)).effect == 1.0


def test_sign_flip_is_enumerated():
    d = np.array([0.3, -0.1, 0.5, 0.2, 0.05])
    signs = 1 - 2 * ((np.arange(32)[:, None] >> np.arange(5)) & 1)
    means = (signs * d).mean(axis=1)
    result = sign_flip(d, "greater")
    assert result.p == pytest.approx((means >= d.mean() - 1e-12).mean())
    assert sign_flip(-d, "less").p == pytest.approx(result.p)
    assert sign_flip(np.abs(d)).p == pytest.approx(2 / 32)
    assert sign_flip([2.0], "greater").p == 0.5
    assert sign_flip([2.0]).interval == (-np.inf, np.inf)
    assert sign_flip(np.ones(20) + 0.1 * np.arange(20)).method.endswith("random sign patterns")


def test_delta_and_its_interval():
    delta, low, high = cliffs_delta([1, 2, 3], [2, 2, 0])
    assert delta == pytest.approx((5 - 2) / 9)
    assert low < delta < high
    assert cliffs_delta([9, 8, 7, 6, 5], [1, 2, 3])[0] == 1
    assert 0 < cliffs_delta([9, 8, 7, 6, 5], [1, 2, 3])[1] < 0.7  # five against three cannot pin it to 1
    assert cliffs_delta([1, 2], [3, 4])[2] > -1
    mirrored = cliffs_delta([2, 2, 0], [1, 2, 3])
    np.testing.assert_allclose(mirrored, (-delta, -high, -low), atol=1e-9)


@pytest.mark.slow
def test_delta_interval_covers():
    rng = np.random.default_rng(0)
    truth = 2 * stats.norm.cdf(1 / np.sqrt(2)) - 1
    hits = 0
    for _ in range(1500):
        _, low, high = cliffs_delta(rng.standard_normal(6) + 1, rng.standard_normal(5))
        hits += low <= truth <= high
    assert 0.93 < hits / 1500 < 0.99


def test_bootstrap_resamples_groups():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 20)
    values = rng.standard_normal(30)[groups] + 0.1 * rng.standard_normal(600)
    by_group, by_value = bootstrap_interval(values, groups=groups), bootstrap_interval(values)
    assert np.diff(by_group)[0] > 3 * np.diff(by_value)[0]
    assert np.diff(by_group)[0] == pytest.approx(2 * 1.96 * values.reshape(30, 20).mean(1).std() / np.sqrt(30), rel=0.1)
    low, high = bootstrap_interval(values[::20], lambda x: np.median(x, axis=-1))
    assert low <= np.median(values[::20]) <= high
    with pytest.raises(ValueError, match="only one unit"):
        bootstrap_interval([1.0, 2.0], groups=["a", "a"])


def test_power_against_known_cases():
    flat = power("mann-whitney", (6, 6), (0.0,))["0"]
    assert flat <= 0.05 + 0.01
    assert power("mann-whitney", (3, 3))["2"] == 0.0
    assert power("sign-flip", (5,))["2"] == 0.0
    # asymptotic relative efficiency of ranks is .955, so near the t test
    from statsmodels.stats.power import TTestIndPower

    assert power("mann-whitney", (20, 20), (1.0,))["1"] == pytest.approx(TTestIndPower().power(1.0, 20, 0.05), abs=0.04)
    a = power("fisher", (8, 8), (2.0,))["2"]
    p = stats.norm.cdf([1.0, -1.0])
    brute = sum(
        stats.binom.pmf(i, 8, p[0]) * stats.binom.pmf(j, 8, p[1])
        for i in range(9)
        for j in range(9)
        if stats.fisher_exact([[i, 8 - i], [j, 8 - j]])[1] <= 0.05
    )
    assert a == pytest.approx(brute)
    assert power("mann-whitney", (5, 5), alternative="less").chance == pytest.approx(
        power("mann-whitney", (5, 5), alternative="greater").chance, abs=0.05
    )
    with pytest.raises(ValueError, match="unknown test"):
        power("t", (3, 3))


def test_holm_agrees_with_statsmodels():
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(5)
    for size in (1, 2, 7, 40):
        ps = rng.choice([0.0, 0.001, 0.02, 0.3, 1.0, *rng.random(3)], size=size)  # ties included
        assert holm(ps.tolist()) == multipletests(ps, method="holm")[1].tolist()


@pytest.mark.parametrize(
    ("a", "b"), [((61, 61), (0, 70)), ((3, 100), (40, 90)), ((0, 80), (0, 80)), ((7, 9), (99, 2000))]
)
def test_the_interval_of_shares_of_many_runs_agrees_with_statsmodels(a, b):
    from statsmodels.stats.proportion import confint_proportions_2indep

    expected = confint_proportions_2indep(*a, *b, method="newcomb", compare="diff", alpha=0.05)
    assert share_interval(a, b) == pytest.approx(expected, abs=1e-14)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    with pytest.raises(ValueError, match="every p must lie"):
        holm([0.1, float("nan")])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mann_whitney([1, np.nan], [2]), "a: 1 values are missing or infinite; a time that was never reached"),
        (lambda: mann_whitney([1], []), "b: expected a list"),
        (lambda: mann_whitney([1], [2], "bigger"), "alternative: unknown 'bigger'"),
        (lambda: fisher((4, 3), (1, 3)), "a: expected"),
        (lambda: fisher((1, 3), (1.0, 3)), "b: expected"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_smallest_p_counts_arrangements():
    for n, m in [(2, 2), (4, 6), (10, 10)]:
        assert smallest_p("mann-whitney", (n, m), "greater") == 1 / comb(n + m, n)


def test_a_rank_test_of_many_values_is_quick_and_near_the_exact_one():
    """The exact law of 10,000 pairs against the normal approximation just above, with and without ties."""
    from scipy import stats

    rng = np.random.default_rng(3)
    a, b = rng.standard_normal(100) + 0.25, rng.standard_normal(101)
    above = mann_whitney(a, b)
    assert above.method == "normal approximation"
    assert above.power is None  # more than 60 units: an ordinary calculation serves
    exact = stats.mannwhitneyu(a, b, method="exact").pvalue
    assert above.p == pytest.approx(exact, rel=0.02)
    at = mann_whitney(a, b[:100])
    assert at.method == "exact"
    assert at.p == pytest.approx(stats.mannwhitneyu(a, b[:100], method="exact").pvalue)
    tied = mann_whitney(a.round(1), b.round(1))
    assert tied.p == pytest.approx(stats.mannwhitneyu(a.round(1), b.round(1), method="asymptotic").pvalue)
    assert mann_whitney(rng.standard_normal(2000), rng.standard_normal(2000)).p > 0.001


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_few_values_with_ties_have_the_p_of_all_arrangements(alternative):
    from itertools import combinations

    a, b = [1.0, 2.0, 2.0, 4.0], [0.0, 2.0, 3.0]
    ranks = np.array([2.0, 4, 4, 7, 1, 4, 6])
    sums = np.array([ranks[list(c)].sum() for c in combinations(range(7), 4)])
    own = ranks[:4].sum()
    greater, less = (sums >= own).mean(), (sums <= own).mean()
    wanted = {"greater": greater, "less": less, "two-sided": min(1.0, 2 * min(greater, less))}[alternative]
    assert mann_whitney(a, b, alternative).p == pytest.approx(wanted)


def test_published_means_with_and_without_the_artifact_and_what_the_corrected_mean_is():
    favorable, standard, clean = mean_peaks()
    assert favorable.mean == pytest.approx((0.6876 + 0.7336 + 0.7270 + 0.6722 + 0.7056) / 5)
    assert standard.mean == pytest.approx(0.79817, abs=5e-6)
    assert clean.mean == pytest.approx(0.75325)
    assert clean.seeds == (42, 456)
    # all three standard peaks lie above all five others: the smallest p of 3 v 5, and of 2 v 5
    assert standard.p_two_sided == pytest.approx(2 / 56)
    assert clean.p_two_sided == pytest.approx(2 / 21)
    assert favorable.p_two_sided is None
    assert seeds_of_mean() == ((42, 456),)
    assert seeds_of_mean(0.7982) == ((42, 123, 456),)
    assert seeds_of_mean(0.5) == ()


def test_published_rank_p_has_two_readings_each_with_its_two_sided_value():
    one, two = steering_readings()
    assert (one.u, one.sidedness) == (13, "greater")
    assert one.p == pytest.approx(4 / 56)
    assert one.p_two_sided == pytest.approx(8 / 56)
    assert (two.u, two.sidedness) == (14, "two-sided")
    assert two.p == two.p_two_sided == pytest.approx(4 / 56)
    assert one.smallest_p == pytest.approx(2 / 56)
    assert one.power is not None
    assert one.power["1"] < 0.3
