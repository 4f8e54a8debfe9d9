"""Dimensionality of a set of features by three standard measures."""

import torch
from torch import Tensor

ROUNDING = 1e-13
"""Singular values below this share of the features' norm, before centering, are rounding."""


@torch.no_grad()
def spectra(features: Tensor) -> dict[str, Tensor]:
    """Dimension counts of features (n, d), centered, from their singular values s.

    - ``rank_effective``: exp of the entropy of s / sum(s) (Roy & Vetterli 2007, doi:10.5281/zenodo.40511).
    - ``rank_participation``: (sum s^2)^2 / sum s^4, the participation ratio of the covariance's eigenvalues.
    - ``rank_stable``: sum s^2 / max s^2.

    All lie between 1 and min(n - 1, d), and all grow with n: compare them at equal n only. Constant features, and ones
    that are not finite, give NaN.
    """
    features = features.double()
    centered = features - features.mean(0)
    finite = centered.isfinite().all()  # stays on the device: asking it would make a GPU wait
    s = torch.linalg.svdvals(centered.where(finite, 0.0)).where(finite, float("nan"))
    s = s.masked_fill(s <= ROUNDING * features.norm(), 0.0)  # or constant features would have the rank of rounding
    power = s.square()
    share = s / s.sum()
    return {
        "rank_effective": torch.special.entr(share).sum().exp(),
        "rank_participation": power.sum().square() / power.square().sum(),
        "rank_stable": power.sum() / power.max(),
    }
