"""Complexity of the weights: description length, and the resulting bound on the risk."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from grokscope.checks import require
from grokscope.components import Measurement, Need
from grokscope.registry import register
from grokscope.train.measurements.needs import NO_CLASSES, NO_START

if TYPE_CHECKING:
    from torch import Tensor

    from grokscope.train.evaluate import View


@register
@dataclass(frozen=True, kw_only=True)
class DescriptionLength(Measurement):
    """Bits that describe the weights on the coarsest grid at which the loss on training rows rises by no more than
    `rise`: for each tensor the shorter of ``n b`` bits and a code by frequency, ``n H(levels)`` and its table. The
    width b is found by bisection between 2 and 16 bits, the same for all tensors. Two-part codes of networks:
    arXiv:1802.07044, which finds prequential ones far shorter. Cost: five forward passes of the rows, a rounding of the
    weights for each. Misleads as a complexity: it is an upper bound by one simple code, and a tensor with one large
    weight has a coarse grid for all others. NaN where 16 bits do not do."""

    name: ClassVar[str] = "description_length"
    summary: ClassVar[str] = "bits of the quantized weights at equal loss"
    source: ClassVar[str] = "arXiv:1802.07044"
    needs: ClassVar[frozenset[Need]] = frozenset({"training_loss"})

    rows: int = 512
    """Training rows on which the loss is compared."""
    rise: float = 0.01
    """How much the loss may rise, as a share of that of a network whose outputs are all zero."""

    def __post_init__(self) -> None:
        require(self.rows > 0, f"rows must be positive, got {self.rows}")
        require(self.rise > 0, f"rise must be positive, got {self.rise}")

    def __call__(self, view: "View") -> Mapping[str, Any]:
        import torch
        from torch.func import functional_call

        from grokscope.measure.description import description_length

        sample = view.sample(self.rows)

        def loss_of(weights: "Mapping[str, Tensor]") -> float:
            with torch.no_grad():
                return float(view.loss(functional_call(view.model, dict(weights), (sample.x,)), sample.target))

        with torch.no_grad():
            logits = view.model(sample.x)
            zero = float(view.loss(torch.zeros_like(logits), sample.target))
            allowed = float(view.loss(logits, sample.target)) + self.rise * zero
        description = description_length(view.weights, loss_of, allowed)
        return {
            "description_bits": description.bits,
            "description_bits_per_weight": description.per_weight,
            "description_width": description.width,
        }


@register
@dataclass(frozen=True, kw_only=True)
class PACBayes(Measurement):
    """McAllester's bound ``R + sqrt((KL + ln(2 n / delta)) / (2 (n - 1)))`` on the 0-1 risk of a network drawn from
    ``N(w, s^2 I)``, with prior ``N(w0, s^2 I)`` at the initial weights (doi:10.1145/307400.307435); the best of ten
    spreads s, delta shared among them; n training rows, R sampled. From the trivial predictor's risk on it is vacuous,
    and above 1 it says nothing at all; networks trained far from their start are. Cost: `draws` forward passes for each
    spread tried. Misleads as a statement on the network itself, which is not drawn; the sampling error of R is not in
    it; and it needs independent examples."""

    name: ClassVar[str] = "pac_bayes"
    summary: ClassVar[str] = "PAC-Bayes bound by sampling, prior at the initial weights"
    source: ClassVar[str] = "doi:10.1145/307400.307435"
    needs: ClassVar[frozenset[Need]] = frozenset({"initial", "training_loss"})

    rows: int = 512
    """Training rows on which the bound stands: all where there are fewer."""
    draws: int = 4
    """Networks drawn for each spread."""
    delta: float = 0.05
    """The bound holds with probability 1 - delta over the training set."""

    def __post_init__(self) -> None:
        require(self.rows >= 2, f"rows must be at least 2, got {self.rows}")
        require(self.draws >= 1, f"draws must be at least 1, got {self.draws}")
        require(0 < self.delta < 1, f"delta is a probability in (0, 1), got {self.delta}")

    def reasons(self, view: "View") -> Mapping[str, str]:
        why = self._why_not(view)
        return {self.name: why} if why else {}

    def _why_not(self, view: "View") -> str | None:
        from grokscope.measure.groups import running_averages

        if view.loss.targets == "real":
            return NO_CLASSES
        if view.initial is None:
            return NO_START
        if view.initial_learned:
            return "the run began with trained weights, and a prior must not depend on the data"
        if running_averages(view.model):
            return "running averages of batch normalization are learned from the data, and no prior covers them"
        if len(view.splits["train"].y) < 2:
            return "one training example is too few"
        return None

    def __call__(self, view: "View") -> Mapping[str, Any]:
        import torch
        from torch.func import functional_call

        from grokscope.measure.pac_bayes import sampled_bound

        if self._why_not(view) is not None or view.initial is None:
            return {}
        sample = view.sample(self.rows)
        n = len(sample.y)

        def wrong(weights: "Mapping[str, Tensor]") -> float:
            with torch.no_grad():
                predicted = view.loss.predict(functional_call(view.model, dict(weights), (sample.x,)))
            return int((predicted != sample.y).sum()) / n

        start = {name: view.initial[name] for name in view.weights}
        b = sampled_bound(view.weights, start, wrong, n, draws=self.draws, delta=self.delta, seed=0)
        return {
            "pac_bayes_bound": b.bound,
            "pac_bayes_kl": b.kl,
            "pac_bayes_risk": b.risk,
            "pac_bayes_spread": b.spread,
        }
