"""Milestones over seeds: Kaplan-Meier curves with right censoring, and the log-rank test between groups.

The unit is the seed. A run that did not reach the milestone counts up to its last evaluation and is never dropped. A
milestone in ``(previous, at]`` enters at `at`: on a coarse grid the curve lags by up to one evaluation.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from scipy import stats

from grokscope.trajectory.milestones import Milestone, Milestones, milestone

FEW = 6
"""Below this many runs in a group no claim of significance is made."""

EXACT_UP_TO = 20_000
"""Up to this many relabellings the permutation test visits all; beyond, it draws as many."""


@dataclass(frozen=True, kw_only=True, eq=False)
class KaplanMeier:
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
    median: float | None
    """First time by which half have reached it; None: not reached."""
    median_low: float | None
    median_high: float | None
    """Interval of the median from the band; None: open on that side."""
    last: float
    """Latest time observed."""
    notes: tuple[str, ...]

    def __str__(self) -> str:
        middle = f"median not reached by {self.last:g}" if self.median is None else f"median {self.median:g}"
        low = "?" if self.median_low is None else f"{self.median_low:g}"
        high = "open" if self.median_high is None else f"{self.median_high:g}"
        return f"{self.events} of {self.n} reached it; {middle} [{low}, {high}]"

    def at(self, time: float) -> float:
        """Share not yet reached just after `time`."""
        row = int(np.searchsorted(self.times, time, side="right"))
        return float(self.survival[row - 1]) if row else 1.0

    def to_dict(self) -> dict[str, Any]:
        plain = {k: v for k, v in vars(self).items() if not isinstance(v, np.ndarray)}
        arrays = {k: v for k, v in vars(self).items() if isinstance(v, np.ndarray)}
        return {**plain, **{k: [None if np.isnan(x) else float(x) for x in v] for k, v in arrays.items()}}


def km(times: Iterable[float], observed: Iterable[bool], *, confidence: float = 0.95) -> KaplanMeier:
    """Kaplan-Meier estimate (doi:10.1080/01621459.1958.10501452) with a log-log band.

    times (n,): milestone, or last evaluation where it was not reached; observed (n,): whether it was. Misleads when
    runs were stopped *because* they looked hopeless or done (informative censoring), and beyond the shortest censored
    run rests on few.

    Raises:
        ValueError: no runs, unequal lengths, a time that is not finite, or a confidence outside (0, 1).
    """
    time, seen = _checked(times, observed)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    sf = stats.ecdf(_censored(time, seen)).sf
    survival = np.asarray(sf.probabilities, dtype=np.float64)
    low, high = _band(sf, confidence)
    return KaplanMeier(
        n=len(time),
        events=int(seen.sum()),
        times=np.asarray(sf.quantiles, dtype=np.float64),
        survival=survival,
        low=low,
        high=high,
        confidence=confidence,
        median=_first(sf.quantiles, survival <= 0.5),
        median_low=_first(sf.quantiles, low <= 0.5),
        median_high=_first(sf.quantiles, high <= 0.5),
        last=float(time.max()),
        notes=_notes(time, seen, confidence),
    )


def from_milestones(found: Iterable[Milestone]) -> tuple[np.ndarray, np.ndarray]:
    """(times, observed) of one milestone over runs, for `km` and `logrank`."""
    runs = list(found)
    return np.array([m.at for m in runs], dtype=np.float64), np.array([not m.censored for m in runs], dtype=bool)


def times_of(found: Iterable[Milestones], name: str = "T_gen") -> tuple[np.ndarray, np.ndarray]:
    """(times, observed) of the milestone called `name` over runs."""
    return from_milestones(milestone(m, name) for m in found)


def delays_of(found: Iterable[Milestones]) -> tuple[np.ndarray, np.ndarray, int]:
    """(delays, observed, not_started) over runs. A run that never fitted has no delay that could have begun: it is
    counted in `not_started`, to be reported beside the curve. A delay is negative where held-out came first."""
    runs = list(found)
    spans = [m.delay for m in runs if m.delay is not None]
    delays = np.array([s.value for s in spans], dtype=np.float64)
    return delays, np.array([not s.censored for s in spans], dtype=bool), len(runs) - len(spans)


@dataclass(frozen=True, kw_only=True)
class LogRank:
    """Two-sided comparison of two groups of runs. p-values are None where nothing can be told; `reason` then says
    why."""

    n: tuple[int, int]
    events: tuple[int, int]
    statistic: float | None = None
    """Standardized; positive if the first group reaches the milestone earlier."""
    p: float | None = None
    """Exact (or, for many runs, drawn) permutation p of the log-rank statistic: the one to quote for few seeds."""
    p_asymptotic: float | None = None
    """From the normal approximation (`scipy.stats.logrank`); can be smaller than any exact p attainable with so few
    runs."""
    smallest_p: float | None = None
    """The smallest two-sided p that these group sizes allow."""
    reason: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def logrank(
    a: tuple[Sequence[float] | np.ndarray, Sequence[bool] | np.ndarray],
    b: tuple[Sequence[float] | np.ndarray, Sequence[bool] | np.ndarray],
    *,
    seed: int = 0,
) -> LogRank:
    """Log-rank test (Mantel 1966) between two groups, each (times, observed).

    "Cannot tell" (p None) when a group has fewer than two runs or nobody reached the milestone. A group without
    events beside one with some is comparable, and a note says that its median is unknown. Loses power when the curves
    cross; assumes that censoring does not depend on the group's outcome (unequal budgets are fine, hand-picked stops
    are not).
    """
    (ta, oa), (tb, ob) = _checked(*a), _checked(*b)
    n, hits = (len(ta), len(tb)), (int(oa.sum()), int(ob.sum()))
    if min(n) < 2:
        return LogRank(
            n=n, events=hits, reason=f"cannot tell: groups of {n[0]} and {n[1]} runs, at least 2 each are needed"
        )
    if sum(hits) == 0:
        return LogRank(n=n, events=hits, reason="cannot tell: no run of either group reached the milestone")
    time, seen = np.concatenate([ta, tb]), np.concatenate([oa, ob])
    if not _comparable(ta, tb, time, seen):
        reason = "cannot tell: at no event were runs of both groups still waiting, with some of them to wait on"
        return LogRank(n=n, events=hits, reason=reason)
    result = stats.logrank(_censored(ta, oa), _censored(tb, ob))
    return LogRank(
        n=n,
        events=hits,
        statistic=float(result.statistic),
        p=_permutation_p(_scores(time, seen), n[0], seed),
        p_asymptotic=float(result.pvalue),
        smallest_p=min(1.0, 2 / comb(sum(n), n[0])),
        notes=_group_notes(n, hits),
    )


def _checked(times: Iterable[float], observed: Iterable[bool]) -> tuple[np.ndarray, np.ndarray]:
    time = np.asarray(list(times), dtype=np.float64)
    seen = np.asarray(list(observed), dtype=bool)
    if time.shape != seen.shape:
        raise ValueError(f"{len(time)} times but {len(seen)} observed flags")
    if not len(time):
        raise ValueError("no runs: survival needs at least one time")
    if not np.isfinite(time).all():
        raise ValueError(f"times must be finite; a run that did not reach it has its last step, got {time}")
    return time, seen


def _censored(time: np.ndarray, seen: np.ndarray) -> stats.CensoredData:
    return stats.CensoredData(uncensored=time[seen], right=time[~seen])


def _band(sf: Any, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """scipy's log-log band. It warns as soon as S is 0 or 1 somewhere, as in every complete curve, and is NaN there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        ci = sf.confidence_interval(confidence, method="log-log")
    inside = (sf.probabilities > 0) & (sf.probabilities < 1)
    return np.where(inside, ci.low.probabilities, np.nan), np.where(inside, ci.high.probabilities, np.nan)


