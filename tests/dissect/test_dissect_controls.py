from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest

from grokscope.dissect.controls import (
    cell,
    empirical_p,
    energy_distance,
    erase_logits,
    null,
    outside_range,
    random_frames,
    variance_matched_frames,
)
from grokscope.dissect.effects import (
    class_gap,
    describe,
    effect_records,
    env_gap,
    gap_interval,
    intervals,
    make_scene,
    margins,
    measure,
)
from grokscope.dissect.head import make_head

RNG = np.random.default_rng


def scene_of(n=90, d=8, k=2, environments=3, groups=True, seed=0, resamples=50):
    rng = RNG(seed)
    head = make_head(rng.standard_normal((k, d)), rng.standard_normal(k))
    h = rng.standard_normal((n, d))
    e = np.arange(n) % max(environments, 1)
    return make_scene(
        "test", h, head, rng.integers(0, k, n), e, np.arange(n) % 15 if groups else None, resamples, 0
    ), head


def test_empirical_p_counts():
    draws = np.array([1.0, 2.0, 3.0, 4.0])
    assert empirical_p(3.0, draws, "greater") == 3 / 5
    assert empirical_p(3.0, draws, "less") == 4 / 5
    assert empirical_p(9.0, draws) == 2 / 5
    assert empirical_p(2.5, draws) == 1.0
    assert np.isnan(empirical_p(np.nan, draws))
    assert np.isnan(empirical_p(1.0, np.array([1.0, np.nan])))
    assert empirical_p(3.0 + 1e-14, draws, "greater") == 3 / 5  # equal up to rounding


def test_empirical_p_is_uniform_when_the_observed_value_is_one_of_the_draws():
    values = RNG(0).standard_normal((2000, 100))
    ps = np.array([empirical_p(v[0], v[1:], "greater") for v in values])
    assert kstest(ps, "uniform").pvalue > 1e-3
    two = np.array([empirical_p(v[0], v[1:]) for v in values])
    assert (two <= 0.05).mean() <= 0.065


def test_null_records_what_it_saw():
    found = null("norm", 2.0, np.arange(99.0))
    assert (found.draws, found.mean, found.sidedness, found.smallest_p) == (99, 49.0, "two-sided", 0.02)
    assert np.isnan(null("norm", 1.0, np.array([np.nan, 1.0])).mean)


def test_frames_are_orthonormal_and_hold_the_variance_asked_for():
    rng = RNG(1)
    basis = np.linalg.qr(rng.standard_normal((20, 20)))[0]
    values = np.exp(np.linspace(-3, 3, 20))
    spectrum = values, basis
    covariance = basis @ np.diag(values) @ basis.T
    avoid = basis[:, -1:]  # the largest direction
    for target in (0.5, 3.0, 12.0):
        frames, held = variance_matched_frames(rng, spectrum, avoid, 2, target, 20)
        np.testing.assert_allclose(frames.transpose(0, 2, 1) @ frames, np.tile(np.eye(2), (20, 1, 1)), atol=1e-9)
        np.testing.assert_allclose(avoid.T @ frames, 0, atol=1e-9)
        np.testing.assert_allclose(held, target, rtol=0.02)
        np.testing.assert_allclose([np.trace(u.T @ covariance @ u) for u in frames], held, rtol=1e-6)
    # the complement's two largest directions hold less than this: the draws stop there, and say so
    frames, held = variance_matched_frames(rng, spectrum, avoid, 2, 100.0, 20)
    assert values[-3] < held.mean() < values[-2] + values[-3]
    uniform = random_frames(rng, 20, 3, 7)
    np.testing.assert_allclose(uniform.transpose(0, 2, 1) @ uniform, np.tile(np.eye(3), (7, 1, 1)), atol=1e-9)


def test_erased_logits_equal_the_head_on_edited_features_and_norms_match_exactly():
    scene, head = scene_of()
    mean, rng = scene.h.mean(axis=0), RNG(2)
    frames, lengths = random_frames(rng, 8, 2, 5), rng.random(90)
    fast = erase_logits(scene.logits, scene.h - mean, head.weight, frames)
    matched = erase_logits(scene.logits, scene.h - mean, head.weight, frames, lengths)
    for u, a, b in zip(frames, fast, matched, strict=True):
        edit = (scene.h - mean) @ u @ u.T
        np.testing.assert_allclose(a, head.logits(scene.h - edit), atol=1e-10)
        edit *= (lengths / np.linalg.norm(edit, axis=1))[:, None]
        np.testing.assert_allclose(np.linalg.norm(edit, axis=1), lengths)
        np.testing.assert_allclose(b, head.logits(scene.h - edit), atol=1e-10)


def test_outside_range():
    h = np.array([[0.0, 5.0], [2.0, 0.5]])
    assert outside_range(h, np.zeros(2), np.ones(2)) == 0.5
    assert outside_range(h[:1, :1], np.zeros(1), np.ones(1)) == 0.0


def test_four_cells():
    assert cell(True, "used") == "readable and used"
    assert cell(True, "used, negligibly") == "readable and used, negligibly"
    assert cell(True, "unused") == "readable but unused"
    assert cell(False, "used") == "used but not readable"
    assert cell(False, "unused") == "neither"
    assert cell(None, "used") == cell(True, "cannot tell") == "cannot tell"


