"""Linear theory against scikit-learn, quadrature, sampling and hand calculation."""

from math import exp, log, sqrt

import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.svm import SVC

from grokscope.measure.linear_theory import (
    cosine,
    gaussian_kl,
    generalization_gap,
    gibbs_risk,
    l2_objective,
    logistic_risk,
    max_margin_direction,
    mcallester_bound,
    pac_bayes,
    zero_one_risk,
)
from grokscope.tasks.competing import CompetingFeatures
from grokscope.train.single_example import train_epochs
from toy import epoch_orders, initial_weights


def problem(seed=0, n=60, d=4):
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((n, d)), rng.standard_normal(d)
    return x, (x @ w > 0).astype(np.int64), w


def trained(task, wd, epochs, init, seed=0):
    train = task.build(seed).splits["train"]
    w = initial_weights(task, seed, init)
    orders = epoch_orders(np.random.default_rng(1), len(train), epochs)
    train_epochs(train.x[:, :5], task.memorization_scale, train.y, w, orders, 0.05, wd)
    return train, w


def test_risks_agree_with_scikit_learn():
    x, y, w = problem()
    w = w + 1
    assert logistic_risk(x, y, w) == pytest.approx(log_loss(y, 1 / (1 + np.exp(-x @ w))), rel=1e-12)
    assert zero_one_risk(x, y, w) == np.mean((x @ w >= 0) != y) > 0
    assert zero_one_risk(np.zeros((4, 4)), np.array([0, 1, 1, 1]), w) == 0.25  # zero scores are class 1


def test_logistic_risk_does_not_overflow():
    assert logistic_risk(np.array([[1.0]]), np.array([0]), np.array([1e5])) == 1e5
    assert logistic_risk(np.array([[1.0]]), np.array([1]), np.array([1e5])) == 0


def test_the_gap_is_test_minus_train():
    np.testing.assert_array_equal(generalization_gap(np.array([0.0, 0.25]), np.array([0.5, 0.25])), [0.5, 0.0])


def test_the_objective_is_least_at_scikit_learns_solution():
    x, y, _ = problem()
    lam = 0.03
    model = LogisticRegression(C=1 / (len(y) * lam), fit_intercept=False, tol=1e-12, max_iter=10000)
    w = model.fit(x, y).coef_[0]
    for axis in np.eye(4):
        slope = (l2_objective(x, y, w + 1e-5 * axis, lam) - l2_objective(x, y, w - 1e-5 * axis, lam)) / 2e-5
        assert slope == pytest.approx(0, abs=1e-6)
    assert l2_objective(x, y, 2 * w, lam) - logistic_risk(x, y, 2 * w) == pytest.approx(lam / 2 * 4 * (w @ w))


def test_decoupled_decay_ends_at_the_minimum_of_the_objective():
    task = CompetingFeatures()
    train, w = trained(task, 1e-3, 1000, 0.0)
    model = LogisticRegression(C=1 / (512 * 1e-3), fit_intercept=False, tol=1e-8, max_iter=5000)
    best = model.fit(train.x.astype(np.float64), train.y).coef_[0]
    assert cosine(w, best) > 0.999
    assert l2_objective(train.x, train.y, w, 1e-3) == pytest.approx(
        l2_objective(train.x, train.y, best, 1e-3), rel=5e-3
    )


def by_nnls(x, y01):
    """Lawson & Hanson's least-distance programming: an exact hard-margin separator by another road."""
    rows = x * (2.0 * y01 - 1)[:, None]
    system = np.vstack([rows.T, np.ones(len(rows))])
    target = np.zeros(len(system))
    target[-1] = 1
    residual = system @ nnls(system, target)[0] - target
    return -residual[:-1] / residual[-1]


@pytest.mark.parametrize("seed", range(4))
def test_the_max_margin_direction_solves_the_quadratic_program(seed):
    x, y, _ = problem(seed)
    w = by_nnls(x, y)
    direction = max_margin_direction(x, y)
    assert ((2 * y - 1) * (x @ w)).min() == pytest.approx(1, rel=1e-9)
    assert np.linalg.norm(direction) == pytest.approx(1)
    assert cosine(direction, w) == pytest.approx(1, abs=1e-8)


def test_the_max_margin_direction_is_the_svms_where_the_svm_needs_no_intercept():
    x, y, _ = problem(1, n=40)
    x, y = np.vstack([x, -x]), np.concatenate([y, 1 - y])  # point symmetry makes SVC's intercept vanish
    svm = SVC(C=1e6, kernel="linear", tol=1e-8).fit(x, y)
    assert svm.intercept_[0] == pytest.approx(0, abs=1e-5)
    assert cosine(max_margin_direction(x, y), svm.coef_[0]) == pytest.approx(1, abs=1e-6)


