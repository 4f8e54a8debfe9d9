"""The luck in a maximum: calibrated on curves without a peak, able to see one, and silent where it cannot be told."""

import numpy as np
import pytest

from grokscope.trajectory.peak_bias import (
    NEGLIGIBLE,
    SHORTEST,
    TOO_SLOW,
    PeakBias,
    ar1,
    isolated,
    peak_bias,
    residuals,
    resolution,
    running_median,
)

SIGMA, T = 0.015, 61


def course(shape: str, t: int = T) -> np.ndarray:
    """What a network does at each evaluation, without noise."""
    i, x = np.arange(t), np.linspace(0, 1, t)
    out = {
        "flat": np.full(t, 0.7),
        "rising": 0.55 + 0.2 * x,
        "plateau": 0.5 + 0.22 * (1 - np.exp(-i / 4)),
        "early dip": np.full(t, 0.7),
        "dip before the fit": np.full(t, 0.7),
        "step": np.where(i < t // 2, 0.6, 0.75),
        "peaked": 0.66 + 0.08 * np.exp(-5 * x) * (1 - np.exp(-50 * x)),
    }[shape]
    if shape == "early dip":
        out[:4] = 0.5, 0.38, 0.42, 0.55
    if shape == "dip before the fit":
        out[:9] = 0.5, 0.65, 0.7, 0.7, 0.7, 0.55, 0.42, 0.45, 0.6
    return out


def judged(true: np.ndarray, noise: np.ndarray, n: int | None = None) -> list[PeakBias]:
    found = [peak_bias(true + z, n, draws=199, seed=i) for i, z in enumerate(noise)]
    return [b for b in found if b is not None]


def share_below(found: list[PeakBias], alpha: float = 0.05) -> float:
    """Of all curves; those of which nothing can be told do not reject."""
    return float(np.mean([b.p is not None and b.p <= alpha for b in found]))


def left(true: np.ndarray, noise: np.ndarray, found: list[PeakBias]) -> np.ndarray:
    """Corrected peak minus the true course at the chosen evaluation, where it is told."""
    return np.array(
        [b.corrected - true[(true + z).argmax()] for z, b in zip(noise, found, strict=True) if b.corrected is not None]
    )


@pytest.mark.parametrize("rho", [0.0, 0.5])
@pytest.mark.parametrize("shape", ["flat", "plateau", "early dip", "dip before the fit", "step", "rising", "peaked"])
def test_the_luck_is_right_whatever_the_curve_does_early(shape, rho):
    true, noise = course(shape), SIGMA * ar1(np.random.default_rng(1), rho, 60, T)
    found = judged(true, noise, 400)
    off = left(true, noise, found)
    assert abs(off.mean()) < 0.009, "about .03 of luck, and not .16"
    assert np.median([b.sigma for b in found]) == pytest.approx(SIGMA, rel=0.25)
    assert len(off) >= (60 if rho == 0 else 42)
    if shape == "peaked":
        assert share_below(found) >= (0.75 if rho == 0 else 0.25)
    else:
        assert share_below(found) <= 0.12


@pytest.mark.parametrize("rho", [0.8, 0.95])
@pytest.mark.parametrize("t", [30, T])
def test_slow_noise_makes_no_peak(t: int, rho: float):
    """The running median alone follows it and takes it for a course."""
    found = judged(course("flat", t), SIGMA * ar1(np.random.default_rng(t), rho, 60, t))
    assert share_below(found) <= 0.05 + 2 * (0.05 * 0.95 / 60) ** 0.5


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_a_long_fall_is_seen_in_noise_of_any_pace(rho: float):
    found = judged(0.75 - 0.15 * np.linspace(0, 1, T), SIGMA * ar1(np.random.default_rng(6), rho, 30, T))
    assert share_below(found) >= 0.6


def test_heavy_tails_are_luck_and_no_peak():
    """Student's t with 3 degrees of freedom: single evaluations jut out of an otherwise quiet curve."""
    true = course("flat")
    noise = SIGMA * np.random.default_rng(2).standard_t(3, (60, T)) / 3**0.5
    found = judged(true, noise)
    assert share_below(found) <= 0.2, "normal noise of the same bulk would give half"
    assert sum(b.spikes for b in found) >= 60
    assert abs(left(true, noise, found).mean()) < 0.015
    assert np.mean([b.optimism for b in found]) > 0.03


def test_noise_as_slow_as_the_window_is_not_told():
    found = judged(course("flat"), 0.03 * ar1(np.random.default_rng(3), 0.97, 60, T))
    silent = [b for b in found if b.cannot_tell is not None]
    assert len(silent) >= 20
    for b in silent:
        assert b.cannot_tell == TOO_SLOW
        assert (b.optimism, b.corrected, b.excess, b.p, b.p_new) == (None,) * 5
        assert b.to_dict()["corrected"] is None
    assert all(b.optimism is not None and b.p is not None for b in found if b not in silent)


def test_coin_flips_keep_the_level():
    rng = np.random.default_rng(1)
    flips = rng.binomial(500, 0.7, (100, T)) / 500
    assert share_below(judged(np.zeros(T), flips, 500)) <= 0.11


def test_a_hump_of_a_few_evaluations_is_seen():
    true = 0.66 + 0.06 * np.exp(-(((np.linspace(0, 1, T) - 0.3) / 0.05) ** 2))
    assert share_below(judged(true, 0.01 * ar1(np.random.default_rng(3), 0.0, 60, T))) >= 0.8


def test_the_excess_is_the_expected_maximum_of_the_noise():
    """White noise: E max of 61 standard normals is 2.33; sigma is known here and has to be found."""
    found = judged(course("flat"), 0.02 * ar1(np.random.default_rng(4), 0.0, 40, T))
    expected = np.random.default_rng(5).standard_normal((20_000, T)).max(axis=1).mean()
    assert np.mean([b.sigma for b in found]) == pytest.approx(0.02, rel=0.08)
    assert np.mean([b.excess for b in found]) == pytest.approx(0.02 * expected, rel=0.08)


def test_a_course_without_noise_has_no_luck():
    """Its residuals are as slow as can be, but so small that they cannot matter."""
    b = peak_bias(0.6 + 0.1 * np.sin(3 * np.linspace(0, 1, T)))
    assert b is not None
    assert b.optimism is not None
    assert b.optimism < 0.002 < NEGLIGIBLE
    assert b.p is not None
    assert b.p < 0.01


def test_few_examples_weaken_the_claim():
    x = np.linspace(0, 1, T)
    curve = 0.66 + 0.06 * np.exp(-5 * x) + 0.002 * ar1(np.random.default_rng(7), 0.0, 1, T)[0]
    many, few, unknown = (peak_bias(curve, n) for n in (85_054, 50, None))
    assert many.p == few.p == unknown.p < 0.01
    assert many.p_new < 0.05 < few.p_new
    assert unknown.p_new is None
    assert few.binomial == pytest.approx(np.sqrt(curve.max() * (1 - curve.max()) / 50))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("n", [20, 60, 400])
def test_one_example_more_is_no_peak(n, known):
    """Flat curves whose noise is smaller than one of n examples, or little larger: most steps are exactly 0."""
    rng = np.random.default_rng(n)
    found = []
    for steps in (0.2, 0.3, 0.5, 1.0):
        hidden = n * (0.55 + rng.random((50, 1)) / n) + steps * ar1(rng, 0.0, 50, T)
        found += judged(np.zeros(T), np.round(hidden) / n, n if known else None)
    assert len(found) >= 180
    assert share_below(found) <= 0.09, "0.7 if equal evaluations meant that there is no noise"
    assert min(b.sigma for b in found) > 0.2 / n


def test_a_peak_of_many_examples_is_seen_on_a_curve_at_rest():
    curve = np.full(T, 33.0)
    curve[::7] += 1
    curve[20:23] = 40, 42, 40
    b = peak_bias(curve / 60, 60)
    assert b is not None
    assert b.p is not None
    assert b.p <= 0.05


def test_two_examples_of_sixty_are_no_peak():
    """Between 33 and 34 of 60 but for one 36, and 35 at the end."""
    curve = np.full(T, 33.0)
    curve[::5], curve[20], curve[-1] = 34, 36, 35
    b = peak_bias(curve / 60, 60)
    assert b is not None
    assert b.sigma > 0.004
    assert b.p is not None
    assert b.p > 0.05


def test_the_step_is_one_example_or_the_smallest_distance():
    assert resolution(np.array([0.5, 0.55]), 60) == 1 / 60
    assert resolution(np.array([0.5, 0.6, 0.55, 0.6 + 1e-15]), None) == pytest.approx(0.05)
    assert resolution(np.full(3, 0.5), None) == 0.0


def test_short_and_resting_curves_are_not_judged():
    assert peak_bias(np.linspace(0, 1, SHORTEST - 1)) is None
    assert peak_bias(np.full(100, 0.5)) is None
    assert peak_bias(np.r_[np.linspace(0.5, 0.7, 8), np.full(100, 0.7)]) is None
    assert peak_bias(np.linspace(0, 1, SHORTEST)) is not None


def test_rest_at_the_end_does_not_hide_the_noise():
    noise = 0.02 * ar1(np.random.default_rng(8), 0.0, 1, 40)[0]
    moving, resting = peak_bias(0.7 + noise), peak_bias(np.r_[0.7 + noise, np.full(200, 0.7)])
    assert resting.sigma == pytest.approx(moving.sigma, rel=0.15)


def test_the_same_curve_gives_the_same_answer():
    curve = 0.7 + 0.02 * ar1(np.random.default_rng(9), 0.5, 1, T)[0]
    assert peak_bias(curve, 500) == peak_bias(curve, 500)


def test_the_running_median_is_one():
    curves = np.random.default_rng(10).random((3, 40))
    found = running_median(curves, 7)
    for i in (3, 20, 36):
        np.testing.assert_array_equal(found[:, i], np.median(curves[:, i - 3 : i + 4], axis=1))


def test_a_narrow_peak_is_not_taken_for_noise():
    curve = np.full(T, 0.7) + 0.001 * ar1(np.random.default_rng(11), 0.0, 1, T)[0]
    curve[30] = 0.9
    assert residuals(curve[None], 15)[0][0] < 0.002


def test_a_spike_is_one_evaluation():
    curve = 0.7 + 0.001 * ar1(np.random.default_rng(12), 0.0, 1, T)[0]
    curve[[20, 40, 41]] = 0.6, 0.8, 0.8
    assert np.flatnonzero(isolated(curve[None], 15)[0]).tolist() == [20]
