"""Times of a milestone by run: an interval ``(before, at]`` of the run's own evaluation grid, or censored at `at`; and
their restriction to a common grid.

A run that is evaluated every 500 steps cannot have been seen to generalize at 1,150. Compared as they are, runs of a
fine and of a coarse grid differ by their grids alone (``benchmarks/mixed_grids.py`` counts how often an uncorrected
log-rank test then rejects equal distributions); on the evaluations that all of them had, they do not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from grokscope.results.milestones import Milestone
from grokscope.trajectory.milestones import Milestones, milestone


@dataclass(frozen=True, kw_only=True, eq=False)
class Times:
    """One milestone over n runs.

    `before`, `at` (n,) and `observed` (n,) bool: reached in ``(before, at]``, or, where not observed, not reached by
    `at`. `before` is -inf where it held at the first evaluation. `grids`: each run's evaluation steps; without them
    (None) two runs count as evaluated together wherever no interval says otherwise.
    """

    before: np.ndarray
    at: np.ndarray
    observed: np.ndarray
    grids: tuple[np.ndarray, ...] | None = None

    def __post_init__(self) -> None:
        _check(self.at, self.observed)
        # an interval without width holds the time alone: (at - tiny, at]
        object.__setattr__(self, "before", np.minimum(self.before, np.nextafter(self.at, -np.inf)))

    def __len__(self) -> int:
        return len(self.at)

    @property
    def events(self) -> int:
        return int(self.observed.sum())

    @property
    def budgets(self) -> list[float]:
        """The different last evaluations of the runs, ascending; those of censored runs alone where the grids are not
        known."""
        ends = [g[-1] for g in self.grids] if self.grids is not None else self.at[~self.observed]
        return sorted({float(end) for end in ends})

    @property
    def mixed(self) -> bool:
        """Whether some run's interval cuts another's: then their grids differ, and `at` alone misleads."""
        ends = np.unique(np.concatenate([self.before[self.observed], self.at]))
        inside = np.searchsorted(ends, self.at, "left") - np.searchsorted(ends, self.before, "right")
        return bool((inside[self.observed] > 0).any())

    def to_dict(self) -> dict[str, list[Any]]:
        before = [None if np.isinf(b) else float(b) for b in self.before]
        return {"before": before, "at": self.at.tolist(), "observed": self.observed.tolist()}


def exact_times(times: Iterable[float], observed: Iterable[bool]) -> Times:
    """Times (n,) that are known exactly, or whose runs were all evaluated together."""
    at, seen = np.asarray(list(times), dtype=np.float64), np.asarray(list(observed), dtype=bool)
    return Times(before=at.copy(), at=at, observed=seen)


def from_milestones(milestones: Iterable[Milestone], grids: Iterable[np.ndarray] | None = None) -> Times:
    """One milestone over runs, with each run's evaluation steps where they are known."""
    runs = list(milestones)
    return Times(
        before=np.array([-np.inf if m.previous is None else m.previous for m in runs], dtype=np.float64),
        at=np.array([m.at for m in runs], dtype=np.float64),
        observed=np.array([not m.censored for m in runs], dtype=bool),
        grids=None if grids is None else tuple(grids),
    )


def times_of(milestones: Iterable[Milestones], name: str = "T_gen") -> Times:
    """The milestone called `name` over runs."""
    runs = list(milestones)
    kind = "train" if name == "T_fit" else "held_out"
    return from_milestones([milestone(m, name) for m in runs], [m.grids[kind] for m in runs])


def delays_of(milestones: Iterable[Milestones]) -> tuple[Times, int]:
    """(delays, not_started) over runs: the time from the evaluation at which the fit was seen to T_gen.

    A run that never fitted has no delay that could have begun: it is counted in `not_started`, to be reported beside
    the curve. A delay is negative where held-out came first.
    """
    runs = list(milestones)
    begun = [m for m in runs if not m.T_fit.censored]
    gen = from_milestones([m.T_gen for m in begun]) if begun else _NONE
    fit = np.array([m.T_fit.at for m in begun], dtype=np.float64)
    grids = tuple(m.grids["held_out"] - m.T_fit.at for m in begun)
    delays = Times(before=gen.before - fit, at=gen.at - fit, observed=gen.observed, grids=grids) if begun else _NONE
    return delays, len(runs) - len(begun)


def pooled(parts: Sequence[Times]) -> Times:
    """All runs of several groups."""
    known = all(p.grids is not None for p in parts)
    return Times(
        before=np.concatenate([p.before for p in parts]),
        at=np.concatenate([p.at for p in parts]),
        observed=np.concatenate([p.observed for p in parts]),
        grids=tuple(chain.from_iterable(p.grids or () for p in parts)) if known else None,
    )


def uncut_steps(times: Times) -> np.ndarray:
    """Ends of intervals (k,) that lie inside no run's interval: on these it is known of every run whether it had
    reached the milestone. They depend on what happened, so they do for a band and not for a test."""
    ends = np.unique(np.concatenate([times.before[times.observed], times.at]))
    ends = ends[np.isfinite(ends)]
    inside = (times.before[:, None] < ends) & (ends < times.at[:, None]) & times.observed[:, None]
    return ends[~inside.any(axis=0)]


def shared_steps(grids: Sequence[np.ndarray]) -> np.ndarray:
    """The steps (k,) at which every run was evaluated that was still being trained: the coarsest common grid."""
    steps, counts = np.unique(np.concatenate([np.unique(g) for g in grids]), return_counts=True)
    lasts = np.sort([g[-1] for g in grids])
    # Of each step, the runs whose last evaluation is not before it: a run that has ended is not missed.
    training = len(lasts) - np.searchsorted(lasts, steps, "left")
    return steps[counts == training]


def coarsened(times: Times, steps: np.ndarray) -> Times:
    """What evaluations at `steps` (k >= 1,) alone would have seen: reached at the first of them from `at` on. A run
    that has none left is censored at the last one that it had passed without. One that ended before all of them is
    never at risk."""
    # A place before all steps stands for "at risk at none of them", one after all for "seen at none of them".
    never = np.nextafter(steps[0], -np.inf)
    padded = np.concatenate([[never], steps, [np.inf]])
    up = padded[np.maximum(np.searchsorted(padded, times.at, "left"), 1)]
    seen = times.observed & np.isfinite(up)
    passed = np.where(times.observed, times.before, times.at)
    down = padded[np.maximum(np.searchsorted(padded, passed, "right") - 1, 0)]
    row = np.searchsorted(padded, up, "left") - 1
    before = np.where(row > 0, padded[row], -np.inf)
    return Times(before=np.where(seen, before, -np.inf), at=np.where(seen, up, down), observed=seen)


def _check(at: np.ndarray, observed: np.ndarray) -> None:
    if at.shape != observed.shape:
        raise ValueError(f"{len(at):,} times but {len(observed):,} observed flags")
    if not np.isfinite(at).all():
        raise ValueError(f"times must be finite; a run that did not reach it has its last step, got {at}")


_NONE = Times(before=np.empty(0), at=np.empty(0), observed=np.empty(0, dtype=bool))
