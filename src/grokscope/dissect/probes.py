"""M1: what a linear probe can read at each site, for the environment and for the task.

L2-regularized logistic regression (scikit-learn, multinomial) on standardized features, targets weighted to count
alike. Readable is not used: a probe is correlational, and a network may carry what its head ignores. See M4 and M5 for
use.

Shapes: n examples, d features, k targets.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grokscope.dissect.sample import Sample
from grokscope.dissect.scoring import balanced, score
from grokscope.results.probes import M1, Control, ProbeResult
from grokscope.results.scores import Score
from grokscope.results.settings import Settings
from grokscope.vocabulary.text import p_equation, p_value

TARGETS = ("environment", "task")


@dataclass(frozen=True)
class Probe:
    """A fitted probe: scores = (h - mean) / scale @ coef.T + intercept; coef (k, d), or (1, d) for two targets."""

    mean: np.ndarray
    scale: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    classes: np.ndarray
    regularization: float
    converged: bool

    def scores(self, h: np.ndarray) -> np.ndarray:
        """Log-odds up to a constant per example, (n, k)."""
        s = (h - self.mean) / self.scale @ self.coef.T + self.intercept
        if s.shape[1] == 1:
            return np.concatenate([np.zeros_like(s), s], axis=1)
        return s

    def guess(self, h: np.ndarray) -> np.ndarray:
        return self.classes[self.scores(h).argmax(axis=1)]

    def log_loss(self, h: np.ndarray, target: np.ndarray) -> float:
        """Negative log-likelihood, averaged within each target and then over targets, for the probe was fitted so. A
        target that the fit part lacked counts as its least likely one."""
        s = self.scores(h)
        s = s - s.max(axis=1, keepdims=True)
        column = np.minimum(np.searchsorted(self.classes, target), len(self.classes) - 1)
        losses = np.log(np.exp(s).sum(axis=1)) - s[np.arange(len(s)), column]
        return float(np.mean([losses[target == value].mean() for value in np.unique(target)]))

    @property
    def rows(self) -> np.ndarray:
        """Weights in the features' own units: (k, d), or (1, d) for two targets."""
        return self.coef / self.scale


def why_unusable(h: np.ndarray) -> str | None:
    """Why nothing can be fitted to features (n, d), or None when something can."""
    if not np.isfinite(h).all():
        return "the features are not finite"
    spread = h.max(axis=0) - h.min(axis=0)
    if (spread <= 1e-12 * np.abs(h).max(axis=0)).all():
        return "the features are constant"
    return None


