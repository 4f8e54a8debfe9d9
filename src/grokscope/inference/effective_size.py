"""The training-set size at which a plain regime does as well as another regime at its own size.

The size is read off a monotone fit of the means over seeds (isotonic regression), between the sizes that were run by
straight lines in log n: accuracy against data saturates in ways that no formula of two or three parameters fits. How
the curve runs between two sizes nobody has seen, and no resampling of seeds shows it: a bootstrap interval for the size
that was read off is far too narrow where the curve bends (`benchmarks/effective_size.py`). So what is claimed rests on
the sizes that were run alone, as a milestone's interval rests on the evaluations: a size is too small where the plain
regime surely does worse there, enough for more where it surely does better. From below, sizes are tested in ascending
order up to the first that is not surely too small; from above in descending order. In such a fixed sequence only the
first size past the truth can go wrong, so each end keeps the level of one test (Maurer, Hothorn and Lehmacher 1995),
whatever the curve does, as long as it does not fall.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any, Literal

import numpy as np

from grokscope.inference.flips import flips
from grokscope.results.effective_size import Sign
from grokscope.results.seed_tests import LEVEL
from grokscope.vocabulary.text import p_equation, whole

FEWEST = 3
"""Seeds below which nothing is said."""
EXACT_FROM = 5
"""Pairs from which a sign-flip test can bound a size; below, a t-test takes differences as normal."""
SIDE = (1 - LEVEL) / 2
FALL = 0.05
"""Corrected p from which on the plain curve surely falls somewhere, so that no size can be read off it."""


@dataclass(frozen=True, eq=False)
class Plain:
    """The plain regime at each size: sizes (k,) ascending, values (k, s) with seeds in one order, larger is better."""

    sizes: np.ndarray
    values: np.ndarray

    @property
    def fit(self) -> np.ndarray:
        """(k,) monotone fit of the means."""
        from scipy.optimize import isotonic_regression

        return isotonic_regression(self.values.mean(axis=1)).x


@dataclass(frozen=True)
class ReadOff:
    """See `grokscope.results.effective_size.EffectiveSize`."""

    size: float | None
    sign: Sign
    low: int | None
    high: int | None
    level: float
    method: str


def falls(plain: Plain) -> str:
    """Where the curve surely falls as the size grows, in words; empty where it does not.

    Paired t-tests of all pairs of sizes, one-sided, corrected for their number."""
    pairs = list(combinations(range(len(plain.sizes)), 2))
    ps = [_paired_t(plain.values[i] - plain.values[j], "greater") for i, j in pairs]
    least = int(np.argmin(ps))
    p = ps[least] * len(pairs)  # Holm's first step: only the smallest is asked for
    if p > FALL:
        return ""
    first, second = (whole(plain.sizes[i]) for i in pairs[least])
    return f"it does worse at {second} than at {first} ({p_equation(p)}, corrected for all pairs of sizes)"


def read_off(plain: Plain, other: np.ndarray, *, paired: bool) -> ReadOff:
    """Where plain does what `other` (m,) does; paired: seeds in plain's order.

    Raises:
        ValueError: fewer than `FEWEST` seeds in an arm.
    """
    fewest = min(plain.values.shape[1], len(other))
    if fewest < FEWEST:
        raise ValueError(f"{fewest} seeds, and {FEWEST} are needed")
    size, sign = _inverse(plain.sizes, plain.fit, float(other.mean()))
    exact = paired and fewest >= EXACT_FROM
    # so few pairs have no smaller p than this, and at a smaller level no size could be bounded
    side = max(SIDE, 0.5**fewest) if exact else SIDE
    test = _sign_flip if exact else _paired_t
    low = high = None
    for n, values in zip(plain.sizes, plain.values, strict=True):
        p = test(other - values, "greater") if paired else _welch(other, values, "greater")
        if p > side:
            break
        low = int(n)
    for n, values in zip(plain.sizes[::-1], plain.values[::-1], strict=True):
        p = test(other - values, "less") if paired else _welch(other, values, "less")
        if p > side:
            break
        high = int(n)
    return ReadOff(size, sign, low, high, 1 - 2 * side, _method(paired, exact))


def _method(paired: bool, exact: bool) -> str:
    if exact:
        return "sign-flip test of pairs by seed, at each size"
    kind = "t-test of pairs by seed" if paired else "Welch's t-test"
    return f"{kind} at each size, which takes the values as normal"


def _inverse(sizes: np.ndarray, fit: np.ndarray, value: float) -> tuple[float | None, Sign]:
    """The smallest size at which the fit reaches the value, by straight lines in log n."""
    if value < fit[0]:
        return None, "<"
    if value > fit[-1]:
        return None, ">"
    at = int(np.argmax(fit >= value))
    if at == 0 or fit[at] == value:
        return float(sizes[at]), ""
    share = (value - fit[at - 1]) / (fit[at] - fit[at - 1])
    return float(np.exp(np.interp(share, [0, 1], np.log(sizes[at - 1 : at + 1])))), ""


Side = Literal["greater", "less"]


def _sign_flip(d: np.ndarray, side: Side) -> float:
    return flips(d).p()[side]


def _paired_t(d: np.ndarray, side: Side) -> float:
    """Of a mean of differences (s,) above 0, or below it. Differences that all agree have no spread to judge by, and
    get the p of the sign-flip test: three of them are no certainty."""
    from scipy.stats import ttest_1samp

    if _agree(d):
        return _sign_flip(d, side)
    result: Any = ttest_1samp(d, 0.0, alternative=side)
    return float(result.pvalue)


def _agree(values: np.ndarray) -> bool:
    """Whether they are one number, up to rounding."""
    return bool(np.ptp(values) <= 1e-9 * max(1.0, float(np.abs(values).max())))


def _welch(other: np.ndarray, plain: np.ndarray, side: Side) -> float:
    """Of means of two arms without common seeds; where neither has any spread, that of a rank test."""
    from scipy.stats import ttest_ind

    if _agree(other) and _agree(plain):
        ahead, behind = (other[0], plain[0]) if side == "greater" else (plain[0], other[0])
        if ahead <= behind:
            return 1.0
        return 1 / comb(len(other) + len(plain), len(other))
    result: Any = ttest_ind(other, plain, equal_var=False, alternative=side)
    return float(result.pvalue)


def as_plain(sizes: Sequence[int], values: Sequence[Sequence[float]], larger_is_better: bool) -> Plain:
    """Times turned round, so that larger is better."""
    turn = 1.0 if larger_is_better else -1.0
    return Plain(np.asarray(sizes), turn * np.asarray(values, dtype=np.float64))
