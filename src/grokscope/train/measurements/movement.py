"""Movement of the weights: direction of the last step, angle per step, distance from initialization."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from grokscope.components import Measurement, Need
from grokscope.registry import register
from grokscope.train.measurements.needs import NO_INVARIANT, NO_START
from grokscope.train.optimizers import SGD, AdamW

if TYPE_CHECKING:
    from grokscope.config import Regime
    from grokscope.train.evaluate import View


@register
@dataclass(frozen=True, kw_only=True)
class UpdateDirection(Measurement):
    """Where the last step went, decay included: cosine ``<u, w> / (|u| |w|)`` of the update u with the weights w before
    it, over all weights and within each group, and with the direction in which the head alone grows. +1 is pure growth,
    -1 pure shrinking, 0 turning. The part that turns is what decides on a zero-loss manifold (arXiv:2511.01938). Cost:
    a copy of the weights in diagnosed steps, and three sums over them. Misleads read as one step's cause: momentum
    carries hundreds of earlier gradients, and in a large network a random step has a cosine of about 1 / sqrt(n)."""

    name: ClassVar[str] = "update_direction"
    summary: ClassVar[str] = "cosine of the last update with the weights, by group, and with head growth"
    source: ClassVar[str] = "arXiv:2511.01938"
    needs: ClassVar[frozenset[Need]] = frozenset({"update"})

    def __call__(self, view: "View") -> Mapping[str, Any]:
        from grokscope.measure.movement import update_cosines

        if view.update is None:
            return {}
        cosines = update_cosines(view.weights, view.update, view.groups)
        names = {"total": "cos_update_weights", "head_growth": "cos_update_head"}
        return {names.get(part, f"cos_update_weights_{part}"): value for part, value in cosines.items()}


@register
@dataclass(frozen=True, kw_only=True)
class Rotation(Measurement):
    """Angle by which the last step turned each scale-invariant tensor, and the one at which decay and growth would
    balance, ``sqrt(2 eta lambda (1 - b) / (1 + b))`` with momentum b (Adam's beta1): arXiv:2305.17212. Below it the
    norm still shrinks toward balance, above it grows; at it decay is a learning rate and no regularizer. Cost: a pass
    over these tensors. Misleads where gradients of successive steps agree (full batch, smooth descent): the prediction
    takes them for independent, and such steps turn the weights further. Predicted for adamw and sgd with decoupled
    decay toward zero on these tensors; NaN elsewhere, and without decay."""

    name: ClassVar[str] = "rotation"
    summary: ClassVar[str] = "angle per step of scale-invariant weights, and its predicted equilibrium"
    source: ClassVar[str] = "arXiv:2305.17212"
    needs: ClassVar[frozenset[Need]] = frozenset({"update"})

    def reasons(self, view: "View") -> Mapping[str, str]:
        if view.groups.get("scale_invariant"):
            return {}
        return {self.name: NO_INVARIANT}

    def __call__(self, view: "View") -> Mapping[str, Any]:
        import torch

        from grokscope.measure.movement import equilibrium_rotation, rotations

        names = [n for n in view.groups.get("scale_invariant", ()) if view.update is not None and n in view.update]
        if view.update is None or not names:
            return {}
        angles = rotations(view.weights, view.update, names)
        every = torch.stack(list(angles.values()))
        memory = memory_of(view.regime)
        predicted = math.nan
        if memory is not None:
            predicted = equilibrium_rotation(view.lr, decay_of(view.regime), memory)
        return {
            **{f"rotation/{name}": angle for name, angle in angles.items()},
            "rotation_mean": every.mean(),
            "rotation_low": every.min(),
            "rotation_high": every.max(),
            "rotation_equilibrium": predicted,
            "rotation_ratio": every.mean() / predicted,
        }


def memory_of(regime: "Regime | None") -> float | None:
    """Share of the last step's direction that the next one keeps; None for an optimizer whose steps are of another
    kind."""
    match regime.optimizer if regime is not None else None:
        case AdamW() as adam:
            return adam.betas[0]
        case SGD(nesterov=False) as sgd if sgd.momentum < 1:
            return sgd.momentum
    return None


def decay_of(regime: "Regime | None") -> float:
    """Decay of the hidden matrices toward zero, which scale-invariant tensors are; 0 where they have none."""
    if regime is None or regime.decay_groups == "head" or regime.decay_target != "zero":
        return 0.0
    return regime.weight_decay


@register
@dataclass(frozen=True, kw_only=True)
class Distance(Measurement):
    """How far the weights are from where they started: ``|w - w0|`` and ``|w - w0| / |w0|``, in all and by group; a
    branched run starts where it was branched. A small relative distance is lazy training (arXiv:1812.07956). Cost: a
    copy of the weights kept, a pass over them. Misleads where a weight's scale does not matter: it may move far without
    a change of the function; and noise alone moves weights as sqrt(steps)."""

    name: ClassVar[str] = "distance"
    summary: ClassVar[str] = "distance of the weights from initialization, by group, absolute and relative"
    source: ClassVar[str] = "arXiv:1812.07956"
    needs: ClassVar[frozenset[Need]] = frozenset({"initial"})

    def reasons(self, view: "View") -> Mapping[str, str]:
        if view.initial is not None:
            return {}
        return {self.name: NO_START}

    def __call__(self, view: "View") -> Mapping[str, Any]:
        from grokscope.measure.movement import distances

        if view.initial is None:
            return {}
        values: dict[str, Any] = {}
        for part, (far, relative) in distances(view.weights, view.initial, view.groups).items():
            values |= {f"distance_{part}": far, f"distance_relative_{part}": relative}
        return values