def fit_path(
    h: np.ndarray, target: np.ndarray, regularization: Sequence[float], weights: np.ndarray | None = None
) -> list[Probe]:
    """One probe for each C, from the strongest penalty to the weakest, each started from the one before.

    Targets count alike however rare they are: a probe of a hospital with a tenth of the patients would otherwise do
    best by never naming it, and look blind.

    Raises:
        ValueError: for fewer than two targets, or features that are constant or not finite.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if reason := why_unusable(h):
        raise ValueError(f"probe: {reason}")
    classes = np.unique(target)
    if len(classes) < 2:
        raise ValueError("probe: all examples have the same target")
    h = h.astype(np.float64)
    mean, scale = h.mean(axis=0), h.std(axis=0)
    scale = np.where(scale > 1e-12 * np.abs(h).max(axis=0), scale, 1.0)
    x = (h - mean) / scale
    model = LogisticRegression(max_iter=2000, tol=1e-4, warm_start=True, class_weight="balanced")
    probes = []
    for c in sorted(regularization):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            model.set_params(C=c).fit(x, target, sample_weight=weights)
        done = not any(issubclass(w.category, ConvergenceWarning) for w in caught)
        probes.append(Probe(mean, scale, np.array(model.coef_), np.array(model.intercept_), classes, c, done))
    return probes


def choose(probes: Sequence[Probe], h: np.ndarray, target: np.ndarray) -> Probe:
    """The probe with the lowest log loss on a part that fitted none of them; of equals the most regularized."""
    losses = [p.log_loss(h, target) for p in probes]
    return probes[int(np.argmin(losses))]


MIN_UNITS = 4
"""Units of every target in the test part below which a bootstrap over units is too narrow to show absence."""


def uninformative(result: Score) -> str | None:
    """Why a score that is not above chance shows no absence either, or None."""
    if result.constant:
        return "the probe gives every example the same answer, which shows neither presence nor absence"
    if result.interval is None or result.interval[0] == result.interval[1]:
        return "the interval has no width, which shows neither presence nor absence"
    if result.fewest_units < MIN_UNITS:
        return (
            f"only {result.fewest_units} of {result.n_units} units in the test part are of the rarest target; "
            f"absence needs {MIN_UNITS}"
        )
    return None


def judge(result: Score, settings: Settings, positive: str, negative: str) -> tuple[str, str]:
    """Verdict and reason from a score: above chance, at chance within the tolerance, or neither is shown."""
    if not np.isfinite(result.p):
        return "cannot tell", "no class of the test part holds two environments"
    if result.p <= settings.alpha:
        return positive, f"balanced accuracy {result.balanced:.3f}, chance {result.chance:.3f}, {p_equation(result.p)}"
    if result.smallest_p > settings.alpha:
        return "cannot tell", (
            f"{result.n_units} units in the test part cannot give a p below {p_value(result.smallest_p)}; "
            "more groups are needed"
        )
    if reason := uninformative(result):
        return "cannot tell", reason
    if result.interval is not None and result.interval[1] <= result.chance + settings.tolerance:
        return negative, f"{p_equation(result.p)}, and the interval ends below chance + {settings.tolerance:g}"
    return "cannot tell", f"{p_equation(result.p)}, but the interval reaches {settings.tolerance:g} above chance"


def probe_site(
    site: str, target: str, h: np.ndarray, sample: Sample, settings: Settings
) -> tuple[ProbeResult, Probe | None]:
    """Fit on `fit`, choose C on `select`, report on `test`; features (n, d) of all examples."""
    fit, select, test = (h[sample.parts[p]] for p in ("fit", "select", "test"))
    z = {p: sample.target(target, p) for p in ("fit", "select", "test")}
    size = {"site": site, "target": target, "n_fit": len(fit), "d": h.shape[1], "n_over_d": len(fit) / h.shape[1]}
    if reason := why_unusable(fit):
        return ProbeResult(verdict="cannot tell", reason=reason, **size), None
    weights = sample.weights["fit"]
    probe = choose(fit_path(fit, z["fit"], settings.regularization, weights), select, z["select"])
    rng = settings.rng("probe", site, target)
    result, _ = score(
        probe.guess(test)[None],
        z["test"],
        sample.strata(target, "test"),
        sample.group("test"),
        rng,
        settings.permutations,
        settings.resamples,
    )
    verdict, reason = judge(result, settings, "decodable", "not decodable")
    record = ProbeResult(
        verdict=verdict,
        reason=reason,
        regularization=probe.regularization,
        converged=probe.converged,
        fit_accuracy=float((probe.guess(fit) == z["fit"]).mean()),
        majority=float((z["test"] == np.bincount(z["fit"]).argmax()).mean()),
        test=result,
        controls=_controls(target, h, sample, settings, probe.regularization, result.balanced, rng),
        **size,
    )
    return record, probe


def _controls(target, h, sample: Sample, settings: Settings, c: float, real: float, rng) -> tuple[Control, ...]:
    per_example = _per_example(target, h, sample, settings, c, real, rng)
    per_group = None
    if sample.groups is not None:
        per_group = _per_group(target, h, sample, settings, rng)
    if per_group is None:
        return (per_example,)
    return (per_example, per_group)


def _per_example(target, h, sample: Sample, settings: Settings, c: float, real: float, rng) -> Control:
    fit, test = h[sample.parts.fit], h[sample.parts.test]
    scores, fits = [], []
    for _ in range(settings.probe_controls):
        random, random_test = (rng.permutation(sample.target(target, p)) for p in ("fit", "test"))
        (probe,) = fit_path(fit, random, [c])
        fits.append((probe.guess(fit) == random).mean())
        scores.append(float(balanced(probe.guess(test), random_test, np.zeros_like(random_test))))
    return _control("per example", real, scores, fits)


def _per_group(target, h, sample: Sample, settings: Settings, rng) -> Control | None:
    """The same probe for labels that are dealt out to whole groups: how far recognizing the patient goes.

    Both the real and the random labels are fitted on one half of every group and scored on the other half, each at
    its best C: where nothing is to be read, the C chosen for it would hold the control down too. None where a half
    lacks a target.
    """
    rows, groups, labels = sample.parts.fit, sample.group("fit"), sample.target(target, "fit")
    assert groups is not None
    units = np.unique(groups, return_inverse=True)[1]
    half = _half_of_each(units, rng)
    random_labels = [rng.permutation(_label_of_each(labels, units))[units] for _ in range(settings.probe_controls)]
    if not all(_in_both_halves(one, half) for one in (labels, *random_labels)):
        return None
    fit, score = h[rows[half]], h[rows[~half]]
    grid = settings.refit_regularization
    real, _ = _best_of_path(fit, score, labels, half, sample.strata(target, "fit"), grid)
    # within no strata: a random labeling of groups has nothing to do with the class that they would spare
    one_stratum = np.zeros_like(labels)
    random = [_best_of_path(fit, score, drawn, half, one_stratum, grid) for drawn in random_labels]
    return _control("per group", real, [scored for scored, _ in random], [fitted for _, fitted in random])


def _in_both_halves(labels: np.ndarray, half: np.ndarray) -> bool:
    """Whether each half holds two labels or more, so that a probe can be fitted to one and scored on the other."""
    return min(len(np.unique(labels[half])), len(np.unique(labels[~half]))) >= 2


def _half_of_each(units: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask (n,) that holds a random half of the examples of every unit (n,): ranked by unit, and by chance within it,
    neighbors share a unit, so every other one is half of each."""
    rank = np.argsort(np.argsort(rng.random(len(units)) + units, kind="stable"))
    return rank % 2 == 0


