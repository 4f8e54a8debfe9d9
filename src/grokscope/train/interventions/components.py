"""The interventions that a regime can list: changes of the training while it goes on. Importing them imports no torch.

Each is written as a table, ``{ name = "hold_norm", rho = 1.0, from = 400 }``, and is the identity, bit for bit, at the
value that its docstring names. ``from`` is the last step without it and ``until`` the last with it (`Intervention`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from grokscope import configio, identity
from grokscope.checks import require, require_whole
from grokscope.components import Component, Intervention
from grokscope.config import Regime
from grokscope.limits import brief
from grokscope.registry import nearest, register
from grokscope.seeds import derive

if TYPE_CHECKING:
    from grokscope.train.interventions.base import Acting, Training

MAX_SEED_OFFSET = 2**31 - 1
Selection = str | tuple[str, ...]
"""``total``, ``matrices``, a parameter group, a parameter's name, or a list of such words."""


def _require_strength(strength: float) -> None:
    require(0 <= strength <= 1, f"strength is a share in [0, 1], got {strength}")


@register
@dataclass(frozen=True, kw_only=True)
class HoldNorm(Intervention):
    """``w *= (rho * reference / |w|)^strength`` after each step, on some parameters together; moments are kept (the
    norm dose, arXiv:2606.13753). Identity at strength 0.

    Cost: one norm and one product of these weights a step. Misleads where a norm layer follows the held weights: their
    scale then does not reach the output, and holding it only fixes the effective learning rate. The moment of the start
    matters, and so does holding all together: a group may still grow at another's cost.
    """

    name: ClassVar[str] = "hold_norm"
    summary: ClassVar[str] = "holds the weight norm, of all or some parameters, at rho times a reference"
    source: ClassVar[str] = "arXiv:2606.13753"

    rho: float = 1.0
    of: Selection = "total"
    """Which parameters: total, matrices, a group (head, weights, ...), a parameter's name, or a list of such words."""
    reference: float | str = "start"
    """The norm that rho multiplies: where the intervention begins (``start``), at initialization (``init``), or a
    number."""
    strength: float = 1.0
    """1 puts the norm where it shall be, less goes a part of the way in each step."""

    def check(self, regime: Regime) -> None:
        del regime
        require(self.rho > 0, f"rho must be positive, got {self.rho}")
        _require_strength(self.strength)
        if isinstance(self.reference, str):
            known = ["start", "init"]
            require(self.reference in known, f"reference: {self.reference!r} is neither a number nor one of {known}")
        else:
            require(self.reference > 0, f"reference must be positive, got {self.reference}")

    def build(self, training: "Training") -> "Acting":
        from grokscope.train.interventions.base import joint_norm
        from grokscope.train.interventions.weights import HeldNorm

        parameters = list(training.parameters(self.of).values())
        reference = None if isinstance(self.reference, str) else self.reference
        if self.reference == "init":
            reference = float(joint_norm(parameters))
        return HeldNorm(parameters, self.rho, reference, self.strength)


@register
@dataclass(frozen=True, kw_only=True)
class Temperature(Intervention):
    """The training loss is taken of ``z / T``: the scale of the logits, moved at a fixed weight norm
    (arXiv:2606.18465). Identity at T = 1.

    Evaluation sees the network's own logits: losses, margins and softmax collapse of a row are those of z, accuracy is
    the same for both. Cost: one division. Misleads as a logit scale under losses without one: under MSE on one-hot
    targets it only asks for logits T times as large.
    """

    name: ClassVar[str] = "temperature"
    summary: ClassVar[str] = "divides the logits of the training loss by a temperature"
    source: ClassVar[str] = "arXiv:2606.18465"

    temperature: float = 1.0

    def check(self, regime: Regime) -> None:
        del regime
        require(self.temperature > 0, f"temperature must be positive, got {self.temperature}")

    def build(self, training: "Training") -> "Acting":
        from grokscope.train.interventions.function import Tempered

        del training
        return Tempered(self.temperature)


