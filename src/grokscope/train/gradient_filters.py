"""Implementation of the gradient filters of `grokscope.train.filters`: they edit the gradient between backward and
clip, and never see decoupled weight decay.

A filter is called once per step with the parameters, changes their ``.grad`` in place, and keeps what it must remember
in `state_dict`, so that a resumed run continues bit for bit.
"""

from typing import Any

import torch
from torch import Tensor, nn

from grokscope.limits import require_memory


def _grads(parameters: list[nn.Parameter]) -> list[Tensor]:
    """The gradients of parameters that have one."""
    return [p.grad for p in parameters if p.grad is not None]


class Stateless:
    """A filter that remembers nothing."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            raise ValueError("the saved state belongs to another gradient filter")


class Unchanged(Stateless):
    """Leaves the gradient alone."""

    capturable = True

    def __call__(self, parameters: list[nn.Parameter]) -> None:
        """Edit every ``.grad`` in place."""


class AddedAverage:
    """Adds `amplify` times an exponential average with memory `alpha`."""

    capturable = True  # once the average is there, which is after the first step

    def __init__(self, alpha: float, amplify: float):
        self.alpha, self.amplify = alpha, amplify
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


class AddedWindow:
    """Adds `amplify` times the mean of the last `window` gradients.

    Gradients are copied into a ring, never aliased. The sum is updated in place and taken afresh each time the ring
    wraps, so that rounding does not build up. Which slot comes next is decided in Python, so it is no part of a
    captured step.
    """

    def __init__(self, window: int, amplify: float):
        self.window, self.amplify = window, amplify
        self.seen = 0
        self.ring: list[Tensor] = []
        self.total: list[Tensor] = []

    def __call__(self, parameters: list[nn.Parameter]) -> None:
        grads = _grads(parameters)
        if not grads:
            return
        if not self.ring:
            size = sum(g.numel() * g.element_size() for g in grads)
            require_memory(self.window * size, "$.regime.grad_filter.window", "gradients")
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


class Orthogonal(Stateless):
    """Takes away, in each tensor, the part of the gradient along the weights, and restores its norm."""

    capturable = True

    @torch.no_grad()
    def __call__(self, parameters: list[nn.Parameter]) -> None:
        for p in parameters:
            if p.grad is None:
                continue
            w, g = p.flatten(), p.grad.flatten()
            part = g - (w @ g) / (w @ w).clamp_min(1e-30) * w
            size, left = g.norm(), part.norm()
            p.grad.copy_((part * torch.where(left > PARALLEL * size, size / left, 0)).view_as(p))
