"""Orders of which every prefix is a usable training set, so that subsets of growing size are nested."""

import numpy as np


def nested_order(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All indices (n,) int64, in an order of which every prefix is stratified.

    `strata` (n,) holds one integer per example (its class, or its environment x class cell). Each stratum is shuffled
    and its j-th member (from 0) of n_c gets the key (j + 1/2) / n_c; sorting by the key is the Sainte-Laguë divisor
    method, which unlike largest remainders never takes back an example when the subset grows. A prefix of length m
    holds very nearly m n_c / n members of each stratum; where equal keys meet, their order is random.
    """
    key = np.empty(len(strata))
    for members in (np.flatnonzero(strata == s) for s in np.unique(strata)):
        key[rng.permutation(members)] = (np.arange(len(members)) + 0.5) / len(members)
    return np.lexsort((rng.permutation(len(strata)), key)).astype(np.int64)
