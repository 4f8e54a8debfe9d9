"""Least-squares concept erasure in closed form (Belrose et al. 2023, arXiv:2306.03819).

Of all affine maps after which no linear probe can tell the classes of the *fitted* examples better than a constant
does, LEACE changes the features least, in mean square: r(x) = x - W^+ Q W (x - mean), where W is the whitening matrix
and Q the orthogonal projection on the column space of the whitened cross-covariance W S_xz with the one-hot labels z.

The column space of W S_xz is that of the whitened class offsets W (m_k - m): scaling a column by the class's frequency
changes nothing in it. Working with the offsets, a class of one percent weighs as much as any other in the decision of
what is zero.
"""

from dataclasses import dataclass

import numpy as np

from grokscope.dissect.subspaces import RELATIVE_ZERO, Eraser, class_means


@dataclass(frozen=True)
class Whitening:
    """W (d, d) and its pseudo-inverse for one set of features, and their mean: reused for many labelings of them."""

    matrix: np.ndarray
    inverse: np.ndarray
    mean: np.ndarray

    def eraser(self, means: np.ndarray) -> Eraser:
        """The eraser that makes these class means (k, d) equal."""
        u, s, _ = np.linalg.svd(self.matrix @ (means - self.mean).T, full_matrices=False)
        u = u[:, : min(len(means) - 1, int((s > RELATIVE_ZERO * s[0]).sum()))]
        return Eraser("leace", self.inverse @ u, u.T @ self.matrix, self.mean)


def whiten(h: np.ndarray, weights: np.ndarray | None = None) -> Whitening:
    """Symmetric whitening of features (n, d) in float64; directions without variance (n <= d, dead neurons) map to
    0."""
    h = np.asarray(h, dtype=np.float64)
    w = np.full(len(h), 1 / len(h)) if weights is None else np.asarray(weights) / np.sum(weights)
    mean = w @ h
    rest = (h - mean) * np.sqrt(w)[:, None]
    values, vectors = np.linalg.eigh(rest.T @ rest)
    kept = values > max(h.shape) * np.finfo(np.float64).eps * max(values[-1], 0)
    values, vectors = values[kept], vectors[:, kept]
    return Whitening((vectors / np.sqrt(values)) @ vectors.T, (vectors * np.sqrt(values)) @ vectors.T, mean)


def leace(h: np.ndarray, z: np.ndarray, weights: np.ndarray | None = None) -> Eraser:
    """Fit LEACE to features (n, d) and integer classes (n,); rank k - 1, oblique.

    Misleads: the guarantee is for the examples it was fitted on. With n near or below d the whitening fits their
    noise, and on held-out examples a refitted probe may read nearly as much as before; only that probe tells.

    Raises:
        ValueError: for one class only, features that are constant or not finite.
    """
    means, _, _ = class_means(h, z, weights)
    if not np.ptp(np.asarray(h), axis=0).any():
        raise ValueError("the features are constant")
    return whiten(h, weights).eraser(means)


class ObliqueFitter:
    """LEACE and SPLINCE for many labelings of the same features, each with weights of its own.

    Every labeling's weights give another covariance, and a decomposition for each would cost minutes. The features
    are whitened once without weights; in those coordinates a weighted covariance S lies near the identity, and the
    projection W^-1 Q W equals M G^+ R with G = R M, for class offsets M: R = M' S^-1 in LEACE. SPLINCE takes from R
    what lies along the task's offsets T: R = M' S^-1 - M' S^-1 T (T' S^-1 T)^+ T' S^-1. One solve for each labeling.
    """

    def __init__(self, h: np.ndarray):
        h = np.asarray(h, dtype=np.float64)
        self.mean = h.mean(axis=0)
        _, size, rows = np.linalg.svd(h - self.mean, full_matrices=False)
        kept = size > max(h.shape) * np.finfo(np.float64).eps * size[0]
        scale = size[kept] / np.sqrt(len(h))
        self.into, self.back = rows[kept].T / scale, rows[kept].T * scale
        self.white = (h - self.mean) @ self.into

    def fit(self, z: np.ndarray, weights: np.ndarray | None = None, spare: np.ndarray | None = None) -> Eraser:
        """The eraser of classes z (n,), as `leace` finds it; with the classes `spare` (n,) as `splince` does.

        Raises:
            ValueError: when all that tells the classes apart also tells the spared ones apart.
        """
        from scipy.linalg import solve

        means, _, center = class_means(self.white, z, weights)
        w = np.full(len(z), 1 / len(z)) if weights is None else weights / weights.sum()
        rest = self.white - center
        offsets = (means - center).T
        covariance = (rest * w[:, None]).T @ rest
        rows = solve(covariance, offsets, assume_a="pos").T
        size = float(np.linalg.eigvalsh(rows @ offsets)[-1])
        if spare is not None:
            task = (class_means(self.white, spare, weights)[0] - center).T
            inside = solve(covariance, task, assume_a="pos").T
            rows = rows - (rows @ task) @ np.linalg.pinv(inside @ task, rcond=RELATIVE_ZERO, hermitian=True) @ inside
        values, vectors = np.linalg.eigh(rows @ offsets)
        kept = values > RELATIVE_ZERO * size
        kept[: len(values) - (len(means) - 1)] = False  # the weighted offsets sum to zero: one is never a dimension
        if not kept.any():
            raise ValueError("environment and task lie along the same directions: one cannot go and the other stay")
        q = vectors[:, kept]
        left, right = self.back @ offsets @ q / values[kept], (q.T @ rows) @ self.into.T
        return Eraser("leace" if spare is None else "splince", left, right, self.mean + self.back @ center)


def splince(h: np.ndarray, z: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> Eraser:
    """Fit SPLINCE (arXiv:2506.10703) to features (n, d), classes z (n,) to erase and y (n,) to spare: like `leace` it
    makes the class means equal, and the covariance of the features with y stays as it was.

    I - P for P = W^-1 V (U_perp' V)^-1 U_perp' W, where W whitens, U = span(W S_xz) and V = [span(W S_xy), (U +
    V)_perp]. A refitted head predicts as after LEACE; it differs for the frozen head.

    Misleads: where environment and task nearly share a direction it moves features far to spare the task: look at the
    energy distance.

    Raises:
        ValueError: for one class only, and when all that tells z apart also tells y apart.
    """
    return ObliqueFitter(h).fit(z, weights, y)
