"""Milestones over seeds: the share of runs that have not reached one by each time, its median, and their intervals.

The unit is the seed. A run that did not reach the milestone counts up to its last evaluation and is never dropped. A
milestone in ``(before, at]`` enters at `at`: on a coarse grid the curve lags by up to one evaluation.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from grokscope.trajectory.times import Times, coarsened, exact_times, uncut_steps
from grokscope.trajectory.turnbull import turnbull
from grokscope.vocabulary.text import percent, whole

FEW = 6
"""Below this many runs in a group no claim of significance is made."""
FLAT = 1e-9
"""A curve this close to one half lies on it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Survival:
    """Share of runs that have *not* reached the milestone by each time.

    `times` (k,) increasing, `survival` (k,) just after each, with a pointwise band `low`, `high` (k,): NaN where the
    log-log interval is not defined (before the first event and once none is left).
    """

    n: int
    events: int
    times: np.ndarray
    survival: np.ndarray
    low: np.ndarray
    high: np.ndarray
    confidence: float
    method: str
    """``Kaplan-Meier``, or ``Turnbull`` where the runs' evaluation grids differ."""
    median: float | None
    """Time by which half have reached it; the midpoint where half of them lie on either side (an even number of runs).
    None: not reached, so larger than `bound`."""
    bound: float
    """What the median is at least."""
    median_low: float | None
    median_high: float | None
    """Interval of the median from the band; None: open on that side. "The first time or later" leaves the median out
    with probability 2^-n, so below five runs no lower end has a confidence of 95 %, and none is given."""
    last: float
    """Latest time observed."""
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.events:,} of {self.n:,} reached it; median {self.median_text()}"

    def median_text(self) -> str:
        """``480 [440, 610]``, ``> 1,500 [900, open]``: the median with its interval, which is open where the runs bound
        no end; the median alone where they bound neither."""
        middle = f"> {whole(self.bound)}" if self.median is None else whole(self.median)
        if not self.has_interval:
            return middle
        low, high = ("open" if end is None else whole(end) for end in (self.median_low, self.median_high))
        return f"{middle} [{low}, {high}]"

    @property
    def has_interval(self) -> bool:
        """Whether the runs bound the median on a side."""
        return self.median_low is not None or self.median_high is not None

    def at(self, time: float) -> float:
        """Share not yet reached just after `time`."""
        row = int(np.searchsorted(self.times, time, side="right"))
        if row == 0:
            return 1.0
        return float(self.survival[row - 1])

    def to_dict(self) -> dict[str, Any]:
        plain = {k: v for k, v in vars(self).items() if not isinstance(v, np.ndarray)}
        arrays = {k: v for k, v in vars(self).items() if isinstance(v, np.ndarray)}
        return {**plain, **{k: [None if np.isnan(x) else float(x) for x in v] for k, v in arrays.items()}}


def km(times: Iterable[float], observed: Iterable[bool], *, confidence: float = 0.95) -> Survival:
    """`survival` of times (n,) that are known exactly or come from one shared grid; observed (n,): whether it was
    reached, else the time is the last evaluation."""
    return survival(exact_times(times, observed), confidence=confidence)


def survival(times: Times, *, confidence: float = 0.95) -> Survival:
    """Kaplan-Meier estimate (doi:10.1080/01621459.1958.10501452) with a log-log band; Turnbull's where the runs'
    intervals cut each other, with the band of what is known of all of them together.

    Misleads when runs were stopped *because* they looked hopeless or done (informative censoring), and beyond the
    shortest censored run rests on few.

    Raises:
        ValueError: no runs, unequal lengths, a time that is not finite, or a confidence outside (0, 1).
    """
    if not len(times):
        raise ValueError("no runs: survival needs at least one time")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    of_grids = _mixed_curve if times.mixed else _curve
    curve = of_grids(times, confidence)
    median, bound = _median(curve.times, curve.survival, float(times.at.max()))
    low, high = curve.median_interval
    # The band of different grids is that of fewer, common steps; the median, which is of all steps, may lie outside.
    if times.mixed and median is not None:
        low, high = None if low is None else min(low, median), None if high is None else max(high, median)
    # Open above, the interval is every time from `low` on. It misses the median where that lies below all runs, and of
    # few runs this happens more often than the confidence allows.
    if high is None and _below_all(len(times)) > 1 - confidence:
        low = None
    return Survival(
        n=len(times),
        events=times.events,
        times=curve.times,
        survival=curve.survival,
        low=curve.low,
        high=curve.high,
        confidence=confidence,
        method="Turnbull" if times.mixed else "Kaplan-Meier",
        median=median,
        bound=bound,
        median_low=low,
        median_high=high,
        last=float(times.at.max()),
        notes=_notes(times, confidence),
    )


