from dataclasses import replace
from itertools import permutations as orders

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.preprocessing import StandardScaler

from grokscope.dissect.parts import coded, split_parts
from grokscope.dissect.planted import Planting, plant
from grokscope.dissect.probes import choose, fit_path, probe_site
from grokscope.dissect.sample import make_sample
from grokscope.dissect.scoring import balanced, chance_level, excess, permutations, score
from grokscope.results.settings import Settings

RNG = np.random.default_rng
QUICK = Settings(permutations=199, resamples=99, probe_controls=1)


def sample_of(p, settings=QUICK):
    n = len(p.labels)
    e, y = coded(p.environments, "environments", n), coded(p.labels, "labels", n)
    g = None if p.groups is None else coded(p.groups, "groups", n)
    parts, _ = split_parts(e, y, g, settings.shares, settings.seed)
    return make_sample(y.codes, e.codes, None if g is None else g.codes, parts, settings.balance)


@pytest.mark.parametrize("k", [2, 3])
def test_probe_is_scikit_learns(k):
    rng = RNG(0)
    z = rng.integers(0, k, 300)
    h = rng.standard_normal((300, 20)) * np.exp(rng.standard_normal(20)) + z[:, None] * rng.standard_normal(20)
    path = fit_path(h, z, [10.0, 0.01, 0.1])
    assert [p.regularization for p in path] == [0.01, 0.1, 10.0]
    scaler = StandardScaler().fit(h)
    for probe in path:
        theirs = LogisticRegression(C=probe.regularization, tol=1e-8, max_iter=5000, class_weight="balanced")
        theirs.fit(scaler.transform(h), z)
        # where the classes are nearly separable the optimum is flat: the default tolerance stops within some per cent
        np.testing.assert_allclose(probe.coef, theirs.coef_, atol=0.04 * max(0.1, np.abs(theirs.coef_).max()))
        assert (probe.guess(h) == theirs.predict(scaler.transform(h))).mean() > 0.99
        assert probe.log_loss(h, z) == pytest.approx(
            log_loss(z, theirs.predict_proba(scaler.transform(h)), sample_weight=1 / np.bincount(z)[z]), abs=1e-3
        )
        np.testing.assert_allclose((h - probe.mean) @ probe.rows.T, (h - probe.mean) / probe.scale @ probe.coef.T)


def test_the_select_part_chooses_and_ties_go_to_the_stronger_penalty():
    rng = RNG(1)
    z = rng.integers(0, 2, 60)
    h = rng.standard_normal((60, 80)) + 0.3 * z[:, None]
    path = fit_path(h, z, [1e-4, 1e-2, 100.0])
    fresh = rng.integers(0, 2, 500)
    assert choose(path, rng.standard_normal((500, 80)), fresh).regularization == 1e-4
    assert choose([path[2], path[2]], h, z) is path[2]


@pytest.mark.parametrize(
    ("h", "message"),
    [
        (np.ones((10, 3)), "constant"),
        (np.full((10, 3), np.nan), "not finite"),
        (RNG(0).standard_normal((10, 3)), "same target"),
    ],
)
def test_nothing_is_fitted_to_nothing(h, message):
    with pytest.raises(ValueError, match=message):
        fit_path(h, np.zeros(10) if message == "same target" else np.arange(10) % 2, [1.0])


def test_dead_neurons_do_no_harm():
    rng = RNG(2)
    z = np.arange(90) % 3
    h = rng.standard_normal((90, 5)) + z[:, None]
    dead = np.concatenate([h, np.full((90, 2), 3.0)], axis=1)
    a, b = fit_path(h, z, [1.0])[0], fit_path(dead, z, [1.0])[0]
    np.testing.assert_allclose(b.coef[:, :5], a.coef, atol=1e-4)
    np.testing.assert_allclose(b.coef[:, 5:], 0)


def test_balanced_within_one_stratum_is_scikit_learns():
    rng = RNG(3)
    target, guess = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    one = np.zeros(200, dtype=int)
    assert balanced(guess, target, one) == pytest.approx(balanced_accuracy_score(target, guess))
    many = np.stack([target, rng.permutation(target)])
    np.testing.assert_allclose(balanced(guess, many, one), [balanced_accuracy_score(t, guess) for t in many])


def test_knowing_the_class_is_worth_nothing_where_hospitals_differ_in_prevalence():
    rng = RNG(4)
    env = rng.integers(0, 2, 4000)
    y = (rng.random(4000) < np.where(env == 1, 0.9, 0.1)).astype(int)
    guess = y  # reads the class only, and is right about the environment in 90 % of the examples
    assert (guess == env).mean() > 0.85
    assert balanced(guess, env, y) == pytest.approx(0.5)
    assert excess(guess, env, y) == pytest.approx(0, abs=1e-9)
    assert chance_level(env, y) == pytest.approx(0.5)


