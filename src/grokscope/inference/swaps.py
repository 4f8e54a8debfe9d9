"""Permutation tests of a difference of two means and of a slope, and the intervals that invert them.

As for the sign flips of pairs (`grokscope.inference.flips`), an arrangement of the values makes the statistic at least
as large as it was exactly where the assumed shift lies on one side of one number, which each arrangement has: for two
means the mean of what leaves the first arm less the mean of what enters it, for a slope a ratio of two covariances. So
sorted once these numbers give p at every shift, and the shifts that are not rejected.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from math import comb, factorial, prod

import numpy as np

from grokscope.inference.flips import BLOCK, DRAWS, Flips
from grokscope.inference.intervals import numbers

EXACT_UP_TO = 200_000
"""So many arrangements are still enumerated; of more, `DRAWS` are drawn."""
COUNTED = 1000
"""Units from which on values of 0 and 1 are exchanged by their counts."""
NEGLIGIBLE = 1e-12
"""An arrangement that changes the covariance by no more than this share leaves every unit at its own place."""


def swaps(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray, seed: int = 0) -> Flips:
    """All ways to share values a (n,) and b (m,) between two arms of these sizes, or many random ones; shifts are those
    of the mean of `a` over the mean of `b`."""
    a, b = numbers(a, "a"), numbers(b, "b")
    total = comb(len(a) + len(b), len(a))
    if total <= EXACT_UP_TO:
        return Flips(np.sort(np.concatenate(list(_every_swap(a, b)))), total, True)
    return Flips(np.sort(_random_swaps(a, b, seed)), DRAWS + 1, False)


def _every_swap(a: np.ndarray, b: np.ndarray) -> Iterator[np.ndarray]:
    for k in range(1, min(len(a), len(b)) + 1):
        leaving = np.array(list(combinations(a, k))).mean(axis=1)
        entering = np.array(list(combinations(b, k))).mean(axis=1)
        yield np.subtract.outer(leaving, entering).ravel()


def _random_swaps(a: np.ndarray, b: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    units = len(a) + len(b)
    if units > COUNTED and np.isin(np.concatenate([a, b]), (0.0, 1.0)).all():
        moved, sums = _exchanged_counts(a, b, rng)
    else:
        first = np.arange(units) < len(a)
        rows = max(BLOCK // units, 1)
        blocks = [np.tile(first, (min(rows, DRAWS - start), 1)) for start in range(0, DRAWS, rows)]
        exchanged = [_exchanged(rng.permuted(block, axis=1), a, b) for block in blocks]
        moved, sums = (np.concatenate(parts) for parts in zip(*exchanged, strict=True))
    kept = moved > 0  # the arrangement as observed is counted by itself; others are repeated in the place of its draws
    return np.resize(sums[kept] / moved[kept], DRAWS)


def _exchanged(members: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(k,) how many change places in each arrangement, and the sum of those that leave `a` less that of those that
    enter it; `members` (k, n + m) says who is in the first arm then."""
    leaves, enters = ~members[:, : len(a)], members[:, len(a) :]
    return leaves.sum(axis=1), leaves @ a - enters @ b


def _exchanged_counts(a: np.ndarray, b: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The same of values that are 0 or 1, by the law of their counts: how many change places, and how many ones are
    among those that leave and those that enter. Costs nothing, however many units there are."""
    ones = int(a.sum()), int(b.sum())
    # Of the len(a) units that a draw puts into the first arm, those that come from `b`: as many leave `a` for them.
    moved = rng.hypergeometric(len(b), len(a), len(a), DRAWS)
    leaving = rng.hypergeometric(ones[0], len(a) - ones[0], moved)
    entering = rng.hypergeometric(ones[1], len(b) - ones[1], moved)
    return moved, (leaving - entering).astype(np.float64)


def slopes(x: np.ndarray, y: np.ndarray, blocks: np.ndarray | None = None, seed: int = 0) -> Flips:
    """All permutations of y (n,) over x (n,), or many random ones; shifts are those of the slope of y on x. With
    `blocks` (n,) only units of one block (the runs of one seed) are exchanged.

    Raises:
        ValueError: where x is the same for all units that could be exchanged.
    """
    x, y = numbers(x, "x"), numbers(y, "y")
    members = _members(len(x), blocks)
    x, y = (_centered(v, members) for v in (x, y))
    if not np.abs(x).max() > 0:
        raise ValueError("slope: x has only one value, so there is nothing to compare")
    total = prod(factorial(len(m)) for m in members)
    exact = total <= EXACT_UP_TO
    orders = _every_order(members) if exact else _random_orders(members, seed)
    change = x @ x - x[orders] @ x
    moves = change > NEGLIGIBLE * (x @ x)
    critical = (x @ y - y[orders] @ x)[moves] / change[moves]
    if exact:
        # each distinct arrangement comes once for every way to permute units of equal x, which moves nothing
        alike = len(orders) - int(moves.sum())
        return Flips(np.sort(critical)[::alike], total // alike, True)
    # draws that move nothing say nothing of a shift: others are repeated in their places
    return Flips(np.sort(np.resize(critical, DRAWS)), DRAWS + 1, False)


def slope(x: np.ndarray, y: np.ndarray, blocks: np.ndarray | None = None) -> float:
    """The least-squares slope of y on x, within blocks."""
    members = _members(len(x), blocks)
    x, y = (_centered(np.asarray(v, dtype=np.float64), members) for v in (x, y))
    return float(x @ y / (x @ x))


def _members(n: int, blocks: np.ndarray | None) -> list[np.ndarray]:
    """Rows of each block; one block of all n without blocks."""
    groups = np.zeros(n, dtype=int) if blocks is None else np.unique(blocks, return_inverse=True)[1]
    return [np.flatnonzero(groups == g) for g in range(int(groups.max()) + 1)]


def _centered(values: np.ndarray, members: list[np.ndarray]) -> np.ndarray:
    out = values.copy()
    for rows in members:
        out[rows] -= values[rows].mean()
    return out


def _every_order(members: list[np.ndarray]) -> np.ndarray:
    """All permutations of n units within their blocks, (total, n)."""
    orders = np.zeros((1, sum(map(len, members))), dtype=np.int64)
    for rows in members:
        within = np.array(list(permutations(rows)))
        orders = np.repeat(orders, len(within), axis=0)
        orders[:, rows] = np.tile(within, (len(orders) // len(within), 1))
    return orders


def _random_orders(members: list[np.ndarray], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    orders = np.zeros((DRAWS, sum(map(len, members))), dtype=np.int64)
    for rows in members:
        orders[:, rows] = rng.permuted(np.tile(rows, (DRAWS, 1)), axis=1)
    return orders
