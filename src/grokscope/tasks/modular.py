"""Binary operations learned from part of their table: the task of the first report of grokking (arXiv:2201.02177)."""

from dataclasses import dataclass
from itertools import count
from math import isqrt
from typing import ClassVar

import numpy as np

from grokscope.checks import names_checked
from grokscope.config import TaskConfig, require, require_whole
from grokscope.limits import MAX_EXAMPLES, require_memory
from grokscope.registry import nearest
from grokscope.seeds import derive
from grokscope.task_data import Split, TaskData
from grokscope.tasks.operations import OPERATIONS, S5_ORDER, is_prime, pair_count, table

DEFAULT_MODULUS = 59
ROW_BYTES = 64
"""Of a pair while the table is made: two tokens, a result, its place in the order, and what they are copied from."""


@names_checked
@dataclass(frozen=True, kw_only=True)
class Modular(TaskConfig):
    """Predict ``a op b`` from the tokens (a, b): modular arithmetic, or composition in the symmetric group S5.

    Formula: y = a + b, a - b, a b, a b^-1, a^2 + b^2 or a^2 + a b + b^2 modulo p; for ``s5``, y = a after b.
    Splits: `train` is a random share of the table, `id_val` all the rest (so it grows when `train` shrinks).
    Source: arXiv:2201.02177 (there p = 97). Cost: p^2 rows, milliseconds.

    The subsets of a seed are nested: a smaller `train_fraction` with the same seed keeps a prefix of the same training
    pairs. So a network grokked on half the table is retrained on less data (Varma et al., arXiv:2309.02390) by
    continuing it with a smaller fraction and the same seed; the removed pairs are then in `id_val`, where a drop of the
    accuracy is forgetting and not only missing generalization.

    Misleads: the commutative operations have (a, b) and (b, a) as separate rows, so a network that learned only the
        symmetry already solves up to a `train_fraction` share of `id_val`. `multiply` runs over all pairs, and the 2p -
        1 rows with a zero factor are solved by a trivial rule.
    """

    name: ClassVar[str] = "modular"

    operation: str = "add"
    """add, subtract, multiply, divide, x2+y2, x2+xy+y2 or s5."""
    p: int | None = None
    """The modulus; 59 when left out. s5 has none. Division needs a prime."""
    train_fraction: float = 0.5
    """Share of all pairs to train on."""

    def __post_init__(self) -> None:
        require(
            self.operation in OPERATIONS,
            f"operation {self.operation!r} is unknown{nearest(self.operation, list(OPERATIONS))}",
        )
        if self.operation != "s5" and self.p is None:
            object.__setattr__(self, "p", DEFAULT_MODULUS)  # so that the stored config names its modulus
        _check_modulus(self.operation, self.p)
        share = self.train_fraction
        require(0 < share < 1, f"train_fraction must lie strictly between 0 and 1, got {share}")
        pairs, train = self.pairs(), self.train_size()
        require(
            1 <= train < pairs,
            f"train_fraction = {share} of {pairs} pairs leaves {train} for training and {pairs - train} for id_val; "
            "both need at least one",
        )

    def pairs(self) -> int:
        """Number of rows of the whole table."""
        return pair_count(self.operation, self.p)

    def train_size(self) -> int:
        return round(self.train_fraction * self.pairs())

    def build(self, seed: int) -> TaskData:
        """Splits train and id_val; x (n, 2) int64 tokens, y (n,) int64; tokens and classes are the same residues."""
        require_memory(ROW_BYTES * self.pairs(), "$.task.p", "pairs")
        tokens, results = table(self.operation, self.p)
        order = np.random.default_rng(derive(seed, self.name, "subset")).permutation(self.pairs())
        parts = zip(("train", "id_val"), np.split(order, [self.train_size()]), strict=True)
        size = S5_ORDER if self.p is None else self.p
        return TaskData(
            kind="classification",
            splits={name: Split(tokens[rows], results[rows]) for name, rows in parts},
            classes=size,
            threshold=0.95,
            vocabulary=size,
            meta={"operation": self.operation, "p": self.p},
        )


def _check_modulus(operation: str, p: int | None) -> None:
    if p is None:
        return
    require(operation != "s5", f"p = {p}: s5 has 120 elements and no modulus; omit p, or set p = 'none'")
    require(p >= 2, f"p must be at least 2, got {p}: modulo 1 every result is 0")
    require_whole("p", p, 2, isqrt(MAX_EXAMPLES))
    require(
        operation != "divide" or is_prime(p),
        f"p = {p} is not prime, so division would meet residues without an inverse; the next prime is {_next_prime(p)}",
    )


def _next_prime(p: int) -> int:
    return next(q for q in count(p) if is_prime(q))
