"""One curve for a group of runs: the median over seeds, with a labeled band."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from grokscope.report.read.judged_run import Reading

SMALL = 6
"""Below this many runs the band is their range: no interval between two of fewer values covers the median with 95 %."""


@dataclass(frozen=True)
class Band:
    """Median of n curves at `step` (t,), with `low` and `high`; kind ``none`` for a single run."""

    step: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray
    kind: Literal["none", "range", "interval"]
    n: int
    total: int
    """Runs with a curve; n of them reached the last step and are in the median."""

    @property
    def words(self) -> str:
        """What band and median are, for a caption."""
        if self.kind == "none":
            return "one run"
        whole = self.n == self.total
        part = f"{self.n:,} runs" if whole else f"the {self.n:,} of {self.total:,} runs that reached the last step"
        band = "smallest to largest" if self.kind == "range" else "95 % interval of the median"
        return f"median of {part}; band: {band}"


def group_band(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> Band | None:
    """Median and band of (steps, values) curves, on the union of their steps.

    Only curves that reach the group's last step take part: letting runs leave on the way would bend the median where
    they left. Between its own steps a curve is read off by linear interpolation. None when no curve has a finite value.
    """
    alike = _on_one_grid(curves)
    if alike is not None:
        grid, values = alike
        return _band(grid, values, len(values))
    finite = [(s[np.isfinite(v)], v[np.isfinite(v)]) for s, v in curves]
    finite = [(s, v) for s, v in finite if len(s)]
    if not finite:
        return None
    last = max(s[-1] for s, _ in finite)
    whole = [(s, v) for s, v in finite if s[-1] >= last]
    first = max(s[0] for s, _ in whole)
    grid = np.unique(np.concatenate([s for s, _ in whole]))
    grid = grid[grid >= first]
    return _band(grid, np.array([np.interp(grid, s, v) for s, v in whole]), len(finite))


def _on_one_grid(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray] | None:
    """(steps (t,), values (n, t)) of curves with finite values at the same steps, as the runs of a study have; None
    where two differ."""
    if not curves:
        return None
    first = curves[0][0]
    if not all(s is first or np.array_equal(s, first) for s, _ in curves):
        return None
    values = np.array([v for _, v in curves])
    finite = np.isfinite(values)
    there = finite[0]
    if not there.any() or not (finite == there).all():
        return None
    return first[there], values[:, there]


def _band(grid: np.ndarray, values: np.ndarray, total: int) -> Band:
    """Median and band of (n, t) values at the steps (t,)."""
    ordered = np.sort(values.T, axis=1).T
    low, high, kind = _interval(ordered)
    n = len(ordered)
    median = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2  # np.median would sort once more
    return Band(grid, median, low.copy(), high.copy(), kind, n, total)  # copies, so that the curves themselves can go


def column_band(readings: Sequence[Reading], column: str) -> Band | None:
    """Median and band of one column of the metrics over runs."""
    return values_band(
        [(r.subject.metrics["step"], v) for r in readings if (v := r.subject.metrics.get(column)) is not None]
    )


def values_band(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> Band | None:
    return group_band([(np.asarray(s, float), np.asarray(v, float)) for s, v in curves])


def _interval(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray, Literal["none", "range", "interval"]]:
    """Band of (n, t) values in increasing order, at each time by itself. The interval lies between two order
    statistics and covers the median of any distribution with at least 95 % (Thompson 1936,
    doi:10.1214/aoms/1177732502); six values are the fewest that can."""
    n = len(ordered)
    if n < SMALL:
        return ordered[0], ordered[-1], "none" if n == 1 else "range"
    rank = interval_rank(n)
    return ordered[rank - 1], ordered[n - rank], "interval"


@cache
def interval_rank(n: int) -> int:
    """The largest k for which the k-th smallest and k-th largest of n values enclose the median with at least 95 %."""
    from scipy.stats import binom

    # P(k - 1 or fewer values lie below the median) must stay within 2.5 %: scipy's tail holds for any n
    return int(np.searchsorted(binom.cdf(np.arange(n), n, 0.5), 0.025, side="right"))
