"""Implementation of the losses of `grokscope.train.losses`: from logits and labels to one number in the requested
dtype. A loss encodes its labels once (`encode`), so that the step needs no conversion."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from grokscope.components import Targets


@dataclass(frozen=True)
class Mean:
    """Mean loss over examples. `dtype` is what the logits are cast to first; the result has that dtype."""

    dtype: torch.dtype
    classes: int
    targets: ClassVar[Targets]

    def outputs(self) -> int:
        """Width of the network's output."""
        if self.targets != "classes":
            return 1
        return self.classes

    def encode(self, y: Tensor) -> Tensor:
        """Labels (n,) -> what the loss compares with; done once, not in every step."""
        return y

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} defines no value")

    def predict(self, logits: Tensor) -> Tensor:
        """Logits (n, k) -> classes (n,) int64; a single output is class 1 from 0 upwards."""
        if logits.shape[1] > 1:
            return logits.argmax(1)
        return (logits[:, 0] >= 0).long()


class CrossEntropy(Mean):
    """`grokscope.train.losses.CrossEntropy`."""

    targets: ClassVar[Targets] = "classes"

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits.to(self.dtype), target)


class OneHotMSE(Mean):
    """`grokscope.train.losses.OneHotMSE`."""

    targets: ClassVar[Targets] = "classes"

    def encode(self, y: Tensor) -> Tensor:
        return F.one_hot(y, self.classes).to(self.dtype)

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(logits.to(self.dtype), target)


class StableMax(Mean):
    """`grokscope.train.losses.StableMax`."""

    targets: ClassVar[Targets] = "classes"

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        z = logits.to(self.dtype)
        s = torch.where(z >= 0, z + 1, 1 / (1 - z.clamp(max=0)))
        return -(s.gather(1, target[:, None])[:, 0].log() - s.sum(1).log()).mean()


class _Binary(Mean):
    targets: ClassVar[Targets] = "binary"

    def encode(self, y: Tensor) -> Tensor:
        return (2 * y - 1).to(self.dtype)


class Hinge(_Binary):
    """`grokscope.train.losses.Hinge`."""

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.relu(1 - target * logits[:, 0].to(self.dtype)).mean()


class Logistic(_Binary):
    """`grokscope.train.losses.Logistic`."""

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.softplus(-target * logits[:, 0].to(self.dtype)).mean()


class SquaredError(Mean):
    """`grokscope.train.losses.SquaredError`."""

    targets: ClassVar[Targets] = "real"

    def encode(self, y: Tensor) -> Tensor:
        return y.to(self.dtype)

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(logits[:, 0].to(self.dtype), target)
