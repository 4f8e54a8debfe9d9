"""The competing-features toy without a driver: orders of examples and initial weights for the compiled update."""

import numpy as np

from grokscope.tasks.competing import CompetingFeatures


def epoch_orders(rng: np.random.Generator, n: int, epochs: int) -> np.ndarray:
    """The next `epochs` shuffles of 0..n-1, (epochs, n) int64."""
    return np.stack([rng.permutation(n) for _ in range(epochs)])


def initial_weights(task: CompetingFeatures, seed: int, signal_init: float) -> np.ndarray:
    """`signal_init` times N(0, 1) on the signal, zero on the memorization features."""
    w = np.zeros(task.signal_dims + task.n_train)
    w[: task.signal_dims] = signal_init * np.random.default_rng(seed).standard_normal(task.signal_dims)
    return w
