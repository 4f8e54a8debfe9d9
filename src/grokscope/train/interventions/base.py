"""The interface of interventions: the training they act in, and the hooks at which they act."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from grokscope.components import LossFunction
from grokscope.registry import nearest
from grokscope.train.evaluate import TensorSplit, forward

ALL, MATRICES = "total", "matrices"
"""Words for parameters beside the groups and names of a network: all of them; those of two or more dimensions."""


@dataclass(frozen=True)
class Training:
    """A training before its first step. What is built from it lives as long as the run; the weights change in place."""

    model: nn.Module
    """At its initial weights."""
    network: Callable[[Tensor], Tensor]
    """The model as training calls it, with input conversion and mixed precision."""
    groups: Mapping[str, list[str]]
    """Parameter group (head, scale_invariant, weights, normalization, biases) -> names of its parameters."""
    splits: Mapping[str, TensorSplit]
    batch_size: int
    """Examples in a step; 0 means the full training set."""
    fixed_inputs: bool
    """Whether a step sees an example as evaluation does: no augmentation, and no part of the network that depends on
    the other examples of the batch."""
    seed: int
    fresh_weights: Callable[[int], dict[str, Tensor]]
    """Seed -> the parameters of another network of this kind at its initialization, init scale included."""
    forget_moments: Callable[[Sequence[nn.Parameter]], None]
    """Makes the optimizer forget what it remembers of these parameters."""

    def parameters(self, of: str | Sequence[str]) -> dict[str, nn.Parameter]:
        """The parameters that some words name: ``total``, ``matrices``, a group, or a parameter's own name.

        Raises:
            ValueError: for a word that names none, with the nearest that does.
        """
        named = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        words = [of] if isinstance(of, str) else list(of)
        chosen = {name for word in words for name in self._names(word, named)}
        return {name: p for name, p in named.items() if name in chosen}

    def _names(self, word: str, named: Mapping[str, nn.Parameter]) -> list[str]:
        if word == ALL:
            return list(named)
        if word == MATRICES:
            return [name for name, p in named.items() if p.dim() > 1]
        if word in self.groups:
            return [name for name in self.groups[word] if name in named]
        if word in named:
            return [word]
        known = [ALL, MATRICES, *self.groups, *named]
        raise ValueError(f"of: this network has no parameters called {word!r}{nearest(word, known)}")

    def logits(self) -> dict[str, Tensor]:
        """Split -> the present logits (n, k), in eval mode."""
        self.model.eval()
        logits = {name: forward(self.network, split.x) for name, split in self.splits.items()}
        self.model.train()
        return {
            name: values.clone() for name, values in logits.items()
        }  # no inference tensors: a loss is taken of them


class Acting:
    """An intervention at work. Every hook does nothing here; a concrete one overrides those that it needs.

    A hook is called only in steps in which the intervention acts. What it remembers between two steps goes into
    `state_dict`, as tensors and numbers in nested tables and lists, so that a killed run continues bit for bit.
    """

    def begin(self) -> dict[str, float | str]:
        """Before the first step in which it acts. Returns what it refers to, for the record."""
        return {}

    def batch(self, index: Tensor | None) -> Tensor | None:
        """The rows of the training split (b,) that this step is made of, from those that it would be; None is all."""
        return index

    def logits(self, logits: Tensor, index: Tensor | None) -> Tensor:
        """What the training loss is taken of, from the network's logits (b, k) on these rows."""
        return logits

    def gradient(self) -> None:
        """Edit every ``.grad`` in place, after the gradient filter and before the clip."""

    def after_step(self) -> None:
        """Edit the weights in place, after decay and update."""

    def evaluated(self, logits: Tensor, split: str) -> Tensor:
        """What an evaluation takes for the logits (n, k) of a split."""
        return logits

    def columns(self, logits: Tensor, train: TensorSplit, loss: LossFunction) -> dict[str, Tensor | int]:
        """Further columns of a row, from the evaluated logits (n, k) of the training split and the present loss."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put a saved state back."""


def joint_norm(tensors: Sequence[Tensor]) -> Tensor:
    """L2 norm of some tensors together, float64 and 0-dimensional, on their device."""
    return torch.stack(torch._foreach_norm([t.detach() for t in tensors])).double().square().sum().sqrt()
