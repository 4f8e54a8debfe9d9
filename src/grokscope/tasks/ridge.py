"""A linear teacher with more weights than examples: the task whose training under gradient descent is known exactly."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from grokscope.checks import names_checked
from grokscope.config import TaskConfig, require, require_whole
from grokscope.limits import MAX_EXAMPLES, MAX_WIDTH, require_memory
from grokscope.seeds import derive
from grokscope.task_data import Split, TaskData


@names_checked
@dataclass(frozen=True, kw_only=True)
class RidgeTask(TaskConfig):
    """Targets of a random linear teacher, from Gaussian features.

    Formula: x ~ N(0, I / m), teacher t ~ N(0, I) / |.|, y = t.x. Splits train and id_val; a larger `n_train` keeps the
    earlier examples, and id_val depends on neither. With the linear model started at N(0, nu^2), gradient descent and
    decay this is ridge regression, whose milestones `grokscope oracle ridge` knows in closed form.
    Source: arXiv:2601.19791. Cost: milliseconds.

    Misleads: the trivial predictor's loss is 1 / m, so a loss that looks small (.01 at m = 1,000) can be many times
        worse than a constant. A delay between two such losses is not grokking.
    """

    name: ClassVar[str] = "ridge"

    n_train: int = 100
    """Training examples; below m, or nothing is left for decay to do."""
    n_val: int = 2000
    """Held-out examples: their loss is within 3 % of its expectation."""
    m: int = 1000
    """Features, and so weights of a linear model."""

    def __post_init__(self) -> None:
        require_whole("m", self.m, 2, MAX_WIDTH)
        require_whole("n_val", self.n_val, 1, MAX_EXAMPLES)
        require_whole("n_train", self.n_train, 2, MAX_EXAMPLES)
        require(self.n_train < self.m, f"n_train must be below m ({self.m}), got {self.n_train}")

    def train_size(self) -> int:
        return self.n_train

    def build(self, seed: int) -> TaskData:
        """Splits train and id_val; x (n, m) float32, y (n,) float32. meta: the unit teacher as a list."""
        require_memory(12 * (self.n_train + self.n_val) * self.m, "$.task.n_train, n_val or m", "examples")
        teacher = self._normal(seed, "teacher", 1)[0]
        teacher /= np.linalg.norm(teacher)
        splits = {}
        for split, size in (("train", self.n_train), ("id_val", self.n_val)):
            x = (self._normal(seed, split, size) / np.sqrt(self.m)).astype(np.float32)
            splits[split] = Split(x, (x.astype(np.float64) @ teacher).astype(np.float32))
        return TaskData(kind="regression", splits=splits, classes=1, threshold=0.9, meta={"teacher": teacher.tolist()})

    def _normal(self, seed: int, purpose: str, rows: int) -> np.ndarray:
        rng = np.random.default_rng(derive(seed, self.name, purpose))
        return rng.standard_normal((rows, self.m))
