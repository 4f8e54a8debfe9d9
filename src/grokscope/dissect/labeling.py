"""Permuted labelings of the environments: the null distribution for everything fitted to the real labeling.

A control has to be built by the same procedure as what it controls. The real labeling is weighted so that environment
and class are independent; a permuted one gets weights of its own that do the same for it. With the real labeling's
weights a permuted one is associated with the class, what is fitted to it holds a piece of the task, and every real
effect looks small beside it.
"""

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from grokscope.dissect.parts import balancing_weights
from grokscope.dissect.sample import Sample
from grokscope.dissect.scoring import homes, log_distinct, log_ways, permutations
from grokscope.results.settings import Settings

Labeling = tuple[np.ndarray, np.ndarray | None]
"""Codes (n,), and the weights (n,) under which they are independent of the class."""

TRIES = 10
"""Times the wanted number of permutations that are drawn in search of those that can be balanced."""


def random_labels(sample: Sample, settings: Settings) -> list[Labeling]:
    """`settings.draws` permuted environments of the fit part.

    Permutations in which some environment lacks a class cannot be balanced, as the real labeling could; others take
    their place. Where too few others exist they are used without weights, which makes the control stricter.
    """
    z, y = sample.target("environment", "fit"), sample.target("task", "fit")
    strata, group, rng = sample.strata("environment", "fit"), sample.group("fit"), settings.rng("labels")
    if sample.weights["fit"] is None:
        return [(draw, None) for draw in permutations(rng, z, strata, group, settings.draws)[0]]
    balanced: list[Labeling] = []
    others: list[Labeling] = []
    for _ in range(TRIES):
        for draw in permutations(rng, z, strata, group, settings.draws)[0]:
            weights = balancing_weights(draw, y)
            (others if weights is None else balanced).append((draw, weights))
        if len(balanced) >= settings.draws:
            break
    return (balanced + others)[: settings.draws]


def exchanged(sample: Sample, settings: Settings) -> list[Labeling]:
    """Environments of the fit part dealt anew, for a test that is exact: every labeling here was as likely as the real
    one if the environments do not matter.

    Where whole groups can be dealt in no more ways than `settings.draws` and the real one, all others are here once;
    else as many random ones, the real one among them now and then. Of labelings that differ in the names of equal
    environments alone there is one. A labeling that cannot be balanced, as the real one could, is left out: which can
    be depends on the classes of the groups, not on the real labeling, so those that are left stay equally likely.
    """
    z, y, group = sample.target("environment", "fit"), sample.target("task", "fit"), sample.group("fit")
    home = None if group is None else homes(z, group)
    if home is None or log_distinct(np.bincount(home[0])[None], named=False) > math.log(settings.draws + 1.5):
        labelings = random_labels(sample, settings)
    else:
        dealt = [other[home[1]] for other in other_partitions(home[0])]
        weighted = sample.weights["fit"] is not None
        labelings = [(draw, balancing_weights(draw, y) if weighted else None) for draw in dealt]
    if sample.weights["fit"] is None:
        return labelings
    return [(draw, weights) for draw, weights in labelings if weights is not None]


def smallest_p(sample: Sample) -> float:
    """Below this no p can be that compares the fit part's environments with others dealt to the same units: one in as
    many as there are different ways to deal them."""
    z, strata = sample.target("environment", "fit"), sample.strata("environment", "fit")
    return math.exp(-log_ways(z, strata, sample.group("fit"), named=False))


def units_needed(environments: int, alpha: float) -> int:
    """Units of each environment from which on a p of alpha can be reached, were all environments of one size."""
    return next(n for n in range(1, 99) if log_distinct(np.full((1, environments), n), False) >= -math.log(alpha))


def other_partitions(home: np.ndarray) -> Iterator[np.ndarray]:
    """Every way to deal units into environments of the sizes of home (U,), codes (U,), but home itself; of those that
    differ in the names of environments of one size only the first."""
    sizes = np.bincount(home)
    first = np.array([np.argmax(home == e) for e in range(len(sizes))])
    order = np.lexsort((first, sizes))
    real = tuple(tuple(np.flatnonzero(home == e).tolist()) for e in order)
    for sets in _partitions(tuple(range(len(home))), tuple(sizes[order].tolist())):
        if sets == real:
            continue
        codes = np.empty_like(home)
        for e, members in zip(order, sets, strict=True):
            codes[list(members)] = e
        yield codes


def _partitions(units: tuple[int, ...], sizes: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Sets of the wanted sizes, which rise; sets of one size follow each other by their smallest member."""
    if len(sizes) == 1:
        yield (units,)
        return
    for first in combinations(units, sizes[0]):
        rest = tuple(u for u in units if u not in first)
        for others in _partitions(rest, sizes[1:]):
            if sizes[0] < sizes[1] or first[:1] < others[0][:1]:
                yield (first, *others)
