"""The original linear head, in float64: what re-classifies edited features."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from grokscope.measure.groups import find_head


@dataclass(frozen=True)
class LinearHead:
    """logits = h @ weight.T + bias, for weight (k, d) and bias (k,) in float64, k >= 2.

    A network with one output z becomes the two logits -z/2 and z/2, whose difference is z.
    """

    weight: np.ndarray
    bias: np.ndarray

    def logits(self, h: np.ndarray) -> np.ndarray:
        """(n, d) -> (n, k)."""
        return h.astype(np.float64) @ self.weight.T + self.bias

    @property
    def centred(self) -> np.ndarray:
        """Weights (k, d) without the part common to all classes, which moves no prediction."""
        return self.weight - self.weight.mean(axis=0)


def two_sided(logits: np.ndarray) -> np.ndarray:
    """Logits (n, k) in float64; one output z (n, 1) becomes (-z/2, z/2)."""
    logits = logits.astype(np.float64)
    return np.concatenate([-logits / 2, logits / 2], axis=1) if logits.shape[1] == 1 else logits


def make_head(weight: np.ndarray, bias: np.ndarray | None = None) -> LinearHead:
    """From weight (k, d) and bias (k,). Raises ValueError for wrong shapes or values that are not finite."""
    weight = np.asarray(weight, dtype=np.float64)
    bias = np.zeros(len(weight)) if bias is None else np.asarray(bias, dtype=np.float64)
    if weight.ndim != 2 or bias.shape != weight.shape[:1]:
        raise ValueError(f"head: weight must be (k, d) and bias (k,), got {weight.shape} and {bias.shape}")
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise ValueError("head: weights are NaN or infinite; the checkpoint has diverged")
    if len(weight) == 1:
        weight, bias = np.concatenate([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])
    return LinearHead(weight, bias)


def head_of(model: nn.Module, pooled: np.ndarray, logits: np.ndarray) -> LinearHead:
    """The network's last linear layer, checked on its own features: pooled (n, d) must give logits (n, k), up to a
    constant per example (a softmax or log-softmax after it moves no prediction only in the second case).

    Raises:
        ValueError: when the last layer is not linear, or something else follows it.
    """
    name, module = find_head(model)
    if not isinstance(module, nn.Linear):
        raise ValueError(f"the head {name!r} is a {type(module).__name__}; M4, M5 and M6 need a linear last layer")
    with torch.no_grad():
        weight = module.weight.detach().double().cpu().numpy()
        bias = None if module.bias is None else module.bias.detach().double().cpu().numpy()
    head = make_head(weight, bias)
    mine, theirs = (z - z.mean(axis=1, keepdims=True) for z in (head.logits(pooled), two_sided(logits)))
    if mine.shape != theirs.shape or np.abs(mine - theirs).max() > 1e-3 * max(1.0, np.abs(theirs).max()):
        raise ValueError(
            f"the output of the network is not that of its last linear layer {name!r}; something follows it"
        )
    return head
