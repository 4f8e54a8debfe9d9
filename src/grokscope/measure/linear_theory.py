"""Theory of a linear classifier without intercept: objective, margin direction, PAC-Bayes bound.

Throughout, x (n, d) are features, y01 (n,) labels 0 and 1, w (d,) weights; the score is z = x.w, the sign of a label is
y = 2 y01 - 1, and a score of exactly 0 counts as class 1. All arithmetic is float64.
"""

import warnings
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from scipy.special import ndtr

from grokscope.config import require


def logistic_risk(x: np.ndarray, y01: np.ndarray, w: np.ndarray) -> float:
    """Mean of log(1 + exp(-y z)), in nats. Never exactly 0: "the training risk is about 0" needs a tolerance."""
    return float(np.logaddexp(0.0, -_margins(x, y01, w)).mean())


def zero_one_risk(x: np.ndarray, y01: np.ndarray, w: np.ndarray) -> float:
    """Share of wrong examples, an integer count over n."""
    wrong = (np.asarray(x, np.float64) @ w >= 0) != (np.asarray(y01) == 1)
    return int(np.count_nonzero(wrong)) / len(y01)


def generalization_gap(train_risk: float | np.ndarray, test_risk: float | np.ndarray) -> float | np.ndarray:
    """G = R_test - R_train, of one evaluation or along a trajectory; both risks must be of the same kind.

    Misleads: it says nothing without R_train beside it; an untrained network has a gap of about 0 too. In the logistic
    risk it grows with the scale of the weights while no prediction changes.
    """
    return test_risk - train_risk


def l2_objective(x: np.ndarray, y01: np.ndarray, w: np.ndarray, lam: float) -> float:
    """J(w) = mean logistic loss + (lam / 2) |w|^2.

    SGD with decoupled decay `w *= 1 - lr lam` before each step is SGD on J, up to terms of second order in lr: lam is
    the weight decay itself and no multiple of n (Loshchilov & Hutter, arXiv:1711.05101, proposition 1).
    Misleads: for Adam with decoupled decay no such J exists.
    """
    return logistic_risk(x, y01, w) + 0.5 * lam * float(np.dot(w, w))


def max_margin_direction(x: np.ndarray, y01: np.ndarray, *, hardness: float = 1e6) -> np.ndarray:
    """Unit vector (d,) along the hard-margin separator: argmin |w| subject to y z >= 1 for every example.

    Gradient descent on the unregularized logistic loss converges to it in direction (Soudry et al., arXiv:1710.10345).
    Fitted as scikit-learn's linear SVM without intercept, with C = `hardness`.
    Misleads: the approach is logarithmic in time, so a finite training may point elsewhere; and with decay the limit is
    the minimizer of `l2_objective`, another direction.

    Raises:
        ValueError: if the examples are not linearly separable through the origin, or nearly so.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    svm = LinearSVC(C=hardness, loss="hinge", fit_intercept=False, tol=1e-8, max_iter=100_000, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # judged by the margin below
        w = svm.fit(np.asarray(x, np.float64), np.asarray(y01)).coef_[0]
    margin = float(_margins(x, y01, w).min())
    require(
        margin > 1 - 1e-4,
        f"no hard-margin separator through the origin was found (smallest y z is {margin:.3g}, must be 1): the "
        "examples are not separable, or so nearly not that `hardness` must be raised",
    )
    return w / np.linalg.norm(w)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of the angle between two vectors; NaN if either is zero."""
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    if norms > 0:
        return float(np.dot(a, b)) / norms
    return float("nan")


@dataclass(frozen=True)
class PACBayes:
    """A PAC-Bayes bound and what it is made of."""

    bound: float
    """Holds for the 0-1 risk of a classifier drawn from Q, with probability 1 - delta over the training set."""
    train_risk: float
    """Expected 0-1 training risk of a classifier drawn from Q."""
    kl: float
    """KL(Q || P) in nats."""
    n: int
    delta: float


def pac_bayes(
    x: np.ndarray, y01: np.ndarray, w: np.ndarray, w0: np.ndarray, *, sigma: float, delta: float = 0.05
) -> PACBayes:
    """McAllester's bound for Q = N(w, sigma^2 I) around the weights and P = N(w0, sigma^2 I) around the initial ones.

    R_train + sqrt((KL(Q||P) + ln(2 n / delta)) / (2 (n - 1))); doi:10.1145/307400.307435. Both terms are closed forms
    (`gibbs_risk`, `gaussian_kl`), nothing is sampled.

    Misleads: it bounds the *stochastic* classifier, not w. `sigma` and w0 must not depend on the training set: choosing
    the best of several sigmas needs delta divided by their number. It is vacuous when the weights have moved further
    than about sigma sqrt(4 n). And it needs training and test examples of one distribution: one-hot memorization
    features exist in training only, so for the competing-features task give it the signal columns alone.

    Raises:
        ValueError: if n < 2, sigma <= 0, or delta lies outside (0, 1).
    """
    require(sigma > 0, f"sigma must be positive, got {sigma}")
    risk, kl = gibbs_risk(x, y01, w, sigma), gaussian_kl(w, w0, sigma, sigma)
    return PACBayes(mcallester_bound(risk, kl, len(y01), delta), risk, kl, len(y01), delta)


def mcallester_bound(train_risk: float, kl: float, n: int, delta: float) -> float:
    """train_risk + sqrt((kl + ln(2 n / delta)) / (2 (n - 1))); may exceed 1. Raises ValueError as `pac_bayes`."""
    require(n >= 2, f"the bound needs at least 2 examples, got {n}")
    require(0 < delta < 1, f"delta is a probability in (0, 1), got {delta}")
    return train_risk + sqrt((kl + log(2 * n / delta)) / (2 * (n - 1)))


def gaussian_kl(mean: np.ndarray, prior_mean: np.ndarray, sigma: float, prior_sigma: float) -> float:
    """KL(N(mean, sigma^2 I) || N(prior_mean, prior_sigma^2 I)) in nats."""
    ratio = (sigma / prior_sigma) ** 2
    shift = float(np.sum((np.asarray(mean, np.float64) - prior_mean) ** 2)) / prior_sigma**2
    return 0.5 * (shift + np.size(mean) * (ratio - 1 - log(ratio)))


def gibbs_risk(x: np.ndarray, y01: np.ndarray, w: np.ndarray, sigma: float) -> float:
    """Expected 0-1 risk of v ~ N(w, sigma^2 I): the mean of Phi(-y z / (sigma |x|)); a row of zeros is class 1."""
    x = np.asarray(x, np.float64)
    spread = sigma * np.linalg.norm(x, axis=1)
    margins = _margins(x, y01, w)
    wrong = ndtr(-margins / np.where(spread > 0, spread, 1.0))
    return float(np.where(spread > 0, wrong, np.asarray(y01) == 0).mean())


def _margins(x: np.ndarray, y01: np.ndarray, w: np.ndarray) -> np.ndarray:
    """y z, (n,)."""
    return (2.0 * np.asarray(y01) - 1.0) * (np.asarray(x, np.float64) @ w)
