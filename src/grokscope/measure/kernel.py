"""Jacobians of a network: its tangent kernel, and the number of input directions that change the outputs.

Shapes: m examples, k outputs, p parameters, d numbers of one input.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from grokscope.measure.curvature import twice_differentiable
from grokscope.measure.hidden import read_by_layers

NUMBERS = 64_000_000
"""In the Jacobian of one output, examples times parameters: 256 MB of float32."""

State = Mapping[str, Tensor]


def kernel_rows(wanted: int, parameters: int) -> int:
    """Examples that fit: fewer for large networks."""
    return max(2, min(wanted, NUMBERS // max(parameters, 1)))


def tangent_kernel(model: nn.Module, state: State, x: Tensor) -> Tensor:
    """The tangent kernel (m, m) summed over outputs, ``K_ij = sum_c <df_c(x_i)/dw, df_c(x_j)/dw>`` (arXiv:1806.07572),
    float64, of a model in eval mode on inputs x (m, ...) as it takes them; `state` has its parameters, and its buffers
    where they are not the present ones."""
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    leaves = {name: state[name].detach().clone().requires_grad_() for name in trained}
    with torch.enable_grad(), twice_differentiable():
        logits = functional_call(model, {**state, **leaves}, (x,))
    kernel = torch.zeros(len(x), len(x), dtype=torch.float64, device=x.device)
    examples = torch.eye(len(x), dtype=logits.dtype, device=x.device)
    for c in range(logits.shape[1]):
        slopes = torch.autograd.grad(
            logits[:, c], list(leaves.values()), examples, retain_graph=True, is_grads_batched=True,
            allow_unused=True, materialize_grads=True,
        )  # fmt: skip
        for tensor in slopes:
            flat = tensor.flatten(1).double()
            kernel += flat @ flat.T
    return kernel


@torch.no_grad()
def alignment(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of two kernels (m, m) as vectors; NaN where either is zero."""
    return (a * b).sum() / (a.norm() * b.norm())


@torch.no_grad()
def centered(kernel: Tensor) -> Tensor:
    """The kernel (m, m) of features whose mean over the examples is taken off."""
    kernel = kernel - kernel.mean(0)
    return kernel - kernel.mean(1, keepdim=True)


@torch.no_grad()
def label_kernel(y: Tensor, classes: bool) -> Tensor:
    """What a kernel (m, m) made of the labels alone would be: equal classes, or products of real targets (m,)."""
    if classes:
        return (y[:, None] == y[None]).double()
    return torch.outer(y.double(), y.double())


def input_jacobians(model: nn.Module, x: Tensor) -> Tensor:
    """Jacobians (m, k, d) of the outputs with respect to the input x (m, ...), of a model in eval mode.

    Where inputs are whole numbers, with respect to what its first embedding makes of them, or else to what its first
    layer reads.
    """
    first = _first_differentiable(model, x)
    leaves: list[Tensor] = []

    def as_leaf(h: Tensor) -> Tensor:
        leaf = h.detach().requires_grad_()
        leaves.append(leaf)
        return leaf

    def after(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        del module, inputs
        return output if leaves else as_leaf(output)

    def before(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        del module
        return inputs if leaves else (as_leaf(inputs[0]),)

    handle = None
    if isinstance(first, nn.Embedding):
        handle = first.register_forward_hook(after)
    elif first is not None:
        handle = first.register_forward_pre_hook(before)
    try:
        with torch.enable_grad():
            logits = model(x) if first is not None else model(as_leaf(x))
    finally:
        if handle is not None:
            handle.remove()
    rows = []
    for c in range(logits.shape[1]):  # examples do not see each other in eval mode: one pass for all of them
        (slope,) = torch.autograd.grad(logits[:, c].sum(), leaves[:1], retain_graph=True)
        rows.append(slope.flatten(1))
    return torch.stack(rows, 1)


def layer_jacobians(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Layer -> Jacobians (m, k, d) of the outputs with respect to what it reads of x (m, ...), of a model in eval mode:
    of every linear and convolutional layer that reads something the network has learned (`grokscope.measure.hidden`).
    """
    read, logits = read_by_layers(model, x, lambda h: h)
    rows: dict[str, list[Tensor]] = {name: [] for name in read}
    for c in range(logits.shape[1]):
        slopes = torch.autograd.grad(logits[:, c].sum(), list(read.values()), retain_graph=True)
        for name, slope in zip(read, slopes, strict=True):
            rows[name].append(slope.reshape(len(x), -1))
    return {name: torch.stack(slopes, 1) for name, slopes in rows.items()}


def _first_differentiable(model: nn.Module, x: Tensor) -> nn.Module | None:
    """The module at which whole numbers become real ones; None where the input is real already."""
    if x.is_floating_point():
        return None
    embeddings = [m for m in model.modules() if isinstance(m, nn.Embedding)]
    readers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    return (embeddings or readers)[0]


@torch.no_grad()
def mean_outer_rank(jacobians: Tensor) -> Tensor:
    """Effective rank ``exp H(l / sum l)`` of the eigenvalues l of ``E[J' J]``, the mean outer product of Jacobians
    (m, k, d): 1 where all outputs move along one direction of the input, d where along all alike; NaN of zeros."""
    m, k, d = jacobians.shape
    flat = jacobians.reshape(m * k, d).double()
    gram = flat.T @ flat if d <= m * k else flat @ flat.T
    values = torch.linalg.eigvalsh(gram).clamp_min(0)
    return torch.special.entr(values / values.sum()).sum().exp()