@register
@dataclass(frozen=True, kw_only=True)
class SubtractInitial(Intervention):
    """Trains and evaluates ``f - strength * f0``, f0 the logits at initialization: what the random initial function
    spoils is gone (arXiv:2605.27078). Identity at strength 0.

    Every number of a row is then of f - f0; checkpoints hold f. Cost: one forward before training, the logits of all
    examples in memory, one subtraction a step. Misleads when it begins late: the function then jumps by f0.
    """

    name: ClassVar[str] = "subtract_initial"
    summary: ClassVar[str] = "trains and evaluates the function without its initial value, f - f0"
    source: ClassVar[str] = "arXiv:2605.27078"

    strength: float = 1.0

    def check(self, regime: Regime) -> None:
        del regime
        _require_strength(self.strength)

    def build(self, training: "Training") -> "Acting":
        from grokscope.train.interventions.function import InitialSubtracted

        if not training.fixed_inputs:
            raise ValueError(
                "the initial logits of an example must be the same in each step; switch augmentation off, and choose a "
                "network without batch normalization and dropout"
            )
        return InitialSubtracted(training.logits(), self.strength)


@register
@dataclass(frozen=True, kw_only=True)
class DecayHead(Intervention):
    """Decay acts on the last layer only: ``w_head -= lr * decay * w_head``, nothing else shrinks. Under cross-entropy
    the head is the group that grows without bound once the data are fitted (arXiv:2501.04697). Identity where the
    regime has ``decay_groups = "head"`` and this decay.

    Cost: none. Misleads beside a regime of another decay: two things differ then, which groups decay and how fast.
    """

    name: ClassVar[str] = "decay_head"
    summary: ClassVar[str] = "weight decay on the last layer only"
    source: ClassVar[str] = "arXiv:2501.04697"

    weight_decay: float | None = None
    """none: as strong as the regime's."""

    def settings(self, regime: Regime) -> Regime:
        decay = regime.weight_decay if self.weight_decay is None else self.weight_decay
        return _switched(regime, {"decay_groups": "head", "weight_decay": decay})

    def check(self, regime: Regime) -> None:
        require_switchable(regime, ("decay_groups",))


@register
@dataclass(frozen=True, kw_only=True)
class Freeze(Intervention):
    """``w = w_before + (1 - strength) (w_after - w_before)``: some parameters do not move, neither by gradient nor by
    decay; with a strength below 1 they move by that much less. Identity at strength 0. A layer that is held fixed while
    the rest trains shows which one carries a change.

    Cost: two copies of these weights a step. Misleads at its end: the optimizer's moments went on as if the weights had
    been free, and a clipped gradient counts theirs too. Running averages of batch normalization are not parameters and
    move on.
    """

    name: ClassVar[str] = "freeze"
    summary: ClassVar[str] = "holds some parameters where they are"

    of: Selection = "head"
    """Which parameters: total, matrices, a group (head, weights, ...), a parameter's name, or a list of such words."""
    strength: float = 1.0

    def check(self, regime: Regime) -> None:
        del regime
        _require_strength(self.strength)

    def build(self, training: "Training") -> "Acting":
        from grokscope.train.interventions.weights import Frozen

        return Frozen(list(training.parameters(self.of).values()), self.strength)


@register
@dataclass(frozen=True, kw_only=True)
class ProjectGradient(Intervention):
    """``g -= strength (g.w / w.w) w``, between the gradient filter and the clip: along each tensor of weights (removes
    naive loss minimization, arXiv:2501.04697), or along the whole head (no gradient makes the head grow). Identity at
    strength 0.

    Cost: two dot products per tensor. Misleads under Adam: what the optimizer makes of the gradient is divided by its
    own scale weight by weight, so the update may still have a part along the weights. Unlike the filter ``orthogonal``
    it does not restore the gradient's norm.
    """

    name: ClassVar[str] = "project_gradient"
    summary: ClassVar[str] = "removes the part of the gradient along the weights, or along the head's growth"
    source: ClassVar[str] = "arXiv:2501.04697"

    out_of: Literal["weights", "head"] = "weights"
    """The directions to remove: each tensor's own weights, or the weights of the head as one vector."""
    strength: float = 1.0

    def check(self, regime: Regime) -> None:
        del regime
        _require_strength(self.strength)

    def build(self, training: "Training") -> "Acting":
        from grokscope.train.interventions.gradient import Projected

        chosen = training.parameters("total" if self.out_of == "weights" else "head")
        return Projected(list(chosen.values()), self.strength, together=self.out_of == "head")


