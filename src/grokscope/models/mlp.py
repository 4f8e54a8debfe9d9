"""Linear layer and fully connected networks. Shapes: n examples, d features, t tokens, v vocabulary, k outputs."""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


def linear(features: int, outputs: int, *, bias: bool, signal_dims: int, signal_init: float) -> nn.Linear:
    """(n, d) -> (n, k), starting at zero but for the first `signal_dims` weights ~ N(0, signal_init^2)."""
    layer = nn.Linear(features, outputs, bias=bias)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.weight[:, :signal_dims].normal_(std=signal_init) if signal_init > 0 else None
    return layer


def stack(sizes: Sequence[int], activation: str, norm: str = "none", bias: bool = True) -> nn.Sequential:
    """Linear -> norm -> activation for each hidden size; sizes[0] is the input width."""
    norms = {"layer": nn.LayerNorm, "batch": nn.BatchNorm1d}
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers.append(nn.Linear(before, after, bias=bias))
        if norm != "none":
            layers.append(norms[norm](after))
        layers.append(ACTIVATIONS[activation]())
    return nn.Sequential(*layers)


class MLP(nn.Module):
    """(n, d) -> (n, hidden[-1]) -> head -> (n, k)."""

    def __init__(self, features: int, hidden: Sequence[int], outputs: int, *, activation: str, norm: str, bias: bool):
        super().__init__()
        self.body = stack([features, *hidden], activation, norm, bias)
        self.head = nn.Linear(hidden[-1], outputs, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class EmbeddingMLP(nn.Module):
    """(n, t) tokens -> (n, t, e) -> (n, t e) -> (n, hidden[-1]) -> head -> (n, k)."""

    def __init__(
        self, vocabulary: int, length: int, width: int, hidden: Sequence[int], outputs: int, *, activation: str
    ):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.body = stack([length * width, *hidden], activation)
        self.head = nn.Linear(hidden[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.embedding(x).flatten(1)))


class QuadraticMLP(nn.Module):
    """(n, t) tokens -> one-hot (n, t v) -> (n, width), squared -> head -> (n, k)."""

    def __init__(self, vocabulary: int, length: int, width: int, outputs: int):
        super().__init__()
        self.vocabulary = vocabulary
        self.body = nn.Linear(length * vocabulary, width, bias=False)
        self.head = nn.Linear(width, outputs, bias=False)
        std = 0.5 / (2 * width) ** (1 / 3)
        for layer in (self.body, self.head):
            nn.init.normal_(layer.weight, std=std)

    def forward(self, x: Tensor) -> Tensor:
        one_hot = F.one_hot(x, self.vocabulary).flatten(1).to(self.body.weight.dtype)
        return self.head(self.body(one_hot).square())
