"""Batch order: a new permutation per epoch from a separate generator."""

from typing import Any

import torch
from torch import Tensor


class BatchOrder:
    """Yields index tensors (b,) without replacement; the last batch of an epoch may be smaller. None means all
    examples."""

    def __init__(self, n: int, batch_size: int, seed: int):
        self.n = n
        self.batch_size = min(batch_size, n) or n
        self.generator = torch.Generator().manual_seed(seed)
        self.permutation = torch.empty(0, dtype=torch.int64)
        self.position = 0

    @property
    def full(self) -> bool:
        return self.batch_size == self.n

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.n // self.batch_size)

    def resize(self, batch_size: int) -> None:
        """Go on with batches of another size, in a new epoch: what is left of this one is not handed out."""
        size = min(batch_size, self.n) or self.n
        if size != self.batch_size:
            self.batch_size, self.position = size, 0
            self.permutation = torch.empty(0, dtype=torch.int64)

    def next(self) -> Tensor | None:
        """Indices of the next batch, or None for the full training set (whose order does not matter)."""
        if self.full:
            return None
        if self.position >= len(self.permutation):
            self.permutation = torch.randperm(self.n, generator=self.generator)
            self.position = 0
        batch = self.permutation[self.position : self.position + self.batch_size]
        self.position += self.batch_size
        return batch

    def state_dict(self) -> dict[str, Any]:
        return {
            "generator": self.generator.get_state(),
            "permutation": self.permutation.clone(),
            "position": self.position,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError where the permutation is not one of this order's examples."""
        permutation = state["permutation"]
        if len(permutation) and not torch.equal(permutation.sort().values, torch.arange(self.n)):
            raise ValueError(f"the batch order is not one of {self.n} examples")
        self.generator.set_state(state["generator"])
        self.permutation, self.position = permutation, state["position"]