def test_excess_by_hand():
    guess, target, strata = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), np.zeros(4, dtype=int)
    # three right; blind guesses expect 2 * 1/4 + 2 * 3/4 = 2; the target's sum of squares is 2 * 4 * 3/16
    assert excess(guess, target, strata) == pytest.approx((3 - 2) / np.sqrt(1.5))


def test_permutations_move_whole_groups_and_know_how_many_there_are():
    groups = np.repeat(np.arange(6), [1, 2, 3, 4, 5, 6])
    env = np.array([0, 0, 1, 1, 2, 2])[groups]
    draws, how, smallest = permutations(RNG(0), env, env * 0, groups, 500)
    assert how == "groups"
    assert smallest == pytest.approx(1 / 90)  # 6! / (2! 2! 2!)
    for d in draws:
        assert all(len(set(d[groups == g])) == 1 for g in range(6))
        assert sorted(d[np.unique(groups, return_index=True)[1]]) == [0, 0, 1, 1, 2, 2]
    mixed = np.arange(21) % 2
    draws, how, _ = permutations(RNG(0), mixed, env, groups, 50)
    assert how == "within groups"
    assert all((np.bincount(groups, d) == np.bincount(groups, mixed)).all() for d in draws)
    draws, how, _ = permutations(RNG(0), mixed, env, None, 50)
    assert how == "examples"
    assert all((np.bincount(env, d) == np.bincount(env, mixed)).all() for d in draws)


def test_permutation_p_is_the_enumerated_one():
    groups = np.repeat(np.arange(6), 4)
    env = np.repeat([0, 0, 0, 1, 1, 1], 4)
    guess = env.copy()
    guess[::5] = 1 - guess[::5]
    strata = np.zeros(24, dtype=int)
    result, _ = score(guess[None], env, strata, groups, RNG(0), 20_000, 10)
    every = [np.repeat(o, 4) for o in set(orders((0, 0, 0, 1, 1, 1)))]
    exact = np.mean([float(excess(guess, t, strata)) >= float(excess(guess, env, strata)) - 1e-12 for t in every])
    assert result.p == pytest.approx(exact, abs=0.01)
    assert result.smallest_p == pytest.approx(1 / 20)
    assert (result.correct, result.n, result.n_units) == (int((guess == env).sum()), 24, 6)


def test_choosing_the_best_of_many_guesses_keeps_the_level():
    rng = RNG(5)
    hits = 0
    for i in range(300):
        target = rng.integers(0, 2, 60)
        guesses = rng.integers(0, 2, (5, 60))
        hits += score(guesses, target, np.zeros(60, dtype=int), None, RNG(i), 99, 2)[0].p <= 0.05
    assert hits <= 27  # binomial(300, .05): 99.9 % of draws


@pytest.mark.parametrize("separation", [0.0, 3.0])
def test_a_planted_shortcut_is_read_and_none_is_not(separation):
    p = plant(Planting(separation=separation, n=600, d=24), 1)
    found, probe = probe_site("pooled", "environment", p.features, sample_of(p), QUICK)
    assert found.verdict == ("decodable" if separation else found.verdict)
    assert (found.test.p <= 0.05) == bool(separation)
    assert found.n_over_d == pytest.approx(found.n_fit / 24)
    assert probe.regularization == found.regularization
    per_example, per_group = found.controls
    assert per_example.random == pytest.approx(1 / 3, abs=0.12)
    # patients are recognizable, so random labels per patient can be read from unseen images of seen patients
    assert per_group.random > 0.38
    assert per_group.selectivity == pytest.approx(per_group.real - per_group.random)
    assert (per_example.selectivity > 0.15) == bool(separation)


def test_constant_features_and_too_few_groups_cannot_tell():
    p = plant(Planting(n=300, d=12), 0)
    sample = sample_of(p)
    found, probe = probe_site("dead", "environment", np.ones((300, 4)), sample, QUICK)
    assert (found.verdict, probe, found.test) == ("cannot tell", None, None)
    few = plant(Planting(n=300, d=12, groups_per_environment=3, environments=2), 0)
    found, _ = probe_site("pooled", "environment", few.features, sample_of(few), QUICK)
    assert found.verdict == "cannot tell"
    assert "more groups are needed" in found.reason
    assert found.test.smallest_p == pytest.approx(1 / 2)


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_level_is_held_with_patients_and_unequal_prevalence(correlation):
    what = Planting(separation=0.0, correlation=correlation, d=24, n=600)
    settings = replace(QUICK, regularization=(1e-2,))
    ps = []
    for seed in range(200):
        p = plant(what, seed)
        ps.append(probe_site("pooled", "environment", p.features, sample_of(p), settings)[0].test.p)
    assert np.mean(np.array(ps) <= 0.05) <= 0.095  # 99.5 % of draws at the nominal level
