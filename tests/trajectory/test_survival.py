"""Survival over seeds against closed forms, hand-worked cases and exhaustive permutation."""

import json
import sys
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from trajectory_shapes import FINE_STEP, grokked, memorized, trajectory

import grokscope.trajectory.logrank  # noqa: F401 - its name is also that of a function
from grokscope.trajectory import delays_of, from_milestones, km, logrank, milestones, survival, times_of

LOGRANK = sys.modules["grokscope.trajectory.logrank"]

# Remission times of the 6-MP group, Freireich et al. 1963: the textbook example of the estimator.
FREIREICH = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
FREIREICH_SEEN = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def test_the_textbook_curve():
    k = km(FREIREICH, map(bool, FREIREICH_SEEN))
    expected = {6: 0.8571, 7: 0.8067, 10: 0.7529, 13: 0.6902, 16: 0.6275, 22: 0.5378, 23: 0.4482}
    for time, share in expected.items():
        assert k.at(time) == pytest.approx(share, abs=1e-4)
    assert k.at(5.9) == 1
    assert k.median == 23
    assert (k.n, k.events, k.last) == (21, 9, 35)
    row = int(np.flatnonzero(k.times == 6)[0])
    assert (k.low[row], k.high[row]) == (pytest.approx(0.6197, abs=1e-3), pytest.approx(0.9516, abs=1e-3))
    assert (k.median_low, k.median_high) == (13, None)


def test_the_textbook_comparison():
    result = logrank((FREIREICH, [bool(s) for s in FREIREICH_SEEN]), (PLACEBO, [True] * 21))
    assert result.statistic is not None
    assert result.statistic**2 == pytest.approx(16.79, abs=0.01)
    assert result.statistic < 0  # the treated group reaches relapse later
    assert result.p is not None
    assert result.p < 0.001


def test_a_median_that_was_not_reached_is_said_not_invented():
    k = km([100, 500, 500, 500, 500], [True, False, False, False, False])
    assert k.median is None
    assert "median > 500 [100, open]" in str(k)
    assert k.bound == 500
    assert k.at(500) == 0.8


@pytest.mark.parametrize("runs", range(1, 13))
def test_the_interval_of_a_median_claims_no_more_than_so_many_runs_can(runs: int):
    """Of complete times, the true median lies between the i-th and the next with binomial probability."""
    k = km(range(1, runs + 1), [True] * runs)
    first = 1 if k.median_low is None else int(k.median_low)
    last = runs if k.median_high is None else int(k.median_high) - 1
    below = range(0 if k.median_low is None else first, last + 1)  # how many runs lie below the true median
    inside = sum(stats.binom.pmf(i, runs, 0.5) for i in below)
    assert inside >= 0.95 - 0.021  # seven runs attain 92.97 %
    assert (k.median_low is None) == (runs < 5)


def test_two_times_give_no_lower_end_at_95_percent_but_one_at_70():
    """Both lie above the median in one case of four."""
    assert km([3, 4], [True] * 2).median_low is None
    assert km([3, 4], [True] * 2, confidence=0.7).median_low == 3


def test_censored_runs_are_never_dropped():
    """Four of eight reached it at 100: dropping the others would give S = 0."""
    assert km([100] * 4 + [1000] * 4, [True] * 4 + [False] * 4).at(1000) == 0.5


def test_all_censored_gives_a_bound_not_never():
    k = km([1000] * 8, [False] * 8)
    assert k.events == 0
    assert k.median is None
    assert (k.survival == 1).all()
    assert np.isnan(k.low).all()
    note = " ".join(k.notes)
    assert "none reached it by 1,000" in note
    assert f"{100 * (1 - 0.025 ** (1 / 8)):.0f} %" in note  # Clopper-Pearson for 0 of 8, in closed form


def test_all_observed_and_a_single_run():
    k = km([3, 1, 2], [True] * 3)
    assert k.survival.tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert (k.median, k.median_low) == (2, None)
    assert np.isnan(k.high[-1])
    one = km([5], [True])
    assert (one.median, one.median_low, one.median_high) == (5, None, None)
    assert any("too few" in n for n in one.notes)
    json.dumps([k.to_dict(), one.to_dict()], allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=25))
def test_the_estimator_by_its_product_formula(runs: list[tuple[int, bool]]):
    time, seen = np.array([t for t, _ in runs]), np.array([s for _, s in runs])
    k = km(time, seen)
    survival = 1.0
    for t in sorted(set(time.tolist())):
        survival *= 1 - (seen & (time == t)).sum() / (time >= t).sum()
        assert k.at(t) == pytest.approx(survival, abs=1e-12)
    inside = (k.survival > 0) & (k.survival < 1)
    assert np.isfinite(k.low[inside]).all()
    assert (k.low[inside] <= k.survival[inside]).all()
    assert (k.survival[inside] <= k.high[inside]).all()
    assert np.isnan(k.low[~inside]).all()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=2, max_size=5),
    st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=2, max_size=5),
)
def test_the_exact_p_by_visiting_every_relabeling(a: list[tuple[int, bool]], b: list[tuple[int, bool]]):
    result = logrank(([t for t, _ in a], [s for _, s in a]), ([t for t, _ in b], [s for _, s in b]))
    if result.p is None:
        assert result.reason.startswith("cannot tell")
        return
    assert result.p_asymptotic is not None
    both = a + b
    time, seen = np.array([t for t, _ in both], dtype=float), np.array([s for _, s in both])

    def observed_minus_expected(group: tuple[int, ...]) -> float:
        inside = np.isin(np.arange(len(both)), group)
        total = 0.0
        for t in np.unique(time[seen]):
            risk, deaths = time >= t, (time == t) & seen
            total += (deaths & inside).sum() - deaths.sum() * (risk & inside).sum() / risk.sum()
        return total

    null = np.array([observed_minus_expected(g) for g in combinations(range(len(both)), len(a))])
    at = observed_minus_expected(tuple(range(len(a))))
    low, high = (null <= at + 1e-9).mean(), (null >= at - 1e-9).mean()
    assert result.p == pytest.approx(min(1.0, 2 * min(low, high)), abs=1e-9)
    assert result.smallest_p is not None
    assert result.p >= result.smallest_p - 1e-9


