"""The grouped-time model of milestones: hazard ratios of factors from runs with common evaluation steps.

A run that has not reached the milestone by one evaluation reaches it by the next with the probability 1 - exp(-exp(b_t
+ x'beta)): the proportional-hazards model of Cox for times that are known to intervals (Prentice and Gloeckler 1978,
doi:10.2307/2529588), a binomial regression with a complementary log-log link and a level b_t for each interval.
"""

import warnings
from typing import Any

import numpy as np

from grokscope.results.seed_tests import LEVEL
from grokscope.trajectory.times import Times

SEPARATED = 15.0
"""Log hazard ratios beyond this are no estimates: some combination of factors tells all runs apart."""


def log_hazards(times: Times, x: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(log hazard ratio, its standard error) (k,) of each column of x (n, k); times (n,) on one grid. None where the
    model has no finite estimate: where factors separate the runs, or no run reached the milestone.

    Standard errors are those of large samples. Misleads with few runs, and where hazards are not proportional.
    """
    import statsmodels.api as sm

    y, baseline, rows = _periods(times)
    if not len(y) or y.min() == y.max():
        return None
    design = np.hstack([baseline, x[rows]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # separation is told by what comes out
        try:
            link = sm.families.links.CLogLog()
            fitted: Any = sm.GLM(y, design, family=sm.families.Binomial(link=link)).fit(maxiter=100)
        except (ValueError, np.linalg.LinAlgError):
            return None
    beta, error = fitted.params[-x.shape[1] :], fitted.bse[-x.shape[1] :]
    fits = fitted.converged and np.isfinite(error).all() and np.abs(beta).max() < SEPARATED
    if not fits or error.max() > SEPARATED:
        return None
    return beta, error


def hazard_ratios(times: Times, x: np.ndarray, level: float = LEVEL) -> np.ndarray | None:
    """(k, 3): hazard ratio of each column, and its interval by Student's t with as many degrees of freedom as runs are
    left over: those of the normal law are too narrow with two dozen runs. None as `log_hazards`."""
    from scipy.stats import t

    fitted = log_hazards(times, x)
    if fitted is None:
        return None
    beta, error = fitted
    spread = float(t.ppf(0.5 + level / 2, max(len(times) - x.shape[1] - 1, 1))) * error
    return np.exp(np.stack([beta, beta - spread, beta + spread], axis=1))


def _periods(times: Times) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(reached (m,), interval (m, intervals), run (m,)): a row for each run and each interval in which it was still
    waiting. Only intervals in which some run reached it count: the others say nothing of a ratio."""
    moments = np.unique(times.at[times.observed])
    y, period, rows = [], [], []
    for i, (at, seen) in enumerate(zip(times.at, times.observed, strict=True)):
        waiting = moments[moments <= at]
        y += [bool(seen and moment == at) for moment in waiting]
        period += range(len(waiting))
        rows += [i] * len(waiting)
    return np.array(y, dtype=float), np.eye(len(moments))[np.array(period, dtype=int)], np.array(rows, dtype=int)
