"""Milestones: intervals, censoring, dips and flickers, the noise band."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trajectory_shapes import PUBLISHED_GRID, digits, early_peak, grokked, memorized, noisy, trajectory

from grokscope.trajectory import Criteria, milestones
from grokscope.trajectory.curves import roughness, running_median, stretches, time_weights, wander
from grokscope.trajectory.milestones import milestone


def test_digits_milestones_are_intervals():
    m = milestones(digits())
    assert (m.T_fit.previous, m.T_fit.at) == (1200, 1400)
    assert (m.T_gen.previous, m.T_gen.at) == (10000, 11000)
    assert m.T_gen_stable == m.T_gen_lasting == m.T_gen
    assert m.delay is not None
    assert m.delay_ratio is not None
    assert (m.delay.value, m.delay.low, m.delay.high) == (9600, 8600, 9800)
    assert m.delay_ratio.value == pytest.approx(11000 / 1400)
    assert m.delay_ratio.low == pytest.approx(10000 / 1400)
    assert m.delay_ratio.high == pytest.approx(11000 / 1200)


def test_what_was_not_reached_is_censored_at_the_last_held_out_evaluation():
    t = trajectory([1, 10, 100, 200], [0.1, 1, 1, 1], [0.1, 0.1, 0.1, np.nan])
    m = milestones(t)
    assert m.T_gen.censored
    assert m.T_gen.at == 100
    assert m.T_gen_stable.censored
    assert m.delay is not None
    assert m.delay.censored
    assert m.delay.value == 90
    assert m.delay.high == np.inf
    assert m.to_dict()["delay"]["high"] is None
    assert str(m.T_gen) == "not by 100"


def test_an_unfitted_run_has_no_delay():
    m = milestones(trajectory([1, 2], [0.1, 0.5], [0.1, 0.96]))
    assert m.T_fit.censored
    assert m.T_fit.at == 2
    assert m.delay is None
    assert m.delay_ratio is None


def test_holding_from_the_first_row_leaves_the_start_open():
    m = milestones(trajectory([10, 20], [1, 1], [1, 1]))
    assert m.T_fit.previous is None
    assert m.T_fit.earliest == 0
    assert m.delay_ratio is not None
    assert m.delay_ratio.value == 1
    assert m.delay_ratio.high == np.inf
    assert milestones(trajectory([0], [1], [1])).delay_ratio.value == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(("dip", "stable_at"), [(1, 3), (2, 3), (3, 8), (5, 10)])
def test_dips_shorter_than_dwell_do_not_undo_stability(dip: int, stable_at: int):
    held = np.r_[0.1, 0.1, [0.97] * 2, [0.5] * dip, [0.97] * 6]
    m = milestones(trajectory(np.arange(1, len(held) + 1), np.ones(len(held)), held))
    assert m.T_gen.at == 3
    assert m.T_gen_stable.at == stable_at


def test_a_dip_at_the_very_end():
    def stable(tail: list[float], before: int = 8) -> bool:
        held = np.r_[0.1, [0.97] * before, tail]
        return not milestones(trajectory(np.arange(len(held)), np.ones(len(held)), held)).T_gen_stable.censored

    assert stable([0.5, 0.5])
    assert not stable([0.5, 0.5, 0.5])
    assert not stable([0.5], before=1)  # one evaluation above, then below: a flicker, not a dip


def test_a_flicker_is_a_milestone_but_not_a_lasting_one():
    held = np.r_[0.1, 0.96, [0.1] * 6, [0.97] * 4]
    m = milestones(trajectory(np.arange(1, 13), np.ones(12), held))
    assert m.T_gen.at == 2
    assert m.T_gen_lasting.at == m.T_gen_stable.at == 9


def test_peak_end_final_and_drop():
    t = early_peak()
    m = milestones(t)
    assert m.peak == pytest.approx(0.7336, abs=1e-3)
    assert m.peak_step == 350
    assert m.end_from == pytest.approx(2850.05)
    assert m.end_rows == 3
    assert m.end == pytest.approx(t.held_out["id_val"][-3:].mean(), abs=1e-5)
    assert m.final == t.held_out["id_val"][-1]
    assert m.drop == pytest.approx(m.peak - m.end)
    short = milestones(trajectory([1, 10, 100], [0.1, 1, 1], [0.1, 0.1, 0.9]))
    assert short.end == short.final == 0.9  # in a short log the mean would mix the transition in


def test_the_end_is_a_share_of_the_steps_not_a_number_of_rows():
    """The same falling line, evaluated evenly, log-spaced, and with a burst of rows at the very end."""
    even = np.linspace(0, 1000, 101)
    burst = np.r_[even[:-1], np.linspace(999, 1000, 200)]
    for step in (even, np.linspace(0, 1000, 2001), burst, np.r_[0, np.logspace(0, 3, 500)]):
        m = milestones(trajectory(step, np.ones(len(step)), 0.9 - 0.0008 * step))
        assert m.end == pytest.approx(0.9 - 0.0008 * 975, abs=0.006)
        assert m.final == pytest.approx(0.1)


def test_the_end_does_not_mix_in_what_was_before_the_threshold_was_reached_for_good():
    step = np.arange(0, 1001, 5)
    m = milestones(trajectory(step, np.ones(201), np.where(step < 980, 0.1, 0.97)))
    assert m.T_gen_stable.at == 980
    assert m.end_from == 975
    assert m.end == pytest.approx(0.97)
    assert m.end_rows == 5


def test_weights_over_time():
    step = np.array([0.0, 10.0, 20.0, 21.0, 22.0])
    assert time_weights(step, 12).tolist() == pytest.approx([0, 0, 0.8, 0.1, 0.1])
    assert time_weights(step, 22).tolist() == [0, 0, 0, 0, 1]
    assert time_weights(step[:1], 0).tolist() == [1]


def test_a_single_evaluation_does_not_make_a_lasting_peak():
    held = np.full(61, 0.66)
    held[0] = 0.888
    m = milestones(trajectory(PUBLISHED_GRID, np.ones(61), held))
    assert m.peak == 0.888
    assert m.peak_lasting == 0.66
    held[30] = 0.9
    assert milestones(trajectory(PUBLISHED_GRID, np.ones(61), held)).peak_lasting == 0.66


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=30))
def test_running_median_against_numpy(values: list[float]):
    x = np.array(values)
    expected = [
        np.median(x[max(0, min(i - 1, len(x) - 3)) : max(0, min(i - 1, len(x) - 3)) + 3]) for i in range(len(x))
    ]
    assert running_median(x).tolist() == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), max_size=40), st.integers(1, 5))
def test_stretches_by_brute_force(holds: list[bool], dwell: int):
    """Bridging gaps row by row gives the same stretches."""
    filled = list(holds)
    true_rows = [i for i, h in enumerate(holds) if h]
    for a, b in pairwise(true_rows):
        if b - a - 1 < dwell:
            filled[a:b] = [True] * (b - a)
    edges = np.diff(np.r_[0, np.array(filled, dtype=int), 0])
    expected = list(zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True))
    found = stretches(np.array(holds, dtype=bool), dwell)
    assert [(s.start, s.stop) for s in found] == expected
    assert sum(s.count for s in found) == sum(holds)
    assert not any(s.open for s in found[:-1])


@pytest.mark.parametrize("sigma", [0.005, 0.03])
def test_roughness_finds_the_noise_under_a_trend_and_a_jump(sigma: float):
    e = np.arange(400)
    clean = 0.2 + 0.0005 * e + 0.4 * (e > 250)
    assert roughness(noisy(clean, sigma)) == pytest.approx(sigma, rel=0.2)
    assert roughness(clean) == pytest.approx(0, abs=1e-12)
    assert roughness(np.array([0.1, 0.2, 0.1, 0.2])) is None


def test_wander_sees_drift_that_roughness_misses():
    rng = np.random.default_rng(0)
    x = np.zeros(300)
    for i in range(1, 300):
        x[i] = 0.95 * x[i - 1] + np.sqrt(1 - 0.95**2) * rng.normal()
    drift = 0.5 + 0.03 * x
    rough = roughness(drift)
    assert rough is not None
    assert rough < 0.012
    assert 0.02 < wander(drift, increasing=False) < 0.05
    falling = np.linspace(1, 0, 50)
    assert wander(falling, increasing=False) == 0
    assert wander(falling, increasing=True) > 0.2


def test_noise_band_takes_the_larger_of_sampling_and_roughness():
    flat = memorized(n={"id_val": 100}, level=0.5)
    m = milestones(flat)
    assert m.noise.binomial == pytest.approx(0.05)
    assert m.noise.roughness is None  # a curve at rest says nothing of its noise
    assert m.noise.band == pytest.approx(3 * np.sqrt(2) * 0.05)
    rough = milestones(memorized(sigma=0.02, level=0.5))
    assert rough.noise.binomial is None
    assert rough.noise.roughness == pytest.approx(0.02, rel=0.4)
    assert rough.noise.band > 0
    assert milestones(grokked(n={"id_val": 1740})).noise.binomial == 0  # at 1.0 nothing is left to chance


def test_regression_uses_its_own_thresholds():
    t = trajectory([1, 2, 3], [0, 0.93, 0.95], [-2, 0.5, 0.85], kind="regression", trivial=0.0, threshold=0.8)
    m = milestones(t, "id_val", Criteria())
    assert (m.T_fit.at, m.T_gen.at, m.threshold) == (2, 3, 0.8)
    assert milestones(t, criteria=Criteria(generalize_r2=0.9)).T_gen.censored
    assert not milestones(t, criteria=Criteria(generalize=0.99)).T_gen.censored


def test_milestones_by_name():
    m = milestones(grokked())
    assert milestone(m, "T_gen") is m.T_gen
    with pytest.raises(ValueError, match="did you mean 'T_gen'"):
        milestone(m, "T_gne")


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 100),
    st.integers(2, 100),
    st.lists(st.booleans(), min_size=100, max_size=100),
)
def test_thinning_the_grid_of_a_step_function_only_widens_intervals(fit: int, gen: int, keep: list[bool]):
    step = np.arange(1, 101)
    train, held = (step >= fit).astype(float), np.where(step >= gen, 1.0, 0.1)
    rows = np.flatnonzero(np.array(keep) | (step == 1) | (step == 100))
    fine = milestones(trajectory(step, train, held))
    coarse = milestones(trajectory(step[rows], train[rows], held[rows]))
    for name in ("T_fit", "T_gen", "T_gen_stable"):
        a, b = getattr(fine, name), getattr(coarse, name)
        assert not b.censored
        assert b.earliest <= a.earliest
        assert a.at <= b.at
    assert fine.delay is not None
    assert coarse.delay is not None
    assert coarse.delay.low <= fine.delay.low
    assert coarse.delay.high >= fine.delay.high


@settings(max_examples=60, deadline=None)
@given(st.floats(0.3, 0.99), st.floats(0.3, 0.99), st.integers(0, 20))
def test_a_higher_threshold_is_never_reached_earlier(a: float, b: float, seed: int):
    held = noisy(np.linspace(0.1, 1, 40), 0.1, seed)
    t = trajectory(np.arange(40), np.ones(40), held)
    low, high = (milestones(t, criteria=Criteria(generalize=x)) for x in sorted((a, b)))
    for name in ("T_gen", "T_gen_stable"):
        first, second = getattr(low, name), getattr(high, name)
        assert first.at <= second.at
        assert not (first.censored and not second.censored)
