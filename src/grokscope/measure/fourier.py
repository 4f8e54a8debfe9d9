"""Fourier structure of a network that learns addition or subtraction modulo p (Nanda et al., arXiv:2301.05217)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POWER_SHARE = 0.9
"""Key frequencies are the fewest whose power together reaches this share."""


def applies(meta: dict) -> bool:
    """Whether a task's facts describe addition or subtraction modulo p: elsewhere a+b is not the right coordinate."""
    return meta.get("operation") in ("add", "subtract") and "p" in meta


@torch.no_grad()
def fourier(model: nn.Module, p: int, operation: str, train_pairs: Tensor, train_labels: Tensor) -> dict[str, float]:
    """Fourier measures of a network on Z_p.

    - ``fourier_embedding_gini``: Gini coefficient of the embedding's power over frequencies 1..(p-1)/2; near 0 at the
      start, toward 1 when few frequencies carry it. NaN for a network without an ``embedding``.
    - ``fourier_key_frequencies``: how many frequencies of the logits, as a function of a + b (or a - b), reach 90 % of
      the power.
    - ``fourier_restricted_loss``: cross-entropy on all p^2 pairs of the logits' part on those frequencies alone.
    - ``fourier_excluded_loss``: cross-entropy on the training pairs without that part: memorization is what is left.
    - ``fourier_explained``: share of the logits' variance that is a function of a + b at all.

    Key frequencies are chosen anew at each call, from the same logits that are then scored, so early in training the
    restricted loss describes noise. Costs one forward pass over all p^2 pairs.
    """
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p)).to(train_pairs.device)
    sign = 1 if operation == "add" else -1
    total = (pairs[:, 0] + sign * pairs[:, 1]) % p
    logits = torch.cat([model(chunk) for chunk in pairs.split(4096)]).double()
    logits = logits - logits.mean(1, keepdim=True)  # softmax ignores a shift of all classes
    by_total = (
        torch.zeros(p, logits.shape[1], dtype=logits.dtype, device=logits.device).index_add_(0, total, logits) / p
    )

    spectrum = torch.fft.rfft(by_total, dim=0)
    power = spectrum.abs().square().sum(1)[1:]
    keys = key_frequencies(power)
    mask = torch.zeros(len(power) + 1, dtype=torch.bool, device=power.device)
    mask[keys + 1] = True
    part = torch.fft.irfft(spectrum * mask[:, None], n=p, dim=0)  # (p, k): the key part as a function of a + b

    train_index = train_pairs[:, 0] * p + train_pairs[:, 1]
    centered = logits - logits.mean(0)
    explained = (by_total - by_total.mean(0)).square().sum() * p / centered.square().sum()
    return {
        "fourier_embedding_gini": embedding_gini(model, p),
        "fourier_key_frequencies": float(len(keys)),
        "fourier_restricted_loss": float(F.cross_entropy(part[total], total)),
        "fourier_excluded_loss": float(F.cross_entropy((logits - part[total])[train_index], train_labels)),
        "fourier_explained": float(explained),
    }


def key_frequencies(power: Tensor) -> Tensor:
    """Indices of the fewest entries of power (f,) that together reach `POWER_SHARE` of its sum, largest first."""
    order = power.argsort(descending=True)
    reached = power[order].cumsum(0) / power.sum().clamp_min(1e-300)
    return order[: int((reached < POWER_SHARE).sum()) + 1]


def embedding_gini(model: nn.Module, p: int) -> float:
    """Gini coefficient of the power of the embedding table's rows 0..p-1 over frequencies 1..(p-1)/2."""
    table = getattr(model, "embedding", None)
    if not isinstance(table, nn.Embedding):
        return math.nan
    power = torch.fft.rfft(table.weight[:p].detach().double(), dim=0).abs().square().sum(1)[1:]
    return gini(power)


def gini(values: Tensor) -> float:
    """Gini coefficient of non-negative values (n,): 0 when all are equal, (n - 1) / n when one holds everything."""
    return sorted_gini(values.sort().values)


def sorted_gini(ordered: Tensor) -> float:
    """The same of values (n,) that are in order."""
    n = len(ordered)
    ranks = torch.arange(1, n + 1, dtype=ordered.dtype, device=ordered.device)
    return float((2 * (ranks * ordered).sum() / ordered.sum() - (n + 1)) / n)
