"""Competing features: a linear rule valid everywhere against one private feature per training example."""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np

from grokscope.checks import names_checked
from grokscope.config import TaskConfig, require, require_whole
from grokscope.limits import MAX_EXAMPLES, MAX_WIDTH, require_memory
from grokscope.seeds import derive
from grokscope.task_data import Split, TaskData


@names_checked
@dataclass(frozen=True, kw_only=True)
class CompetingFeatures(TaskConfig):
    """The side of a random hyperplane, from Gaussian signal features and, in training only, one one-hot per example.

    Formula: s ~ N(0, I) of `signal_dims` dimensions, teacher t ~ N(0, I) / |.|, y = 1 where t.s >= 0, else 0;
    x = (signal_scale s, memorization_scale e_i) for training example i and (signal_scale s, 0) in `id_val`.
    A linear model fits by the rule, which the held-out examples share, or by the one-hots, which they lack.
    Nested: a larger `n_train` keeps the earlier examples (and adds columns); `id_val` depends on neither.
    Source: a teaching demonstration of arXiv:2201.02177's phenomenon; no paper of its own.
    Cost: the rows are dense, 4 n_train (signal_dims + n_train) bytes.

    Misleads: **as published it does not grok.** With both scales 1 and zero initial weights the held-out accuracy is
        about 0.98 after one epoch (100 seeds: median 0.98, lowest 0.93). It groks if memorizing is faster and the rule
        starts out wrong: memorization_scale 10, signal_scale 0.1 and initial signal weights of scale 50. It then ends
        at 0.94 to 0.99, so one seed in ten stays below the threshold of 0.95; more examples raise that ceiling. Train
        rows are not distributed like held-out ones, so bounds that assume it (PAC-Bayes) hold for the signal alone.
    """

    name: ClassVar[str] = "competing-features"

    n_train: int = 512
    """Training examples, and as many memorization features."""
    n_test: int = 512
    """Held-out examples."""
    signal_dims: int = 5
    """Features that carry the rule."""
    memorization_scale: float = 1.0
    """Amplitude of the one-hot features; 10 makes memorizing fast."""
    signal_scale: float = 1.0
    """Factor on the signal features; 0.1 makes the rule slow. Labels do not depend on it, up to rounding to float32."""

    def __post_init__(self) -> None:
        for key, most in (("n_train", MAX_WIDTH), ("n_test", MAX_EXAMPLES), ("signal_dims", MAX_WIDTH)):
            require_whole(key, getattr(self, key), 1, most)
        require(
            0 <= self.memorization_scale < inf,
            f"memorization_scale must be finite and not negative, got {self.memorization_scale}",
        )
        require(0 < self.signal_scale < inf, f"signal_scale must be finite and positive, got {self.signal_scale}")

    def train_size(self) -> int:
        return self.n_train

    def build(self, seed: int) -> TaskData:
        """Splits train and id_val; x (n, signal_dims + n_train) float32, y (n,) int64 of 0 and 1.

        meta: signal_dims, memorization_scale, signal_scale, and the unit teacher as a list.
        """
        cells = (self.n_train + self.n_test) * (self.n_train + 3 * self.signal_dims)
        require_memory(4 * cells, "$.task.n_train, n_test or signal_dims", "examples")
        teacher = self._normal(seed, "teacher", 1)[0]
        teacher /= np.linalg.norm(teacher)
        splits = {}
        for split, size in (("train", self.n_train), ("id_val", self.n_test)):
            x = np.zeros((size, self.signal_dims + self.n_train), np.float32)
            x[:, : self.signal_dims] = self.signal_scale * self._normal(seed, split, size)
            # label what is stored, so that rounding to float32 cannot put an example on the wrong side
            y = (x[:, : self.signal_dims].astype(np.float64) @ teacher >= 0).astype(np.int64)
            splits[split] = Split(x, y)
        i = np.arange(self.n_train)
        splits["train"].x[i, self.signal_dims + i] = self.memorization_scale
        return TaskData(
            kind="classification",
            splits=splits,
            classes=2,
            threshold=0.95,
            meta={
                "signal_dims": self.signal_dims,
                "memorization_scale": self.memorization_scale,
                "signal_scale": self.signal_scale,
                "teacher": teacher.tolist(),
            },
        )

    def _normal(self, seed: int, purpose: str, rows: int) -> np.ndarray:
        rng = np.random.default_rng(derive(seed, self.name, purpose))
        return rng.standard_normal((rows, self.signal_dims))
