"""How well guesses agree with labels: balanced accuracy within strata, its interval over groups, and a permutation
test.

Balanced within strata: for the environment, the recall of each environment among the examples of one class, averaged
over environments and then classes. A guess that knows only the class scores exactly chance, even where hospitals
differ in their share of tumors.

The test's own statistic is the excess of right guesses over what the strata alone predict, in units of the labels'
spread within strata. The balanced accuracy would not do: its noise grows with rare cells, which permuted labels fill
up.

Shapes: n examples, B permutations or resamples, U units, k targets, s strata.
"""

from math import lgamma

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
    return float((1 / number).mean()) if len(number) else float("nan")


def permutations(
    rng: np.random.Generator, target: np.ndarray, strata: np.ndarray, groups: np.ndarray | None, count: int
) -> tuple[np.ndarray, str, float]:
    """Permuted targets (B, n), how they were permuted, and the smallest p that so many distinct ones allow.

    Where every group has one target (a patient lies in one hospital), targets move between whole groups, as independent
    units; where targets vary inside groups they move within each group; without groups, within each stratum.
    """
    if groups is None:
        draws, log_count = _within(rng, target, strata, count)
        return draws, "examples", _smallest(count, log_count)
    units = np.unique(groups, return_inverse=True)[1]
    first = np.zeros(units.max() + 1, dtype=np.int16)
    first[units] = target
    if (first[units] == target).all():
        order = rng.random((count, len(first))).argsort(axis=1)
        return first[order][:, units], "groups", _smallest(count, _log_multinomial(np.bincount(first)))
    draws, log_count = _within(rng, target, units, count)
    return draws, "within groups", _smallest(count, log_count)


def _within(rng: np.random.Generator, target: np.ndarray, block: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    order = np.argsort(block, kind="stable")
    ordered = block[order]
    shuffled = np.argsort(rng.random((count, len(target))) + ordered, axis=1)
    draws = np.empty((count, len(target)), dtype=np.int16)
    draws[:, order] = target[order][shuffled]
    return draws, sum(_log_multinomial(np.bincount(target[block == b])) for b in np.unique(block))


def _log_multinomial(counts: np.ndarray) -> float:
    """log of the number of distinct arrangements of so many things of each kind."""
    return lgamma(counts.sum() + 1) - sum(lgamma(c + 1) for c in counts)


def _smallest(count: int, log_distinct: float) -> float:
    return float(max(1 / (1 + count), np.exp(-log_distinct)))


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
