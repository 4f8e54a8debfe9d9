"""Interventions on the input of the training loss: the temperature of the logits, and the initial function."""

from collections.abc import Mapping

from torch import Tensor

from grokscope.train.interventions.base import Acting


class Tempered(Acting):
    """Divides the logits of the training loss by a temperature; evaluation sees the network's own."""

    def __init__(self, temperature: float):
        self.temperature = temperature

    def logits(self, logits: Tensor, index: Tensor | None) -> Tensor:
        return logits / self.temperature


class InitialSubtracted(Acting):
    """Takes a share of the initial logits away, in training and in evaluation."""

    def __init__(self, initial: Mapping[str, Tensor], strength: float):
        self.initial = {split: strength * logits for split, logits in initial.items()}

    def logits(self, logits: Tensor, index: Tensor | None) -> Tensor:
        start = self.initial["train"]
        return logits - (start if index is None else start[index.to(start.device)])

    def evaluated(self, logits: Tensor, split: str) -> Tensor:
        return logits - self.initial[split]
