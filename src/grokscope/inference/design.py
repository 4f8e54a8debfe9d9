"""Limits of a design: exact null distributions, smallest attainable p-values, power."""

from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from math import comb, sqrt

import numpy as np

from grokscope.results.seed_tests import Alternative, Counts, Power

SHIFTS = (1.0, 1.5, 2.0)
FLIP_DRAWS = 1000
MOST = 60
"""Units of an arm up to which power is computed from the test's own law."""


def mann_whitney_p(u: float, n: int, m: int, alternative: Alternative = "two-sided") -> float:
    """Exact p of a Mann-Whitney U (pairs in which the first arm is larger) without ties, from U and the sizes alone."""
    below, above = _u_tails(n, m)
    lower, upper = below[int(np.floor(u))], above[int(np.ceil(u))]
    return {"greater": upper, "less": lower, "two-sided": min(1.0, 2 * min(lower, upper))}[alternative]


@cache
def _u_tails(n: int, m: int) -> tuple[list[float], list[float]]:
    """P(U <= u) and P(U >= u) for u = 0..nm: the coefficients of the Gaussian binomial, in whole numbers."""
    counts = [1] + [0] * (n * m)
    for i in range(1, n + 1):
        for u in range(n * m, m + i - 1, -1):
            counts[u] -= counts[u - m - i]
        for u in range(i, n * m + 1):
            counts[u] += counts[u - i]
    total = comb(n + m, n)
    below = [c / total for c in accumulate(counts)]
    return below, [c / total for c in accumulate(counts[::-1])][::-1]


def attainable(p: float, n: int, m: int, digits: int = 3) -> list[tuple[int, Alternative]]:
    """Which U and sidedness give a reported Mann-Whitney p, rounded: often more than one, so the report was
    incomplete."""
    sides: tuple[Alternative, ...] = ("greater", "two-sided")
    return [
        (u, side)
        for side in sides
        for u in range(n * m + 1)
        if 2 * u >= n * m and round(mann_whitney_p(u, n, m, side), digits) == round(p, digits)
    ]


def boschloo_p(a: Counts, b: Counts, alternative: Alternative) -> tuple[float, float]:
    """(statistic, p) of Boschloo's test of two shares; two-sided is twice the smaller side, as scipy defines it."""
    from scipy.stats import boschloo_exact

    # scipy compares columns: each arm is a column of its table
    result = boschloo_exact([[a[0], b[0]], [a[1] - a[0], b[1] - b[0]]], alternative=alternative)
    return float(result.statistic), min(1.0, float(result.pvalue))


def smallest_p(test: str, n: tuple[int, ...], alternative: Alternative = "two-sided") -> float:
    """The smallest p that a test can give with these n: 5 v 3 seeds reach .0357 two-sided by ranks, 3 v 3 only .1.

    It differs between tests: on all-or-none counts Fisher's reaches .0179 for 5 v 3 and .1 for 3 v 3, Boschloo's,
    which does not condition on the total, .0101 and .0313.

    Raises:
        ValueError: for an unknown test.
    """
    sides = 2 if alternative == "two-sided" else 1
    if test == "mann-whitney":
        return min(1.0, sides / comb(n[0] + n[1], n[0]))
    if test == "sign-flip":
        return min(1.0, sides / 2 ** n[0])
    if test == "fisher":
        return min(_fisher_table(n[0], n[1], alternative).values())
    if test == "boschloo":
        extremes = [((n[0], n[0]), (0, n[1])), ((0, n[0]), (n[1], n[1]))]
        return min(boschloo_p(a, b, alternative)[1] for a, b in extremes)
    raise ValueError(f"unknown test {test!r}; known: mann-whitney, sign-flip, fisher, boschloo")


def _fisher_table(n: int, m: int, alternative: Alternative) -> dict[tuple[int, int], float]:
    """Fisher's p of every table of two shares out of n and m, vectorized over tables through the hypergeometric law."""
    from scipy.stats import hypergeom

    out = {}
    for total in range(n + m + 1):
        ks = np.arange(max(0, total - m), min(n, total) + 1)
        pmf = hypergeom.pmf(ks, n + m, n, total)
        if alternative == "greater":
            ps = pmf[::-1].cumsum()[::-1]
        elif alternative == "less":
            ps = pmf.cumsum()
        else:
            # tables at most as likely as each one; the factor lets those count that tie but for rounding
            ps = (pmf * (pmf <= pmf[:, None] * (1 + 1e-7))).sum(axis=1)
        out.update({(int(k), int(total - k)): min(1.0, float(p)) for k, p in zip(ks, ps, strict=True)})
    return out


