"""The luck in a drop: slow noise on a flat curve is told from a decay, whatever the shape of the decay."""

import json

import numpy as np
import pytest
from trajectory_shapes import PUBLISHED_GRID, early_peak, trajectory
from verdict_shapes import cases, judge

from grokscope.trajectory import Verdict, verdict
from grokscope.trajectory.ar_noise import DRAWS, FEWEST, MOST, RHO, compatible, flat_drops, prior_of_rho
from grokscope.trajectory.curves import running_median
from grokscope.trajectory.peak_bias import ar1
from grokscope.trajectory.slow_noise import LIKELY, drop_luck

T = 61
X = np.linspace(0, 1, T)
FALLS = {
    "straight": 0.75 - 0.15 * X,
    "exponential": 0.6 + 0.15 * np.exp(-5 * X),
    "fast": 0.6 + 0.15 * np.exp(-20 * X),
    "sudden": np.where(X < 0.5, 0.75, 0.6),
    "late": 0.75 - 0.15 * np.clip((X - 0.8) / 0.2, 0, 1),
    "after a rise": np.where(X < 0.15, 0.5 + 0.25 * X / 0.15, 0.6 + 0.15 * np.exp(-5 * (X - 0.15))),
}


def noisy(course: np.ndarray, sd: float, rho: float, curves: int = 40) -> np.ndarray:
    return course + sd * ar1(np.random.default_rng(round(100 * rho)), rho, curves, len(course))


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8, 0.95])
def test_drops_of_flat_curves_are_luck(rho: float):
    found = [drop_luck(curve, 3) for curve in noisy(np.full(T, 0.66), 0.03, rho, 100)]
    assert np.mean([not luck.likely for luck in found]) <= 0.08


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("name", FALLS)
def test_true_decays_are_no_luck(name: str, rho: float):
    found = [drop_luck(curve, 3) for curve in noisy(FALLS[name], 0.01, rho)]
    # a fall in the last fifth leaves few evaluations to tell its line from slow noise
    assert np.mean([not luck.likely for luck in found]) >= (0.7 if name == "late" else 0.8)


@pytest.mark.parametrize(("rho", "low", "high"), [(0.0, 0.0, 0.2), (0.5, 0.4, 0.6), (0.8, 0.65, 0.85)])
@pytest.mark.parametrize("name", ["straight", "sudden"])
def test_rho_is_that_of_the_noise_and_not_of_the_decay(name: str, rho: float, low: float, high: float):
    found = [drop_luck(curve, 3) for curve in noisy(FALLS[name], 0.01, rho)]
    assert low <= np.median([luck.rho for luck in found if luck.rho is not None]) <= high
    assert np.mean([luck.rho_high >= rho for luck in found if luck.rho_high is not None]) >= 0.85


def test_sigma_is_the_spread_of_the_noise():
    for rho in (0.0, 0.5):
        found = [drop_luck(curve, 3) for curve in noisy(FALLS["straight"], 0.01, rho)]
        assert np.median([luck.sigma for luck in found if luck.sigma is not None]) == pytest.approx(0.01, rel=0.2)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("drop", [0.070, 0.082])
def test_the_published_drops_are_compatible_with_luck_at_noise_03(drop: float, rho: float):
    """Flat curves with noise .03 that happen to drop as far from their peak to their end."""
    curves = noisy(np.full(T, 0.66), 0.03, rho, 3000)
    fell = np.array([running_median(c).max() - c[-3:].mean() for c in curves])
    chosen = curves[np.argsort(np.abs(fell - drop))[:20]]
    found = [drop_luck(curve, 3) for curve in chosen]
    assert [round(luck.drop, 2) for luck in found] == [round(drop, 2)] * 20
    assert sum(luck.likely for luck in found) >= 17


TRAIN = np.minimum(1, 0.8 + PUBLISHED_GRID / 500)


def test_a_verdict_that_luck_explains_is_not_robust_and_says_so():
    called = []
    for seed in range(60):
        noise = ar1(np.random.default_rng(seed), 0.8, 1, T)[0]
        v = verdict(
            trajectory(PUBLISHED_GRID, np.minimum(1, 0.8 + PUBLISHED_GRID / 500), 0.66 + 0.03 * noise, trivial=0.5)
        )
        if v.verdict == "ungrokked":
            called.append(v)
    assert len(called) >= 8, "slow noise is called so in about a quarter of the runs"
    assert sum(v.robust for v in called) <= 2
    for v in called:
        luck = v.evidence["luck"]
        assert 0 <= luck["rho"] <= luck["rho_high"] <= 0.985
        assert f"(correlation {luck['rho']:.2g}" in v.reason
        assert "of runs" in v.reason
        assert (luck["p"] > LIKELY) == any("slow noise" in why for why in v.fragile)
        if luck["p"] > LIKELY:
            assert not v.robust
        json.dumps(v.to_dict(), allow_nan=False)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_a_planted_decay_stays_robust(rho: float):
    curves = noisy(FALLS["straight"], 0.01, rho, 10)
    found = [verdict(trajectory(PUBLISHED_GRID, TRAIN, held, trivial=0.5)) for held in curves]
    assert [v.label for v in found] == ["ungrokked (early-peak)"] * 10
    assert sum(v.robust for v in found) >= 9


LOG_GRID = np.geomspace(3, 3000, T)


def judged_on(step: np.ndarray, curves: np.ndarray) -> list[Verdict]:
    return [verdict(trajectory(step, np.minimum(1, 0.8 + step / 500), held, trivial=0.5)) for held in curves]


