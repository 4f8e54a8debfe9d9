"""Predict log2 of the m-height of a linear code from its matrix: a regression whose trivial predictor is hard to
beat."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from grokscope.checks import names_checked
from grokscope.config import TaskConfig, require, require_whole
from grokscope.limits import MAX_EXAMPLES, brief, require_memory
from grokscope.seeds import derive
from grokscope.task_data import Split, TaskData

if TYPE_CHECKING:
    from grokscope.codes.dataset import Codes

MATRIX_SCALE = 100.0
"""Entries are uniform on (-100, 100); the network reads them divided by this."""
PARAMETER_SCALE = 10.0
CODE_BYTES = 500
"""Of a code on its way to a training example: its matrix and its row in float32, and what they are copied from."""


@names_checked
@dataclass(frozen=True, kw_only=True)
class MHeight(TaskConfig):
    """log2 h_m of the code with generator [I | P], from P and (n, k, m).

    Formula: h_m is the largest |c|_(0) / |c|_(m) over nonzero codewords c, coordinates sorted by magnitude
    (`grokscope.codes` computes it exactly). x is the zero-padded P (36 entries / 100) and (n, k, m) / 10; group = (n,
    k, m). Splits `train` and `id_val` hold the same number of codes of every group; a matrix and its row or column
    permutations and sign changes, which all have the same height, never fall in two splits.
    Source: Roth et al., arXiv:2602.20366, for the heights; the study whose data set this is trained 840,000 codes.
    Cost: 4 s per 840,000 codes to label, 4 s to split.

    Misleads: **the trivial predictor matters.** The per-group mean of log2 h alone has a mean squared error of about
        1.35 on the published data, and the groups with m = n - k carry 73 % of it: a validation loss that falls to 1.3
        has learned almost nothing. Read R2, and the losses by group.
    """

    name: ClassVar[str] = "mheight"

    train_per_group: int = 5000
    val_per_group: int = 10_000
    pool_per_group: int = 40_000
    """Codes drawn for each group, from which the splits are taken."""
    groups: tuple[tuple[int, int, int], ...] = ()
    """Groups [n, k, m]; none means all 21 published ones."""
    distribution: Literal["uniform", "integers", "gaussian"] = "uniform"
    data_seed: int = 0
    """Draws the pool, which all seeds of a study share; the seed of a run draws the splits."""
    augment: int = 0
    """Extra copies of each training matrix, with rows and columns permuted and negated at random (the label stays)."""
    path: str | None = field(default=None, metadata={"identity": False})
    """A file made by ``grokscope data mheight make``; without it the pool is drawn in memory."""

    def __post_init__(self) -> None:
        for key in ("train_per_group", "val_per_group", "pool_per_group"):
            require_whole(key, getattr(self, key), 1, MAX_EXAMPLES)
        require(self.augment >= 0, f"augment counts copies and must not be negative, got {self.augment}")
        require_whole("augment", self.augment, 0, MAX_EXAMPLES)
        require(
            self.train_size() <= MAX_EXAMPLES,
            f"train_per_group x groups x (1 + augment) = {brief(self.train_size())} training codes are more than "
            f"{MAX_EXAMPLES:,}; lower one of them",
        )

    def train_size(self) -> int:
        from grokscope.codes.dataset import GROUPS

        return self.train_per_group * len(self.groups or GROUPS) * (1 + self.augment)

    def build(self, seed: int) -> TaskData:
        """Splits train and id_val; x (n, 39) float32, y (n,) float32 log2 heights, group (n,) int64 = 100 n + 10 k +
        m."""
        from grokscope.codes.dataset import SIDE
        from grokscope.codes.symmetry import augment, split_by_symmetry

        training = self.train_size() * CODE_BYTES
        require_memory(training, "$.task.train_per_group or augment", "codes")
        codes = self._codes()
        sizes = {"train": self.train_per_group, "id_val": self.val_per_group}
        chosen = split_by_symmetry(codes, sizes, derive(seed, self.name, "split"))
        rng = np.random.default_rng(derive(seed, self.name, "augment"))
        splits = {}
        for name, index in chosen.items():
            copies = self.augment if name == "train" else 0
            P, params, y = codes.P[index], codes.params[index], codes.log2h[index]
            P = np.concatenate([P, *(augment(P, params, rng) for _ in range(copies))])
            params, y = np.tile(params, (1 + copies, 1)), np.tile(y, 1 + copies)
            splits[name] = _split(P, params, y)
        return TaskData(
            kind="regression", splits=splits, classes=1, threshold=0.5, meta={"side": SIDE, "codes": dict(codes.meta)}
        )

    def _codes(self) -> "Codes":
        from grokscope.codes.dataset import GROUPS, Codes, make_dataset, read_dataset

        groups = self.groups or GROUPS
        if self.path is None:
            return make_dataset(self.data_seed, self.pool_per_group, self.distribution, groups)
        codes = read_dataset(self.path)
        wanted = {"seed": self.data_seed, "distribution": self.distribution, "per_group": self.pool_per_group}
        for key, value in wanted.items():
            require(
                codes.meta[key] == value,
                f"{self.path} was made with {key} = {codes.meta[key]!r}, but the task requires {value!r}; generate "
                f"the file again or change the task's field",
            )
        parameters: Any = codes.meta["groups"]
        present = {tuple(g) for g in parameters}
        missing = [list(g) for g in groups if tuple(g) not in present]
        require(not missing, f"{self.path} lacks the groups {missing}; make the file with them")
        index = np.concatenate([codes.group(g) for g in groups])
        return Codes(codes.P[index], codes.params[index], codes.log2h[index], codes.meta)


def _split(P: np.ndarray, params: np.ndarray, y: np.ndarray) -> Split:
    x = np.concatenate([P.reshape(len(P), -1) / MATRIX_SCALE, params / PARAMETER_SCALE], axis=1, dtype=np.float32)
    return Split(x, y.astype(np.float32), group=params @ np.array([100, 10, 1]))
