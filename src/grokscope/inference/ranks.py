"""Interval- and right-censored times of two arms: the exact test of their order at every assumed ratio or difference,
and the interval that inverts it.

A run scores the number of others that are surely sooner less the number that are surely later (Gehan 1965,
doi:10.1093/biomet/52.1-2.203; intervals that overlap decide nothing). On one grid these are ranks with ties. What is
permuted are the scores: between the arms, or, where the arms share seeds, within each pair. Both arms are first cut
where the shorter one ends: what one arm could not have seen counts for neither, so that arms which are alike can be
exchanged whatever their budgets.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from math import comb, floor, inf
from typing import TYPE_CHECKING, Literal

import numpy as np

from grokscope.inference.flips import LOWEST_LEVEL
from grokscope.results.hypothesis import Sign
from grokscope.results.seed_tests import Alternative

if TYPE_CHECKING:
    from grokscope.trajectory.survival import Survival
    from grokscope.trajectory.times import Times

Effect = Literal["ratio", "difference"]
MOST = 60
"""Runs in all, up to which the distribution of the scores' sum is exact; beyond, it is taken as normal."""
SCANNED = 400
"""Up to so many possible ends of an interval all are tried from outside inwards; of more, by halving."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TimedArms:
    """Times of arms `a` (n,) and `b` (m,), on one grid; `a_end` and `b_end`: steps up to which every run of the arm was
    looked at. `paired`: run i of both has one seed."""

    a: "Times"
    b: "Times"
    a_end: float
    b_end: float
    paired: bool
    effect: Effect = "ratio"

    @property
    def null(self) -> float:
        return {"ratio": 1.0, "difference": 0.0}[self.effect]

    @property
    def least(self) -> float:
        """The smallest effect that there can be."""
        return {"ratio": 0.0, "difference": -inf}[self.effect]

    @property
    def n(self) -> tuple[int, ...]:
        if self.paired:
            return (len(self.a),)
        return len(self.a), len(self.b)

    @property
    def total(self) -> int:
        """Arrangements of runs that nothing else tells apart."""
        if self.paired:
            return 2 ** len(self.a)
        return comb(len(self.a) + len(self.b), len(self.a))

    @property
    def method(self) -> str:
        if len(self.a) + len(self.b) > MOST:
            return "normal approximation of the permuted scores"
        arrangements = "exchanges within pairs" if self.paired else "arrangements"
        return f"exact, all {self.total:,} {arrangements}"

    def scores(self, shift: float) -> np.ndarray:
        """(n + m,) of both arms, those of `a` first, after `b` was moved by the assumed ratio or difference."""
        moved = self._mover(shift)
        cut = min(self.a_end, float(moved(np.array(self.b_end))))
        before = np.concatenate([self.a.before, moved(self.b.before)])
        at = np.concatenate([self.a.at, moved(self.b.at)])
        late = ~np.concatenate([self.a.observed, self.b.observed]) | (at > cut)
        before, at = np.where(late, cut, before), np.where(late, inf, at)
        # Of each, how many are surely sooner and how many surely later: by sorting, for a table of all pairs of some
        # thousands of runs would take longer than reading them.
        sooner = np.searchsorted(np.sort(at), before, side="right")
        later = len(before) - np.searchsorted(np.sort(before), at, side="left")
        return sooner - later

    def _mover(self, shift: float) -> Callable[[np.ndarray], np.ndarray]:
        if self.effect == "ratio":
            return lambda t: t * shift
        return lambda t: t + shift

    def p(self, shift: float | None = None) -> dict[Alternative, float]:
        """p-values of the hypothesis that times of `a` are those of `b` moved by `shift` (None: not at all); ``less``
        is small where `a` is sooner than that."""
        scores = self.scores(self.null if shift is None else shift)
        tails = _paired_tails if self.paired else _shared_tails
        greater, less = tails(scores, len(self.a))
        return {"greater": greater, "less": less, "two-sided": min(1.0, 2 * min(greater, less))}

    @cached_property
    def curves(self) -> "tuple[Survival, Survival]":
        """The estimate of each arm."""
        from grokscope.trajectory.survival import survival

        return survival(self.a), survival(self.b)

    @property
    def estimate(self) -> tuple[float | None, Sign]:
        """(ratio or difference of the medians, ``""``); with ``>`` or ``<`` where one median was not reached and this
        only bounds it; None where neither was."""
        top, bottom = self.curves
        if top.median is None and bottom.median is None:
            return None, ""
        a, b = top.median, bottom.median
        sign: Sign = ""
        if a is None:
            a, sign = top.bound, ">"
        if b is None:
            b, sign = bottom.bound, "<"
        if self.effect == "difference":
            return a - b, sign
        if b <= 0:
            return None, sign
        return a / b, sign

    def interval(self, side: float) -> tuple[tuple[float, float] | None, float]:
        """(ends, attained level): what neither one-sided test at `side` rejects; with few runs at the nearest level
        that they attain. Open where a median was not reached, None where neither was.

        It has the level where times of one arm are those of the other, all moved alike; ends lie between two steps of
        the grid.
        """
        # In whole numbers: of a thousand runs there are more arrangements than the largest float.
        k = floor(Fraction(side) * self.total + Fraction(1, 10**9))
        if k == 0 and 1 - 2 / self.total >= LOWEST_LEVEL:
            k = 1
        estimate, sign = self.estimate
        if estimate is None:
            return None, 1 - 2 * k / self.total
        if k == 0:
            return (self.least, inf), 1.0
        limit = k / self.total * (1 + 1e-9)
        low, high = self._with_null(*self._ends(limit), limit)
        # medians are not what is tested, so their ratio may lie just outside of what the test leaves
        low, high = min(low, estimate), max(high, estimate)
        if sign == "<":
            low = self.least
        elif sign == ">":
            high = inf
        return (low, high), 1 - 2 * k / self.total

    def _ends(self, limit: float) -> tuple[float, float]:
        """The outermost shifts that are not rejected. Scores change only where an end of one arm's interval meets one
        of the other's, so one shift between every two of these places stands for all there."""
        places = self._places()
        edges = np.concatenate([[self.least], places, [inf]])
        inner = (places[:-1] + places[1:]) / 2
        if self.effect == "ratio":
            shifts = np.concatenate([[places[0] / 2], inner, [places[-1] * 2]])
        else:
            shifts = np.concatenate([[places[0] - 1], inner, [places[-1] + 1]])
        first = _first(len(shifts), lambda i: self.p(shifts[i])["greater"] > limit)
        last = len(shifts) - 1 - _first(len(shifts), lambda i: self.p(shifts[-1 - i])["less"] > limit)
        return float(edges[first]), float(edges[last + 1])

    def _with_null(self, low: float, high: float, limit: float) -> tuple[float, float]:
        """No effect lies inside exactly where the test does not reject it. Only there do the grids of the two arms meet
        in every step, so that p can differ from those right beside it."""
        ps = self.p()
        low = min(low, self.null) if ps["greater"] > limit else max(low, self.null)
        high = max(high, self.null) if ps["less"] > limit else min(high, self.null)
        return low, high

    def _places(self) -> np.ndarray:
        a, b = _edges(self.a, self.a_end), _edges(self.b, self.b_end)
        # rounded, for one place that is reached in two ways differs in its last bits
        if self.effect == "difference":
            return np.unique(np.round(np.subtract.outer(a, b), 9))
        a, b = a[a > 0], b[b > 0]
        return np.unique(np.round(np.divide.outer(a, b), 12))


