"""Exact tests for small numbers: two samples, two shares, pairs."""

from collections.abc import Sequence
from math import comb
from typing import Any, Literal

import numpy as np

from grokscope.config import is_whole
from grokscope.inference.design import boschloo_p, power, smallest_p
from grokscope.inference.flips import DRAWS, flips
from grokscope.inference.intervals import agreeing, cliffs_delta, numbers, share_interval
from grokscope.results.seed_tests import Alternative, Counts, Result

EXACT_LIMIT = 200_000
"""So many arrangements are still enumerated."""
EXACT_PAIRS = 10_000
"""Pairs of values up to which a rank test is exact."""
RANDOM_DRAWS = 19_999
"""Beyond, so many are drawn: the standard error of a p near .05 is then .0015."""


def _check_alternative(alternative: str) -> None:
    if alternative not in ("two-sided", "greater", "less"):
        raise ValueError(f"alternative: unknown {alternative!r}; known: two-sided, greater, less")


def mann_whitney(
    a: Sequence[float] | np.ndarray,
    b: Sequence[float] | np.ndarray,
    alternative: Alternative = "two-sided",
    *,
    question: str = "",
    unit: str = "seed",
    seed: int = 0,
) -> Result:
    """Rank test of whether values of `a` tend to be larger than those of `b`: exact, also with ties (by enumerating all
    ways to share the values between the arms, or drawing from them); above `EXACT_PAIRS` pairs by the normal
    approximation with a correction for ties, as `method` says.

    Effect: Cliff's delta. Tests stochastic order, not equality of means or medians.
    """
    from scipy import stats

    a, b = numbers(a, "a"), numbers(b, "b")
    _check_alternative(alternative)
    n, m = len(a), len(b)
    tied = len(np.unique(np.concatenate([a, b]))) < n + m
    large = n * m > EXACT_PAIRS
    if tied and not large:
        ps, method = _tied_p(a, b, seed)
    else:
        # scipy's exact law of U costs n^2 m; with so many values the normal approximation is as good
        law: Literal["asymptotic", "exact"] = "asymptotic" if large else "exact"
        sides: tuple[Alternative, ...] = ("greater", "less", "two-sided")
        ps = {s: float(stats.mannwhitneyu(a, b, alternative=s, method=law).pvalue) for s in sides}
        method = "normal approximation" if large else "exact"
    delta, low, high = cliffs_delta(a, b)
    return Result(
        test="Mann-Whitney",
        question=question,
        unit=unit,
        n=(n, m),
        statistic=(delta + 1) * n * m / 2,
        effect=delta,
        effect_name="Cliff's delta",
        interval=agreeing((low, high), delta, ps["two-sided"]),
        p=ps[alternative],
        alternative=alternative,
        p_two_sided=ps["two-sided"],
        method=method,
        smallest_p=smallest_p("mann-whitney", (n, m), alternative),
        power=power("mann-whitney", (n, m), alternative=alternative),
    )


