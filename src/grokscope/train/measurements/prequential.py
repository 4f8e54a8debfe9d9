"""Measurements that train new networks: taken from a run afterward, never during training."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from grokscope.checks import require_whole
from grokscope.components import Measurement, Need
from grokscope.registry import register
from grokscope.train.measurements.needs import NO_CLASSES

if TYPE_CHECKING:
    from grokscope.train.evaluate import View

LIKELIHOODS = ("cross_entropy", "stablemax", "logistic")
"""Losses that are the negative logarithm of a probability."""
LATER = "it trains new networks and is only measured afterward: grokscope measure RUN --measure prequential"


@register
@dataclass(frozen=True, kw_only=True)
class Prequential(Measurement):
    """Prequential code length of the training labels, ``t_1 log2 K + sum_k -log2 p(block k + 1 | blocks 1..k)``: each
    block of examples is coded by a network trained in this run's way, for as many steps as the checkpoint has, on the
    blocks before it alone (arXiv:1802.07044). Blocks double: n / 128, ..., n / 2, n. Below ``n log2 K`` the labels are
    compressed: the regime learns what later examples share with earlier ones. Cost: a training of that many steps for
        each block except the last, printed before it begins. Misleads after long training: confident errors have
        unbounded cost, so the code of a regime may be longer than a uniform one although it generalizes; and it is a
        property of task and regime, not of the given weights."""

    name: ClassVar[str] = "prequential"
    summary: ClassVar[str] = "bits of the labels, each block coded by a network trained on those before it"
    source: ClassVar[str] = "arXiv:1802.07044"
    needs: ClassVar[frozenset[Need]] = frozenset()
    """Not the training loss: a code is as long as whatever predicts makes it, however that was trained."""

    blocks: int = 8

    def __post_init__(self) -> None:
        require_whole("blocks", self.blocks, 1, 30)

    def trainings(self, n: int) -> int:
        """How many networks it trains, of n training examples."""
        from grokscope.measure.prequential import boundaries

        return len(boundaries(n, self.blocks)) - 1

    def reasons(self, view: "View") -> Mapping[str, str]:
        why = self._why_not(view)
        return {self.name: why} if why else {}

    def _why_not(self, view: "View") -> str | None:
        if view.loss.targets == "real":
            return NO_CLASSES
        if view.regime is None or view.regime.loss.name not in LIKELIHOODS:
            return "the loss is not a likelihood, so outputs are not probabilities"
        return LATER if view.retrain is None else view.retrain.why_not

    def __call__(self, view: "View") -> Mapping[str, Any]:
        from grokscope.measure.prequential import boundaries, code_length

        if self._why_not(view) is not None or view.retrain is None or view.regime is None:
            return {}
        train = view.splits["train"]
        n, classes = len(train.y), view.classes
        ends = boundaries(n, self.blocks, view.regime.batch_size)
        after, order = view.retrain.outputs_after, view.retrain.order
        bits = code_length(ends, order, lambda m: after(m, view.step), view.loss, train.target, classes)
        uniform = n * math.log2(classes)
        return {
            "prequential_bits": bits,
            "prequential_bits_per_example": bits / n,
            "prequential_compression": bits / uniform if uniform else math.nan,
        }
