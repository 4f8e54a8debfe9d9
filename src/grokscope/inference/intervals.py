"""Effects with intervals for small samples."""

from collections.abc import Callable, Sequence
from math import hypot
from typing import Any

import numpy as np

from grokscope.inference.shares import TwoShares
from grokscope.results.seed_tests import LEVEL, Counts

EXACT_SHARES = 60
"""Units in an arm up to which the interval of two shares is exact."""


def numbers(x: Sequence[float] | np.ndarray, name: str) -> np.ndarray:
    """A list of finite numbers as float64 (n,). Raises ValueError naming the argument."""
    out = np.asarray(x, dtype=np.float64)
    if out.ndim != 1 or len(out) == 0:
        raise ValueError(f"{name}: expected a list of numbers, got shape {out.shape}")
    if not np.isfinite(out).all():
        raise ValueError(
            f"{name}: {int((~np.isfinite(out)).sum())} values are missing or infinite; a time that was never reached "
            "is censored and belongs in a log-rank test"
        )
    return out


def cliffs_delta(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """P(a > b) - P(a < b) and its 95 % interval (Newcombe 2006, method 5, doi:10.1002/sim.2324).

    A bootstrap would give [1, 1] when the arms do not overlap, however few values there are; this interval does not.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    a, b = numbers(a, "a"), numbers(b, "b")
    theta = float(((a[:, None] > b).sum() + 0.5 * (a[:, None] == b).sum()) / (len(a) * len(b)))
    z2 = float(norm.ppf(0.5 + LEVEL / 2)) ** 2
    half = (len(a) + len(b)) / 2 - 1

    def off(t: float) -> float:
        spread = t * (1 - t) * (1 + half * ((1 - t) / (2 - t) + t / (1 + t))) / (len(a) * len(b))
        return (t - theta) ** 2 - z2 * spread

    root: Any = brentq  # its stubs know a second return value that is off by default
    # at theta = 1 the equation also has the root 1, which is no bound
    low = 0.0 if theta == 0 else float(root(off, 0, min(theta, 1 - 1e-9)))
    high = 1.0 if theta == 1 else float(root(off, max(theta, 1e-9), 1))
    return 2 * theta - 1, 2 * low - 1, 2 * high - 1


def share_interval(a: Counts, b: Counts) -> tuple[float, float]:
    """Of the difference of two shares: the one that inverts the exact unconditional test. In arms of more than
    `EXACT_SHARES` units Newcombe's hybrid score interval (1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873), which
    in arms of three to eight covers .86 to .89 where shares lie near 0 or 1."""
    if max(a[1], b[1]) <= EXACT_SHARES:
        interval, _ = TwoShares(a, b).interval((1 - LEVEL) / 2)
        assert interval is not None
        return interval
    # not by statsmodels, which imports pandas: half a second, a quarter of what comparing two hundred runs takes
    (p, low, high), (q, low_of_q, high_of_q) = (_wilson(*counts) for counts in (a, b))
    return p - q - hypot(p - low, high_of_q - q), p - q + hypot(high - p, q - low_of_q)


def _wilson(k: int, n: int) -> tuple[float, float, float]:
    """A share and its score interval (Wilson 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(k, n).proportion_ci(LEVEL, method="wilson")
    return k / n, float(interval.low), float(interval.high)


def agreeing(
    interval: tuple[float, float], effect: float, p_two_sided: float, *, null: float = 0.0, level: float = LEVEL
) -> tuple[float, float]:
    """An interval of its own kind, made to agree with the test beside it: no effect (`null`) lies in it where the
    two-sided test does not reject at 1 - `level`, and bounds it where the test does. Three against three values that do
    not overlap have p = .1, whatever an approximation to their interval says."""
    low, high = interval
    if p_two_sided > 1 - level + 1e-12:
        return min(low, null), max(high, null)
    if effect > null:
        return (max(low, null), high)
    return (low, min(high, null))


def bootstrap_interval(
    values: Sequence[float] | np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray] | None = None,
    groups: Sequence[Any] | np.ndarray | None = None,
    level: float = LEVEL,
    resamples: int = 9999,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic (default: the mean) of values (n,), resampling units.

    `statistic` maps (..., n) to (...). With `groups` (n,) whole groups are drawn and the statistic is the mean over all
    values of the drawn groups. With fewer than about ten units the interval is too narrow: five units at a nominal 95
    % cover about 84 %.

    Raises:
        ValueError: for fewer than two units, or another statistic together with groups.
    """
    x = numbers(values, "values")
    rng = np.random.default_rng(seed)
    units = np.arange(len(x)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if len(units) != len(x):
        raise ValueError(f"groups: expected {len(x):,} values, got {len(units):,}")
    count = int(units.max()) + 1
    if count < 2:
        raise ValueError("bootstrap: there is only one unit; an interval needs at least two")
    if statistic is not None:
        if groups is not None:
            raise ValueError("bootstrap: with groups only the mean is supported")
        draws = statistic(x[rng.integers(0, count, (resamples, count))])
    else:
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
        draws = (drawn @ np.bincount(units, x)) / (drawn @ np.bincount(units))
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