def test_energy_distance_sees_a_shift_and_is_near_zero_without():
    rng = RNG(0)
    a, b = rng.standard_normal((400, 8)), rng.standard_normal((400, 8))
    near, far = energy_distance(a, b, RNG(1)), energy_distance(a + 0.5, b, RNG(1))
    assert abs(near) < 0.02
    assert far > 5 * abs(near)
    # one dimension, two points against two: 2 * mean(1, 3, 1, 1) - 2 - 2 by hand, in units of the second's SD 1
    by_hand = energy_distance(np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]]), RNG(2))
    assert by_hand == pytest.approx(2 * 1.5 - 2 - 2)
    assert np.isfinite(energy_distance(np.ones((5, 2)), np.ones((5, 2)), RNG(0)))


def test_a_floor_holds_whatever_the_number_of_draws():
    found = null("random", 5.0, np.zeros(999), "greater", floor=1 / 16)
    assert found.p == 1 / 1000
    assert found.smallest_p == 1 / 16


@pytest.mark.parametrize("k", [2, 4])
def test_effects_by_hand(k):
    scene, head = scene_of(k=k)
    edited = head.logits(scene.h * 0.3 + 0.2)
    found = {name: float(v[0]) for name, v in measure(scene, edited[None]).items()}
    y, rows = scene.labels, np.arange(90)
    right = lambda z: int((z.argmax(1) == y).sum())  # noqa: E731
    assert found["accuracy_drop"] == (right(scene.logits) - right(edited)) / 90
    assert found["flips"] == (scene.logits.argmax(1) != edited.argmax(1)).mean()
    margin = lambda z: z[rows, y] - np.array([max(np.delete(r, c)) for r, c in zip(z, y, strict=True)])  # noqa: E731
    np.testing.assert_allclose(margins(edited, y), margin(edited))
    assert found["margin_shift"] == pytest.approx(np.abs(margin(edited) - margin(scene.logits)).mean())


def test_env_gap_is_the_least_squares_effect_and_ignores_the_class():
    import pandas as pd
    import statsmodels.formula.api as smf

    scene, _ = scene_of(n=300)
    y = (RNG(0).random(300) < np.array([0.2, 0.5, 0.9])[scene.environments]).astype(int)
    scene = make_scene("t", scene.h, make_head(np.eye(2, 8)), y, scene.environments, None, 10, 0)
    outcome = RNG(1).standard_normal(300) + np.array([0.0, 1.0, -2.0])[scene.environments] + 5 * y
    logits = np.stack([-outcome / 2, outcome / 2], axis=1)
    fit = smf.ols("z ~ C(e) + C(y)", pd.DataFrame({"z": outcome, "e": scene.environments, "y": y})).fit()
    effects = np.array([0.0, fit.params["C(e)[T.1]"], fit.params["C(e)[T.2]"]])
    assert float(env_gap(scene, logits)) == pytest.approx(effects.std(), rel=1e-9)
    assert float(env_gap(scene, np.stack([-5.0 * y, 5.0 * y], axis=1))) == pytest.approx(0, abs=1e-9)
    own = replace(scene, logits=logits)
    assert class_gap(own) == pytest.approx(fit.params["C(y)[T.1]"] / 2)  # two classes lie half their distance out
    low, high = gap_interval(own)
    assert low < effects.std() < high


def test_one_environment_has_no_gap_and_says_nan():
    scene, head = scene_of(environments=1)
    found = effect_records(scene, head.logits(scene.h * 0.5), {"x": np.stack([scene.logits] * 5)}, {})
    assert np.isnan(found["env_gap_drop"].value)
    assert found["env_gap_drop"].interval is None
    assert np.isnan(found["env_gap_drop"].controls["x"].p)
    assert np.isfinite(found["accuracy_drop"].value)
    assert np.isnan(describe(scene).env_gap)


def test_intervals_resample_groups():
    scene, head = scene_of(resamples=4000)
    edited = head.logits(scene.h * 0.2 + 0.5)
    found = intervals(scene, edited)
    values = measure(scene, edited[None])
    assert set(found) == set(values)
    # a gap is a largest difference: resampling widens it, and its interval need not hold the gap itself
    for name in set(found) - {"env_gap_drop"}:
        low, high = found[name]
        assert low <= float(values[name][0]) <= high
    # by brute force: draw groups, concatenate their examples
    rng, draws = RNG(3), {name: [] for name in found}
    for _ in range(1500):
        rows = np.concatenate([np.flatnonzero(scene.units == u) for u in rng.integers(0, 15, 15)])
        part = make_scene("b", scene.h[rows], head, scene.labels[rows], scene.environments[rows], None, 1, 0)
        for name, value in measure(part, edited[rows][None]).items():
            draws[name].append(float(value[0]))
    for name, by_hand in draws.items():
        low, high = np.quantile(by_hand, [0.025, 0.975])
        assert low < high
        np.testing.assert_allclose(found[name], [low, high], atol=0.2 * (high - low), err_msg=name)


def test_one_unit_has_no_interval():
    scene, head = scene_of(groups=False)
    single = make_scene("t", scene.h, head, scene.labels, scene.environments, np.zeros(90, dtype=int), 10, 0)
    assert set(intervals(single, scene.logits).values()) == {None}