def test_early_peaks_on_log_spaced_grids_are_robust():
    """The rise before the peak fills many evaluations there, and is no slow noise: half of these were not robust while
    it was taken for some."""
    drawn = cases(100, first=6000, families=("early_peak",))
    clear = [one for one in drawn if one.clear and one.setting.cadence == "log"]
    found = [judge(one) for one in clear]
    assert len(found) >= 15
    assert {label for label, _ in found} == {"ungrokked (early-peak)"}
    assert np.mean([robust for _, robust in found]) >= 0.7


@pytest.mark.parametrize("rho", [0.8, 0.95])
def test_flat_curves_on_a_log_spaced_grid_are_not_robustly_ungrokked(rho: float):
    found = judged_on(LOG_GRID, noisy(np.full(T, 0.66), 0.03, rho, 100))
    called = [v for v in found if v.verdict == "ungrokked"]
    assert len(called) >= 15
    assert sum(v.robust for v in called) <= 8


@pytest.mark.parametrize("step", [PUBLISHED_GRID, LOG_GRID], ids=["even", "log"])
def test_a_grokked_curve_that_lost_it_is_robust(step: np.ndarray):
    """A sudden loss half-way, and on a log-spaced grid one within a few evaluations."""
    x = step / step[-1]
    course = 0.5 + 0.47 / (1 + np.exp(-np.clip((x - 0.2) / 0.01, -60, 60)))
    course = course - 0.3 / (1 + np.exp(-np.clip((x - 0.5) / 0.01, -60, 60)))
    found = judged_on(step, noisy(course, 0.01, 0.5, 20))
    assert [v.label for v in found] == ["ungrokked (after-grokking)"] * 20
    assert sum(v.robust for v in found) >= 18


@pytest.mark.parametrize("sd", [0.1, 0.2])
def test_a_grokked_curve_that_hovers_in_slow_noise_did_not_robustly_lose_it(sd: float):
    """Noise this large makes drops of more than half of the way to the threshold: their size alone says nothing. Taken
    for plain, some of them were robust."""
    x = PUBLISHED_GRID / PUBLISHED_GRID[-1]
    course = 0.5 + 0.3 * np.clip((x - 0.03) / 0.2, 0, 1) ** 2
    found = judged_on(PUBLISHED_GRID, np.clip(noisy(course, sd, 0.95, 100), 0, 1))
    lost = [v for v in found if v.label == "ungrokked (after-grokking)"]
    assert len(lost) >= 10
    large = [v for v in lost if v.evidence["lasting_drop"] > 0.5 * v.evidence["way"]]
    luck_alone = [v for v in large if set(v.neighbors.values()) == {"ungrokked"}]
    assert luck_alone, "only the luck of the drop speaks against these"
    assert sum(v.robust for v in lost) <= 2


def test_other_verdicts_carry_no_luck():
    assert "luck" in verdict(early_peak()).evidence
    assert "luck" not in verdict(trajectory(PUBLISHED_GRID, TRAIN, np.full(T, 0.66), trivial=0.5)).evidence


def test_the_restricted_likelihood_is_the_one_of_the_full_matrices():
    """By hand: log det and quadratic form with the covariance matrix of first-order autoregressive noise."""
    rng = np.random.default_rng(0)
    t = 14
    y = rng.normal(size=t)
    noise = compatible(y)
    weight, sigma = noise.weight, noise.sigma
    x = np.arange(t) / (t - 1)
    line = np.linalg.qr(np.stack([np.ones(t), x], axis=1))[0]
    bend = x**2 - line @ (line.T @ x**2)
    design = np.column_stack([line, bend / np.linalg.norm(bend)])
    expected = []
    for rho in RHO:
        covariance = rho ** np.abs(np.subtract.outer(np.arange(t), np.arange(t)))
        inverse = np.linalg.inv(covariance)
        gram = design.T @ inverse @ design
        residual = y - design @ np.linalg.solve(gram, design.T @ inverse @ y)
        variance = residual @ inverse @ residual / (t - 3)
        logdet = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(gram)[1]
        expected.append((-0.5 * ((t - 3) * np.log(variance) + logdet), np.sqrt(variance)))
    likelihood, spread = np.array(expected).T
    np.testing.assert_allclose(sigma[:, 0], spread, rtol=1e-6)
    ours = np.log(weight[:, 0] / prior_of_rho())
    np.testing.assert_allclose(ours - ours[0], likelihood - likelihood[0], atol=1e-6)


def test_the_null_is_that_of_flat_curves():
    null = flat_drops(T, 3)
    white = np.random.default_rng(99).standard_normal((4000, T))
    drops = [running_median(c).max() - c[-3:].mean() for c in white]
    assert np.median(null[0]) == pytest.approx(np.median(drops), abs=0.06)
    assert (np.diff(np.median(null, axis=1)[:-4]) < 0.2).all()
    assert null.shape == (len(RHO), DRAWS)


def test_long_curves_are_averaged_and_short_ones_not_judged():
    long = drop_luck(FALLS["straight"].repeat(50) + 0.01 * np.random.default_rng(1).normal(size=50 * T), 150)
    assert long.evaluations <= MOST
    assert not long.likely
    short = drop_luck(np.linspace(0.7, 0.5, FEWEST - 1), 1)
    assert short.p is None
    assert short.likely
    assert "too few" in short.words


def test_a_curve_without_noise_is_no_luck():
    for course in FALLS.values():
        assert not drop_luck(course, 3).likely
    assert not verdict(early_peak()).evidence["luck"]["p"] > LIKELY


def test_the_noise_is_at_least_that_of_rounding():
    """Scores of 60 examples that step down by one."""
    curve = np.r_[np.full(30, 40), np.full(31, 39)] / 60
    sigma = drop_luck(curve, 3, 60).sigma
    assert sigma == pytest.approx(1 / 60 / 12**0.5, rel=0.01)
