"""Losses: from logits and labels to one number, in the dtype that was asked for.

A loss encodes its labels once (`encode`), so that the step holds no conversion, and says which tasks it fits.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Targets = Literal["classes", "binary", "real"]


@dataclass(frozen=True)
class Loss:
    """Mean loss over examples. `dtype` is what the logits are cast to first; the result has that dtype."""

    dtype: torch.dtype
    classes: int
    targets: ClassVar[Targets]

    def outputs(self) -> int:
        """Width of the network's output."""
        return self.classes if self.targets == "classes" else 1

    def encode(self, y: Tensor) -> Tensor:
        """Labels (n,) -> what the loss compares with; done once, not in every step."""
        return y

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} defines no value")

    def predict(self, logits: Tensor) -> Tensor:
        """Logits (n, k) -> classes (n,) int64; a single output is class 1 from 0 upwards."""
        return logits.argmax(1) if logits.shape[1] > 1 else (logits[:, 0] >= 0).long()


class CrossEntropy(Loss):
    """``-log softmax(z)_y``. Cost: negligible. Misleads late in training: on separable data it is never zero, so logits
    grow for as long as training lasts, until in float32 it rounds to exactly zero and learning stops (softmax collapse,
    arXiv:2501.04697)."""

    targets = "classes"

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits.to(self.dtype), target)


class OneHotMSE(Loss):
    """Mean over examples and classes of ``(z - onehot(y))^2`` (Hui & Belkin, arXiv:2006.07322). Cost: negligible.
    Misleads with many classes: most of the sum is zeros, so a small value does not mean a right answer."""

    targets = "classes"

    def encode(self, y: Tensor) -> Tensor:
        return F.one_hot(y, self.classes).to(self.dtype)

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(logits.to(self.dtype), target)


class StableMax(Loss):
    """Cross-entropy with ``s(z) / sum s(z)``, ``s(z) = z + 1`` for z >= 0 and ``1 / (1 - z)`` below, in place of the
    softmax (Prieto et al., arXiv:2501.04697): grows linearly, so it does not saturate in float32. Cost: negligible.
    Misleads beside a cross-entropy: the values do not compare, and unlike it this depends on the logits' offset."""

    targets = "classes"

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        z = logits.to(self.dtype)
        s = torch.where(z >= 0, z + 1, 1 / (1 - z.clamp(max=0)))
        return -(s.gather(1, target[:, None])[:, 0].log() - s.sum(1).log()).mean()


class _Binary(Loss):
    targets = "binary"

    def encode(self, y: Tensor) -> Tensor:
        return (2 * y - 1).to(self.dtype)


class Hinge(_Binary):
    """Mean of ``max(0, 1 - y z)``, y in {-1, +1}, one output (for sparse parity: arXiv:2303.11873). Cost: negligible.
    Misleads when zero is read as the end: once every margin exceeds 1 there is no gradient, and decay alone moves the
    weights."""

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.relu(1 - target * logits[:, 0].to(self.dtype)).mean()


class Logistic(_Binary):
    """Mean of ``log(1 + exp(-y z))``, y in {-1, +1}, one output: cross-entropy of two classes with half the weights.
    Cost: negligible. Misleads like it: never zero on separable data, where weights grow without bound towards the
    max-margin direction (arXiv:1710.10345)."""

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.softplus(-target * logits[:, 0].to(self.dtype)).mean()


class SquaredError(Loss):
    """Mean of ``(z - y)^2`` on real targets, one output. Cost: negligible. Misleads without the trivial predictor's
    beside it: a small value alone says nothing (read R2)."""

    targets = "real"

    def encode(self, y: Tensor) -> Tensor:
        return y.to(self.dtype)

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(logits[:, 0].to(self.dtype), target)


def make_loss(name: str, dtype: str, kind: str, classes: int) -> Loss:
    """The loss for a task. Raises ValueError when the two do not fit, naming one that does."""
    from grokscope import registry

    loss = registry.load("loss", name)(getattr(torch, dtype), classes)
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
    return loss
