"""The optimizers that a regime can name, each with its own parameters. Importing them imports no torch.

Weight decay is a piece of its own (`grokscope.train.decay`): decoupled for every optimizer but `adam`. Torch's own
optimizers therefore run with no decay of theirs, unless an optimizer says that it `decays` by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from grokscope.checks import require
from grokscope.components import Optimizer
from grokscope.config import Regime
from grokscope.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn


def _require_betas(betas: tuple[float, float], eps: float) -> None:
    require(all(0 <= b < 1 for b in betas), f"betas must lie in [0, 1), got {list(betas)}")
    require(eps > 0, f"eps must be positive, got {eps}")


def _require_momentum(momentum: float) -> None:
    require(momentum >= 0, f"momentum must not be negative, got {momentum}")


@register
@dataclass(frozen=True, kw_only=True)
class AdamW(Optimizer):
    """Adam with decoupled decay: ``w -= lr m / (sqrt(v) + eps)`` after ``w -= lr wd w`` (Loshchilov & Hutter,
    arXiv:1711.05101). Cost: two copies of the weights. Misleads when compared with SGD at equal decay: its decay acts
    on weights whose step does not shrink with the gradient, so it is strongest after memorization."""

    name: ClassVar[str] = "adamw"
    summary: ClassVar[str] = "Adam with decoupled weight decay"
    source: ClassVar[str] = "arXiv:1711.05101"

    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of the two averages; 2201.02177 and most modular-arithmetic work use (0.9, 0.98)."""
    eps: float = 1e-8

    def __post_init__(self) -> None:
        _require_betas(self.betas, self.eps)

    def decays(self, regime: Regime) -> bool:
        """Torch's fused AdamW decays in the pass over the weights that it makes anyway: the same numbers, a dozen
        microseconds sooner. Beyond lr * decay = 1 it would overshoot zero, which the separate decay does not."""
        return regime.decay_target == "zero" and regime.lr * regime.weight_decay <= 1

    def build(self, model: "nn.Module", regime: Regime) -> "Sequence[torch.optim.Optimizer]":
        import torch

        from grokscope.train.decay import decay_groups

        groups = decay_groups(model, regime) if self.decays(regime) else list(model.parameters())
        return [torch.optim.AdamW(groups, weight_decay=0.0, **_adam_options(self, regime))]


@register
@dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
    """Adam with the decay added to the gradient, L2: ``g += wd w`` (Kingma & Ba, arXiv:1412.6980). Cost: two copies of
    the weights. Misleads when its decay is read like adamw's: it is divided by the gradient's own scale and no longer
    pulls all weights alike."""

    name: ClassVar[str] = "adam"
    summary: ClassVar[str] = "Adam; weight decay is L2 added to the gradient"
    source: ClassVar[str] = "arXiv:1412.6980"

    betas: tuple[float, float] = (0.9, 0.999)
    """Memory of the two averages."""
    eps: float = 1e-8

    def __post_init__(self) -> None:
        _require_betas(self.betas, self.eps)

    def check(self, regime: Regime) -> None:
        require(
            regime.decay_target != "init",
            "adam couples decay to the gradient and knows only decay_target = 'zero'; use adamw",
        )

    def decays(self, regime: Regime) -> bool:
        del regime
        return True

    def build(self, model: "nn.Module", regime: Regime) -> "Sequence[torch.optim.Optimizer]":
        import torch

        from grokscope.train.decay import decay_groups

        return [torch.optim.Adam(decay_groups(model, regime), **_adam_options(self, regime))]


@register
@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """``v = momentum v + g; w -= lr v`` (Robbins & Monro, doi:10.1214/aoms/1177729586; Nesterov's form on request),
    with decoupled decay. Without momentum this equals L2. Misleads on scale-invariant weights: their effective rate is
    lr / |w|^2, so decay speeds them up. Cost: one copy with momentum."""

    name: ClassVar[str] = "sgd"
    summary: ClassVar[str] = "SGD with momentum, decoupled weight decay"
    source: ClassVar[str] = "doi:10.1214/aoms/1177729586"
    adaptive: ClassVar[bool] = False

    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        _require_momentum(self.momentum)
        require(not (self.nesterov and self.momentum == 0), "nesterov needs momentum > 0")

    def build(self, model: "nn.Module", regime: Regime) -> "Sequence[torch.optim.Optimizer]":
        import torch

        options = {"lr": regime.lr, "momentum": self.momentum, "nesterov": self.nesterov}
        return [torch.optim.SGD(model.parameters(), foreach=True, **options)]


@register
@dataclass(frozen=True, kw_only=True)
class Muon(Optimizer):
    """Momentum orthogonalized on matrices, ``w -= lr c U V'`` for momentum ``U S V'`` by Newton-Schulz, AdamW on
    everything else (arXiv:2502.16982; c matches AdamW's RMS, so one lr serves both). Always Nesterov's form.
    Embeddings, norms and the head go to AdamW. Cost: five small matrix products per matrix and step. Misleads when its
    decay is compared with AdamW's at equal lr: all directions of a matrix move alike."""

    name: ClassVar[str] = "muon"
    summary: ClassVar[str] = "orthogonalized momentum on matrices, AdamW on the rest"
    source: ClassVar[str] = "arXiv:2502.16982"

    momentum: float = 0.95
    betas: tuple[float, float] = (0.9, 0.999)
    """Of the AdamW that takes the rest."""
    eps: float = 1e-8
    """Of the AdamW that takes the rest."""

    def __post_init__(self) -> None:
        _require_momentum(self.momentum)
        _require_betas(self.betas, self.eps)

    def build(self, model: "nn.Module", regime: Regime) -> "Sequence[torch.optim.Optimizer]":
        import torch
        from torch import nn

        from grokscope.measure.groups import NORM_LAYERS, find_head

        _, head = find_head(model)
        others = [m for m in model.modules() if isinstance(m, (nn.Embedding, *NORM_LAYERS)) or m is head]
        excluded = {id(p) for m in others for p in m.parameters(recurse=False)}
        matrices = [p for p in model.parameters() if p.dim() == 2 and id(p) not in excluded]
        if not matrices:
            raise ValueError(
                "$.regime.optimizer: muon needs at least one hidden matrix, this model has none; use adamw"
            )
        chosen = {id(p) for p in matrices}
        rest = [p for p in model.parameters() if id(p) not in chosen]
        options = {"lr": regime.lr, "momentum": self.momentum, "adjust_lr_fn": "match_rms_adamw"}
        first = torch.optim.Muon(matrices, weight_decay=0.0, nesterov=True, **options)
        return [first, torch.optim.AdamW(rest, weight_decay=0.0, **_adam_options(self, regime))]


def _adam_options(adam: AdamW | Adam | Muon, regime: Regime) -> dict[str, Any]:
    return {"lr": regime.lr, "betas": tuple(adam.betas), "eps": adam.eps, "fused": True}
