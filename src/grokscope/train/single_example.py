"""Single-example SGD of the logistic loss with decoupled decay, compiled, for the competing-features toy.

The published update, for one example (x, y) with y in {-1, +1}, in float64:

    w <- max(0, 1 - lr wd) w
    w <- w + lr y x / (1 + exp(y w.x))

A training row holds d signal features and a single nonzero memorization feature, so the gradient touches d + 1 weights.
The decay touches all of them and is done as published, weight by weight: 6,000 epochs of 512 still take under a second.
Source of the update: decoupled weight decay, arXiv:1711.05101. Cost: epochs x n x (n + d) multiplications.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from math import exp
from pathlib import Path

import numpy as np
from numba import njit

from grokscope.config import require
from grokscope.seeds import derive
from grokscope.task_data import Split, TaskData
from grokscope.tasks.competing import CompetingFeatures


@njit(nogil=True)
def _train(x, mem_scale, sign, w, orders, lr, factor):  # pragma: no cover - compiled
    d = x.shape[1]
    for epoch in range(orders.shape[0]):
        for i in orders[epoch]:
            for j in range(w.size):
                w[j] *= factor
            z = 0.0
            for j in range(d):
                z += x[i, j] * w[j]
            z += mem_scale * w[d + i]
            push = lr * sign[i] / (1.0 + exp(sign[i] * z))
            for j in range(d):
                w[j] += push * x[i, j]
            w[d + i] += push * mem_scale


def train_epochs(
    x_signal: np.ndarray,
    mem_scale: float,
    y01: np.ndarray,
    w: np.ndarray,
    orders: np.ndarray,
    lr: float,
    wd: float,
) -> None:
    """Train `w` (d + n,) float64 in place, one step per entry of `orders` (epochs, n) int64, row by row.

    `x_signal` (n, d) holds the signal features; row i's only other feature is `mem_scale` at column d + i. `y01` (n,)
    holds 0 and 1. Several calls on consecutive rows of `orders` equal one call on all of them, bit for bit.

    Raises:
        ValueError: on shapes that do not fit, on labels other than 0 and 1, on orders outside [0, n).
    """
    n, d = x_signal.shape
    require(
        w.dtype == np.float64 and w.flags.c_contiguous, "w must be a contiguous float64 array: it is changed in place"
    )
    require(w.shape == (d + n,), f"w must have {d} signal and {n} memorization weights, got shape {w.shape}")
    require(y01.shape == (n,) and bool(np.isin(y01, (0, 1)).all()), f"y01 must hold {n} labels 0 or 1")
    require(orders.ndim == 2 and orders.dtype == np.int64, "orders must be (epochs, steps) int64")
    require(orders.size == 0 or (orders.min() >= 0 and orders.max() < n), f"orders must lie in [0, {n})")
    x = np.ascontiguousarray(x_signal, np.float64)
    sign = 2.0 * y01 - 1.0
    _train(x, float(mem_scale), sign, w, np.ascontiguousarray(orders), float(lr), max(0.0, 1.0 - lr * wd))


def epoch_orders(rng: np.random.Generator, n: int, epochs: int) -> np.ndarray:
    """The next `epochs` shuffles of 0..n-1, (epochs, n) int64; any chunking of the epochs draws the same ones."""
    out = np.tile(np.arange(n, dtype=np.int64), (epochs, 1))
    for row in out:
        rng.shuffle(row)
    return out


def initial_weights(task: CompetingFeatures, seed: int, signal_init: float = 0.0) -> np.ndarray:
    """Weights (signal_dims + n_train,) float64: `signal_init` times N(0, 1) on the signal, zero on the memorization.

    Zero everywhere was published; 50 starts the rule so wrong that it has to be unlearned first.
    """
    w = np.zeros(task.signal_dims + task.n_train)
    rng = np.random.default_rng(derive(seed, task.name, "init"))
    w[: task.signal_dims] = signal_init * rng.standard_normal(task.signal_dims)
    return w


def accuracy(split: Split, w: np.ndarray) -> float:
    """Correct examples over n for weights `w`; a score of exactly 0 counts as class 1, as published."""
    correct = np.count_nonzero((split.x.astype(np.float64) @ w >= 0) == split.y)
    return int(correct) / len(split)


@dataclass(frozen=True)
class CurveRow:
    """One evaluation after `epoch` epochs; the fields are the published columns, in their order."""

    epoch: int
    train_acc: float
    test_acc: float
    weight_norm: float
    """L2 norm over all weights."""


def published_curve(
    task: CompetingFeatures | None = None,
    *,
    seed: int,
    epochs: int = 6000,
    log_every: int = 200,
    lr: float = 0.05,
    weight_decay: float = 1e-3,
    signal_init: float = 0.0,
) -> list[CurveRow]:
    """Learning curve of the published demonstration: a row after epoch 1, each multiple of `log_every`, and the last.

    The defaults are the published ones, and do **not** grok (see `CompetingFeatures`). Data, initial weights and order
    have generators of their own, derived from `seed`; the published program's own numbers cannot be had from them.

    Raises:
        ValueError: if `epochs` or `log_every` is below 1.
    """
    require(epochs >= 1 and log_every >= 1, f"epochs and log_every must be at least 1, got {epochs} and {log_every}")
    points = sorted({1, *range(log_every, epochs + 1, log_every), epochs})
    return _curve(task or CompetingFeatures(), seed, points, lr, weight_decay, signal_init)


def early_stop_comparison(
    task: CompetingFeatures | None = None,
    *,
    seed: int,
    early: int = 500,
    late: int = 6000,
    lr: float = 0.05,
    weight_decay: float = 1e-3,
    signal_init: float = 0.0,
) -> tuple[CurveRow, CurveRow]:
    """The rows after `early` and after `late` epochs of one training: what stopping early would have missed.

    The published variant shuffled its two trainings differently; here the long one continues the short one, so that
    they differ in nothing but their length. Raises ValueError unless 1 <= early < late.
    """
    require(1 <= early < late, f"early must lie in [1, late), got {early} and late = {late}")
    first, last = _curve(task or CompetingFeatures(), seed, [early, late], lr, weight_decay, signal_init)
    return first, last


def comparison_text(rows: Iterable[CurveRow]) -> str:
    """One line for each row: epochs, train accuracy, test accuracy and weight norm to four digits, as published."""
    return "\n".join(
        f"{row.epoch:6d} epochs -> train acc: {row.train_acc:.4f}, test acc: {row.test_acc:.4f}, "
        f"||w||2: {row.weight_norm:.4f}"
        for row in rows
    )


def write_csv(rows: Iterable[CurveRow], path: str | Path) -> None:
    """Write ``epoch,train_acc,test_acc,weight_norm`` with a header; floats in full precision."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(f.name for f in fields(CurveRow))
        writer.writerows(astuple(row) for row in rows)


def _curve(
    task: CompetingFeatures, seed: int, points: Sequence[int], lr: float, weight_decay: float, signal_init: float
) -> list[CurveRow]:
    """Rows after the epochs `points`, which increase."""
    data = task.build(seed)
    train, d = data.splits["train"], task.signal_dims
    w = initial_weights(task, seed, signal_init)
    rng = np.random.default_rng(derive(seed, task.name, "order"))
    rows, done = [], 0
    for epoch in points:
        orders = epoch_orders(rng, len(train), epoch - done)
        train_epochs(train.x[:, :d], task.memorization_scale, train.y, w, orders, lr, weight_decay)
        rows.append(_row(epoch, data, w))
        done = epoch
    return rows


def _row(epoch: int, data: TaskData, w: np.ndarray) -> CurveRow:
    train, test = (accuracy(data.splits[name], w) for name in ("train", "id_val"))
    return CurveRow(epoch, train, test, float(np.linalg.norm(w)))
