"""The non-parametric estimate for runs with different evaluation grids (Turnbull 1976,
doi:10.1111/j.2517-6161.1976.tb01597.x)."""

import numpy as np

TOLERANCE = 1e-12
"""The log-likelihood per run is within this of its maximum (Lindsay's bound, from the gradient)."""
MOST = 50_000
"""Steps of the EM at most: it slows down where a cell's share goes to 0, and such shares are small by then."""


def turnbull(before: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maximum likelihood from half-open intervals ``(before, at]``, each (n,), `at` infinite where right-censored.

    Returns ``(cells (k, 2), shares (k,))``: the share of runs in each cell ``(start, end]``; where in its cell a share
    lies the data do not say. EM from equal shares. On one shared grid this is the Kaplan-Meier estimate on `at`.
    Closed intervals, as elsewhere, would let a run that was censored at a step have reached it there.
    """
    intervals, counts = np.unique(np.stack([before, at], axis=1), axis=0, return_counts=True)
    weights = counts / counts.sum()
    cells = _cells(intervals)
    inside = (intervals[:, :1] <= cells[:, 0]) & (cells[:, 1] <= intervals[:, 1:])
    shares = np.full(len(cells), 1 / len(cells))
    for _ in range(MOST):
        # Each run is dealt out over the cells it may lie in, by their present shares. A cell's gain is the gradient of
        # the log-likelihood, and none exceeds 1 at the maximum.
        gain = (weights / (inside @ shares)) @ inside
        shares = shares * gain
        if gain.max() - 1 < TOLERANCE:
            break
    return cells, shares / shares.sum()


def _cells(intervals: np.ndarray) -> np.ndarray:
    """The innermost intervals (k, 2): from a left end to the next end of any kind, where that is a right end. At equal
    values the right end comes first, for ``(., x]`` and ``(x, .]`` do not meet."""
    ends = np.unique(intervals)
    left, right = (np.isin(ends, side) for side in intervals.T)
    row = np.flatnonzero(left[:-1] & right[1:])
    return np.stack([ends[row], ends[row + 1]], axis=1)
