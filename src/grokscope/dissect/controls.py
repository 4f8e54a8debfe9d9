"""Controls of an effect: random subspaces matched to the real one, empirical p, and the four cells.

Shapes: n examples, d features, r dimensions of a subspace, D draws, k classes.
"""

from typing import Literal

import numpy as np

from grokscope.results.answer import Cell, Use
from grokscope.results.scores import Null

Sidedness = Literal["two-sided", "greater", "less"]
MIN_DRAWS = 99
"""With 99 draws the smallest p is .01 one-sided and .02 two-sided; fewer cannot support a claim at .05 corrected."""


def empirical_p(observed: float, draws: np.ndarray, sidedness: Sidedness = "two-sided") -> float:
    """(1 + number of draws at least as extreme) / (1 + N); two-sided is twice the smaller side, at most 1.

    NaN when the observed value is NaN or any draw is: a share of the draws would be a silent number.
    """
    draws = np.asarray(draws, dtype=np.float64)
    if not np.isfinite(observed) or not np.isfinite(draws).all() or len(draws) == 0:
        return float("nan")
    slack = 1e-12 * max(1.0, abs(observed))  # equal up to rounding counts as equal, on both sides
    above = (1 + int((draws >= observed - slack).sum())) / (1 + len(draws))
    below = (1 + int((draws <= observed + slack).sum())) / (1 + len(draws))
    if sidedness == "greater":
        return above
    if sidedness == "less":
        return below
    return min(1.0, 2 * min(above, below))


def smallest_empirical_p(draws: int, sidedness: Sidedness = "two-sided") -> float:
    return min(1.0, (2 if sidedness == "two-sided" else 1) / (1 + draws))


def null(
    control: str, observed: float, draws: np.ndarray, sidedness: Sidedness = "two-sided", floor: float = 0.0
) -> Null:
    """The record of one control's draws (D,) beside the observed value. `floor`: the chance that a random draw is as
    good as the true one because it is the true one, below which no p can be trusted."""
    finite = bool(np.isfinite(draws).all()) and len(draws) > 0
    low, high = np.quantile(draws, [0.025, 0.975]) if finite else (np.nan, np.nan)
    return Null(
        control=control,
        draws=len(draws),
        mean=float(draws.mean()) if finite else float("nan"),
        sd=float(draws.std(ddof=1)) if finite and len(draws) > 1 else float("nan"),
        low=float(low),
        high=float(high),
        p=empirical_p(observed, draws, sidedness),
        sidedness=sidedness,
        smallest_p=max(floor, smallest_empirical_p(len(draws), sidedness)),
    )


def random_frames(rng: np.random.Generator, d: int, r: int, draws: int) -> np.ndarray:
    """Orthonormal frames (D, d, r) of subspaces drawn uniformly: matched in dimension only.

    In a network whose features vary in few directions such a subspace holds almost nothing, and any direction taken
    from the data beats it.
    """
    return np.linalg.qr(rng.standard_normal((draws, d, r)))[0]


