"""The losses that a regime can name, and which tasks each fits. Importing them imports no torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from grokscope.components import Loss, LossFunction, Targets
from grokscope.registry import register

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True, kw_only=True)
class CrossEntropy(Loss):
    """``-log softmax(z)_y``. Cost: negligible. Misleads late in training: on separable data it is never zero, so logits
    grow for as long as training lasts, until in float32 it rounds to exactly zero and learning stops (softmax collapse,
    arXiv:2501.04697)."""

    name: ClassVar[str] = "cross_entropy"
    summary: ClassVar[str] = "softmax cross-entropy on class labels"
    targets: ClassVar[Targets] = "classes"

    def build(self, dtype: "torch.dtype", classes: int) -> LossFunction:
        from grokscope.train import loss_functions

        return loss_functions.CrossEntropy(dtype, classes)


@register
@dataclass(frozen=True, kw_only=True)
class OneHotMSE(Loss):
    """Mean over examples and classes of ``(z - onehot(y))^2`` (Hui & Belkin, arXiv:2006.07322). Cost: negligible.
    Misleads with many classes: most of the sum is zeros, so a small value does not mean a right answer."""

    name: ClassVar[str] = "mse"
    summary: ClassVar[str] = "mean squared error on one-hot class labels"
    source: ClassVar[str] = "arXiv:2006.07322"
    targets: ClassVar[Targets] = "classes"

    def build(self, dtype: "torch.dtype", classes: int) -> LossFunction:
        from grokscope.train import loss_functions

        return loss_functions.OneHotMSE(dtype, classes)


@register
@dataclass(frozen=True, kw_only=True)
class StableMax(Loss):
    """Cross-entropy with ``s(z) / sum s(z)``, ``s(z) = z + 1`` for z >= 0 and ``1 / (1 - z)`` below, in place of the
    softmax (Prieto et al., arXiv:2501.04697): grows linearly, so it does not saturate in float32. Cost: negligible.
    Misleads beside a cross-entropy: the values do not compare, and unlike it this depends on the logits' offset."""

    name: ClassVar[str] = "stablemax"
    summary: ClassVar[str] = "cross-entropy with StableMax in place of softmax"
    source: ClassVar[str] = "arXiv:2501.04697"
    targets: ClassVar[Targets] = "classes"

    def build(self, dtype: "torch.dtype", classes: int) -> LossFunction:
        from grokscope.train import loss_functions

        return loss_functions.StableMax(dtype, classes)


@register
@dataclass(frozen=True, kw_only=True)
class Hinge(Loss):
    """Mean of ``max(0, 1 - y z)``, y in {-1, +1}, one output (for sparse parity: arXiv:2303.11873). Cost: negligible.
    Misleads when zero is read as the end: once every margin exceeds 1 there is no gradient, and decay alone moves the
    weights."""

    name: ClassVar[str] = "hinge"
    summary: ClassVar[str] = "max(0, 1 - y z) for two classes and one output"
    source: ClassVar[str] = "arXiv:2303.11873"
    targets: ClassVar[Targets] = "binary"

    def build(self, dtype: "torch.dtype", classes: int) -> LossFunction:
        from grokscope.train import loss_functions

        return loss_functions.Hinge(dtype, classes)


@register
@dataclass(frozen=True, kw_only=True)
class Logistic(Loss):
    """Mean of ``log(1 + exp(-y z))``, y in {-1, +1}, one output: cross-entropy of two classes with half the weights.
    Cost: negligible. Misleads like it: never zero on separable data, where weights grow without bound toward the
    max-margin direction (arXiv:1710.10345)."""

    name: ClassVar[str] = "logistic"
    summary: ClassVar[str] = "log(1 + exp(-y z)) for two classes and one output"
    targets: ClassVar[Targets] = "binary"

    def build(self, dtype: "torch.dtype", classes: int) -> LossFunction:
        from grokscope.train import loss_functions

        return loss_functions.Logistic(dtype, classes)


@register
@dataclass(frozen=True, kw_only=True)
class SquaredError(Loss):
    """Mean of ``(z - y)^2`` on real targets, one output. Cost: negligible. Misleads without the trivial predictor's
    beside it: a small value alone says nothing (read R2)."""

    name: ClassVar[str] = "squared_error"
    summary: ClassVar[str] = "mean squared error on real targets"
    targets: ClassVar[Targets] = "real"

    def build(self, dtype: "torch.dtype", classes: int) -> LossFunction:
        from grokscope.train import loss_functions

        return loss_functions.SquaredError(dtype, classes)


def make_loss(loss: Loss, dtype: str, kind: str, classes: int) -> LossFunction:
    """The loss for a task. Raises ValueError when the two do not fit, naming one that does."""
    import torch

    name = loss.name
    if loss.targets == "real" and kind != "regression":
        raise ValueError(
            f"$.regime.loss: {name!r} needs real targets, this task has class labels; use 'mse' or 'cross_entropy'"
        )
    if loss.targets != "real" and kind == "regression":
        raise ValueError(f"$.regime.loss: {name!r} needs class labels, this task has real targets; use 'squared_error'")
    if loss.targets == "binary" and classes != 2:
        raise ValueError(
            f"$.regime.loss: {name!r} needs two classes, this task has {classes}; use 'cross_entropy' or 'mse'"
        )
    return loss.build(getattr(torch, dtype), classes)