def _rearranged(a: np.ndarray, b: np.ndarray, total: int, seed: int) -> tuple[dict[str, float], bool]:
    """p-values of the first sample's sum under all rearrangements (or many random ones), and whether these were all."""
    from scipy import stats

    exact = total <= EXACT_LIMIT
    everything: Any = np.inf  # scipy enumerates when asked for infinitely many
    tested = stats.permutation_test(
        (a, b),
        lambda *x, axis: x[0].sum(axis=axis),
        vectorized=True,
        n_resamples=everything if exact else RANDOM_DRAWS,
        alternative="greater",
        batch=max(1, 4_000_000 // (len(a) + len(b))),  # all draws at once would fill the memory
        rng=np.random.default_rng(seed),
    )
    draws, observed = np.asarray(tested.null_distribution), float(tested.statistic)
    slack, add = 1e-9 * max(1.0, abs(observed)), 0 if exact else 1
    ps = {
        "greater": (add + int((draws >= observed - slack).sum())) / (add + len(draws)),
        "less": (add + int((draws <= observed + slack).sum())) / (add + len(draws)),
    }
    return {**ps, "two-sided": min(1.0, 2 * min(ps.values()))}, exact


def _tied_p(a: np.ndarray, b: np.ndarray, seed: int) -> tuple[dict[str, float], str]:
    from scipy import stats

    total = comb(len(a) + len(b), len(a))
    ranks = stats.rankdata(np.concatenate([a, b]))
    ps, exact = _rearranged(ranks[: len(a)], ranks[len(a) :], total, seed)
    return ps, f"exact, ties: all {total} arrangements" if exact else f"ties: {RANDOM_DRAWS} random arrangements"


def fisher(
    a: Counts, b: Counts, alternative: Alternative = "two-sided", *, question: str = "", unit: str = "seed"
) -> Result:
    """Fisher's exact test of two shares, each (successes, trials). Two-sided: all tables at most as probable count.

    Conditions on the total number of successes, which wastes power in small samples: see `boschloo`.
    """
    return _shares("Fisher", a, b, alternative, question, unit)


def boschloo(
    a: Counts, b: Counts, alternative: Alternative = "two-sided", *, question: str = "", unit: str = "seed"
) -> Result:
    """Boschloo's exact test of two shares: one-sided uniformly more powerful than Fisher's, at the same level.
    Two-sided p is twice the smaller side."""
    return _shares("Boschloo", a, b, alternative, question, unit)


def _shares(test: str, a: Counts, b: Counts, alternative: Alternative, question: str, unit: str) -> Result:
    _check_alternative(alternative)
    for name, (k, n) in (("a", a), ("b", b)):
        if not (is_whole(k) and is_whole(n) and n > 0 and 0 <= k <= n):
            raise ValueError(f"{name}: expected (successes, trials) with 0 <= successes <= trials, got ({k}, {n})")
    a, b = (int(a[0]), int(a[1])), (int(b[0]), int(b[1]))
    statistic, p = _table_p(test, a, b, alternative)
    two_sided = p if alternative == "two-sided" else _table_p(test, a, b, "two-sided")[1]
    effect = a[0] / a[1] - b[0] / b[1]
    return Result(
        test=test,
        question=question,
        unit=unit,
        n=(a[1], b[1]),
        statistic=statistic,
        effect=effect,
        effect_name="difference of shares",
        interval=agreeing(share_interval(a, b), effect, two_sided),
        p=p,
        alternative=alternative,
        p_two_sided=two_sided,
        method="exact",
        smallest_p=smallest_p(test.lower(), (a[1], b[1]), alternative),
        power=power("fisher", (a[1], b[1]), alternative=alternative) if test == "Fisher" else None,
    )


def _table_p(test: str, a: Counts, b: Counts, alternative: Alternative) -> tuple[float, float]:
    """(statistic, p): the odds ratio for Fisher, the smaller one-sided Fisher p for Boschloo."""
    from scipy import stats

    if test == "Boschloo":
        return boschloo_p(a, b, alternative)
    result: Any = stats.fisher_exact([[a[0], a[1] - a[0]], [b[0], b[1] - b[0]]], alternative=alternative)
    return float(result.statistic), float(result.pvalue)


def sign_flip(
    differences: Sequence[float] | np.ndarray,
    alternative: Alternative = "two-sided",
    *,
    question: str = "",
    unit: str = "seed",
    seed: int = 0,
) -> Result:
    """Test of paired differences (same seed, two arms): every sign pattern is equally likely when the arms are alike.

    Exact up to 17 pairs, then from random patterns. Tests symmetry about 0. Effect: mean difference, with the interval
    that inverts the test: it leaves out 0 exactly when p is below 1 less its level. Five pairs attain .9375 in place of
    .95; four or fewer bound nothing (one-sided: three or fewer).
    """
    d = numbers(differences, "differences")
    _check_alternative(alternative)
    patterns = flips(d, seed)
    ps = patterns.p()
    interval, level = patterns.interval(alternative)
    return Result(
        test="sign-flip",
        question=question,
        unit=unit,
        n=(len(d),),
        statistic=float(d.mean()),
        effect=float(d.mean()),
        effect_name="mean difference",
        interval=interval,
        level=level,
        p=ps[alternative],
        alternative=alternative,
        p_two_sided=ps["two-sided"],
        method=f"exact, all {patterns.total} sign patterns" if patterns.exact else f"{DRAWS} random sign patterns",
        smallest_p=smallest_p("sign-flip", (len(d),), alternative),
        power=power("sign-flip", (len(d),), alternative=alternative),
    )
