"""The optimizer Lion with its own parameters. Importing it imports no torch: names can be listed for nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import grokscope as gs

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Lion(gs.Optimizer):
    """``w -= lr sign(b1 m + (1 - b1) g)``, then ``m = b2 m + (1 - b2) g`` (Chen et al., arXiv:2302.06675), with
    decoupled decay. Cost: one copy of the weights. Misleads at AdamW's learning rate: every weight moves by lr in every
    step, so lr must be some ten times smaller."""

    name: ClassVar[str] = "lion"
    summary: ClassVar[str] = "sign of an interpolated momentum"
    source: ClassVar[str] = "arXiv:2302.06675"

    betas: tuple[float, float] = (0.9, 0.99)
    """Weight of the momentum in the step, and its memory."""

    def __post_init__(self) -> None:
        if not all(0 <= b < 1 for b in self.betas):
            raise ValueError(f"betas must lie in [0, 1), got {list(self.betas)}")

    def build(self, model: "nn.Module", regime: gs.Regime) -> "Sequence[torch.optim.Optimizer]":
        from grokscope_lion.step import LionStep

        return [LionStep(model.parameters(), lr=regime.lr, betas=self.betas)]
