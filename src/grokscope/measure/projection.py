"""The part of -w that changes no outputs on a sample."""

from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, lsmr
from torch import Tensor, nn

from grokscope.measure.curvature import twice_differentiable

ITERATIONS = 100
"""At most, of the least squares. What they do not reach are directions that hardly move the outputs."""
TOLERANCE = 1e-5


def free_shrinking(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The part of -w that leaves the outputs of inputs x (m, ...) as they are, to first order, by parameter: its
    projection on the null space of the Jacobian J (m k, p) of all outputs with respect to all weights.

    -w is taken apart by least squares, ``min |J' a + w|``, with products of J alone (LSMR, arXiv:1006.0758); what is
    left over is the projection. Source: norm minimization on the zero-loss manifold, arXiv:2511.01938.
    """
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    products = _Jacobian(model, list(weights.values()), x)
    shape = (products.inputs, products.outputs)
    functions = {"matvec": products.transposed_times, "rmatvec": products.times, "dtype": np.float64}
    operator: Any = LinearOperator(shape, **functions)  # pyright: ignore[reportArgumentType]
    down = -torch.cat([w.detach().double().flatten() for w in weights.values()]).cpu().numpy()
    solution = lsmr(operator, down, atol=TOLERANCE, btol=TOLERANCE, maxiter=ITERATIONS)[0]
    parts = products.tensors(down - products.transposed_times(solution))
    return dict(zip(weights, parts, strict=True))


class _Jacobian:
    """J (outputs, inputs) of all outputs on inputs x with respect to all parameters, as its products with vectors."""

    def __init__(self, model: nn.Module, parameters: list[Tensor], x: Tensor):
        self.parameters = parameters
        self.inputs = sum(p.numel() for p in parameters)
        with torch.enable_grad(), twice_differentiable():
            y = model(x).flatten()
            self.outputs = y.numel()
            # J' a is linear in a, so its derivative along v is J v: forward products without forward differentiation
            self.a = torch.zeros_like(y, requires_grad=True)
            self.pulled = torch.autograd.grad(
                y, parameters, grad_outputs=self.a, create_graph=True, allow_unused=True, materialize_grads=True
            )
            self.y = y

    def tensors(self, flat: np.ndarray) -> list[Tensor]:
        """A vector of all parameters (inputs,) as tensors of their shapes."""
        like = self.parameters[0]
        whole = torch.as_tensor(flat.reshape(-1).copy(), dtype=like.dtype, device=like.device)
        parts = whole.split([p.numel() for p in self.parameters])
        return [part.view_as(p) for part, p in zip(parts, self.parameters, strict=True)]

    def transposed_times(self, a: np.ndarray) -> np.ndarray:
        """J' a"""
        given = torch.as_tensor(a.reshape(-1).copy(), dtype=self.y.dtype, device=self.y.device)
        slopes = torch.autograd.grad(
            self.y, self.parameters, given, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return torch.cat([s.double().flatten() for s in slopes]).cpu().numpy()

    def times(self, v: np.ndarray) -> np.ndarray:
        """J v"""
        pairs = [(g, part) for g, part in zip(self.pulled, self.tensors(v), strict=True) if g.requires_grad]
        gradients, directions = zip(*pairs, strict=True)
        (change,) = torch.autograd.grad(gradients, self.a, grad_outputs=directions, retain_graph=True)
        return change.double().cpu().numpy()
