"""Single-example SGD of the logistic loss with decoupled decay, compiled, for the competing-features toy.

The published update, for one example (x, y) with y in {-1, +1}, in float64:

    w <- max(0, 1 - lr wd) w
    w <- w + lr y x / (1 + exp(y w.x))

A training row holds d signal features and a single nonzero memorization feature, so the gradient touches d + 1 weights.
The decay touches all of them and is done as published, weight by weight: 6,000 epochs of 512 still take under a second.
Source of the update: decoupled weight decay, arXiv:1711.05101. Cost: epochs x n x (n + d) multiplications.
"""

from math import exp

import numpy as np
from numba import njit

from grokscope.checks import require


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
