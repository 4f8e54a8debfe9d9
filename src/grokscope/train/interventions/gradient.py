"""Projections of the gradient, between the gradient filter and clipping."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from grokscope.train.interventions.base import Acting


class Projected(Acting):
    """Takes away the part of the gradient along the weights, in each of some tensors by itself or in all together."""

    def __init__(self, parameters: Sequence[nn.Parameter], strength: float, together: bool):
        self.parameters = list(parameters)
        self.strength = strength
        self.together = together

    @torch.no_grad()
    def gradient(self) -> None:
        pairs = [(p, p.grad) for p in self.parameters if p.grad is not None]
        along = [(g.double() * p).sum() for p, g in pairs]
        squares = [p.double().square().sum() for p, _ in pairs]
        if self.together and pairs:
            along = [torch.stack(along).sum()] * len(pairs)
            squares = [torch.stack(squares).sum()] * len(pairs)
        for (p, g), dot, square in zip(pairs, along, squares, strict=True):
            g.sub_(p * self._share(dot, square, g))

    def _share(self, dot: Tensor, square: Tensor, like: Tensor) -> Tensor:
        """How much of the weights is in the gradient; nothing of weights that are zero."""
        return (self.strength * dot / square.clamp_min(1e-300)).to(like.dtype)