def _edges(times: "Times", end: float) -> np.ndarray:
    ends = np.concatenate([times.before[times.observed], times.at[times.observed], [end]])
    return np.unique(ends[np.isfinite(ends)])


def _first(count: int, holds: Callable[[int], bool]) -> int:
    """The first of `count` places at which it holds; the last place where it holds nowhere."""
    if count <= SCANNED:
        return next((i for i in range(count) if holds(i)), count - 1)
    low, high = 0, count - 1  # halving takes it that what holds once holds from there on; scanning need not
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _shared_tails(scores: np.ndarray, n: int) -> tuple[float, float]:
    """Chances that the sum over n units drawn from all is at least, and at most, that over the first n."""
    observed, m = int(scores[:n].sum()), len(scores) - n
    if len(scores) > MOST:
        variance = n * m / (len(scores) - 1) * float(scores.var())
        return _normal_tails(observed - n * float(scores.mean()), variance)
    least = int(scores.min())
    chances = drawn_sums(tuple(int(s) - least for s in sorted(scores)), n)
    at = observed - n * least
    return float(chances[at:].sum()), float(chances[: at + 1].sum())


def _paired_tails(scores: np.ndarray, n: int) -> tuple[float, float]:
    """The same over all exchanges within pairs (unit i with unit n + i)."""
    differences = scores[:n] - scores[n:]
    observed = int(differences.sum())
    if len(scores) > MOST:
        return _normal_tails(float(observed), float((differences.astype(np.float64) ** 2).sum()))
    chances = flipped_sums(tuple(sorted(abs(int(d)) for d in differences)))
    at = observed + len(chances) // 2
    return float(chances[at:].sum()), float(chances[: at + 1].sum())


def _normal_tails(distance: float, variance: float) -> tuple[float, float]:
    from scipy.stats import norm

    if variance == 0:
        return 1.0, 1.0
    z = (abs(distance) - 0.5) / np.sqrt(variance)  # scores are whole numbers: continuity
    outer, inner = float(norm.sf(z)), 1.0
    if distance > 0:
        return outer, inner
    return inner, outer


@lru_cache(maxsize=2048)
def drawn_sums(scores: tuple[int, ...], n: int) -> np.ndarray:
    """Probability of each sum, from 0 on, of n of these whole numbers >= 0 drawn without replacement."""
    ways = np.zeros((n + 1, sum(sorted(scores)[-n:]) + 1))
    ways[0, 0] = 1.0
    for i, score in enumerate(scores):
        for k in range(min(i + 1, n), 0, -1):  # each unit is in a draw once: larger draws first
            ways[k, score:] += ways[k - 1, : ways.shape[1] - score]
    return ways[n] / comb(len(scores), n)


@lru_cache(maxsize=2048)
def flipped_sums(sizes: tuple[int, ...]) -> np.ndarray:
    """Probability of each sum, from minus to plus the sum of all, of whole numbers with random signs."""
    out = np.ones(1)
    for size in sizes:
        wider = np.zeros(len(out) + 2 * size)
        wider[: len(out)] += out / 2
        wider[2 * size :] += out / 2
        out = wider
    return out