@register
@dataclass(frozen=True, kw_only=True)
class Reinitialize(Intervention):
    """``w = (1 - strength) w + strength w_fresh`` once, where it begins, with weights drawn as at initialization from
    another seed; the optimizer forgets their moments (in full: a layer begins anew, arXiv:1902.01996; in part: shrink
    and perturb, arXiv:1910.08475). Identity at strength 0.

    Cost: a second initialization and a copy of these weights. Misleads when read as "the layer does not matter" because
    accuracy comes back: the rest has been trained and teaches it. Averages of a gradient filter are kept.
    """

    name: ClassVar[str] = "reinitialize"
    summary: ClassVar[str] = "begins some parameters anew, in full or in part"
    source: ClassVar[str] = "arXiv:1902.01996"

    of: Selection = "head"
    """Which parameters: total, matrices, a group (head, weights, ...), a parameter's name, or a list of such words."""
    strength: float = 1.0
    draw: int = 0
    """Another number draws other fresh weights."""

    def check(self, regime: Regime) -> None:
        del regime
        _require_strength(self.strength)
        require_whole("draw", self.draw, 0, MAX_SEED_OFFSET)

    def build(self, training: "Training") -> "Acting":
        from grokscope.train.interventions.weights import Reinitialized

        chosen = training.parameters(self.of)
        fresh = training.fresh_weights(derive(training.seed, f"reinitialize/{self.draw}"))
        return Reinitialized(
            list(chosen.values()), [fresh[name] for name in chosen], self.strength, training.forget_moments
        )


@register
@dataclass(frozen=True, kw_only=True)
class TrainSubset(Intervention):
    """Every batch is drawn from a share of the training examples, ``m = round(share n)``; smaller shares are parts of
    larger ones (retraining on less data, Varma et al., arXiv:2309.02390). Identity at share 1.

    Rows show the whole training split as before, and beside it ``train_subset_acc`` and ``train_subset_loss``. Epochs
    of the cadences stay those of the whole split. Cost: one index select a step. Misleads when read as less data from
    the start: the examples left out were seen before.
    """

    name: ClassVar[str] = "train_subset"
    summary: ClassVar[str] = "trains on a share of the training examples"
    source: ClassVar[str] = "arXiv:2309.02390"

    share: float = 1.0
    draw: int = 0
    """Another number draws another subset."""

    def check(self, regime: Regime) -> None:
        del regime
        require(0 < self.share <= 1, f"share must lie in (0, 1], got {self.share}")
        require_whole("draw", self.draw, 0, MAX_SEED_OFFSET)

    def build(self, training: "Training") -> "Acting":
        from grokscope.train.interventions.subset import OnSubset, nested_rows

        train = training.splits["train"]
        n = len(train.y)
        m = round(self.share * n)
        if m < 1:
            raise ValueError(f"share {self.share} of {n} training examples is none; raise it")
        rows = nested_rows(n, m, derive(training.seed, f"train-subset/{self.draw}"))
        return OnSubset(train, rows, training.batch_size, derive(training.seed, f"train-subset-order/{self.draw}"))


