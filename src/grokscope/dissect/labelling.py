"""Meaningless labelings of the environments: the null of everything that is fitted to the real one.

A control has to be built by the same procedure as what it controls. The real labeling is weighted so that environment
and class are independent; a permuted one gets weights of its own that do the same for it. With the real labeling's
weights a permuted one is associated with the class, what is fitted to it holds a piece of the task, and every real
effect looks small beside it.
"""

import numpy as np

from grokscope.dissect.parts import balancing_weights
from grokscope.dissect.sample import Sample
from grokscope.dissect.scoring import permutations
from grokscope.results.settings import Settings

Labelling = tuple[np.ndarray, np.ndarray | None]
"""Codes (n,), and the weights (n,) under which they are independent of the class."""

TRIES = 10
"""Times the wanted number of permutations that are drawn in search of those that can be balanced."""


def random_labels(sample: Sample, settings: Settings) -> list[Labelling]:
    """`settings.draws` permuted environments of the fit part.

    Permutations in which some environment lacks a class cannot be balanced, as the real labeling could; others take
    their place. Where too few others exist they are used without weights, which makes the control stricter.
    """
    z, y = sample.target("environment", "fit"), sample.target("task", "fit")
    strata, group, rng = sample.strata("environment", "fit"), sample.group("fit"), settings.rng("labels")
    if sample.weights["fit"] is None:
        return [(draw, None) for draw in permutations(rng, z, strata, group, settings.draws)[0]]
    balanced: list[Labelling] = []
    others: list[Labelling] = []
    for _ in range(TRIES):
        for draw in permutations(rng, z, strata, group, settings.draws)[0]:
            weights = balancing_weights(draw, y)
            (others if weights is None else balanced).append((draw, weights))
        if len(balanced) >= settings.draws:
            break
    return (balanced + others)[: settings.draws]
