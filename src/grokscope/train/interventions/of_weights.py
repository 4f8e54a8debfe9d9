"""Interventions on weights and gradients, as configs name them. Importing them imports no torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from grokscope.checks import require
from grokscope.components import Intervention
from grokscope.config import Regime
from grokscope.registry import register
from grokscope.seeds import derive
from grokscope.train.interventions.values import Selection, require_draw, require_strength

if TYPE_CHECKING:
    from grokscope.train.interventions.base import Acting, Training


@register
@dataclass(frozen=True, kw_only=True)
class HoldNorm(Intervention):
    """``w *= (rho * reference / |w|)^strength`` after each step, on some parameters together; moments are kept (the
    norm dose, arXiv:2606.13753). Identity at strength 0.

    Cost: one norm and one product of these weights a step. Misleads if a norm layer follows the held weights: their
        scale then does not affect the output, and holding it only fixes the effective learning rate. The starting
        moment matters, and so does holding all weights jointly: a group may still grow at the expense of another.
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
        require_strength(self.strength)
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
class Freeze(Intervention):
    """``w = w_before + (1 - strength) (w_after - w_before)``: some parameters do not move, neither by gradient nor by
    decay; with a strength below 1 they move by that much less. Identity at strength 0. Freezing a layer while the rest
    trains shows which layer is responsible for a change.

    Cost: two copies of these weights a step. Misleads at its end: the optimizer's moments continued as if the weights
        had been free, and gradient clipping includes them. Running averages of batch normalization are not parameters
        and keep changing.
    """

    name: ClassVar[str] = "freeze"
    summary: ClassVar[str] = "keeps some parameters fixed"

    of: Selection = "head"
    """Which parameters: total, matrices, a group (head, weights, ...), a parameter's name, or a list of such words."""
    strength: float = 1.0

    def check(self, regime: Regime) -> None:
        del regime
        require_strength(self.strength)

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
        require_strength(self.strength)

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

    Cost: a second initialization and a copy of these weights. Misleads if recovering accuracy is interpreted as "the
        layer does not matter": the rest of the network has been trained and retrains it. Averages of a gradient filter
        are kept.
    """

    name: ClassVar[str] = "reinitialize"
    summary: ClassVar[str] = "reinitializes some parameters, fully or partly"
    source: ClassVar[str] = "arXiv:1902.01996"

    of: Selection = "head"
    """Which parameters: total, matrices, a group (head, weights, ...), a parameter's name, or a list of such words."""
    strength: float = 1.0
    draw: int = 0
    """Another number draws other fresh weights."""

    def check(self, regime: Regime) -> None:
        del regime
        require_strength(self.strength)
        require_draw(self.draw)

    def build(self, training: "Training") -> "Acting":
        from grokscope.train.interventions.weights import Reinitialized

        chosen = training.parameters(self.of)
        fresh = training.fresh_weights(derive(training.seed, f"reinitialize/{self.draw}"))
        return Reinitialized(
            list(chosen.values()), [fresh[name] for name in chosen], self.strength, training.forget_moments
        )
