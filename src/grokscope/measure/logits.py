"""Confidence of the logits: margins, scale, and softmax collapse."""

import torch
from torch import Tensor


@torch.no_grad()
def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Logit of the right class minus the largest other one (n,), for logits (n, k) and labels (n,) int64.

    With one output (n, 1) and labels 0/1 it is y z with y = -1 or +1.
    """
    if logits.shape[1] == 1:
        return logits[:, 0] * (2 * labels - 1)
    right = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], float("-inf"))
    return right - others.max(1).values


@torch.no_grad()
def softmax_collapse(logits: Tensor, dtype: torch.dtype) -> Tensor:
    """Share of rows of logits (n, k) whose ``sum(exp(z - max z))`` is exactly 1 in `dtype`: there the cross-entropy of
    a right answer is exactly 0 and its gradient has vanished (Prieto et al., arXiv:2501.04697). NaN for one output."""
    if logits.shape[1] == 1:
        return logits.new_tensor(float("nan"))
    z = logits.to(dtype)
    return ((z - z.max(1, keepdim=True).values).exp().sum(1) == 1).double().mean()


@torch.no_grad()
def logit_scale(logits: Tensor) -> Tensor:
    """Mean size of the logits (n, k): L2 norm of a row without its mean, which the softmax ignores; with one output
    its absolute value."""
    if logits.shape[1] == 1:
        return logits.abs().double().mean()
    return (logits - logits.mean(1, keepdim=True)).norm(dim=1).double().mean()


@torch.no_grad()
def normalized_margins(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Least, lowest tenth, median and mean of the margins over the `logit_scale` of logits (n, k): whatever multiplies
    all logits drops out. NaN where all logits are equal."""
    scale = logit_scale(logits)
    share = margins(logits, labels).double() / torch.where(scale > 0, scale, float("nan"))
    tenth, median = torch.quantile(share, torch.tensor([0.1, 0.5], dtype=share.dtype, device=share.device)).unbind()
    return {"min": share.min(), "q10": tenth, "median": median, "mean": share.mean()}
