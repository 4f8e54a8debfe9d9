"""Two shares: the exact test at every assumed difference, and the interval that inverts it.

Unconditional (Chan and Zhang 1999, doi:10.1111/j.0006-341X.1999.01202.x): p is the largest chance, over all pairs of
true shares with the assumed difference, of counts at least as extreme. Extreme by the distance from that difference in
standard errors, with two successes and two failures more (Agresti and Caffo 2000, doi:10.1080/00031305.2000.10474560),
so that all-or-none counts have an error too.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from grokscope.results.hypothesis import Sign
from grokscope.results.seed_tests import Alternative, Counts

NUISANCE = 201
"""True shares at which the chance is looked up: it is smooth, and its largest value moves by less than .001 between."""
HALVINGS = 24
"""Of the range of a difference: its ends are known to 1e-7."""
MOST = 200
"""Runs in an arm, up to which all tables of counts are visited."""


@dataclass(frozen=True, eq=False)
class TwoShares:
    """Counts (successes, trials) of arms a and b. Raises ValueError for more trials than `MOST`."""

    a: Counts
    b: Counts

    def __post_init__(self) -> None:
        if max(self.a[1], self.b[1]) > MOST:
            raise ValueError(f"shares of more than {MOST} runs in an arm: use test = 'fisher'")

    null = 0.0
    method = "exact, unconditional"

    @property
    def n(self) -> tuple[int, ...]:
        return self.a[1], self.b[1]

    @property
    def estimate(self) -> tuple[float | None, Sign]:
        return self.a[0] / self.a[1] - self.b[0] / self.b[1], ""

    def p(self, shift: float | None = None) -> dict[Alternative, float]:
        """``greater`` is small where the difference of the shares surely lies above `shift`."""
        shift = 0.0 if shift is None else shift
        greater, less = self._above(self.a, self.b, shift), self._above(self.b, self.a, -shift)
        return {"greater": greater, "less": less, "two-sided": min(1.0, 2 * min(greater, less))}

    def _above(self, a: Counts, b: Counts, shift: float) -> float:
        """The largest chance of counts that speak as strongly for a difference above `shift`, where it is `shift`."""
        from scipy.stats import binom

        if shift >= 1:
            return 1.0
        if shift <= -1:
            as_far_apart_as_can_be = a[0] == 0 and b[0] == b[1]
            return float(as_far_apart_as_can_be)
        ka, kb = np.arange(a[1] + 1), np.arange(b[1] + 1)
        z = _distance(ka[:, None], a[1], kb[None, :], b[1], shift)
        extreme = z >= z[a[0], b[0]] - 1e-9
        low = np.linspace(max(0.0, -shift), min(1.0, 1.0 - shift), NUISANCE)
        of_a: Any = binom.pmf(ka[None, :], a[1], np.clip(low + shift, 0, 1)[:, None])
        of_b: Any = binom.pmf(kb[None, :], b[1], low[:, None])
        return float(min(1.0, ((of_a @ extreme.astype(np.float64)) * of_b).sum(axis=1).max()))

    @cached_property
    def smallest(self) -> float:
        """The smallest one-sided p: all of one arm, none of the other."""
        return min(
            self._above((self.a[1], self.a[1]), (0, self.b[1]), 0.0),
            self._above((self.b[1], self.b[1]), (0, self.a[1]), 0.0),
        )

    def interval(self, side: float) -> tuple[tuple[float, float] | None, float]:
        """(ends, level): the differences that neither one-sided test at `side` rejects."""
        low = -1.0 if self.p(-1 + 1e-9)["greater"] > side else self._end("greater", side)
        high = 1.0 if self.p(1 - 1e-9)["less"] > side else self._end("less", side)
        return (low, high), 1 - 2 * side

    def _end(self, alternative: Alternative, side: float) -> float:
        """The outermost difference that is not rejected, by halving from the one seen."""
        outside = -1.0 if alternative == "greater" else 1.0
        inside = float(self.estimate[0] or 0.0)
        for _ in range(HALVINGS):
            middle = (outside + inside) / 2
            if self.p(middle)[alternative] > side:
                inside = middle
            else:
                outside = middle
        return outside


def _distance(a: Any, n: int, b: Any, m: int, shift: float) -> np.ndarray:
    """Standard errors from the difference `shift` to that of counts a of n and b of m."""
    # one success and one failure more in each arm, or counts of none and of all would have no spread
    pa, pb = (a + 1) / (n + 2), (b + 1) / (m + 2)
    return (pa - pb - shift) / np.sqrt(pa * (1 - pa) / (n + 2) + pb * (1 - pb) / (m + 2))


def decided_tables(n: int, alternative: Alternative, alpha: float) -> np.ndarray:
    """(n + 1, n + 1) bool: at which counts in two arms of n units p <= alpha, where no difference is assumed."""
    counts = np.arange(n + 1)
    z = _distance(counts[:, None], n, counts[None, :], n, 0.0)
    chances = _no_difference(n)
    sides = 2 if alternative == "two-sided" else 1
    ordered = np.sort(np.unique(np.round(z, 9)))
    # chance of a distance as large, for each distance that occurs; the arms are alike, so both tails are one
    tail = np.array([chances[:, z >= limit - 1e-9].sum(axis=1).max() for limit in ordered])
    greater = tail[np.searchsorted(ordered, np.round(z, 9))] * sides <= alpha
    if alternative == "greater":
        return greater
    if alternative == "less":
        return greater.T
    return greater | greater.T


def _no_difference(n: int) -> np.ndarray:
    """(NUISANCE, n + 1, n + 1): chance of each table where both shares are the same, over the possible shares."""
    from scipy.stats import binom

    one: Any = binom.pmf(np.arange(n + 1)[None, :], n, np.linspace(0, 1, NUISANCE)[:, None])
    return one[:, :, None] * one[:, None, :]
