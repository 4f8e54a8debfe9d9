"""One event on a trajectory, and the code shared by the event detectors."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from grokscope.trajectory.series import Trajectory

EventKind = Literal["loss spike", "slingshot", "norm collapse", "transition"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened in ``(start, end]``, most of all at the evaluation `at`."""

    kind: EventKind
    start: float
    at: float
    end: float
    split: str | None = None
    """For a transition."""
    numbers: dict[str, float] = field(default_factory=dict)
    """Its size, by name; the docstring of the function that finds it says which."""
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "numbers": {k: v if np.isfinite(v) else None for k, v in self.numbers.items()}}


def logged(trajectory: Trajectory, values: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """(step, value) at the rows where `values` was logged; empty for None."""
    if values is None:
        return np.empty(0), np.empty(0)
    keep = ~np.isnan(values)
    return trajectory.step[keep], values[keep]


def norm_change(trajectory: Trajectory, before: float, after: float) -> float | None:
    """Relative change of the total norm between its evaluations nearest outside [before, after]; None if not logged
    there."""
    step, norm = logged(trajectory, trajectory.norm)
    i, j = np.searchsorted(step, before, side="right") - 1, np.searchsorted(step, after)
    if i < 0 or j >= len(step) or norm[i] == 0:
        return None
    return float(norm[j] / norm[i] - 1)


def trailing_median(values: np.ndarray, window: int) -> np.ndarray:
    """Median of the `window` values before each (t,) -> (t,); inf, which nothing exceeds, where fewer than half
    precede."""
    out = np.full(len(values), np.inf)
    first, full = (window + 1) // 2, min(window, len(values))
    if full > first:
        out[first:full] = middles(beginnings(values, first, full), np.arange(first, full))
    if len(values) > window:
        out[window:] = medians(np.lib.stride_tricks.sliding_window_view(values[:-1], window))
    return out


def beginnings(values: np.ndarray, first: int, stop: int) -> np.ndarray:
    """(stop - first, stop - 1): in row i the first + i values that come first, and inf behind them."""
    counts = np.arange(first, stop)[:, None]
    return np.where(np.arange(stop - 1) < counts, values[: stop - 1], np.inf)


def medians(rows: np.ndarray) -> np.ndarray:
    """The median of each row (n, t) -> (n,), of numbers that are no NaN. Sorting short rows is several times as fast
    as `np.median`."""
    ordered, count = np.sort(rows, axis=1), rows.shape[1]
    return (ordered[:, (count - 1) // 2] + ordered[:, count // 2]) / 2


def middles(rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The median of each row's `counts` (n,) smallest values, all of which are finite (n, t) -> (n,)."""
    ordered = np.sort(rows, axis=1)
    each = np.arange(len(rows))
    return (ordered[each, (counts - 1) // 2] + ordered[each, counts // 2]) / 2


def event_of(
    kind: EventKind, start: Any, at: Any, end: Any, numbers: dict[str, Any], split: str | None = None, note: str = ""
) -> Event:
    """An event of plain numbers from those of numpy."""
    plain = {k: float(v) for k, v in numbers.items()}
    start, at, end = (x.item() if isinstance(x, np.generic) else x for x in (start, at, end))
    return Event(kind=kind, start=start, at=at, end=end, split=split, numbers=plain, note=note)
