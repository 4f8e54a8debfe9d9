"""Somebody's own module, as the tests of plug-ins need it: importable, with pieces that work and one that fails."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from grokscope.components import Filter, Measurement, Need
from grokscope.config import TaskConfig
from grokscope.task_data import Split, TaskData
from grokscope.vocabulary.column_table import Column


@dataclass(frozen=True, kw_only=True)
class Tens(TaskConfig):
    """Whether the first of ten numbers is positive."""

    name: ClassVar[str] = "tens"
    n: int = 20

    def train_size(self) -> int:
        return self.n

    def build(self, seed: int) -> TaskData:
        rng = np.random.default_rng(seed)
        splits = {}
        for split in ("train", "id_val"):
            x = rng.normal(size=(self.n, 10)).astype(np.float32)
            splits[split] = Split(x, (x[:, 0] > 0).astype(np.int64))
        return TaskData("classification", splits, 2, 0.9)


class _Halved:
    def __init__(self, share: float):
        self.share = share

    def __call__(self, parameters):
        for p in parameters:
            p.grad *= self.share

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        assert not state


@dataclass(frozen=True, kw_only=True)
class Halved(Filter):
    """Keeps a share of the gradient."""

    name: ClassVar[str] = "halved"
    share: float = 0.5

    def build(self) -> _Halved:
        return _Halved(self.share)


@dataclass(frozen=True, kw_only=True)
class Failing(Filter):
    """Fails in the first step."""

    name: ClassVar[str] = "failing"

    def build(self) -> "_Fail":
        return _Fail(1.0)


class _Fail(_Halved):
    def __call__(self, parameters):
        raise KeyError("weights")


@dataclass(frozen=True, kw_only=True)
class Forgetful(Filter):
    """Builds a plain function, whose memory could not be saved."""

    name: ClassVar[str] = "forgetful"

    def build(self):
        return lambda parameters: None


@dataclass(frozen=True, kw_only=True)
class Steepness(Measurement):
    """Norm of the loss's gradient in all weights ``|dL/dw|``, raised to a power; wasteful with what it must leave."""

    name: ClassVar[str] = "steepness"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("steepness", "steepness of the loss", "norm of its gradient", "loss per weight", "log", panel=True),
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"training_loss"})
    power: float = 1.0

    def __call__(self, view):
        train = view.splits["train"]
        view.loss(view.model(train.x), train.target).backward()
        torch.rand(3)  # a generator that is used
        square = sum(p.grad.double().square().sum() for p in view.model.parameters())
        return {"steepness": square.sqrt() ** self.power}


@dataclass(frozen=True, kw_only=True)
class Clashing(Measurement):
    """Takes a name that is taken."""

    name: ClassVar[str] = "clashing"
    needs: ClassVar[frozenset[Need]] = frozenset()
    column: str = "logit_max"
    size: int = 1

    def __call__(self, view):
        return {self.column: torch.zeros(self.size)}


def a_function():
    """No class at all."""
