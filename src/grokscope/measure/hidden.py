"""Hidden features of a network on a sample, and their relation to its last layer.

Shapes: n examples, d units, k outputs.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from grokscope.measure.fourier import sorted_gini

Taken = TypeVar("Taken")
READERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Layers whose input is a hidden layer."""
CONSTANT = 1e-6
"""A unit whose activations differ by no more than this share of the layer's largest one says nothing."""


ROUNDING = 1e-12
"""Eigenvalues of products below this share of the largest are rounding."""


@dataclass(frozen=True)
class Hidden:
    """The activations of one hidden layer, as the next layer reads them."""

    pooled: Tensor
    """(n, d), averaged over positions."""
    low: Tensor
    """Smallest activation of each unit over examples and positions (d,)."""
    high: Tensor
    """Largest one (d,)."""

    @property
    def dead(self) -> Tensor:
        """Units (d,) that are the same for every example at every position."""
        largest = torch.maximum(self.low.abs(), self.high.abs()).max()
        return self.high - self.low <= CONSTANT * largest


def hidden_layers(model: nn.Module, x: Tensor) -> dict[str, Hidden]:
    """Name of a layer -> what it reads on inputs x (n, ...): see `read_by_layers`."""
    return read_by_layers(model, x, lambda h: _summary(h.detach(), len(x)))[0]


def read_by_layers(model: nn.Module, x: Tensor, take: Callable[[Tensor], Taken]) -> tuple[dict[str, Taken], Tensor]:
    """Name of a layer -> what `take` makes of what it reads of inputs x (n, ...), at once, for a later layer may
    overwrite it; and the outputs (n, k). Of the model in eval mode, with the graph of derivatives.

    Of every linear and convolutional layer but those that read the raw input: what depends on no weight is no hidden
    layer, be it one-hot codes that the network itself makes. Of a layer that is used several times, the first use.
    """
    read: dict[str, Taken] = {}

    def keep(name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        del module
        if inputs[0].requires_grad and name not in read:
            read[name] = take(inputs[0])

    handles = [
        module.register_forward_pre_hook(partial(keep, name))
        for name, module in model.named_modules()
        if isinstance(module, READERS)
    ]
    training = model.training
    try:
        model.eval()  # batch norm would count a forward in train mode in its averages
        with torch.enable_grad():  # an activation that needs a gradient is one that depends on weights
            outputs = model(x)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return read, outputs


def _summary(h: Tensor, examples: int) -> Hidden:
    """Units stand second in feature maps (n, d, ...) and last elsewhere, (n, d) or (n, t, d)."""
    units = 1 if h.dim() >= 4 else h.dim() - 1
    flat = h.movedim(units, -1).reshape(examples, -1, h.shape[units])
    return Hidden(flat.mean(1), flat.amin((0, 1)), flat.amax((0, 1)))


@torch.no_grad()
def layer_ranks(layers: Mapping[str, Hidden]) -> dict[str, Tensor]:
    """Layer -> effective rank of what it reads: ``exp H(s / sum s)`` of the centered activations' singular values s;
    NaN where all activations are constant."""
    return {name: _effective_rank(layer.pooled.double()) for name, layer in layers.items()}


def _effective_rank(h: Tensor) -> Tensor:
    """By the eigenvalues of the smaller of both products, a fraction of a decomposition: rounding then hides singular
    values below a millionth of the largest, which the rank does not feel."""
    centered = h - h.mean(0)
    gram = centered.T @ centered if h.shape[1] <= len(h) else centered @ centered.T
    squares = torch.linalg.eigvalsh(gram)
    floor = ROUNDING * torch.maximum(squares[-1], h.square().sum() * ROUNDING)
    s = torch.where(squares > floor, squares, 0.0).sqrt()
    return torch.special.entr(s / s.sum()).sum().exp()


@torch.no_grad()
def dead_share(layers: Iterable[Hidden]) -> Tensor:
    """Share of all hidden units that are the same for every example; NaN without hidden layers."""
    dead = [layer.dead for layer in layers]
    if dead:
        return torch.cat(dead).double().mean()
    return torch.tensor(float("nan"))


@torch.no_grad()
def activation_gini(h: Tensor) -> float:
    """Gini coefficient of the sizes of activations h (n, d), mean over examples that have any: 0 where all units are as
    active, (d - 1) / d where one is active alone (Hurley & Rickard, arXiv:0811.4706, on why it measures sparsity)."""
    sizes = h.abs()
    active = sizes[sizes.sum(1) > 0]
    if not len(active):
        return float("nan")
    ordered = active.sort(1).values.double()
    d = ordered.shape[1]
    ranks = torch.arange(1, d + 1, dtype=ordered.dtype, device=ordered.device)
    return float(((2 * (ordered @ ranks) / ordered.sum(1) - (d + 1)) / d).mean())


SORTED = 1_000_000
"""Weights that are sorted for a Gini coefficient; of more, so many evenly spread ones."""


@torch.no_grad()
def weight_gini(weights: Iterable[Tensor]) -> float:
    """Gini coefficient of the sizes of all weights together: 0 where all are as large; NaN where all are zero."""
    sizes = torch.cat([w.detach().abs().flatten() for w in weights])
    if len(sizes) > SORTED:
        sizes = sizes[torch.linspace(0, len(sizes) - 1, SORTED, dtype=torch.float64).long().to(sizes.device)]
    return sorted_gini(sizes.sort().values.double())  # sorted in the weights' own precision, which is sooner


@dataclass(frozen=True)
class Alignment:
    """How a linear head (k, d) reads its features (n, d)."""

    classes: Tensor
    """Mean cosine of the class means with the head's rows, both centered: 1 where they are the same up to scale."""
    variance: Tensor
    """Share of the features' variance in the space that the head can tell apart."""
    chance: float
    """The same of a random space of that dimension: its dimension over d."""


@torch.no_grad()
def head_alignment(features: Tensor, labels: Tensor, head: Tensor) -> Alignment:
    """Alignment of features (n, d) and labels (n,) with the rows of a head (k, d).

    Rows and class means are centered, for the softmax ignores what all classes share. With one output (1, d) the row
    stands for class 1 against class 0. Classes without an example are left out of the mean. Self-duality of class means
    and head: Papyan, Han & Donoho, arXiv:2008.08186.
    """
    head = head.double()
    if len(head) == 1:
        head = torch.cat([-head, head]) / 2
    rows = head - head.mean(0)
    counts = torch.bincount(labels, minlength=len(rows))
    centered = features - features.mean(0)  # in their own precision: many rows, and shares need few digits
    sums = torch.zeros(len(rows), features.shape[1], dtype=features.dtype, device=features.device)
    sums.index_add_(0, labels, centered)
    present = counts > 0
    means = sums[present].double() / counts[present, None]
    means = means - means.mean(0)
    cosines = nn.functional.cosine_similarity(means, rows[present], dim=1)
    # the space of the rows by the eigenvectors of their products, which are far smaller than a decomposition of them
    squares, mixtures = torch.linalg.eigh(rows @ rows.T)
    kept = squares > ROUNDING * squares[-1]
    space = (mixtures[:, kept] / squares[kept].sqrt()).T @ rows
    total = centered.square().sum().double()
    share = (centered @ space.T.to(features.dtype)).square().sum() / total
    varied = centered.norm() > CONSTANT * features.norm()
    return Alignment(
        torch.where(varied & (rows.norm() > 0), cosines.mean(), float("nan")),
        torch.where(varied, share, float("nan")),
        len(space) / features.shape[1],
    )
