"""Number of seeds needed: the power of each test for an effect in standard deviations, and the smallest sample per arm
with a power of .8."""

from collections.abc import Callable
from functools import lru_cache
from itertools import combinations
from math import comb, inf, isfinite, sqrt
from typing import Any, Literal

import numpy as np

from grokscope.inference.design import SHIFTS, power, smallest_p
from grokscope.inference.shares import decided_tables
from grokscope.results.seed_tests import Alternative, Counts, Power

Kind = Literal["mann-whitney", "sign-flip", "permutation", "shares"]
TARGET = 0.8
"""Power at which a design is said to decide."""
MOST = 1_000
"""More seeds than anyone trains: above, nothing would decide."""
SIMULATED = {"mann-whitney": 30, "sign-flip": 12, "permutation": 7, "shares": 60}
"""Up to so many units in an arm the test itself is simulated or computed; beyond, by its normal approximation."""
DRAWS = 1_000


def power_of(kind: Kind, n: tuple[int, ...], alternative: Alternative, alpha: float = 0.05) -> Power | None:
    """Chance of p <= alpha at 1, 1.5 and 2 standard deviations; None where the sizes are beyond what is simulated."""
    if kind == "shares":
        return power("fisher", n, alternative=alternative, alpha=alpha)
    if kind != "permutation":
        return power(kind, n, alternative=alternative, alpha=alpha)
    if comb(sum(n), n[0]) > comb(2 * SIMULATED["permutation"], SIMULATED["permutation"]):
        return None
    chances = {f"{s:g}": _means_power(n, s, alternative, alpha) for s in SHIFTS}
    errors = {s: sqrt(max(p * (1 - p), 1 / DRAWS) / DRAWS) for s, p in chances.items()}
    return Power(chance=chances, error=errors, draws=DRAWS)


def seeds_for_shift(
    kind: Kind, shift: float, alternative: Alternative, alpha: float = 0.05, target: float = TARGET
) -> int | None:
    """The fewest units in each arm (pairs, for ``sign-flip``) at which `kind` finds a shift of so many standard
    deviations with the chance `target`; infinite shifts are those of arms that do not overlap. None: no number.

    Misleads where the shift itself was estimated from few seeds: it is then as uncertain as its interval.
    """
    against = {"greater": shift <= 0, "less": shift >= 0, "two-sided": shift == 0}[alternative]
    if against or np.isnan(shift):
        return None
    side: Alternative = "two-sided" if alternative == "two-sided" else "greater"
    size = abs(shift)
    guess = _normal_seeds(kind, size, side, alpha, target) if isfinite(size) else 2.0
    if guess > MOST:
        return None
    if guess > SIMULATED[kind]:
        return int(np.ceil(guess))
    first = max(2, int(guess * 0.5))
    return _fewest(lambda n: _chance(kind, n, size, side, alpha) >= target, first, SIMULATED[kind], guess)


def seeds_for_shares(a: Counts, b: Counts, alternative: Alternative, alpha: float = 0.05) -> int | None:
    """The same for two shares, if the true ones are those seen."""
    pa, pb = a[0] / a[1], b[0] / b[1]
    if {"greater": pa <= pb, "less": pa >= pb, "two-sided": pa == pb}[alternative]:
        return None
    from statsmodels.stats.proportion import proportion_effectsize

    size = abs(float(proportion_effectsize(pa, pb)))
    guess = 2 * (_normal_distance(alternative, alpha) / size) ** 2
    if guess > MOST:
        return None
    if guess > SIMULATED["shares"]:
        return int(np.ceil(guess))
    first = max(2, int(guess * 0.5))
    return _fewest(lambda n: _shares_chance(n, pa, pb, alternative, alpha) >= TARGET, first, SIMULATED["shares"], guess)


def _fewest(decides: Callable[[int], bool], first: int, last: int, guess: float) -> int:
    """The first n at which it is decided, looked up from below; the guess where none is."""
    for n in range(first, last + 1):  # no halving: a discrete test can lose power from one n to the next
        if decides(n):
            return n
    return int(np.ceil(guess))


def _normal_seeds(kind: Kind, size: float, side: Alternative, alpha: float, target: float) -> float:
    """Units in an arm by the normal approximation; that of ranks by Noether (1987, doi:10.1080/01621459.1987.10478478)
    on the chance that one value exceeds the other."""
    from scipy.stats import norm

    z = _normal_distance(side, alpha, target)
    if kind == "mann-whitney":
        return float(z**2 / (6 * (norm.cdf(size / sqrt(2)) - 0.5) ** 2))
    return float((1 if kind == "sign-flip" else 2) * (z / size) ** 2 + z**2 / 4)


def _normal_distance(side: Alternative, alpha: float, target: float = TARGET) -> float:
    """Standard errors between no effect and one that is found with the chance `target`."""
    from scipy.stats import norm

    return float(norm.isf(alpha / (2 if side == "two-sided" else 1)) + norm.isf(1 - target))


@lru_cache(maxsize=512)
def _chance(kind: Kind, n: int, size: float, side: Alternative, alpha: float) -> float:
    sizes = (n,) if kind == "sign-flip" else (n, n)
    test = "mann-whitney" if kind == "permutation" else kind  # the same number of arrangements
    if smallest_p(test, sizes, side) > alpha:
        return 0.0
    if size == inf:
        return 1.0
    if kind == "permutation":
        return _means_power(sizes, size, side, alpha)
    powers = power(test, sizes, (size,), side, alpha)
    assert powers is not None
    return powers[f"{size:g}"]


def _means_power(n: tuple[int, ...], size: float, alternative: Alternative, alpha: float) -> float:
    """Of the permutation test of two means, on normal values."""
    rng = np.random.default_rng(20240229)
    x = rng.standard_normal((DRAWS, sum(n)))
    x[:, : n[0]] += -size if alternative == "less" else size
    sums = x @ _members(n).T
    observed = sums[:, :1]
    above, below = (sums >= observed - 1e-9).mean(axis=1), (sums <= observed + 1e-9).mean(axis=1)
    p = {"greater": above, "less": below, "two-sided": 2 * np.minimum(above, below)}[alternative]
    return float((p <= alpha + 1e-12).mean())


@lru_cache(maxsize=8)
def _members(n: tuple[int, ...]) -> np.ndarray:
    """(arrangements, units): who is in the first arm; the first row is the arrangement as observed."""
    chosen = list(combinations(range(sum(n)), n[0]))
    out = np.zeros((len(chosen), sum(n)))
    out[np.arange(len(chosen))[:, None], np.array(chosen)] = 1
    return out


def _shares_chance(n: int, pa: float, pb: float, alternative: Alternative, alpha: float) -> float:
    from scipy.stats import binom

    counts = np.arange(n + 1)
    a: Any = binom.pmf(counts, n, pa)
    b: Any = binom.pmf(counts, n, pb)
    return float(a @ _decided(n, alternative, alpha) @ b)


@lru_cache(maxsize=128)
def _decided(n: int, alternative: Alternative, alpha: float) -> np.ndarray:
    return decided_tables(n, alternative, alpha)