def _first(times: np.ndarray, holds: np.ndarray) -> float | None:
    return float(times[np.argmax(holds)]) if holds.any() else None


def _notes(time: np.ndarray, seen: np.ndarray, confidence: float) -> tuple[str, ...]:
    out = []
    if len(time) < FEW:
        out.append(f"{len(time)} runs: too few for any claim of significance")
    if not seen.any():
        bound = stats.binomtest(0, len(time)).proportion_ci(confidence).high
        out.append(
            f"none reached it by {time.min():g}: up to {bound:.0%} of such runs may do so by then "
            f"({confidence:.0%} interval)"
        )
    return tuple(out)


def _group_notes(n: tuple[int, int], hits: tuple[int, int]) -> tuple[str, ...]:
    out = [f"{min(n)} runs in a group: too few for any claim of significance"] if min(n) < FEW else []
    if 0 in hits:
        out.append("one group has no events: its median is unknown, only that it is later")
    return tuple(out)


def _comparable(ta: np.ndarray, tb: np.ndarray, time: np.ndarray, seen: np.ndarray) -> bool:
    """Whether some event had runs of both groups at risk and not all of them at once: otherwise its variance is 0."""
    both = (time <= min(ta.max(), tb.max())) & seen
    return any((time >= t).sum() > ((time == t) & seen).sum() for t in np.unique(time[both]))


def _scores(time: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Log-rank scores (n,): event minus Nelson-Aalen hazard up to the run's time. Their sum over a group is observed
    minus expected events, so permuting group labels needs nothing else."""
    moments = np.unique(time[seen])
    risk = (time[None, :] >= moments[:, None]).sum(axis=1)
    deaths = ((time[None, :] == moments[:, None]) & seen[None, :]).sum(axis=1)
    hazard = np.concatenate([[0.0], np.cumsum(deaths / risk)])
    return seen - hazard[np.searchsorted(moments, time, side="right")]


def _permutation_p(scores: np.ndarray, first: int, seed: int) -> float:
    def total(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.round(x.sum(axis=axis), 9)  # null mean 0, as all scores add up to 0; rounded so that ties are ties

    result = stats.permutation_test(
        (scores[:first], scores[first:]),
        total,
        vectorized=True,
        n_resamples=EXACT_UP_TO,
        rng=np.random.default_rng(seed),
    )
    return float(min(result.pvalue, 1.0))
