"""The gradient filters that a regime can name: they edit the gradient between backward and clip, and never see
decoupled weight decay. Importing them imports no torch.
"""

from dataclasses import dataclass
from typing import ClassVar

from grokscope.checks import require, require_whole
from grokscope.components import Filter, GradientFilter
from grokscope.limits import MAX_STEPS
from grokscope.registry import register


@register
@dataclass(frozen=True, kw_only=True)
class NoFilter(Filter):
    """Leaves the gradient alone: ``g``. Cost: nothing. Misleads nobody, but is no control for Grokfast at equal
    learning rate: that one's steps are up to 1 + lambda times as long under SGD."""

    name: ClassVar[str] = "none"
    summary: ClassVar[str] = "leaves the gradient unchanged"

    def build(self) -> GradientFilter:
        from grokscope.train.gradient_filters import Unchanged

        return Unchanged()


@register
@dataclass(frozen=True, kw_only=True)
class GrokfastEMA(Filter):
    """``m = a m + (1 - a) g``, then ``g += lambda m`` (Lee et al., arXiv:2405.20233).

    The average starts at the first gradient, without bias correction, as published. Cost: one copy of the weights in
    memory, three passes over them. Misleads when the slow direction is not the generalizing one: after memorization
    under cross-entropy it is the growth of the head. On E1 (modular addition, AdamW) it makes grokking slower.
    """

    name: ClassVar[str] = "grokfast_ema"
    summary: ClassVar[str] = "adds lambda times an exponential average of past gradients"
    source: ClassVar[str] = "arXiv:2405.20233"

    alpha: float = 0.98
    """Decay rate of the average."""
    lambda_: float = 2.0
    """Amplification of the slow part, as published; ``lambda`` in files."""

    def __post_init__(self) -> None:
        require(0 <= self.alpha < 1, f"alpha must lie in [0, 1), got {self.alpha}")

    def build(self) -> GradientFilter:
        from grokscope.train.gradient_filters import AddedAverage

        return AddedAverage(self.alpha, self.lambda_)


@register
@dataclass(frozen=True, kw_only=True)
class GrokfastMA(Filter):
    """``g += lambda mean(last w gradients)``, the present one included, once w have been seen (Lee et al.,
    arXiv:2405.20233). Cost: w copies of the weights in memory. Misleads as Grokfast-EMA does."""

    name: ClassVar[str] = "grokfast_ma"
    summary: ClassVar[str] = "adds lambda times the mean of a full window of past gradients"
    source: ClassVar[str] = "arXiv:2405.20233"

    lambda_: float = 2.0
    """Amplification of the slow part, ``lambda`` in files; 5 was published for this filter."""
    window: int = 100
    """Gradients in the mean, one for each step."""

    def __post_init__(self) -> None:
        require_whole("window", self.window, 1, MAX_STEPS)

    def build(self) -> GradientFilter:
        from grokscope.train.gradient_filters import AddedWindow

        return AddedWindow(self.window, self.lambda_)


@register
@dataclass(frozen=True, kw_only=True)
class OrthogonalGradient(Filter):
    """Per tensor: ``g - (w.g / w.w) w``, rescaled to the norm of g (orthogonal gradient, Prieto et al.,
    arXiv:2501.04697).

    Removes naive loss minimization (growing the logits by growing the weights). Cost: two dot products per tensor.
    Misleads on biases and other one-dimensional tensors whose direction means little, and a tensor of one element, or
    one whose gradient is parallel to it, keeps no gradient.
    """

    name: ClassVar[str] = "orthogonal"
    summary: ClassVar[str] = "removes the part of each gradient along its weights"
    source: ClassVar[str] = "arXiv:2501.04697"

    def build(self) -> GradientFilter:
        from grokscope.train.gradient_filters import Orthogonal

        return Orthogonal()
