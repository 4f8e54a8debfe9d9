"""Curvature of the loss on a sample by Hessian-vector products, without forming the Hessian.

Vectors hold all parameters that are trained, one tensor after another (d,).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from grokscope.components import LossFunction

DENSE = 32
"""Up to so many parameters the matrix is built: the iteration needs more than it looks for."""
TOLERANCE = 1e-3
"""Relative, of the largest eigenvalue."""
PRODUCTS = 20
"""Vectors that the iteration keeps."""

Product = Callable[[Tensor], Tensor]
"""A symmetric matrix (d, d) as what it makes of a vector (d,)."""


def twice_differentiable() -> Any:
    """Inside, attention is computed step by step: torch's fused kernels have no second derivative."""
    return sdpa_kernel(SDPBackend.MATH)


class LossSurface:
    """The loss of a model on inputs x (n, ...) as a function of its parameters. The graph of the gradient is kept, so
    each product costs one backward pass through it. Parameters and their ``.grad`` are left alone."""

    def __init__(self, model: nn.Module, loss: LossFunction, x: Tensor, target: Tensor):
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.size = sum(p.numel() for p in self.parameters)
        with torch.enable_grad(), twice_differentiable():
            self.loss = loss(model(x), target)
            self.gradient = torch.autograd.grad(
                self.loss, self.parameters, create_graph=True, allow_unused=True, materialize_grads=True
            )

    @property
    def finite(self) -> bool:
        return bool(self.loss.isfinite())

    def hessian_times(self, vector: Tensor) -> Tensor:
        """H v."""
        pieces = vector.to(self.parameters[0].dtype).split([p.numel() for p in self.parameters])
        # a loss that is linear in some weights has a gradient there that depends on nothing
        bent = [(g, v.view_as(g)) for g, v in zip(self.gradient, pieces, strict=True) if g.requires_grad]
        if not bent:
            return torch.zeros_like(vector)
        gradients, directions = zip(*bent, strict=True)
        products = torch.autograd.grad(
            gradients,
            self.parameters,
            grad_outputs=directions,
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        return torch.cat([p.detach().flatten() for p in products])

    def scales(self) -> Tensor:
        """The L2 norm of its own tensor, for each parameter (d,)."""
        return torch.cat([p.detach().norm().expand(p.numel()) for p in self.parameters])

    def scaled_hessian_times(self, vector: Tensor) -> Tensor:
        """D H D v with D the norms of `scales`: the curvature along steps that are measured by the norm of the tensor
        that they change. Rescaling tensors against each other without a change of the function leaves its spectrum
        alone."""
        d = self.scales()
        return d * self.hessian_times(d * vector.to(d.dtype))


def largest_eigenvalue(product: Product, size: int, like: Tensor) -> float:
    """The largest (most positive) eigenvalue of a symmetric matrix (size, size), by implicitly restarted Lanczos from a
    fixed start; NaN where it does not converge. `like` tells device and precision."""
    if size <= DENSE:
        columns = [product(unit).double() for unit in torch.eye(size, dtype=like.dtype, device=like.device)]
        matrix = torch.stack(columns)
        return float(torch.linalg.eigvalsh((matrix + matrix.T) / 2)[-1])

    def times(vector: np.ndarray) -> np.ndarray:
        given = torch.as_tensor(vector.reshape(-1).copy(), dtype=like.dtype, device=like.device)
        return product(given).double().cpu().numpy()

    operator: Any = LinearOperator((size, size), matvec=times, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    start = np.random.default_rng(0).standard_normal(size)
    options: dict[str, Any] = {"v0": start, "ncv": PRODUCTS, "tol": TOLERANCE}  # scipy's stubs take tol for an int
    try:
        values = eigsh(operator, k=1, which="LA", return_eigenvectors=False, **options)
    except ArpackError:
        return math.nan
    return float(values[0])


@dataclass(frozen=True)
class Trace:
    """A trace that was estimated."""

    value: float
    error: float
    """Standard error over the probes; NaN of a single one."""


def estimated_trace(product: Product, size: int, probes: int, like: Tensor) -> Trace:
    """Hutchinson's estimate ``mean v' A v`` over random signs v (doi:10.1080/03610918908812806), the same at each
    call."""
    generator = torch.Generator().manual_seed(0)
    values = []
    for _ in range(probes):
        signs = 2 * torch.randint(2, (size,), generator=generator) - 1
        v = signs.to(like.device, like.dtype)
        values.append(float((v.double() * product(v).double()).sum()))
    error = math.nan
    if probes > 1:
        error = float(np.std(values, ddof=1)) / math.sqrt(probes)
    return Trace(float(np.mean(values)), error)
