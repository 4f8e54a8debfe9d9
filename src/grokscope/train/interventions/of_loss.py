"""Interventions on the input of the training loss: logits, features, examples. Importing them imports no torch."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from grokscope.checks import require
from grokscope.components import Intervention
from grokscope.config import Regime
from grokscope.registry import register
from grokscope.seeds import derive
from grokscope.train.interventions.values import require_draw, require_strength

if TYPE_CHECKING:
    from grokscope.train.interventions.base import Acting, Training


@register
@dataclass(frozen=True, kw_only=True)
class Temperature(Intervention):
    """The training loss is computed from ``z / T``: changes the scale of the logits at a fixed weight norm
    (arXiv:2606.18465). Identity at T = 1.

    Evaluation sees the network's own logits: losses, margins and softmax collapse of a row are those of z, accuracy is
    the same for both. Cost: one division. Misleads under losses without a free logit scale: under MSE on one-hot
    targets it only requires logits T times as large.
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
    """Trains and evaluates ``f - strength * f0``, where f0 are the logits at initialization: removes the effect of the
    random initial function (arXiv:2605.27078). Identity at strength 0.

    Every number of a row then refers to f - f0; checkpoints contain f. Cost: one forward before training, the logits of
    all examples in memory, one subtraction a step. Misleads when it begins late: the function then jumps by f0.
    """

    name: ClassVar[str] = "subtract_initial"
    summary: ClassVar[str] = "trains and evaluates the function without its initial value, f - f0"
    source: ClassVar[str] = "arXiv:2605.27078"

    strength: float = 1.0

    def check(self, regime: Regime) -> None:
        del regime
        require_strength(self.strength)

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
class TrainSubset(Intervention):
    """Every batch is drawn from a share of the training examples, ``m = round(share n)``; smaller shares are parts of
    larger ones (retraining on less data, Varma et al., arXiv:2309.02390). Identity at share 1.

    Rows show the whole training split as before, and beside it ``train_subset_acc`` and ``train_subset_loss``. Epochs
    of the cadences stay those of the whole split. Cost: one index select a step. Misleads when interpreted as less data
    from the start: the excluded examples were seen before.
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
        require_draw(self.draw)

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
    pulled toward the sphere of radius sqrt(d) (after arXiv:2606.32000). Identity at strength 0.

    Recorded losses are those without the penalty. Cost: one norm an example. Misleads about its strength: the source
    specifies the sphere, and the unit chosen here is its radius; and features that start far from the sphere are first
    rescaled, which acts like a different learning rate.
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
            raise ValueError(
                "the network consists only of its head, which reads the data directly, so the penalty does not apply"
            )
        return RadiusPenalized(head, self.strength)
