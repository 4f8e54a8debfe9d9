"""Weight decay as a separate step, and the torch optimizers of a run as one object.

Decay is decoupled unless the optimizer does it itself: ``w -= lr * decay * (w - target)`` just before the update, on a
chosen group of parameters, toward zero or toward the initial weights.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from grokscope.config import Regime
from grokscope.measure.groups import NORM_LAYERS, find_head


class Optimizers:
    """The torch optimizers of one run, which step together (Muon takes matrices only and needs a second for the
    rest)."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer], kept: "Optimizers | None" = None):
        """`kept` is the same optimizer under other settings, whose moments go on."""
        self.parts = tuple(parts)
        self._lr: float | None = None
        if kept is not None:
            for part, before in zip(self.parts, kept.parts, strict=True):
                part.state.update(before.state)

    def forget(self, parameters: Sequence[nn.Parameter]) -> None:
        """Drop the moments of some parameters, which then begin as they did before the first step."""
        for part in self.parts:
            for parameter in parameters:
                part.state.pop(parameter, None)

    def step(self, lr: float) -> None:
        """One update at this learning rate; gradients are cleared."""
        for part in self.parts:
            if lr != self._lr:
                for group in part.param_groups:
                    group["lr"] = lr
            part.step()
            part.zero_grad()
        self._lr = lr

    def state_dict(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: Sequence[dict[str, Any]]) -> None:
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)
        self._lr = None


def same_update(one: Regime, two: Regime) -> bool:
    """Whether the same optimizer and decay carry out both regimes; their learning rate is set in each step."""
    keys = ("optimizer", "weight_decay", "decay_groups", "decay_target")
    return all(getattr(one, key) == getattr(two, key) for key in keys) and (
        one.optimizer.decays(one) == two.optimizer.decays(two)
    )


def decay_groups(model: nn.Module, regime: Regime) -> list[dict[str, Any]]:
    """Torch's parameter groups, for an optimizer that decays by itself: those that decay, and those that do not."""
    decayed = decay_names(model, regime)
    groups: list[dict[str, Any]] = []
    for chosen, decay in ((True, regime.weight_decay), (False, 0.0)):
        parameters = [p for name, p in model.named_parameters() if (name in decayed) == chosen]
        if parameters:
            groups.append({"params": parameters, "weight_decay": decay})
    return groups


def decay_names(model: nn.Module, regime: Regime) -> set[str]:
    """Names of the parameters that decay under ``regime.decay_groups``."""
    names = dict(model.named_parameters())
    match regime.decay_groups:
        case "all":
            return set(names)
        case "matrices":
            return {n for n, p in names.items() if p.dim() > 1}
        case "head":
            head, _ = find_head(model)
            return {n for n in names if n.rpartition(".")[0] == head}
        case "no_norm":
            norms = {n for n, m in model.named_modules() if isinstance(m, NORM_LAYERS)}
            return {n for n, p in names.items() if p.dim() > 1 and n.rpartition(".")[0] not in norms}


class Decay:
    """Decoupled weight decay on a group of parameters, toward zero or toward where they started."""

    def __init__(self, model: nn.Module, regime: Regime):
        names = decay_names(model, regime)
        self.rate = 0.0 if regime.optimizer.decays(regime) else regime.weight_decay
        self.parameters: list[Tensor] = [p for n, p in model.named_parameters() if n in names] if self.rate else []
        self.targets: list[Tensor] = []
        if regime.decay_target == "init":
            self.targets = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def apply(self, lr: float) -> None:
        if not self.parameters:
            return
        if self.targets:
            torch._foreach_lerp_(self.parameters, self.targets, min(1.0, lr * self.rate))
        else:
            torch._foreach_mul_(self.parameters, max(0.0, 1 - lr * self.rate))

    def state_dict(self) -> dict[str, Any]:
        return {"targets": self.targets}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.targets = list(state["targets"])
