"""Correction of families of tests."""

from collections.abc import Sequence
from math import isfinite
from typing import Any


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values of one family (Holm 1979). Raises ValueError for a p that is missing or outside [0,
    1]."""
    from statsmodels.stats.multitest import multipletests

    if any(not (isinstance(p, float | int) and isfinite(p) and 0 <= p <= 1) for p in ps):
        raise ValueError(
            f"holm: every p must lie in [0, 1], got {list(ps)}; exclude tests without a p-value from the family"
        )
    adjusted: Any = multipletests(list(ps), method="holm")[1] if ps else []
    return [float(p) for p in adjusted]