def power(
    test: str,
    n: tuple[int, ...],
    shifts: Sequence[float] = SHIFTS,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    draws: int = 4000,
) -> Power | None:
    """Chance of p <= alpha when normal values of the arms differ by `shifts` standard deviations, in the direction
    asked.

    For shares: each unit succeeds when such a value exceeds the midpoint between the arms (exact). For pairs: the
    standard deviation is that of the differences. By simulation with a fixed seed for ranks and pairs (`draws` samples;
    `Power.error` says the standard error); None for ranks and shares with more than `MOST` units in an arm, and for
    pairs above 12, where an ordinary power calculation serves.
    """
    rng = np.random.default_rng(20240229)
    if test in ("mann-whitney", "sign-flip") and smallest_p(test, n, alternative) > alpha:
        return _computed({f"{s:g}": 0.0 for s in shifts})
    if test in ("mann-whitney", "fisher") and max(n) > MOST:
        return None
    if test == "mann-whitney":
        noise = rng.standard_normal((draws, n[0], 1)), rng.standard_normal((draws, 1, n[1]))
        # Of the values only U decides: p is looked up in one table, and no draw is ranked.
        ps = np.array([mann_whitney_p(u, n[0], n[1], alternative) for u in range(n[0] * n[1] + 1)])
        sign = -1 if alternative == "less" else 1
        us = {s: (noise[0] + sign * s > noise[1]).sum(axis=(1, 2)) for s in shifts}
        return _simulated({f"{s:g}": float((ps[u] <= alpha).mean()) for s, u in us.items()}, draws)
    if test == "sign-flip":
        return _flip_power(n[0], shifts, alternative, alpha, rng)
    if test == "fisher":
        return _share_power(n, shifts, alternative, alpha)
    raise ValueError(f"power: unknown test {test!r}; known: mann-whitney, sign-flip, fisher")


def _computed(chance: dict[str, float]) -> Power:
    return Power(chance=chance, error=dict.fromkeys(chance, 0.0), draws=0)


def _simulated(chance: dict[str, float], draws: int) -> Power:
    """With the standard error at two successes and two failures more (Agresti and Coull 1998): never 0, as the plain
    one is where all draws agree."""
    smoothed = {s: (p * draws + 2) / (draws + 4) for s, p in chance.items()}
    return Power(chance=chance, error={s: sqrt(p * (1 - p) / (draws + 4)) for s, p in smoothed.items()}, draws=draws)


def _flip_power(n: int, shifts: Sequence[float], alternative: Alternative, alpha: float, rng) -> Power | None:
    if n > 12:
        return None
    signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    noise = rng.standard_normal((FLIP_DRAWS, n))
    out = {}
    for s in shifts:
        x = noise + (-s if alternative == "less" else s)
        sums = x @ signs.T
        observed = sums[:, :1]
        above, below = (sums >= observed - 1e-9).mean(axis=1), (sums <= observed + 1e-9).mean(axis=1)
        p = {"greater": above, "less": below, "two-sided": 2 * np.minimum(above, below)}[alternative]
        out[f"{s:g}"] = float((p <= alpha).mean())
    return _simulated(out, FLIP_DRAWS)


def _share_power(n: tuple[int, ...], shifts: Sequence[float], alternative: Alternative, alpha: float) -> Power:
    from scipy.stats import binom, norm

    table = _fisher_table(n[0], n[1], alternative)
    out = {}
    for s in shifts:
        high, low = norm.cdf(s / 2), norm.cdf(-s / 2)
        pa, pb = (low, high) if alternative == "less" else (high, low)
        a, b = binom.pmf(np.arange(n[0] + 1), n[0], pa), binom.pmf(np.arange(n[1] + 1), n[1], pb)
        out[f"{s:g}"] = float(sum(a[i] * b[j] for (i, j), p in table.items() if p <= alpha))
    return _computed(out)
