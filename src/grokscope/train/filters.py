"""Gradient filters: edit the gradient between backward and clip. They never see decoupled weight decay.

A filter is called once per step with the parameters, changes their ``.grad`` in place, and keeps what it must remember
in `state_dict`, so that a resumed run continues bit for bit.
"""

from typing import Any

import torch
from torch import Tensor, nn

from grokscope.config import Regime
from grokscope.limits import require_memory


def _grads(parameters: list[nn.Parameter]) -> list[Tensor]:
    """The gradients of parameters that have one."""
    return [p.grad for p in parameters if p.grad is not None]


class NoFilter:
    """Leaves the gradient alone: ``g``. Cost: nothing. Misleads nobody, but is no control for Grokfast at equal
    learning rate: that one's steps are up to 1 + lambda times as long under SGD."""

    def __init__(self, regime: Regime):
        del regime

    def __call__(self, parameters: list[nn.Parameter]) -> None:
        """Edit every ``.grad`` in place."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            raise ValueError("the saved state belongs to another gradient filter")


class GrokfastEMA:
    """``m = a m + (1 - a) g``, then ``g += lambda m`` (Lee et al., arXiv:2405.20233).

    The average starts at the first gradient, without bias correction, as published. Cost: one copy of the weights in
    memory, three passes over them. Misleads when the slow direction is not the generalizing one: after memorization
    under cross-entropy it is the growth of the head. On E1 (modular addition, AdamW) it makes grokking slower.
    """

    def __init__(self, regime: Regime):
        self.alpha, self.amplify = regime.filter_alpha, regime.filter_lambda
        self.average: list[Tensor] = []

    def __call__(self, parameters: list[nn.Parameter]) -> None:
        grads = _grads(parameters)
        if not grads:
            return
        if self.average:
            torch._foreach_mul_(self.average, self.alpha)
            torch._foreach_add_(self.average, grads, alpha=1 - self.alpha)
        else:
            self.average = [g.clone() for g in grads]
        torch._foreach_add_(grads, self.average, alpha=self.amplify)

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average = list(state["average"])


class GrokfastMA:
    """``g += lambda mean(last w gradients)``, the present one included, once w have been seen (arXiv:2405.20233).

    Gradients are copied into a ring, never aliased. Cost: w copies of the weights in memory; the sum is updated in
    place and taken afresh each time the ring wraps, so that rounding does not build up. Misleads as Grokfast-EMA does.
    """

    def __init__(self, regime: Regime):
        self.window, self.amplify = regime.filter_window, regime.filter_lambda
        self.seen = 0
        self.ring: list[Tensor] = []
        self.total: list[Tensor] = []

    def __call__(self, parameters: list[nn.Parameter]) -> None:
        grads = _grads(parameters)
        if not grads:
            return
        if not self.ring:
            size = sum(g.numel() * g.element_size() for g in grads)
            require_memory(self.window * size, "$.regime.filter_window", "gradients")
            self.ring = [g.new_zeros((self.window, *g.shape)) for g in grads]
            self.total = [torch.zeros_like(g) for g in grads]
        slots = [ring[self.seen % self.window] for ring in self.ring]
        torch._foreach_sub_(self.total, slots)
        torch._foreach_copy_(slots, grads)
        torch._foreach_add_(self.total, slots)
        self.seen += 1
        if self.seen % self.window == 0:
            self.total = [ring.sum(0) for ring in self.ring]
        if self.seen >= self.window:
            torch._foreach_add_(grads, self.total, alpha=self.amplify / self.window)

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "ring": self.ring, "total": self.total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen, self.ring, self.total = state["seen"], list(state["ring"]), list(state["total"])


PARALLEL = 1e-5
"""Below this share of the gradient, what is orthogonal to the weights is rounding and must not be blown up."""


class OrthogonalGradient:
    """Per tensor: ``g - (w.g / w.w) w``, rescaled to the norm of g (orthogonal gradient, Prieto et al.,
    arXiv:2501.04697).

    Removes naive loss minimization (growing the logits by growing the weights). Cost: two dot products per tensor.
    Misleads on biases and other one-dimensional tensors whose direction means little, and a tensor of one element, or
    one whose gradient is parallel to it, keeps no gradient.
    """

    def __init__(self, regime: Regime):
        del regime

    @torch.no_grad()
    def __call__(self, parameters: list[nn.Parameter]) -> None:
        for p in parameters:
            if p.grad is None:
                continue
            w, g = p.flatten(), p.grad.flatten()
            part = g - (w @ g) / (w @ w).clamp_min(1e-30) * w
            size, left = g.norm(), part.norm()
            p.grad.copy_((part * torch.where(left > PARALLEL * size, size / left, 0)).view_as(p))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            raise ValueError("the saved state belongs to another gradient filter")