def variance_matched_frames(
    rng: np.random.Generator,
    spectrum: tuple[np.ndarray, np.ndarray],
    avoid: np.ndarray,
    r: int,
    target: float,
    draws: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Frames (D, d, r) in the complement of `avoid` (d, q), each holding the variance `target`; and what each holds
    (D,).

    spectrum: eigenvalues (d,) and eigenvectors (d, d) of the features' covariance S. A draw is S^(t/2) times a Gaussian
    matrix; t leans it toward the directions in which the features vary much (t > 0) or little (t < 0) and is found by
    bisection. Without `avoid` a shortcut that is itself the largest direction would be compared with itself. Where the
    complement holds less than the target, the draws stop at about its largest directions: compare the second result
    with the target.
    """
    values, vectors = spectrum
    values = np.maximum(values, 1e-10 * max(float(values.max()), 1e-300))
    logs = np.log(values / values.max())
    gauss = rng.standard_normal((draws, len(values), r))
    away = np.linalg.qr(vectors.T @ avoid)[0] if avoid.shape[1] else np.zeros((len(values), 0))

    def frames(t: np.ndarray) -> np.ndarray:
        exponent = t[:, None] * logs / 2
        x = np.exp(exponent - exponent.max(axis=1, keepdims=True))[:, :, None] * gauss
        return np.linalg.qr(x - away @ (away.T @ x))[0]

    def held(u: np.ndarray) -> np.ndarray:
        return (values[:, None] * u**2).sum(axis=(1, 2))

    low, high = np.full(draws, -4.0), np.full(draws, 4.0)
    for _ in range(18):
        middle = (low + high) / 2
        short = held(frames(middle)) < target
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    u = frames((low + high) / 2)
    return vectors @ u, held(u)


def erase_logits(
    logits: np.ndarray, centered: np.ndarray, weight: np.ndarray, frames: np.ndarray, lengths: np.ndarray | None = None
) -> np.ndarray:
    """Logits (D, n, k) after removing each frame (D, d, r) orthogonally, without forming the edited features.

    logits (n, k), centered features h - mean (n, d), weight (k, d). With `lengths` (n,) every example is moved by that
    length along its own projection: a control matched in removed norm, example by example.
    """
    draws, _, r = frames.shape
    coordinates = (centered @ frames.transpose(1, 0, 2).reshape(len(weight[0]), draws * r)).reshape(
        len(centered), draws, r
    )
    coordinates = coordinates.transpose(1, 0, 2)
    if lengths is not None:
        size = np.linalg.norm(coordinates, axis=2, keepdims=True)
        coordinates = coordinates / np.maximum(size, 1e-300) * lengths[None, :, None]
    return logits - coordinates @ (frames.transpose(0, 2, 1) @ weight.T)


def outside_range(h: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Share of activations (n, d) outside the fit part's [low, high] of their neuron: how far an edit leaves the data.

    Held-out data that nobody edited is outside a little too (about 2 / (n_fit + 1) of it): compare with that.
    """
    slack = 1e-9 * np.maximum(high - low, 1e-300)
    return float(((h < low - slack) | (h > high + slack)).mean())


ENERGY_ROWS = 400
"""Examples of each set behind an energy distance: its cost grows with their square."""


def energy_distance(h: np.ndarray, natural: np.ndarray, rng: np.random.Generator) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| between features (n, d) and natural ones (m, d), Székely and Rizzo 2013
    (doi:10.1016/j.jspi.2013.03.018), each feature in the natural ones' standard deviations.

    Two samples of one distribution give a little above 0, the more the smaller they are: compare with natural to
    natural. It sees shifts of the whole cloud, which a neuron's own range (`outside_range`) does not.
    """
    from scipy.spatial.distance import cdist, pdist

    scale = natural.std(axis=0)
    scale = np.where(scale > 1e-12 * np.abs(natural).max(axis=0), scale, 1.0)
    x, y = (v[rng.permutation(len(v))[:ENERGY_ROWS]] / scale for v in (h, natural))
    if min(len(x), len(y)) < 2:
        return float("nan")
    return float(2 * cdist(x, y).mean() - pdist(x).mean() - pdist(y).mean())


READABLE: dict[Use, Cell] = {
    "used": "readable and used",
    "used, negligibly": "readable and used, negligibly",
    "unused": "readable but unused",
    "cannot tell": "cannot tell",
}
HIDDEN: dict[Use, Cell] = {
    "used": "used but not readable",
    "used, negligibly": "used, negligibly, but not readable",
    "unused": "neither",
    "cannot tell": "cannot tell",
}


def cell(decodable: bool | None, use: Use) -> Cell:
    """Which of the four cells, use in two sizes; None means that it is not known whether the environment can be
    read."""
    if decodable is None:
        return "cannot tell"
    return READABLE[use] if decodable else HIDDEN[use]
