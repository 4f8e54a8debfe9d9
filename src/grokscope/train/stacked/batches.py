"""The batches of a stack: each member's own examples in its own order, concatenated."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from grokscope.train.torch_engine import TorchEngine

Batch = tuple[Tensor, Tensor, Tensor | None]
"""Inputs (K, b, ...), encoded targets (K, b, ...), environments (K, b)."""


class Batches:
    """Training examples of K members (K, n, ...). Members' own splits become views of them, so that nothing is held
    twice."""

    def __init__(self, engines: Sequence[TorchEngine]):
        self.engines = engines
        splits = [e.splits["train"] for e in engines]
        self.x = torch.stack([s.x for s in splits])
        self.target = torch.stack([s.target for s in splits])
        self.env = torch.stack([s.env for s in splits if s.env is not None]) if splits[0].env is not None else None
        for k, (engine, split) in enumerate(zip(engines, splits, strict=True)):
            env = None if self.env is None else self.env[k]
            engine.splits["train"] = replace(split, x=self.x[k], target=self.target[k], env=env)
        self.orders = [e.order for e in engines]
        self.full = self.orders[0].full
        self.position = self.orders[0].position
        self.permutations = self._stacked_permutations()
        self.members = torch.arange(len(engines), device=self.x.device)[:, None]
        self.index: Tensor | None = None
        """Rows of the present batch (K, b); None where it is all of them."""
        self.augmented = any(e.may_augment for e in engines)

    def next(self) -> Batch:
        """The next batch of every member."""
        if self.full:
            return self._prepared(self.x), self.target, self.env
        if self.position >= self.permutations.shape[1]:
            self.write_back()
            for order in self.orders:  # each draws its next epoch as it would alone, and hands out the first batch
                order.next()
            self.position, self.permutations = 0, self._stacked_permutations()
        index = self.index = self.permutations[:, self.position : self.position + self.orders[0].batch_size]
        self.position += self.orders[0].batch_size
        env = None if self.env is None else self.env[self.members, index]
        return self._prepared(self.x[self.members, index]), self.target[self.members, index], env

    def _stacked_permutations(self) -> Tensor:
        return torch.stack([order.permutation for order in self.orders]).to(self.x.device)

    def _prepared(self, x: Tensor) -> Tensor:
        """What the networks read: images are augmented and standardized by each member's own rules."""
        if not self.augmented and x.dtype != torch.uint8:
            return x
        each = zip(self.engines, x, strict=True)
        return torch.stack([e.network.prepare(e.augment(batch)) for e, batch in each])

    def write_back(self) -> None:
        """Tell every member's order how far it is."""
        for order in self.orders:
            order.position = self.position
