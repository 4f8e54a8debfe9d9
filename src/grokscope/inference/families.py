"""Correction of families of tests."""

from collections.abc import Sequence
from math import isfinite

import numpy as np


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values of one family (Holm 1979). Raises ValueError for a p that is missing or outside [0,
    1]."""
    if any(not (isinstance(p, float | int) and isfinite(p) and 0 <= p <= 1) for p in ps):
        raise ValueError(
            f"holm: every p must lie in [0, 1], got {list(ps)}; exclude tests without a p-value from the family"
        )
    # not by statsmodels' multipletests, which collects garbage first: half a second beside thousands of runs
    order = np.argsort(ps, kind="stable")
    steps = np.asarray(ps, dtype=np.float64)[order] * np.arange(len(ps), 0, -1)
    adjusted = np.empty(len(ps))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted.tolist()