def test_inseparable_examples_have_no_max_margin():
    x = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(ValueError, match="no hard-margin separator through the origin"):
        max_margin_direction(x, np.array([0, 1, 1]))


def test_training_without_decay_turns_towards_the_max_margin():
    task = CompetingFeatures(n_train=100, n_test=10)
    cosines = []
    for epochs in (10, 100, 3000):
        train, w = trained(task, 0.0, epochs, 0.0)
        cosines.append(cosine(w, max_margin_direction(train.x, train.y)))
    assert cosines == sorted(cosines)
    assert cosines[0] < 0.9 < 0.95 < cosines[-1]


def test_cosine():
    assert cosine(np.array([1.0, 0]), np.array([1.0, 1])) == pytest.approx(sqrt(0.5))
    assert np.isnan(cosine(np.zeros(2), np.ones(2)))


def test_gaussian_kl_agrees_with_quadrature():
    q, p = norm(0.7, 0.5), norm(-0.2, 1.3)
    one = q.expect(lambda v: q.logpdf(v) - p.logpdf(v), lb=-6, ub=7)
    assert gaussian_kl(np.array([0.7]), np.array([-0.2]), 0.5, 1.3) == pytest.approx(one, rel=1e-7)
    assert gaussian_kl(np.full(3, 0.7), np.full(3, -0.2), 0.5, 1.3) == pytest.approx(3 * one, rel=1e-7)
    assert gaussian_kl(np.ones(3), np.ones(3), 2.0, 2.0) == 0


def test_gibbs_risk_agrees_with_sampling():
    x, y, w = problem()
    draws = w + 0.8 * np.random.default_rng(0).standard_normal((20000, 4))
    wrong = ((draws @ x.T >= 0) != y).mean()
    assert gibbs_risk(x, y, w, 0.8) == pytest.approx(wrong, abs=0.004)
    assert gibbs_risk(x, y, w, 1e-9) == zero_one_risk(x, y, w)
    assert gibbs_risk(x, y, w, 1e9) == pytest.approx(0.5)
    assert gibbs_risk(np.zeros((4, 4)), np.array([0, 1, 1, 1]), w, 1.0) == 0.25


def test_the_bound_by_hand_and_when_it_is_vacuous():
    assert mcallester_bound(0.1, 3.0, 101, 0.05) == pytest.approx(0.1 + sqrt((3 + log(4040)) / 200))
    # chosen so that the root is exactly 1/2
    kl = 2 * 100 * 0.25 - log(2 * 101 / 0.05)
    assert mcallester_bound(0.0, kl, 101, 0.05) == pytest.approx(0.5)
    assert mcallester_bound(0.0, 0.0, 2, 2 * 2 / exp(2) * 0.9) > 1


def test_pac_bayes_puts_the_parts_together():
    x, y, w = problem()
    got = pac_bayes(x, y, w, np.zeros(4), sigma=0.5)
    assert got.kl == pytest.approx(w @ w / (2 * 0.25))
    assert got.train_risk == gibbs_risk(x, y, w, 0.5)
    assert got.bound == mcallester_bound(got.train_risk, got.kl, 60, 0.05)
    assert got.bound < 1
    assert pac_bayes(x, y, 100 * w, np.zeros(4), sigma=0.5).bound >= 1


def test_pac_bayes_holds_for_the_signal_part_of_the_published_toy():
    task = CompetingFeatures()
    train, w = trained(task, 1e-3, 50, 0.0)
    held_out = task.build(0).splits["id_val"]
    bound = pac_bayes(train.x[:, :5], train.y, w[:5], np.zeros(5), sigma=1.0)
    assert gibbs_risk(held_out.x[:, :5], held_out.y, w[:5], 1.0) < bound.bound < 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma": 0.0}, "sigma must be positive, got 0.0"),
        ({"delta": 0.0}, r"delta is a probability in \(0, 1\), got 0.0"),
        ({"delta": 1.0}, r"delta is a probability in \(0, 1\), got 1.0"),
    ],
)
def test_impossible_bounds_are_refused(change, message):
    x, y, w = problem()
    with pytest.raises(ValueError, match=message):
        pac_bayes(x, y, w, w, **({"sigma": 1.0} | change))
    with pytest.raises(ValueError, match="at least 2 examples, got 1"):
        pac_bayes(x[:1], y[:1], w, w, sigma=1.0)
