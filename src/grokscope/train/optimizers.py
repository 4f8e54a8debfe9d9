"""Optimizers from torch, and weight decay as a piece of its own.

Decay is decoupled for every optimizer but `adam`: ``w -= lr * decay * (w - target)`` just before the update, on a
chosen group of parameters, towards zero or towards the initial weights. Torch's own optimizers therefore run with no
decay of theirs.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from grokscope.config import Regime
from grokscope.measure.groups import NORM_LAYERS, find_head


class Optimizers:
    """One or two torch optimizers that step together (Muon takes matrices only and needs a second for the rest)."""

    def __init__(self, *parts: torch.optim.Optimizer):
        self.parts = parts
        self._lr: float | None = None

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


def adamw(model: nn.Module, regime: Regime) -> Optimizers:
    """Adam with decoupled decay: ``w -= lr m / (sqrt(v) + eps)`` after ``w -= lr wd w`` (Loshchilov & Hutter,
    arXiv:1711.05101). Cost: two copies of the weights. Misleads when compared with SGD at equal decay: its decay acts
    on weights whose step does not shrink with the gradient, so it bites hardest after memorization."""
    if _decay_is_inside(regime):
        return Optimizers(torch.optim.AdamW(_decay_groups(model, regime), **_adam_options(regime)))
    return Optimizers(_adam(list(model.parameters()), regime, 0.0))


def adam(model: nn.Module, regime: Regime) -> Optimizers:
    """Adam with the decay added to the gradient, L2: ``g += wd w`` (Kingma & Ba, arXiv:1412.6980). Cost: two copies of
    the weights. Misleads when its decay is read like adamw's: it is divided by the gradient's own scale and no longer
    pulls all weights alike."""
    return Optimizers(torch.optim.Adam(_decay_groups(model, regime), **_adam_options(regime)))


def sgd(model: nn.Module, regime: Regime) -> Optimizers:
    """``v = momentum v + g; w -= lr v`` (Robbins & Monro, doi:10.1214/aoms/1177729586; Nesterov's form on request),
    with decoupled decay. Without momentum this equals L2. Misleads on scale-invariant weights: their effective rate is
    lr / |w|^2, so decay speeds them up. Cost: one copy with momentum."""
    optimizer = torch.optim.SGD(
        model.parameters(), lr=regime.lr, momentum=regime.momentum, nesterov=regime.nesterov, foreach=True
    )
    return Optimizers(optimizer)


def muon(model: nn.Module, regime: Regime) -> Optimizers:
    """Momentum orthogonalized on matrices, ``w -= lr c U V'`` for momentum ``U S V'`` by Newton-Schulz, AdamW on
    everything else (arXiv:2502.16982; c matches AdamW's RMS, so one lr serves both). Always Nesterov's form; momentum 0
    means its usual 0.95. Embeddings, norms and the head go to AdamW. Cost: five small matrix products per matrix and
    step. Misleads when its decay is compared with AdamW's at equal lr: all directions of a matrix move alike."""
    _, head = find_head(model)
    others = [m for m in model.modules() if isinstance(m, (nn.Embedding, *NORM_LAYERS)) or m is head]
    excluded = {id(p) for m in others for p in m.parameters(recurse=False)}
    matrices = [p for p in model.parameters() if p.dim() == 2 and id(p) not in excluded]
    if not matrices:
        raise ValueError("$.regime.optimizer: muon needs at least one hidden matrix, this model has none; use adamw")
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    momentum = regime.momentum or 0.95
    first = torch.optim.Muon(
        matrices, lr=regime.lr, weight_decay=0.0, momentum=momentum, nesterov=True, adjust_lr_fn="match_rms_adamw"
    )
    return Optimizers(first, _adam(rest, regime, 0.0))


def _adam(parameters: list[nn.Parameter], regime: Regime, decay: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, weight_decay=decay, **_adam_options(regime))


def _adam_options(regime: Regime) -> dict[str, Any]:
    return {"lr": regime.lr, "betas": regime.betas, "eps": regime.eps, "fused": True}


def _decay_groups(model: nn.Module, regime: Regime) -> list[dict[str, Any]]:
    """Torch's parameter groups: those that decay, and those that do not."""
    decayed = decay_names(model, regime)
    groups: list[dict[str, Any]] = []
    for chosen, decay in ((True, regime.weight_decay), (False, 0.0)):
        parameters = [p for name, p in model.named_parameters() if (name in decayed) == chosen]
        if parameters:
            groups.append({"params": parameters, "weight_decay": decay})
    return groups


def _decay_is_inside(regime: Regime) -> bool:
    """Whether torch's fused AdamW does the decay, in the pass over the weights that it makes anyway: the same numbers,
    a dozen microseconds sooner. Beyond lr * decay = 1 it would overshoot zero, which `Decay` does not."""
    return regime.optimizer == "adamw" and regime.decay_target == "zero" and regime.lr * regime.weight_decay <= 1


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
    """Decoupled weight decay on a group of parameters, towards zero or towards where they started."""

    def __init__(self, model: nn.Module, regime: Regime):
        names = decay_names(model, regime)
        done = regime.optimizer == "adam" or _decay_is_inside(regime)  # the optimizer itself does it
        self.rate = 0.0 if done else regime.weight_decay
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
