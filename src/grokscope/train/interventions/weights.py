"""Interventions on the weights: hold their norm, freeze them, reinitialize a part of them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from grokscope.train.interventions.base import Acting, joint_norm


class HeldNorm(Acting):
    """Rescales some parameters together, after each step, to ``rho`` times a reference norm."""

    def __init__(self, parameters: Sequence[nn.Parameter], rho: float, reference: float | None, strength: float):
        self.parameters: list[Tensor] = list(parameters)
        self.rho, self.strength = rho, strength
        self.reference = reference
        """None: the norm at the beginning."""
        self.target: Tensor | None = None

    def begin(self) -> dict[str, float | str]:
        reference = float(joint_norm(self.parameters)) if self.reference is None else self.reference
        if reference == 0:
            raise ValueError("hold_norm: the reference norm is 0; give a number")
        self._aim(self.rho * reference)
        return {"reference": reference, "held at": self.rho * reference}

    def _aim(self, norm: float) -> None:
        self.target = torch.tensor(norm, dtype=torch.float64, device=self.parameters[0].device)

    @torch.no_grad()
    def after_step(self) -> None:
        assert self.target is not None
        factor = (self.target / joint_norm(self.parameters).clamp_min(1e-300)) ** self.strength
        torch._foreach_mul_(self.parameters, factor.float())

    def state_dict(self) -> dict[str, Any]:
        return {"target": None if self.target is None else float(self.target)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["target"] is not None:
            self._aim(state["target"])


class Frozen(Acting):
    """Puts some parameters back to where they were before each step; with a `strength` below 1, a part of the way."""

    def __init__(self, parameters: Sequence[nn.Parameter], strength: float):
        self.parameters: list[Tensor] = list(parameters)
        self.strength = strength
        self.before = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def gradient(self) -> None:
        """The last hook before the update: what is there now is what is put back."""
        torch._foreach_copy_(self.before, self.parameters)

    @torch.no_grad()
    def after_step(self) -> None:
        torch._foreach_lerp_(self.parameters, self.before, self.strength)


class Reinitialized(Acting):
    """Moves some parameters toward a fresh initialization, once, when it begins."""

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        fresh: Sequence[Tensor],
        strength: float,
        forget: Callable[[Sequence[nn.Parameter]], None],
    ):
        self.parameters: list[Tensor] = list(parameters)
        self.fresh = list(fresh)
        self.strength = strength
        self.forget = lambda: forget(parameters)

    @torch.no_grad()
    def begin(self) -> dict[str, float | str]:
        before = float(joint_norm(self.parameters))
        torch._foreach_lerp_(self.parameters, self.fresh, self.strength)
        if self.strength > 0:
            self.forget()
        return {"norm before": before, "norm after": float(joint_norm(self.parameters))}
