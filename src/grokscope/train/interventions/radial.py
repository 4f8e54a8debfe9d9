"""A penalty on the norm of the head's input, added to the gradient of the training loss."""

from typing import Any

import torch
from torch import Tensor, nn

from grokscope.train.interventions.base import Acting


class RadiusPenalized(Acting):
    """Sees the head's inputs in each training forward, and lets their penalty join the backward pass."""

    def __init__(self, head: nn.Module, strength: float):
        self.strength = strength
        self.features: Tensor | None = None
        head.register_forward_pre_hook(self._see)

    def _see(self, head: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        # evaluation runs without gradients: what it reads is not of the step, and no copy of a model could hold it
        if torch.is_grad_enabled() and head.training:
            self.features = inputs[0]

    def logits(self, logits: Tensor, index: Tensor | None) -> Tensor:
        features, self.features = self.features, None
        if self.strength == 0 or features is None:
            return logits
        return _Beside.apply(logits, self.strength * radial_penalty(features))

    def begin(self) -> dict[str, float | str]:
        return {"of": "what the head reads"}


def radial_penalty(features: Tensor) -> Tensor:
    """Mean over examples of ``(|h| / sqrt(d) - 1)^2``, of features (b, d)."""
    radius = features.flatten(1).norm(dim=1) / features[0].numel() ** 0.5
    return (radius - 1).square().mean()


class _Beside(torch.autograd.Function):
    """The logits as they are; in the backward pass a further term of the loss gets its gradient of 1, so that the loss
    itself, and what is recorded of it, stay the loss."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, term: Tensor) -> Tensor:
        ctx.like = term.new_ones(())
        return logits.view_as(logits)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        return grads[0], ctx.like
