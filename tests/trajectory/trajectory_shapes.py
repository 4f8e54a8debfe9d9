"""Constructed trajectories whose class is known by construction."""

from typing import Any

import numpy as np

from grokscope.trajectory import Trajectory

PUBLISHED_GRID = np.r_[1, np.arange(50, 3001, 50)]
FINE_STEP = np.arange(0, 1501, 10)
LOG_GRID = np.unique(np.round(np.logspace(0, np.log10(1500), 70)).astype(int))


def trajectory(
    step: Any, train: Any, held: Any, *, threshold: float = 0.95, trivial: float | None = 0.1, **extra: Any
) -> Trajectory:
    """One held-out split `id_val`."""
    return Trajectory(
        step=np.asarray(step),
        train=np.asarray(train, dtype=float),
        held_out={"id_val": np.asarray(held, dtype=float)},
        threshold=threshold,
        trivial={} if trivial is None else {"train": trivial, "id_val": trivial},
        **extra,
    )


def fitting(step: Any, at: float) -> np.ndarray:
    """Train accuracy that rises in a straight line to 1 at step `at`."""
    return np.minimum(1.0, np.asarray(step) / at)


def sigmoid(step: Any, low: float, high: float, middle: float, width: float) -> np.ndarray:
    return low + (high - low) / (1 + np.exp(-(np.asarray(step, dtype=float) - middle) / width))


def noisy(values: Any, sigma: float, seed: int = 0) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    return np.clip(values + sigma * np.random.default_rng(seed).normal(size=values.shape), 0, 1)


def grokked(step: Any = LOG_GRID, fit: float = 40, gen: float = 480, sigma: float = 0.0, **extra: Any) -> Trajectory:
    """The modular-addition recipe: fit at 40, held-out near 0.02 until 300, above 0.95 from about 500 on."""
    held = np.clip(sigmoid(step, 1 / 59, 1.0, gen * 0.9, gen / 18), 0, 1)
    return trajectory(step, fitting(step, fit), noisy(held, sigma), trivial=1 / 59, **extra)


def memorized(step: Any = LOG_GRID, level: float = 0.02, sigma: float = 0.0, **extra: Any) -> Trajectory:
    return trajectory(step, fitting(step, 40), noisy(np.full(len(step), level), sigma), trivial=1 / 59, **extra)


def early_peak(
    peak: float = 0.7336,
    at: float = 350,
    final: float = 0.6639,
    sigma: float = 0.0,
    seed: int = 0,
    n: int | None = 34904,
) -> Trajectory:
    """A run of the shortcut study on its own grid: rises to its peak, then relaxes to the final value."""
    e = PUBLISHED_GRID
    held = np.where(e <= at, 0.5 + (peak - 0.5) * e / at, final + (peak - final) * np.exp(-(e - at) / 500))
    return trajectory(e, np.minimum(1, 0.8 + e / 500), noisy(held, sigma, seed), trivial=0.5, n={"id_val": n})


DIGITS_STEP = [200, 400, 600, 800, 1000, 1200, 1400, *range(2000, 14001, 1000)]
DIGITS_TRAIN = [0.3, 0.5, 0.7, 0.85, 0.93, 0.97, 0.99] + [1.0] * 13
DIGITS_HELD = [0.1, 0.11, 0.12, 0.14, 0.15, 0.16, 0.17, 0.20, 0.25, 0.33, 0.42, 0.555, 0.67, 0.77, 0.85, 0.892, 0.909]
DIGITS_HELD += [0.92, 0.93, 0.94]


def digits(rows: int = 20) -> Trajectory:
    """The digits recipe at weight decay 0.1, or its first rows; threshold 0.90."""
    return trajectory(
        DIGITS_STEP[:rows], DIGITS_TRAIN[:rows], DIGITS_HELD[:rows], threshold=0.9, n={"train": 200, "id_val": 1597}
    )
