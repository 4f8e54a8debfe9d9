"""Train on a part of the training examples."""

from typing import Any

import torch
from torch import Tensor

from grokscope.components import LossFunction
from grokscope.train.evaluate import TensorSplit
from grokscope.train.interventions.base import Acting
from grokscope.train.order import BatchOrder


class OnSubset(Acting):
    """Takes every batch from some rows (m,) of the training split, in an order of its own; with all rows, the batches
    are those that they would be. Evaluations show beside the whole training split how the network does on these rows.
    """

    def __init__(self, train: TensorSplit, rows: Tensor, batch_size: int, order_seed: int):
        self.size = len(train.y)
        self.rows = rows.to(train.x.device)
        self.order = BatchOrder(len(rows), batch_size, order_seed)
        self.is_whole = len(rows) == self.size

    def begin(self) -> dict[str, float | str]:
        return {"examples": len(self.rows), "of": self.size}

    def batch(self, index: Tensor | None) -> Tensor | None:
        if self.is_whole:
            return index
        chosen = self.order.next()
        if chosen is None:
            return self.rows
        return self.rows[chosen.to(self.rows.device)]

    @torch.inference_mode()
    def columns(self, logits: Tensor, train: TensorSplit, loss: LossFunction) -> dict[str, Tensor | int]:
        if self.is_whole:
            return {}
        chosen = logits[self.rows]
        out: dict[str, Tensor | int] = {"train_subset_loss": loss(chosen, train.target[self.rows])}
        if loss.targets == "real":
            return out
        right = loss.predict(chosen) == train.y[self.rows]
        return out | {"train_subset_correct": right.sum(), "train_subset_n": len(self.rows)}

    def state_dict(self) -> dict[str, Any]:
        return {"order": self.order.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.order.load_state_dict(state["order"])


def nested_rows(n: int, m: int, seed: int) -> Tensor:
    """m of n rows, drawn so that fewer are always among more, in ascending order."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(n, generator=generator)[:m].sort().values
