"""A linear probe on features: the accuracy of a new readout of a representation.

A held-out curve can rise late because a representation forms, or because a readout stops spoiling one that was there
all along (arXiv:2605.27078). A probe fitted on training labels and scored on held-out tells the two apart.
Shapes: n examples, d features, k classes, r directions that are kept, s strengths.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

STRENGTHS = (1e-5, 1e-3, 1e-1, 1.0)
"""Ridge penalties, in units of the mean eigenvalue of the fitted features, so that rescaled features give the same
probe. The gap between network and probe depends on the penalty, so the range over them is reported too."""

ROWS = 2000
"""At most this many training examples."""

SCORED = 600
"""At most this many examples of a held-out split: the standard error of a score is then at most .02."""

WIDE = 256
"""Features wider than this are fitted on as many rows only: an eigendecomposition costs the cube of the smaller side.
"""

FIT_SHARE = 0.8
"""Share of the training rows that is fitted; on the rest the strength is chosen."""

ROUNDING = 1e-12
"""Directions with less than this share of the largest eigenvalue are rounding."""


@dataclass(frozen=True)
class ProbeScores:
    """Right answers of the probe on one held-out split, as tensors on its device: nothing waits for them."""

    correct: Tensor
    """At the strength chosen on training rows ()."""
    low: Tensor
    """Accuracy of the worst strength ()."""
    high: Tensor
    """Accuracy of the best strength on this very split: an upper bound, not an honest score ()."""
    n: int


@torch.no_grad()
def probe_scores(
    train: Tensor, labels: Tensor, held_out: Mapping[str, tuple[Tensor, Tensor]], classes: int
) -> dict[str, ProbeScores]:
    """Ridge regression on one-hot labels, fitted on ``FIT_SHARE`` of the training rows, its strength chosen on the
    rest; all strengths from one eigendecomposition.

    Args:
        train: (n, d) features. labels: (n,) in 0..k-1. held_out: split -> (features (m, d), labels (m,)).

    Features that are not finite give NaN for every score.

    Source: hidden representations against their readout, arXiv:2605.27078. Cost: n d min(n, d) for the covariance, one
    symmetric eigendecomposition of size min(n, d), s m r k for the scores.
    Misleads: the score is a property of features *and* probe. One without regularization merely tracks the network, and
    a linear probe misses what only a nonlinear readout could use. The rows that choose the strength were trained on, so
    that late in training they look easier than held-out ones and the chosen strength is too weak (digits: a passing dip
    from .92 to .82 while the best strength stays at .92): read the range. Below some fifty training rows the choice is
    mostly chance.
    """
    n = len(train)
    fit, select = (rows.to(train.device) for rows in fit_and_select(n, train.shape[1]))
    finite = train.square().sum().isfinite()  # an overflow of the squares: finite features, and no eigenvectors
    for features, _ in held_out.values():
        finite = finite & features.isfinite().all()

    ridge = _Ridge(train[fit].where(finite, 0.0), labels[fit], classes)
    chosen_on = ridge.correct(train[select].where(finite, 0.0), labels[select])
    strength = _last_largest(chosen_on)
    out = {}
    for name, (features, truth) in held_out.items():
        right = ridge.correct(features.where(finite, 0.0), truth).double().where(finite, float("nan"))
        m = len(truth)
        out[name] = ProbeScores(right.gather(0, strength)[0], right.min() / m, right.max() / m, m)
    return out


def fit_and_select(n: int, d: int) -> tuple[Tensor, Tensor]:
    """Which of n training rows with d features are fitted, and on which the strength is chosen: the same ones at every
    step, shuffled because rows may be sorted. With a single row both are that row."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    count = max(round(FIT_SHARE * n), 1)
    fit = order[:count] if d <= WIDE else order[: min(count, WIDE)]
    return fit, order[count:] if count < n else fit


class _Ridge:
    """Ridge regressions of one-hot labels for all strengths at once, in the eigenbasis of the features."""

    def __init__(self, x: Tensor, y: Tensor, classes: int):
        self.mean = x.mean(0, dtype=torch.float64).float()
        x = _without_specks(x - self.mean)
        target = torch.nn.functional.one_hot(y.long(), classes).float()
        self.prior = target.mean(0)
        values, self.basis = _directions(x)
        moments = (x @ self.basis).T @ (target - self.prior)
        penalty = values.sum() / x.shape[1] * torch.tensor(STRENGTHS, device=x.device)
        self.weights = moments / (values[:, None] + penalty[:, None, None]).clamp_min(1e-30)  # (s, r, k)

    def correct(self, x: Tensor, y: Tensor) -> Tensor:
        """Right answers (s,) among rows x (m, d) with labels y (m,)."""
        projected = _without_specks(x - self.mean) @ self.basis
        strengths, rank, classes = self.weights.shape
        flat = self.weights.permute(1, 0, 2).reshape(rank, strengths * classes)  # one product for all strengths
        scores = (projected @ flat).view(len(x), strengths, classes) + self.prior
        return (scores.argmax(2) == y[:, None]).sum(0)


def _directions(x: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (r,) of x'x and its eigenvectors (d, r), found on the smaller of x'x and xx'."""
    n, d = x.shape
    small = (x.T @ x if d <= n else x @ x.T).double()
    values, vectors = torch.linalg.eigh(small)
    floor = ROUNDING * values[-1].clamp_min(1e-300)
    kept = values > floor
    values = values.where(kept, 0.0)
    vectors = _without_specks((vectors * kept).float())
    if d > n:
        vectors = (x.T @ vectors) / values.where(kept, 1.0).sqrt().float()
    return values.float(), vectors


def _without_specks(x: Tensor) -> Tensor:
    """x with all below 1e-12 of its largest entry set to 0. Units that weight decay has shrunk to 1e-30 change no
    score, but products of such numbers are subnormal, which CPUs multiply some fifty times more slowly."""
    return x.where(x.abs() >= 1e-12 * x.abs().max(), 0.0)


def _last_largest(counts: Tensor) -> Tensor:
    """Index (1,) of the largest count (s,); of equal ones the last, which is the strongest penalty."""
    order = torch.arange(len(counts), device=counts.device)
    return (counts * len(counts) + order).argmax().view(1)


def probe_rows(split: str, n: int, most: int = ROWS) -> Tensor:
    """Which of a split's n examples a probe uses: evenly spread, always the same ones (rows,)."""
    return torch.linspace(0, n - 1, min(most, n, ROWS if split == "train" else SCORED)).long()


@torch.no_grad()
def input_features(x: Tensor, vocabulary: int) -> Tensor:
    """The raw input as features (n, d): images scaled to 0..1, tokens (n, positions) as one-hot, else as it is."""
    if x.dtype == torch.uint8:
        return x.flatten(1).float() / 255
    if x.is_floating_point():
        return x.flatten(1).float()
    return torch.nn.functional.one_hot(x.long(), vocabulary).flatten(1).float()
