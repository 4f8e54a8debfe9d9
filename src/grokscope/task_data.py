"""The data that every task builds: named splits of plain numpy arrays, with facts for later stages."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from grokscope.checks import names_checked, require
from grokscope.registry import nearest
from grokscope.vocabulary import splits

X_DTYPES = (np.float32, np.int64, np.uint8)


@names_checked
@dataclass(frozen=True)
class Split:
    """Examples of one split.

    x (n, ...): float32 features, int64 tokens or uint8 images; y (n,): int64 classes or float32 targets; env (n,) int64
    environment ids; group (n,) int64: units that must stay together (patients), or the groups of a regression's trivial
    predictor. Raises ValueError for another dtype of x or unequal lengths.
    """

    x: np.ndarray
    y: np.ndarray
    env: np.ndarray | None = None
    group: np.ndarray | None = None
    x_digest: str | None = None
    """What x is known by where its maker knows it: hashing gigabytes of images would cost more than a start."""

    def __post_init__(self) -> None:
        require(self.x.dtype in X_DTYPES, f"x must be float32, int64 or uint8, got {self.x.dtype}")
        for key in ("x", "env", "group"):
            value = getattr(self, key)
            require(value is None or len(value) == len(self.y), f"{key} and y must have as many rows as each other")

    def __len__(self) -> int:
        return len(self.y)


@names_checked
@dataclass(frozen=True)
class TaskData:
    """A task's data: splits named as in `grokscope.vocabulary.splits` (not all need exist, `train` must).

    Raises ValueError for another split name, an empty split, targets of another dtype or classes out of range.
    """

    kind: Literal["classification", "regression"]
    splits: dict[str, Split]
    classes: int
    """Number of classes; 1 for regression."""
    threshold: float
    """Held-out accuracy (or R2) from which the task counts as generalized, unless the criteria say otherwise."""
    vocabulary: int | None = None
    """For token inputs: number of distinct tokens."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Task facts that diagnostics need, as plain data (for modular arithmetic: p and the operation)."""

    def __post_init__(self) -> None:
        require(splits.TRAIN in self.splits, f"a task must have the split {splits.TRAIN!r}")
        for name, split in self.splits.items():
            require(name in splits.NAMES, f"unknown split {name!r}{nearest(name, list(splits.NAMES))}")
            require(len(split) > 0, f"split {name!r} is empty; omit it")
            self._check_targets(name, split.y)

    def _check_targets(self, name: str, y: np.ndarray) -> None:
        if self.kind == "regression":
            require(y.dtype == np.float32, f"split {name!r}: targets must be float32, got {y.dtype}")
            return
        require(y.dtype == np.int64, f"split {name!r}: classes must be int64, got {y.dtype}")
        require(
            bool(y.min() >= 0 and y.max() < self.classes),
            f"split {name!r}: classes must lie in [0, {self.classes}), got {y.min()} to {y.max()}",
        )