@dataclass(frozen=True)
class _Curve:
    times: np.ndarray
    survival: np.ndarray
    low: np.ndarray
    high: np.ndarray
    median_interval: tuple[float | None, float | None]


def _curve(times: Times, confidence: float) -> _Curve:
    sf = stats.ecdf(censored_data(times)).sf
    low, high = _band(sf, confidence)
    at = np.asarray(sf.quantiles, dtype=np.float64)
    interval = _first(at, low <= 0.5), _first(at, high <= 0.5)
    return _Curve(at, np.asarray(sf.probabilities, dtype=np.float64), low, high, interval)


def _mixed_curve(times: Times, confidence: float) -> _Curve:
    """Turnbull's estimate. Its band is that of a Kaplan-Meier estimate on the steps at which every run's state is
    known; between two of them the curve lies between the upper end at the first and the lower end at the second."""
    cells, shares = turnbull(times.before, np.where(times.observed, times.at, np.inf))
    finite = np.isfinite(cells[:, 1])
    at, left = cells[finite, 1], np.clip(1 - np.cumsum(shares[finite]), 0.0, 1.0)
    steps = uncut_steps(times)
    if not len(steps):
        nothing = np.full(len(at), np.nan)
        return _Curve(at, left, nothing, nothing, (None, None))
    known = _curve(coarsened(times, steps), confidence)
    low = _looked_up(known.times, known.low, np.searchsorted(known.times, at, "left"))
    high = _looked_up(known.times, known.high, np.searchsorted(known.times, at, "right") - 1)
    # The band falls below one half at a common step: it may have done so at any step after the common one before.
    first, last = known.median_interval
    before = steps[steps < first] if first is not None else steps[:0]
    return _Curve(at, left, low, high, (float(before[-1]) if len(before) else None, last))


def _looked_up(times: np.ndarray, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    inside = (rows >= 0) & (rows < len(times))
    return np.where(inside, values[np.clip(rows, 0, len(times) - 1)], np.nan)


def _median(times: np.ndarray, left: np.ndarray, last: float) -> tuple[float | None, float]:
    """(median or None, what it is at least). A curve that runs along one half has its median in the middle of that
    stretch; where the stretch is still open at the last time, only a lower bound of it is known."""
    below = np.flatnonzero(left < 0.5 - FLAT)
    flat = np.flatnonzero(np.abs(left - 0.5) <= FLAT)
    if flat.size and not below.size:
        return None, float((times[flat[0]] + last) / 2)
    if not below.size:
        return None, last
    middle = (times[flat[0]] + times[below[0]]) / 2 if flat.size else times[below[0]]
    return float(middle), float(middle)


def _below_all(runs: int) -> float:
    """How often the median lies below the times of all runs."""
    return 0.5**runs


def censored_data(times: Times) -> stats.CensoredData:
    return stats.CensoredData(uncensored=times.at[times.observed], right=times.at[~times.observed])


def _band(sf: Any, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """scipy's log-log band. It warns as soon as S is 0 or 1 somewhere, as in every complete curve, and is NaN there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        ci = sf.confidence_interval(confidence, method="log-log")
    inside = (sf.probabilities > 0) & (sf.probabilities < 1)
    return np.where(inside, ci.low.probabilities, np.nan), np.where(inside, ci.high.probabilities, np.nan)


def _first(times: np.ndarray, holds: np.ndarray) -> float | None:
    if not holds.any():
        return None
    return float(times[np.argmax(holds)])


def _notes(times: Times, confidence: float) -> tuple[str, ...]:
    out = []
    if len(times) < FEW:
        out.append(f"{len(times):,} runs: too few for any claim of significance")
    if times.mixed:
        out.append("evaluated on different grids: Turnbull's estimate")
    if not times.events:
        bound = stats.binomtest(0, len(times)).proportion_ci(confidence).high
        out.append(
            f"none reached it by {whole(times.at.min())}: up to {percent(bound)} of such runs may do so by then "
            f"({percent(confidence)} interval)"
        )
    return tuple(out)