@register
@dataclass(frozen=True, kw_only=True)
class RadialPenalty(Intervention):
    """Adds ``strength * mean (|h| / sqrt(d) - 1)^2`` to the training loss, h (d,) what the head reads: features are
    drawn to the sphere of radius sqrt(d) (after arXiv:2606.32000). Identity at strength 0.

    Recorded losses are those without the penalty. Cost: one norm an example. Misleads in its strength: the source
    states the sphere, and the unit chosen here is its radius; and features that start far from the sphere are first of
    all rescaled, which acts like another learning rate.
    """

    name: ClassVar[str] = "radial_penalty"
    summary: ClassVar[str] = "draws what the head reads to the sphere of radius sqrt(d)"
    source: ClassVar[str] = "arXiv:2606.32000"

    strength: float = 0.1

    def check(self, regime: Regime) -> None:
        del regime
        require(0 <= self.strength < math.inf, f"strength must be finite and not negative, got {self.strength}")

    def build(self, training: "Training") -> "Acting":
        from grokscope.measure.groups import find_head
        from grokscope.train.interventions.radial import RadiusPenalized

        name, head = find_head(training.model)
        if not name:
            raise ValueError("the network is its head, and reads the data themselves: there is nothing to be drawn")
        return RadiusPenalized(head, self.strength)


SWITCHABLE = (
    "optimizer",
    "lr",
    "weight_decay",
    "decay_groups",
    "loss",
    "loss_dtype",
    "grad_filter",
    "clip_norm",
    "irm_weight",
    "irm_estimator",
    "irm_anneal_steps",
)
"""Keys of the regime that can change while a run goes on; the others made its data, its start or its batches."""


@register
@dataclass(frozen=True, kw_only=True)
class Switch(Intervention):
    """The regime with some settings replaced: ``{ name = "switch", from = "T_fit", to = { weight_decay = 0.0 } }``.
    Decay removed at the fit, for instance, left no grokking within the budget (arXiv:2605.18845). Identity where
    ``to`` holds what is in force anyway.

    Moments are kept unless the optimizer or one of its parameters changes; a changed filter begins without memory; both
    return to the regime's at the end, anew where they had been replaced. Cost: none. Misleads when several settings are
    switched at once: their effects are one.
    """

    name: ClassVar[str] = "switch"
    summary: ClassVar[str] = "replaces settings of the regime: decay, learning rate, filter, optimizer, loss"
    source: ClassVar[str] = "arXiv:2605.18845"

    to: Mapping[str, Any]
    """Keys of the regime with their new values: optimizer, lr, weight_decay, decay_groups, loss, loss_dtype,
    grad_filter, clip_norm, irm_weight, irm_estimator, irm_anneal_steps."""

    def __post_init__(self) -> None:
        require(
            isinstance(self.to, Mapping) and len(self.to) > 0, f"to: expected settings to switch, got {brief(self.to)}"
        )
        object.__setattr__(self, "to", {key: _normal(key, value) for key, value in sorted(self.to.items())})

    def check(self, regime: Regime) -> None:
        require_switchable(regime, tuple(self.to), "to.")

    def settings(self, regime: Regime) -> Regime:
        return _switched(regime, self.to)


def require_switchable(regime: Regime, keys: tuple[str, ...], front: str = "") -> None:
    """Raise ValueError for a key of the regime that cannot change while a run goes on; `front` stands before it."""
    for key in keys:
        require(key in SWITCHABLE, f"{front}{key} cannot change while a run goes on{nearest(key, list(SWITCHABLE))}")
    decays = [key for key in keys if key in ("weight_decay", "decay_groups")]
    if decays and regime.decay_target == "init":
        raise ValueError(
            f"{decays[0]} cannot change while decay goes towards the initial weights (decay_target = 'init')"
        )


def _switched(regime: Regime, to: Mapping[str, Any]) -> Regime:
    """The regime with these settings; components given as names or tables. Raises ValueError for what cannot be."""
    return replace(regime, interventions=(), **to)


def _normal(key: str, value: Any) -> Any:
    """A setting as plain data in which equal ones look alike: components as short as they can be written."""
    if key not in SWITCHABLE:
        return value  # refused with words once the regime is known
    typed = getattr(configio.structure({key: value}, Regime, "to"), key)
    return identity.short_form(typed) if isinstance(typed, Component) else identity.canonical(typed)
