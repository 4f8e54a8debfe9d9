"""Prequential code length: bits of the labels when each block of examples is coded by a network trained on the
preceding blocks (Blier & Ollivier, arXiv:1802.07044)."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from grokscope.components import LossFunction


def boundaries(n: int, blocks: int, batch_size: int = 0) -> list[int]:
    """Ends of the blocks of n examples: n / 2^(blocks - 1), ..., n / 4, n / 2, n, each once. No training set but the
    whole one leaves a batch of one example, of which batch normalization could learn nothing."""
    ends = sorted({max(1, round(n / 2**k)) for k in range(blocks)})
    moved = [m + 1 if m < n and (m == 1 or (batch_size and m % batch_size == 1)) else m for m in ends]
    return sorted({min(m, n) for m in moved})


@torch.no_grad()
def code_length(
    ends: Sequence[int],
    order: Tensor,
    outputs_after: Callable[[int], Tensor],
    loss: LossFunction,
    target: Tensor,
    classes: int,
) -> float:
    """Bits of all labels. The first block costs log2(classes) an example; block k + 1 the loss, a negative
    log-likelihood in nats, of the network that was trained on all blocks up to k.

    Args:
        ends: of the blocks, ascending; the last is n.
        order: examples (n,) in the order in which they are sent.
        outputs_after: m -> outputs (n, k) on all training examples of a network trained on the first m.
        target: encoded targets (n, ...).
    """
    bits = ends[0] * math.log2(classes)
    for known, end in pairwise(ends):
        block = order[known:end].to(target.device)
        outputs = outputs_after(known)
        bits += float(loss(outputs[block], target[block])) * len(block) / math.log(2)
    return bits
