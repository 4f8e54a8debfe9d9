"""Agreement of predictions with labels: balanced accuracy within strata, intervals over groups, and a permutation test.

Balanced within strata: for the environment, the recall of each environment among the examples of one class, averaged
over environments and then classes. A guess that knows only the class scores exactly chance, even where hospitals
differ in their share of tumors.

The test's own statistic is the excess of right guesses over what the strata alone predict, in units of the labels'
spread within strata. The balanced accuracy would not do: its noise grows with rare cells, which permuted labels fill
up.

Shapes: n examples, B permutations or resamples, U units, k targets, s strata.
"""

import math

import numpy as np

from grokscope.dissect.effects import interval
from grokscope.results.scores import Score


def balanced(guess: np.ndarray, target: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Balanced accuracy within strata: guess (n,), target (..., n), strata (n,) -> (...)."""
    k, s = int(max(target.max(), guess.max())) + 1, int(strata.max()) + 1
    lead, n = target.shape[:-1], target.shape[-1]
    rows = int(np.prod(lead)) if lead else 1
    cell = (strata * k + target.astype(np.int64)).reshape(rows, n)
    flat = (cell + np.arange(rows)[:, None] * (k * s)).ravel()
    right = (guess == target).reshape(rows, n).astype(np.float64).ravel()
    size = np.bincount(flat, minlength=rows * k * s).reshape(rows, s, k)
    hits = np.bincount(flat, right, minlength=rows * k * s).reshape(rows, s, k)
    return recall_mean(hits, size).reshape(lead)


def recall_mean(hits: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(..., s, k) hits and sizes of cells -> (...): recalls averaged over the targets present, then over the strata
    that hold two or more of them; NaN when none does."""
    present = size > 0
    number = present.sum(axis=-1)
    recall = np.where(present, hits / np.where(present, size, 1), 0).sum(axis=-1) / np.maximum(number, 1)
    usable = number >= 2
    count = usable.sum(axis=-1)
    return np.where(count > 0, np.where(usable, recall, 0).sum(axis=-1) / np.maximum(count, 1), np.nan)


def excess(guess: np.ndarray, target: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Right guesses beyond those expected from each stratum's own shares of targets, divided by the root of the
    targets' sum of squares within strata: guess (n,), target (..., n), strata (n,) -> (...)."""
    k, s = int(max(target.max(), guess.max())) + 1, int(strata.max()) + 1
    lead, n = target.shape[:-1], target.shape[-1]
    rows = int(np.prod(lead)) if lead else 1
    flat = ((strata * k + target.astype(np.int64)).reshape(rows, n) + np.arange(rows)[:, None] * (k * s)).ravel()
    size = np.bincount(flat, minlength=rows * k * s).reshape(rows, s, k)
    guessed = np.bincount(strata * k + guess, minlength=k * s).reshape(s, k)
    per = np.maximum(size.sum(axis=2, keepdims=True), 1)
    right = (guess == target).reshape(rows, n).sum(axis=1) - (guessed * size / per).sum(axis=(1, 2))
    spread = (size - size**2 / per).sum(axis=(1, 2))
    return (right / np.sqrt(np.maximum(spread, 1e-300))).reshape(lead)


def chance_level(target: np.ndarray, strata: np.ndarray) -> float:
    """Expected `balanced` of guesses that are independent of the target."""
    number = np.array([len(np.unique(target[strata == s])) for s in np.unique(strata)])
    number = number[number >= 2]
    if not len(number):
        return float("nan")
    return float((1 / number).mean())


def permutations(
    rng: np.random.Generator,
    target: np.ndarray,
    strata: np.ndarray,
    groups: np.ndarray | None,
    count: int,
    named: bool = True,
) -> tuple[np.ndarray, str, float]:
    """Permuted targets (B, n), how they were permuted, and the smallest p that so many distinct ones allow.

    Where every group has one target (a patient lies in one hospital), targets move between whole groups, as independent
    units; where targets vary inside groups they move within each group; without groups, within each stratum. `named`:
    see `log_distinct`.
    """
    smallest = max(1 / (1 + count), math.exp(-log_ways(target, strata, groups, named)))
    if groups is None:
        return _within(rng, target, strata, count), "examples", smallest
    home = homes(target, groups)
    if home is None:
        return _within(rng, target, groups, count), "within groups", smallest
    first, units = home
    order = rng.random((count, len(first))).argsort(axis=1)
    return first[order][:, units], "groups", smallest


def log_ways(target: np.ndarray, strata: np.ndarray, groups: np.ndarray | None, named: bool) -> float:
    """log of the number of different ways in which `permutations` can deal these targets."""
    if groups is None:
        return log_distinct(_counts(strata, target), named)
    home = homes(target, groups)
    return log_distinct(_counts(groups, target) if home is None else np.bincount(home[0])[None], named)


def homes(target: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(the target of each unit (U,), the unit of each example (n,)) where every group has one target, else None."""
    units = np.unique(groups, return_inverse=True)[1]
    first = np.zeros(units.max() + 1, dtype=np.int16)
    first[units] = target
    if not (first[units] == target).all():
        return None
    return (first, units)


def _within(rng: np.random.Generator, target: np.ndarray, block: np.ndarray, count: int) -> np.ndarray:
    order = np.argsort(block, kind="stable")
    ordered = block[order]
    shuffled = np.argsort(rng.random((count, len(target))) + ordered, axis=1)
    draws = np.empty((count, len(target)), dtype=np.int16)
    draws[:, order] = target[order][shuffled]
    return draws


def _counts(block: np.ndarray, target: np.ndarray) -> np.ndarray:
    """How many of each target lie in each block: (b, k)."""
    rows = np.unique(block, return_inverse=True)[1]
    table = np.zeros((int(rows.max()) + 1, int(target.max()) + 1), dtype=np.int64)
    np.add.at(table, (rows, target), 1)
    return table


def log_distinct(table: np.ndarray, named: bool) -> float:
    """log of the number of different ways to deal targets within blocks, from their counts (b, k).

    Not `named`: a statistic that is the same whatever the targets are called cannot tell labelings apart in which
    targets of the same counts have exchanged their names. Two hospitals of three patients each can be dealt in 20
    ways, but only 10 of them differ, and no p is below .1.
    """
    ways = sum(_log_multinomial(row) for row in table)
    if named:
        return ways
    columns, alike = np.unique(table, axis=1, return_counts=True)
    return ways - sum(math.lgamma(n + 1) for n in alike[columns.any(axis=0)])


def _log_multinomial(counts: np.ndarray) -> float:
    """log of the number of distinct arrangements of so many things of each kind."""
    return math.lgamma(counts.sum() + 1) - sum(math.lgamma(c + 1) for c in counts)


def score(
    guesses: np.ndarray,
    target: np.ndarray,
    strata: np.ndarray,
    groups: np.ndarray | None,
    rng: np.random.Generator,
    count: int,
    resamples: int,
) -> tuple[Score, int]:
    """The best of several sets of guesses (g, n), and which it is.

    The p-value is that of the largest statistic over the sets, so having chosen the best one costs nothing in validity.
    """
    observed = np.array([float(balanced(g, target, strata)) for g in guesses])
    best = int(np.nanargmax(observed)) if np.isfinite(observed).any() else 0
    draws, permuted, smallest = permutations(rng, target, strata, groups, count)
    top = max(float(excess(g, target, strata)) for g in guesses)
    # a few rows at a time: all permutations at once would fill the memory on large test parts
    rows = range(0, count, max(1, 4_000_000 // len(target)))
    highest = np.concatenate(
        [np.max([excess(g, draws[i : i + rows.step], strata) for g in guesses], axis=0) for i in rows]
    )
    p = (1 + int((highest >= top - 1e-12).sum())) / (1 + count)
    units = np.arange(len(target)) if groups is None else np.unique(groups, return_inverse=True)[1]
    right = int((guesses[best] == target).sum())
    record = Score(
        accuracy=right / len(target),
        correct=right,
        n=len(target),
        balanced=float(observed[best]),
        interval=balanced_interval(guesses[best], target, strata, units, rng, resamples),
        chance=chance_level(target, strata),
        p=max(p, smallest) if np.isfinite(observed[best]) else float("nan"),
        constant=len(np.unique(guesses[best])) == 1,
        fewest_units=fewest_units(target, units),
        sidedness="greater",
        smallest_p=smallest,
        permuted=permuted,
        n_units=int(units.max()) + 1,
    )
    return record, best


def fewest_units(target: np.ndarray, units: np.ndarray) -> int:
    """Number of units (n,) in which the rarest target (n,) occurs."""
    return min(len(np.unique(units[target == value])) for value in np.unique(target))


def balanced_interval(
    guess: np.ndarray,
    target: np.ndarray,
    strata: np.ndarray,
    units: np.ndarray,
    rng: np.random.Generator,
    resamples: int,
) -> tuple[float, float] | None:
    """Percentile bootstrap of `balanced` over units, (n,) codes; a resample that lost a cell goes without it."""
    count = int(units.max()) + 1
    if count < 2:
        return None
    k, s = int(target.max()) + 1, int(strata.max()) + 1
    place = units * (s * k) + strata * k + target
    size = np.bincount(place, minlength=count * s * k).reshape(count, s * k)
    hits = np.bincount(place, (guess == target).astype(float), minlength=count * s * k).reshape(count, s * k)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(float)
    return interval(recall_mean((drawn @ hits).reshape(-1, s, k), (drawn @ size).reshape(-1, s, k)))
