"""Sparse parity: the product of a few hidden bits among many (Merrill, Tsilivis & Shukla, arXiv:2303.11873)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from grokscope.checks import names_checked
from grokscope.config import TaskConfig, require, require_whole
from grokscope.limits import MAX_EXAMPLES, MAX_WIDTH, require_memory
from grokscope.seeds import derive
from grokscope.task_data import Split, TaskData

BLOCK = 1024
"""Rows drawn at once: a constant, so that a stream of rows does not depend on how many are wanted."""


@names_checked
@dataclass(frozen=True, kw_only=True)
class Parity(TaskConfig):
    """The sign of the product of the first k of n random bits.

    Formula: x in {-1, +1}^n uniform, y = 1 where x_1 x_2 ... x_k = +1, else 0. The hidden bits are the **first** k for
    every seed (in `meta["support"]`): a network whose initialization treats inputs alike cannot tell which they are.
    Splits: the rows of `train` and `id_val` are distinct, without duplicates. `id_val` is drawn first and does not
        depend on `n_train`; the training rows are nested, a larger `n_train` keeps the earlier ones.
    Source: arXiv:2303.11873 (n 40, k 3, 1,000 samples). Cost: milliseconds.

    Misleads: with k = 1 or a small n, the task is easy or nearly enumerated, and a late rise is then no evidence of a
        slow mechanism; a model that is not symmetric in its inputs (positions) may find the first bits sooner than
        others.
    """

    name: ClassVar[str] = "parity"

    n: int = 40
    """Bits of an example."""
    k: int = 3
    """Hidden bits that decide."""
    n_train: int = 1000
    """Training examples."""
    n_val: int = 1000
    """Held-out examples."""

    def __post_init__(self) -> None:
        require_whole("n", self.n, 1, MAX_WIDTH)
        require(1 <= self.k <= self.n, f"k hidden bits must lie in [1, n = {self.n}], got {self.k}")
        for key in ("n_train", "n_val"):
            require_whole(key, getattr(self, key), 1, MAX_EXAMPLES)
        wanted = self.n_train + self.n_val
        require(
            wanted <= 2**self.n,
            f"n_train + n_val = {wanted} distinct examples, but n = {self.n} bits have only {2 ** min(self.n, 64)}; "
            "raise n or ask for fewer",
        )

    def train_size(self) -> int:
        return self.n_train

    def build(self, seed: int) -> TaskData:
        """Splits train and id_val; x (n_split, n) float32 of -1 and +1, y (n_split,) int64 of 0 and 1."""
        require_memory((self.n_train + self.n_val) * (10 * self.n + 300), "$.task.n, n_train or n_val", "examples")
        seen: set[bytes] = set()
        splits = {}
        for split, size in (("id_val", self.n_val), ("train", self.n_train)):
            rng = np.random.default_rng(derive(seed, self.name, split))
            x = 2 * _distinct_bits(rng, self.n, size, seen).astype(np.float32) - 1
            splits[split] = Split(x, (x[:, : self.k].prod(axis=1) > 0).astype(np.int64))
        return TaskData(
            kind="classification",
            splits={split: splits[split] for split in ("train", "id_val")},
            classes=2,
            threshold=0.98,
            meta={"support": list(range(self.k))},
        )


def _distinct_bits(rng: np.random.Generator, n: int, size: int, seen: set[bytes]) -> np.ndarray:
    """The first `size` rows (size, n) uint8 of the stream that are not in `seen`, which they join."""
    kept: list[np.ndarray] = []
    while True:
        for row in rng.integers(0, 2, size=(BLOCK, n), dtype=np.uint8):
            if (key := row.tobytes()) not in seen:
                seen.add(key)
                kept.append(row)
            if len(kept) == size:
                return np.stack(kept)
