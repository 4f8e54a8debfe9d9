"""Settings read from the torch optimizer of an external loop: learning rate, weight decay and its parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import torch
    from torch import nn

ADAPTIVE = ("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adagrad", "RMSprop", "Adadelta")
"""Optimizers of torch whose step does not shrink with the gradient."""
DECOUPLED = ("AdamW", "Muon")
"""Optimizers of torch that shrink the weights themselves by ``1 - lr * decay``."""
GROUPS = ("all", "matrices", "no_norm", "head")
"""Choices of what decays that a regime has names for, the widest first."""


@dataclass(frozen=True)
class OptimizerSettings:
    """Settings under the names that a regime gives them, as far as they have one there."""

    regime: Mapping[str, Any]
    kept: Mapping[str, Any]
    """As torch has them, for people."""
    adaptive: bool | None
    notes: tuple[str, ...] = field(default=())


UNKNOWN = OptimizerSettings({}, {}, None)
"""Of a loop that does not show its optimizer."""


def settings_of(optimizer: "torch.optim.Optimizer", model: "nn.Module") -> OptimizerSettings:
    """The settings of an optimizer. What has no exact counterpart in a regime is left unknown, and a note says so: a
    mechanism check then says what it lacks instead of computing with a wrong number.

    Raises:
        ValueError: for what is no optimizer, such as a list of them.
    """
    if not hasattr(optimizer, "param_groups"):
        what = type(optimizer).__name__
        raise ValueError(f"optimizer: expected one torch optimizer, got {what}; leave it out where there are several")
    if not _shared_weights(optimizer, model):
        note = f"optimizer {type(optimizer).__name__}: holds no weight of the network (a copy of it?): unknown here"
        return OptimizerSettings({}, {}, None, (note,))
    kind, notes = _name(optimizer), []
    regime: dict[str, Any] = {}
    if kind is None:
        notes.append(f"optimizer {type(optimizer).__name__}: how it decays weights is not known here")
    else:
        regime["optimizer"] = kind
    if (lr := base_rate(optimizer)) is not None:
        regime["lr"] = lr
    decay, groups = _decay(optimizer, model)
    if decay is None:
        notes.append("weight decay differs between groups of parameters that have no common name: not recorded")
    elif kind == "sgd" and decay and any(group.get("momentum") for group in optimizer.param_groups):
        del regime["optimizer"]
        notes.append(
            "SGD with momentum includes weight decay in its momentum, which is not decoupled decay: unknown here"
        )
    # what a decay of unknown kind amounts to over time cannot be computed, and lr x decay x steps would be wrong
    if decay == 0 or (decay is not None and "optimizer" in regime):
        regime |= {"weight_decay": decay, "decay_groups": groups}
    plain = {key: value for key, value in optimizer.defaults.items() if isinstance(value, int | float | str | tuple)}
    return OptimizerSettings(regime, {"name": type(optimizer).__name__, **plain}, _adaptive(optimizer), (*notes,))


def _shared_weights(optimizer: "torch.optim.Optimizer", model: "nn.Module") -> bool:
    weights = {id(p) for p in model.parameters()}
    return any(id(p) in weights for group in optimizer.param_groups for p in group["params"])


def rate(optimizer: "torch.optim.Optimizer") -> float | None:
    """The learning rate of the next step; None where groups of parameters have different ones."""
    return _shared(float(group["lr"]) for group in optimizer.param_groups)


def base_rate(optimizer: "torch.optim.Optimizer") -> float | None:
    """The learning rate that a schedule starts from, which is 0 at the first step of a warm-up."""
    return _shared(float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups)


def _shared(values: Any) -> float | None:
    different = set(values)
    return different.pop() if len(different) == 1 else None


def _name(optimizer: "torch.optim.Optimizer") -> str | None:
    """The registered optimizer that decays as this one does."""
    name = _torch_name(optimizer)
    if name == "Adam":
        # an option of torch's Adam turns it into AdamW
        if optimizer.defaults.get("decoupled_weight_decay"):
            return "adamw"
        return "adam"
    return name.lower() if name in (*DECOUPLED, "SGD") else None


def _adaptive(optimizer: "torch.optim.Optimizer") -> bool | None:
    return {"SGD": False, **dict.fromkeys(ADAPTIVE, True)}.get(_torch_name(optimizer))


def _torch_name(optimizer: "torch.optim.Optimizer") -> str:
    """Its class where that is torch's own; empty elsewhere, for another author's may differ under the same name."""
    return type(optimizer).__name__ if type(optimizer).__module__.startswith("torch.") else ""


def _decay(optimizer: "torch.optim.Optimizer", model: "nn.Module") -> tuple[float | None, str]:
    """(weight decay, the choice of parameters that it acts on); None where no choice with a name is meant."""
    names = {id(p): name for name, p in model.named_parameters()}
    strength: dict[str, float] = {}
    for group in optimizer.param_groups:
        decay = float(group.get("weight_decay", 0.0))
        strength |= {names[id(p)]: decay for p in group["params"] if id(p) in names}
    decayed = {name for name, decay in strength.items() if decay}
    if not decayed:
        return 0.0, "all"
    if len({strength[name] for name in decayed}) > 1:
        return None, ""
    for choice in GROUPS:
        if decayed == _names(model, choice) & strength.keys():
            return strength[next(iter(decayed))], choice
    return None, ""


def _names(model: "nn.Module", choice: str) -> set[str]:
    """Names of the parameters of a choice; none where the network has no such part."""
    from grokscope.train.decay import decay_names

    try:
        return decay_names(model, cast(Any, SimpleNamespace(decay_groups=choice)))
    except ValueError:
        return set()
