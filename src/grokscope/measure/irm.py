"""The IRMv1 invariance penalty: does one scale of the logits suit every environment (Arjovsky et al.,
arXiv:1907.02893)?

Per environment e the penalty is the square of ``g_e = d/ds mean loss(s z, y)`` at s = 1. It is quadratic in the logits'
scale and goes to 0 with the loss: on memorized data it says nothing, however small it is. Read it beside the loss and
the logit scale, and on held-out environments.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

SMALLEST = 4
"""Environments with fewer examples give NaN: two halves of two are the least that has a spread."""

Estimator = Literal["naive", "split_half"]
LossFunction = Callable[[Tensor, Tensor], Tensor]


def scale_gradients(loss: LossFunction, logits: Tensor, target: Tensor, create_graph: bool = False) -> Tensor:
    """Each example's ``d/ds loss(s z, y)`` at s = 1: (n,), for logits (n, k), their targets, and a loss that means over
    examples."""
    with torch.enable_grad():
        z = logits if create_graph else logits.detach().clone()
        scale = torch.ones(len(z), 1, dtype=z.dtype, device=z.device, requires_grad=True)
        (gradient,) = torch.autograd.grad(loss(z * scale, target) * len(z), scale, create_graph=create_graph)
    return gradient[:, 0]


def naive(g: Tensor) -> Tensor:
    """``(mean g)^2``: biased upwards by var(g) / n, so small environments look worse than they are."""
    return g.mean().square()


def split_half(g: Tensor) -> Tensor:
    """``mean(g of one half) * mean(g of the other)``, alternating: unbiased, and therefore sometimes negative
    (Gulrajani and Lopez-Paz, arXiv:2007.01434, after 1907.02893). The order of g must be random: see `shuffled`."""
    return g[0::2].mean() * g[1::2].mean()


def shuffled(n: int, device: torch.device) -> Tensor:
    """A fixed random order of n rows (n,). Data often alternate their labels; every other row would then put one label
    into each half, and the product of the halves would estimate nothing."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(0)).to(device)


def u_statistic(g: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of ``g_i g_j`` over all pairs i != j, and its approximate standard error: unbiased, with the least variance;
    for diagnosis.

    The error is approximate: the plug-in ``sqrt(4 g^2 s^2 / n + 2 s^4 / (n (n - 1)))`` with s^2 the variance of g.
    """
    n = len(g)
    g = g.double()
    value = (g.sum().square() - g.square().sum()) / (n * (n - 1))
    variance = g.var()
    error = (4 * value.clamp_min(0) * variance / n + 2 * variance.square() / (n * (n - 1))).sqrt()
    return value, error


def penalty(
    loss: LossFunction, logits: Tensor, target: Tensor, env: Tensor, ids: Tensor, estimator: Estimator
) -> Tensor:
    """Mean penalty over those of the environments `ids` (E,) that have at least two examples in the batch (split halves
    need two), differentiable: what training adds to the loss. The number of an environment's examples is never asked
    of the device, so a GPU does not wait."""
    order = shuffled(len(env), env.device)
    g = scale_gradients(loss, logits, target, create_graph=True)[order, None]
    member = env[order, None] == ids
    if estimator == "naive":
        squares = _mean(g, member).square()
    else:
        even = member & (member.cumsum(0) % 2 == 1)
        squares = _mean(g, even) * _mean(g, member & ~even)
    enough = member.sum(0) >= 2
    return (squares * enough).sum() / enough.sum().clamp_min(1)


def _mean(g: Tensor, chosen: Tensor) -> Tensor:
    """Mean of g (n, 1) over each column's rows, chosen (n, E); 0 for a column without any."""
    return (g * chosen).sum(0) / chosen.sum(0).clamp_min(1)


def penalties(
    loss: LossFunction, logits: Tensor, target: Tensor, environments: Mapping[int, Tensor], name: str
) -> dict[str, Tensor]:
    """All estimators on a split, given the rows of each environment: ``{name}_env{e}_irm`` (naive), ``_irm_split``,
    ``_irm_u``, ``_irm_u_se`` for each, and the mean naive penalty ``{name}_irm``; NaN for environments with fewer than
    `SMALLEST` examples."""
    g = scale_gradients(loss, logits, target)
    out: dict[str, Tensor] = {}
    nan = g.new_tensor(float("nan"), dtype=torch.float64)
    for e, rows in environments.items():
        part = g[rows[shuffled(len(rows), rows.device)]]
        few = len(part) < SMALLEST
        value, error = (nan, nan) if few else u_statistic(part)
        out |= {
            f"{name}_env{e}_irm": nan if few else naive(part),
            f"{name}_env{e}_irm_split": nan if few else split_half(part),
            f"{name}_env{e}_irm_u": value,
            f"{name}_env{e}_irm_u_se": error,
        }
    naives = torch.stack([v.double() for k, v in out.items() if k.endswith("_irm")])
    return {f"{name}_irm": naives.nanmean(), **out}
