"""A PAC-Bayes bound on a network by sampling: a Gaussian around the weights, a Gaussian around the initial ones."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from grokscope.measure.linear_theory import mcallester_bound

SPREADS = tuple(2.0**-k for k in range(1, 11))
"""Standard deviations that are tried, in units of the initial weights' root mean square: fixed before any data."""

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Bound:
    """The least bound over the spreads that were tried, and what it is made of."""

    bound: float
    """Of the 0-1 risk of a network drawn from the posterior; it says nothing from the trivial predictor's risk on."""
    risk: float
    """Share of wrong training examples of drawn networks, mean over draws."""
    kl: float
    """Of the posterior from the prior, nats."""
    spread: float
    """Standard deviation of both Gaussians."""


@torch.no_grad()
def sampled_bound(
    weights: Weights, start: Weights, wrong: Callable[[Weights], float], n: int, *, draws: int, delta: float, seed: int
) -> Bound:
    """McAllester's bound for ``Q = N(w, s^2 I)`` and ``P = N(w0, s^2 I)``, whose KL is ``|w - w0|^2 / (2 s^2)``.

    The best of `SPREADS` is taken, for which delta is divided by their number. The risk under Q is the mean over
    `draws`; its sampling error is not in the bound. From the widest spread down a spread is tried until its KL alone
    exceeds the best bound so far.

    Args:
        weights, start: parameters and their initial values, by name.
        wrong: share of wrong examples among n, of a network with these parameters.
    """
    size = sum(w.numel() for w in weights.values())
    way = sum(float((w.double() - start[name].double()).square().sum()) for name, w in weights.items())
    unit = math.sqrt(sum(float(w.double().square().sum()) for w in start.values()) / size)
    best: Bound | None = None
    for k, share in enumerate(SPREADS):
        spread = share * unit
        kl = way / (2 * spread**2) if spread > 0 else math.inf
        least = mcallester_bound(0.0, kl, n, delta / len(SPREADS))
        if best is not None and least >= best.bound:
            break  # a narrower spread only costs more
        risk = _risk(weights, spread, wrong, draws, seed + k)
        if best is None or least + risk < best.bound:
            best = Bound(least + risk, risk, kl, spread)
    assert best is not None
    return best


def _risk(weights: Weights, spread: float, wrong: Callable[[Weights], float], draws: int, seed: int) -> float:
    """Mean share of wrong examples over networks drawn around the weights, the same draws at each call."""
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for _ in range(draws):
        drawn = {}
        for name, w in weights.items():
            noise = torch.randn(w.shape, generator=generator, dtype=w.dtype).to(w.device)
            drawn[name] = w + spread * noise
        total += wrong(drawn)
    return total / draws
