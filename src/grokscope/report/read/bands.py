"""One curve for a group of runs: the median over seeds, with a labeled band."""

from collections.abc import Sequence
from dataclasses import dataclass
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
    finite = [(s[np.isfinite(v)], v[np.isfinite(v)]) for s, v in curves]
    finite = [(s, v) for s, v in finite if len(s)]
    if not finite:
        return None
    last = max(s[-1] for s, _ in finite)
    whole = [(s, v) for s, v in finite if s[-1] >= last]
    first = max(s[0] for s, _ in whole)
    grid = np.unique(np.concatenate([s for s, _ in whole]))
    grid = grid[grid >= first]
    values = np.array([np.interp(grid, s, v) for s, v in whole])
    low, high, kind = _interval(values)
    return Band(grid, np.median(values, axis=0), low, high, kind, len(whole), len(finite))


def column_band(readings: Sequence[Reading], column: str) -> Band | None:
    """Median and band of one column of the metrics over runs."""
    return values_band(
        [(r.subject.metrics["step"], v) for r in readings if (v := r.subject.metrics.get(column)) is not None]
    )


def values_band(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> Band | None:
    return group_band([(np.asarray(s, float), np.asarray(v, float)) for s, v in curves])


def _interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, Literal["none", "range", "interval"]]:
    """Band of (n, t) values, at each time by itself. The interval lies between two order statistics and covers the
    median of any distribution with at least 95 % (Thompson 1936, doi:10.1214/aoms/1177732502); six values are the
    fewest that can."""
    n = len(values)
    if n < SMALL:
        return values.min(axis=0), values.max(axis=0), "none" if n == 1 else "range"
    rank = interval_rank(n)
    ordered = np.sort(values, axis=0)
    return ordered[rank - 1], ordered[n - rank], "interval"


def interval_rank(n: int) -> int:
    """The largest k for which the k-th smallest and k-th largest of n values enclose the median with at least 95 %."""
    from scipy.stats import binom

    # P(k - 1 or fewer values lie below the median) must stay within 2.5 %: scipy's tail holds for any n
    return int(np.searchsorted(binom.cdf(np.arange(n), n, 0.5), 0.025, side="right"))