def _label_of_each(labels: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Each unit's most frequent label (U,), so that dealing them out keeps how frequent the labels are. Where all units
    have the same one (every patient has both classes) there is nothing to deal out: then two labels alternate."""
    most_frequent = np.array([np.bincount(labels[units == u]).argmax() for u in range(units.max() + 1)])
    if len(np.unique(most_frequent)) < 2:
        return np.arange(len(most_frequent)) % 2
    return most_frequent


def _best_of_path(
    fit: np.ndarray, score: np.ndarray, labels: np.ndarray, half: np.ndarray, strata: np.ndarray, grid: Sequence[float]
) -> tuple[float, float]:
    """(balanced accuracy on the half that is scored, accuracy on the half that was fitted) of the C that scores best;
    labels and strata (n,) are of both halves."""
    path = fit_path(fit, labels[half], grid)
    scores = [float(balanced(p.guess(score), labels[~half], strata[~half])) for p in path]
    best = int(np.argmax(scores))
    return scores[best], float((path[best].guess(fit) == labels[half]).mean())


def _control(labels: str, real: float, scores: list[float], fits: list[float]) -> Control:
    random = float(np.mean(scores))
    return Control(
        labels=labels,
        draws=len(scores),
        real=real,
        random=random,
        fit_accuracy=float(np.mean(fits)),
        selectivity=real - random,
    )


def run_m1(
    features: dict[str, np.ndarray], sample: Sample, settings: Settings
) -> tuple[M1, dict[tuple[str, str], Probe]]:
    """Probes for both targets at every site; also the fitted ones, by (site, target)."""
    results, fitted = [], {}
    for site, h in features.items():
        for target in TARGETS:
            record, probe = probe_site(site, target, h, sample, settings)
            results.append(record)
            if probe is not None:
                fitted[site, target] = probe
    return M1(probes=tuple(results)), fitted
