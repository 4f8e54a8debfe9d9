"""The sign-flip test of paired differences and the interval that inverts it.

For differences d and a shift t, flipping the signs of a set S of the d - t makes their sum at least as large as it was
exactly when the mean of d over S is at most t. So the test's p at t counts means of subsets on either side of t, and
the shifts that it does not reject lie between two of these means (Hartigan 1969, doi:10.1080/01621459.1969.10501057).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import floor, inf

import numpy as np

from grokscope.results.seed_tests import LEVEL, Alternative

EXACT_UP_TO = 17
"""Up to so many pairs all sign patterns are visited."""
DRAWS = 19_999
"""Beyond, so many are drawn, and the interval inverts the test on these patterns."""
LOWEST_LEVEL = 0.9
"""Where the nominal level cannot be attained, the interval at the nearest attainable one is given down to here."""
BLOCK = 2_000_000
"""Numbers held at a time."""


@dataclass(frozen=True)
class Flips:
    """Means of d over the flipped sets (k,), sorted; `total` patterns with the one that flips nothing."""

    means: np.ndarray
    total: int
    exact: bool

    def p(self, shift: float = 0.0) -> dict[Alternative, float]:
        """p-values of the hypothesis that the differences are symmetric about `shift`."""
        # sums that tie on paper differ in their last bits as floats; a tie counts on both sides
        slack = 1e-9 * max(1.0, float(np.abs(self.means).max()))
        greater = (1 + int((self.means <= shift + slack).sum())) / self.total
        less = (1 + int((self.means >= shift - slack).sum())) / self.total
        return {"greater": greater, "less": less, "two-sided": min(1.0, 2 * min(greater, less))}

    def interval(self, alternative: Alternative, level: float = LEVEL) -> tuple[tuple[float, float], float]:
        """(ends, attained level): the shifts that the test does not reject. One-sided tests have one-sided intervals;
        with too few pairs no end is bounded, and the level is 1."""
        sides = 2 if alternative == "two-sided" else 1
        k = floor((1 - level) / sides * self.total + 1e-9)
        if k == 0 and 1 - sides / self.total >= LOWEST_LEVEL:
            k = 1  # the outermost means: the nearest level that so few pairs attain
        if k == 0:
            return (-inf, inf), 1.0
        low = -inf if alternative == "less" else float(self.means[k - 1])
        high = inf if alternative == "greater" else float(self.means[-k])
        return (low, high), 1 - sides * k / self.total


def flips(d: np.ndarray, seed: int = 0) -> Flips:
    """All sign patterns of differences d (n,), or many random ones."""
    exact = len(d) <= EXACT_UP_TO
    blocks = _every(len(d)) if exact else _random(len(d), seed)
    means = np.sort(np.concatenate([(sets @ d) / sets.sum(axis=1) for sets in blocks]))
    total = 2 ** len(d) if exact else DRAWS + 1  # with the pattern as observed, or a p of draws could be 0
    return Flips(means, total, exact)


def _every(n: int) -> Iterator[np.ndarray]:
    """All nonempty sets of n differences, as rows of zeros and ones."""
    rows = max(BLOCK // n, 1)
    for start in range(1, 2**n, rows):
        numbers = np.arange(start, min(start + rows, 2**n))  # the bits of a number are the set's members
        yield ((numbers[:, None] >> np.arange(n)) & 1).astype(np.float64)


def _random(n: int, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = max(BLOCK // n, 1)
    for start in range(0, DRAWS, rows):
        sets = rng.integers(0, 2, (min(rows, DRAWS - start), n)).astype(np.float64)
        sets[sets.sum(axis=1) == 0] = 1.0  # the empty set is the pattern as observed, which counts anyway
        yield sets
