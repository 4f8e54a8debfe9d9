"""The dominant direction between environments, and how well the data determine it."""

from dataclasses import dataclass

import numpy as np

from grokscope.dissect.effects import interval
from grokscope.dissect.parts import balancing_weights
from grokscope.dissect.subspaces import class_means
from grokscope.results.steering import Reliability


@dataclass(frozen=True)
class Direction:
    """v (d,) of length 1, the share of the between-environment variance along it, the environment it points to, and
    how far the environments' means lie apart along it (root mean square, in the features' units)."""

    v: np.ndarray
    share: float
    towards: int
    spread: float


def dominant_direction(h: np.ndarray, z: np.ndarray, weights: np.ndarray | None = None) -> Direction:
    """First principal direction of the environment means (weighted by their shares), from h (n, d) and codes z (n,).

    Its sign is fixed on the environments it was fitted to: toward the one whose mean lies farthest out. Never look
    at an unseen environment to choose it.
    """
    means, shares, center = class_means(h, z, weights)
    offsets = means - center
    _, s, vt = np.linalg.svd(offsets * np.sqrt(shares)[:, None], full_matrices=False)
    if s[0] == 0:
        raise ValueError("all environments have the same mean features: there is no direction between them")
    along = offsets @ vt[0]
    towards = int(np.abs(along).argmax())
    return Direction(vt[0] * np.sign(along[towards]), float(s[0] ** 2 / (s**2).sum()), towards, float(s[0]))


def reliability(
    h: np.ndarray,
    z: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray | None,
    rng: np.random.Generator,
    halves: int,
    balance: bool = True,
) -> Reliability | None:
    """Split-half reliability of `dominant_direction`, halving whole groups within each environment where there are
    groups.

    Signs are ignored. None when some environment has fewer than two groups. In d dimensions noise alone gives about
    0.8 / sqrt(d). Halves of examples instead of groups would count a patient's peculiarity as the hospital's.
    """
    units = np.arange(len(z)) if groups is None else np.unique(groups, return_inverse=True)[1]
    home = np.zeros(units.max() + 1, dtype=np.int64)
    home[units] = z
    if np.bincount(home).min() < 2:
        return None
    cosines = []
    for _ in range(halves):
        first = _half(home, rng)[units]
        if min(len(np.unique(z[first])), len(np.unique(z[~first]))) < z.max() + 1:
            continue  # a half without some environment has no direction between all of them
        a, b = (
            dominant_direction(h[m], z[m], balancing_weights(z[m], y[m]) if balance else None).v
            for m in (first, ~first)
        )
        cosines.append(abs(float(a @ b)))
    if not cosines:
        return None
    r = _beyond_chance(np.array(cosines), h.shape[1])
    low, high = interval(np.array(cosines)) or (float("nan"), float("nan"))
    return Reliability(
        halves=len(cosines),
        mean=float(np.mean(cosines)),
        low=low,
        high=high,
        # Spearman and Brown: the direction of all the data is made of twice as much as that of a half.
        cosine_with_truth=float(np.sqrt(2 * r / (1 + r))),
        split_by="examples" if groups is None else "groups",
    )


def _half(home: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(units,) bool: every second unit of each environment, in random order."""
    # A draw in [0, 1) orders units within an environment only: ranks run through one environment after the other.
    rank = np.argsort(np.argsort(rng.random(len(home)) + home))
    return rank % 2 == 0


def _beyond_chance(cosines: np.ndarray, d: int) -> float:
    """Typical agreement of two halves, less what random directions in d dimensions would show: their squared cosine is
    1 / d in the mean. 0 where it is no more than that."""
    if d == 1:
        return 1.0  # there is only one direction
    return float(np.sqrt(max(0.0, (np.mean(np.square(cosines)) - 1 / d) / (1 - 1 / d))))
