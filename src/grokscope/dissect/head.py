"""The original linear head in float64, which classifies edited features."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from grokscope.dissect.sites import the_head


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
    def centered(self) -> np.ndarray:
        """Weights (k, d) without the part common to all classes, which moves no prediction."""
        return self.weight - self.weight.mean(axis=0)


def two_sided(logits: np.ndarray) -> np.ndarray:
    """Logits (n, k) in float64; one output z (n, 1) becomes (-z/2, z/2)."""
    logits = logits.astype(np.float64)
    if logits.shape[1] == 1:
        return np.concatenate([-logits / 2, logits / 2], axis=1)
    return logits


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


def head_of(model: nn.Module, pooled: np.ndarray, logits: np.ndarray, name: str | None = None) -> LinearHead:
    """The network's last linear layer, or the one called `name`, checked on its own features: pooled (n, d) must give
    logits (n, k), up to a constant per example (a softmax or log-softmax after it moves no prediction only in the
    second case) and the rounding of the layer's own precision.

    Raises:
        ValueError: when the head is not linear, or something else follows it.
    """
    name, module = the_head(model, name)
    if not isinstance(module, nn.Linear):
        raise ValueError(
            f"the head {name!r} is a {type(module).__name__}; M4, M5 and M6 need a linear last layer. Name one with "
            "--head (in Python head=...) if the network has it elsewhere"
        )
    with torch.no_grad():
        weight = module.weight.detach().double().cpu().numpy()
        bias = None
        if module.bias is not None:
            bias = module.bias.detach().double().cpu().numpy()
    head = make_head(weight, bias)
    of_head, of_network = (z - z.mean(axis=1, keepdims=True) for z in (head.logits(pooled), two_sided(logits)))
    if of_head.shape != of_network.shape or np.abs(of_head - of_network).max() > _tolerance(module, pooled, of_network):
        raise ValueError(
            f"the output of the network is not that of its linear layer {name!r}; another operation follows it, or "
            f"the head is another layer: give its name with --head (in Python head=...)"
        )
    return head


def _tolerance(module: nn.Linear, pooled: np.ndarray, logits: np.ndarray) -> float:
    """How far the network's own logits may lie from exact ones: a sum rounds by its largest terms, coarsely in half
    precision."""
    terms = float((np.abs(pooled).astype(np.float64) @ np.abs(module.weight.detach().double().cpu().numpy().T)).max())
    rounding = 4 * torch.finfo(module.weight.dtype).eps * terms
    return max(1e-3 * max(1.0, float(np.abs(logits).max())), rounding)
