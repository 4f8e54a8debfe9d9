"""Description length of the weights: quantized as coarsely as the loss allows, each tensor with its own code."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

LEAST, MOST = 2, 16
"""Bits of a weight between which the coarsest grid is looked for."""
SCALE_BITS = 32
"""Of the step of a tensor's grid, a float32."""

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Description:
    """The shortest description that was found; NaN where not even the finest grid keeps the loss."""

    bits: float
    """Of all tensors together."""
    per_weight: float
    width: float
    """Bits of a weight on the coarsest grid that keeps the loss."""


@torch.no_grad()
def quantized(weights: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """(whole numbers, step): the tensor on a symmetric grid of 2^width - 1 levels that reaches its largest size."""
    step = weights.abs().max() / (2 ** (width - 1) - 1)
    levels = torch.where(step > 0, weights / step, 0.0).round()
    return levels.long(), step


@torch.no_grad()
def tensor_bits(levels: Tensor, width: int) -> float:
    """Bits of one quantized tensor of n weights: its step, and the shorter of width * n and a code by frequency, which
    takes ``n H`` bits (H the entropy of the levels) after a table with the count of every level that occurs, log2(n +
    1) bits each."""
    n = levels.numel()
    counts = torch.bincount((levels - levels.min()).flatten()).double()
    counts = counts[counts > 0]
    entropy = float(-(counts / n * (counts / n).log2()).sum())
    by_frequency = n * entropy + len(counts) * math.log2(n + 1)
    return SCALE_BITS + min(by_frequency, float(n * width))


def description_length(weights: Weights, loss_of: Callable[[Weights], float], allowed: float) -> Description:
    """Bits of the weights on the coarsest grid at which ``loss_of(quantized weights) <= allowed``.

    The width is found by bisection between 2 and 16 bits, which takes it that a finer grid never loses what a coarser
    one keeps: four evaluations of the loss. All tensors have the same width.
    """
    low, high = LEAST, MOST + 1  # beyond the widest: none does
    while low < high:
        middle = (low + high) // 2
        if _keeps(weights, loss_of, allowed, middle):
            high = middle
        else:
            low = middle + 1
    if high > MOST:
        return Description(math.nan, math.nan, math.nan)
    bits = sum(tensor_bits(quantized(w, high)[0], high) for w in weights.values())
    return Description(bits, bits / sum(w.numel() for w in weights.values()), float(high))


def _keeps(weights: Weights, loss_of: Callable[[Weights], float], allowed: float, width: int) -> bool:
    rounded = {}
    for name, tensor in weights.items():
        levels, step = quantized(tensor, width)
        rounded[name] = levels.to(tensor.dtype) * step
    return loss_of(rounded) <= allowed