def test_small_groups_print_the_smallest_attainable_p():
    early, late = ([100, 110, 120, 130, 140], [True] * 5), ([1000] * 3, [False] * 3)
    result = logrank(early, late)
    assert result.smallest_p == pytest.approx(2 / 56)
    assert result.p == pytest.approx(2 / 56)  # 5 v 3: nothing smaller exists, however large the effect
    assert result.p_asymptotic is not None
    assert result.p_asymptotic < result.p
    assert any("too few" in n for n in result.notes)
    assert any("no events" in n for n in result.notes)
    assert logrank(([1, 2, 3], [True] * 3), ([9, 9, 9], [False] * 3)).smallest_p == pytest.approx(0.1)


def test_what_cannot_be_compared_says_so():
    none = ([10, 10], [False, False])
    assert "no run of either group" in logrank(none, none).reason
    assert "groups of 1 and 2" in logrank(([1], [True]), none).reason
    same = ([5, 5], [True, True])
    assert "at no event were runs of both" in logrank(same, same).reason
    assert logrank(same, same).p is None
    assert "at no event" in logrank(([1, 1], [False, False]), ([2, 2], [False, True])).reason
    json.dumps(logrank(none, none).to_dict(), allow_nan=False)


def test_the_sign_says_who_comes_first_and_equal_groups_do_not_differ():
    fast, slow = ([1, 2, 3, 4, 5, 6], [True] * 6), ([10, 20, 30, 40, 50, 60], [True] * 6)
    first, second = logrank(fast, slow), logrank(slow, fast)
    assert first.statistic is not None
    assert first.statistic > 0
    assert second.statistic == pytest.approx(-first.statistic)
    assert second.p == pytest.approx(first.p)
    assert logrank(fast, fast).p == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("times", "observed", "message"),
    [
        ([], [], "no runs"),
        ([1, 2], [True], "2 times but 1 observed"),
        ([1, float("nan")], [True, False], "times must be finite"),
    ],
)
def test_impossible_input_is_refused(times: list[float], observed: list[bool], message: str):
    with pytest.raises(ValueError, match=message):
        km(times, observed)
    with pytest.raises(ValueError, match=r"confidence must lie in \(0, 1\)"):
        km([1], [True], confidence=95)


def test_from_trajectories_to_a_curve():
    found = [milestones(grokked(FINE_STEP, gen=g)) for g in (440, 480, 610)]
    found += [milestones(memorized(FINE_STEP)), milestones(trajectory(FINE_STEP, 0 * FINE_STEP, 0 * FINE_STEP))]
    times = times_of(found)
    assert times.observed.tolist() == [True, True, True, False, False]
    assert times.at[3:].tolist() == [1500, 1500]
    assert from_milestones(m.T_gen for m in found).at.tolist() == times.at.tolist()
    assert times_of(found, "T_fit").observed.tolist() == [True] * 4 + [False]
    delays, not_started = delays_of(found)
    assert not_started == 1
    assert delays.observed.tolist() == [True, True, True, False]
    assert delays.at[0] == times.at[0] - 40
    assert delays.at[3] == 1500 - 40
    assert survival(times).median == times.at[2]


def test_many_runs_are_relabeled_by_how_often_a_group_gets_each_score():
    """The same distribution as relabeling run by run, which scipy does: both estimate one p from 20,000 draws."""
    rng = np.random.default_rng(3)
    runs = LOGRANK.RELABELED // 2 + 100
    for later in (0, 1, 2):  # planted: nothing, and a little
        both = np.r_[rng.integers(1, 40, runs), rng.integers(1, 40, runs) + later * (rng.random(runs) < 0.5)]
        seen = rng.random(2 * runs) < 0.9
        result = logrank((both[:runs], seen[:runs]), (both[runs:], seen[runs:]))
        scores = LOGRANK._scores(LOGRANK.exact_times(both, seen))
        wanted = stats.permutation_test(
            (scores[:runs], scores[runs:]), lambda x, y, axis: x.sum(axis=axis), vectorized=True, n_resamples=20_000,
            rng=np.random.default_rng(8),
        ).pvalue  # fmt: skip
        assert result.p == pytest.approx(wanted, abs=5 * np.sqrt(max(wanted, 1e-3) / 20_000))
        assert result.smallest_p == 2 / 20_001


def test_drawn_labels_of_equal_groups_reject_no_more_often_than_their_level_says():
    rng = np.random.default_rng(4)
    values = np.round(rng.normal(size=30), 3)
    rejected = 0
    for i in range(200):
        scores = rng.permutation(np.repeat(values, 40))
        rejected += LOGRANK._drawn_p(scores - scores.mean(), 500, i) <= 0.05
    assert stats.binomtest(rejected, 200, 0.05).pvalue > 1e-3


def test_a_median_stands_alone_where_no_end_of_its_interval_is_bounded():
    assert str(km([3, 4], [True] * 2)).endswith("median 3.5")
    assert str(km([500, 500], [False] * 2)).endswith("median > 500")
    assert str(km(range(1, 8), [True] * 7)).endswith("median 4 [1, 6]")
    assert "open" in str(km([100, 500, 500, 500, 500], [True, False, False, False, False]))
