"""Helpers for curves: intervals of a condition, running medians, noise, and means over shares of time."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression


@dataclass(frozen=True)
class Stretch:
    """Rows [start, stop) in which something holds, short gaps bridged; `count` rows in which it really does."""

    start: int
    stop: int
    count: int
    open: bool
    """It still holds at the end of the curve: in the last row, or, once it held for `dwell` rows, a few rows before
    it."""


def stretches(holds: np.ndarray, dwell: int) -> list[Stretch]:
    """The stretches of a condition (t,) bool, gaps shorter than `dwell` rows bridged."""
    rows = np.flatnonzero(holds)
    if not rows.size:
        return []
    parts = np.split(rows, np.flatnonzero(np.diff(rows) > dwell) + 1)
    out = []
    for part in parts:
        tail = len(holds) - 1 - int(part[-1])
        still = tail == 0 or (tail < dwell and len(part) >= dwell)
        out.append(Stretch(int(part[0]), int(part[-1]) + 1, len(part), still))
    return out


def runs_of(holds: np.ndarray, k: int) -> np.ndarray:
    """(t,) bool: where `holds` (t,) is true in at least `k` rows in a row."""
    if k <= 1 or not holds.any():
        return holds
    edges = np.flatnonzero(np.diff(np.r_[False, holds, False]))
    out = np.zeros(len(holds), dtype=bool)
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        out[start:stop] = stop - start >= k
    return out


def running_median(values: np.ndarray) -> np.ndarray:
    """Running median of three (t,) -> (t,); the ends take the first and last three. Fewer than three rows: their
    minimum."""
    if len(values) < 3:
        return np.full_like(values, values.min())
    a, b, c = values[:-2], values[1:-1], values[2:]
    middle = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    return np.concatenate([middle[:1], middle, middle[-1:]])


def roughness(values: np.ndarray) -> float | None:
    """Standard deviation of white noise on a smooth curve (t,), or None below five rows.

    ``1.4826 median|x[i-1] - 2 x[i] + x[i+1]| / sqrt(6)``: consistent for Gaussian noise. Rows at the end that only
    repeat the last value are left out: a network at rest says nothing of the noise before.
    """
    values = moving(values)
    if len(values) < 5:
        return None
    return float(1.4826 * median(np.abs(np.diff(values, 2))) / np.sqrt(6))


def median(values: np.ndarray) -> float:
    """`np.median` of a curve (t,), in a fifth of its time where it is short."""
    ordered = np.sort(values)
    if np.isnan(ordered[-1]):
        return np.nan
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def wander(values: np.ndarray, *, increasing: bool) -> float:
    """Standard deviation of a curve (t,) around the best-fitting monotone one: all that it does besides lasting change.

    Unlike `roughness` it also sees slow drift, in which neighboring evaluations err together. A monotone fit follows
    part of such drift; where the two disagree the result is therefore raised by their ratio, at most twofold, which
    about restores the right size for first-order autoregressive noise. 0 for a monotone curve, or one too short to
    tell.
    """
    values = moving(values)
    fit = isotonic_regression(values, increasing=increasing)
    free = len(values) - (len(fit.blocks) - 1)
    spread = float(np.sqrt(((values - fit.x) ** 2).sum() / free)) if free > 0 else 0.0
    rough = roughness(values)
    if rough:
        return spread * min(max(spread / rough, 1.0), 2.0)
    return spread


def moving(values: np.ndarray) -> np.ndarray:
    """The curve without the repetitions of its last value at the end."""
    rows = np.flatnonzero(values != values[-1])
    if rows.size:
        return values[: rows[-1] + 2]
    return values[:1]


def time_weights(step: np.ndarray, start: float) -> np.ndarray:
    """Weights (t,), summing to 1, of a mean over the time after `start`: each evaluation stands for the steps since the
    one before it, so that a dense burst of rows weighs no more than its time. Without any later evaluation the last
    one stands for all."""
    before = np.append(start, step[:-1])
    spent = np.clip(step - np.maximum(before, start), 0, None).astype(float)
    if not spent.any():
        spent[-1] = 1.0
    return spent / spent.sum()


def slope(step: np.ndarray, value: np.ndarray) -> tuple[float, float]:
    """Least-squares slope of a curve (t,) over time, and its standard error.

    Each evaluation weighs as much as the time around it, so that a dense burst of rows counts no more than its time.
    The error is read off the residuals, enlarged where neighbors err together; 0 for two evaluations.
    """
    weight = np.gradient(step.astype(float))
    x = step - np.average(step, weights=weight)
    y = value - np.average(value, weights=weight)
    spread = float((weight * x**2).sum())
    steepness = float((weight * x * y).sum() / spread)
    residual = y - steepness * x
    if len(step) < 3:
        return steepness, 0.0
    sigma = np.sqrt((residual**2).sum() / (len(step) - 2))
    error = sigma * np.sqrt((weight**2 * x**2).sum()) / spread
    return steepness, float(error * np.sqrt((1 + (r := _correlation(residual))) / (1 - r)))


def _correlation(residual: np.ndarray) -> float:
    """Between neighbors, within 0..0.9; 0 where there are too few to tell."""
    power = float((residual**2).sum())
    if len(residual) < 10 or power == 0:
        return 0.0
    return min(max(float((residual[1:] * residual[:-1]).sum()) / power, 0.0), 0.9)
