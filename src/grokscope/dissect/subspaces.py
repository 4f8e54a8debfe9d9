"""M4's subspaces: which directions of the features carry the environment, and the map that removes them.

Every eraser maps h to h - left @ right @ (h - mean) with right @ left = I, so the map is idempotent; it is orthogonal
where left = right.T. All arithmetic is in float64. Labels are integers of any values and are treated as classes,
never as numbers; weights (n,) count an example more or less.

Shapes: n examples, d features, k classes, r <= k - 1 dimensions removed.
"""

from dataclasses import dataclass

import numpy as np

from grokscope.dissect.intervention import Erase

RELATIVE_ZERO = 1e-10
"""Singular values below this share of the largest are zero. Relative, so a rare class is never skipped."""


@dataclass(frozen=True)
class Eraser:
    """A fitted erasure: left (d, r), right (r, d), mean (d,)."""

    name: str
    left: np.ndarray
    right: np.ndarray
    mean: np.ndarray

    @property
    def rank(self) -> int:
        return len(self.right)

    @property
    def projection(self) -> np.ndarray:
        """P (d, d); P @ P = P."""
        return self.left @ self.right

    @property
    def removed(self) -> np.ndarray:
        """Orthonormal basis (d, r) of what edits lie in."""
        return np.linalg.qr(self.left)[0]

    def coordinates(self, h: np.ndarray) -> np.ndarray:
        """(n, d) -> (n, r)."""
        return (h.astype(np.float64) - self.mean) @ self.right.T

    def apply(self, h: np.ndarray) -> np.ndarray:
        """Edited features (n, d), in float64."""
        return h.astype(np.float64) - self.coordinates(h) @ self.left.T

    def intervention(self, site: str) -> Erase:
        """The same edit as storable data."""
        return Erase(
            site=site,
            left=tuple(map(tuple, self.left.tolist())),
            right=tuple(map(tuple, self.right.tolist())),
            mean=tuple(self.mean.tolist()),
        )


def class_means(
    h: np.ndarray, z: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means (k, d) and shares (k,) of the classes, and the mean (d,) of all, in float64.

    Raises:
        ValueError: for features that are not finite, fewer than two classes or unequal lengths.
    """
    h, z = np.asarray(h, dtype=np.float64), np.asarray(z)
    if h.ndim != 2 or z.shape != h.shape[:1]:
        raise ValueError(f"features must be (n, d) and labels (n,), got {h.shape} and {z.shape}")
    if not np.isfinite(h).all():
        raise ValueError("the features are not finite")
    codes = np.unique(z, return_inverse=True)[1]
    k = int(codes.max()) + 1
    if k < 2:
        raise ValueError("labels: only one class, so there is nothing to separate")
    w = np.ones(len(h)) if weights is None else np.asarray(weights, dtype=np.float64)
    one_hot = np.zeros((len(h), k))
    one_hot[np.arange(len(h)), codes] = w
    total = one_hot.sum(axis=0)
    center = w @ h / w.sum()
    # centered before summing: the means differ by little where the features have a large common offset
    return center + one_hot.T @ (h - center) / total[:, None], total / total.sum(), center


def row_space(rows: np.ndarray, rank: int) -> np.ndarray:
    """Orthonormal basis (d, r) of the span of rows (k, d), r <= rank, by SVD with a relative tolerance."""
    _, s, vt = np.linalg.svd(rows, full_matrices=False)
    if s[0] > 0:
        return vt[: min(rank, int((s > RELATIVE_ZERO * s[0]).sum()))].T
    return np.zeros((rows.shape[1], 0))


def _orthogonal(name: str, basis: np.ndarray, mean: np.ndarray) -> Eraser:
    return Eraser(name, basis, basis.T, mean)


def mean_diff(h: np.ndarray, z: np.ndarray, weights: np.ndarray | None = None) -> Eraser:
    """Removes the span of the centered class means, orthogonally: rank k - 1.

    Afterward the class means of the fitted examples are equal, so no linear probe fitted to them does better than a
    constant. Takes more away than `leace` does where the features are correlated.
    """
    means, shares, center = class_means(h, z, weights)
    return _orthogonal("mean_diff", row_space((means - center) * np.sqrt(shares)[:, None], len(means) - 1), center)


def lda(
    h: np.ndarray,
    z: np.ndarray,
    weights: np.ndarray | None = None,
    shrinkage: float | None = None,
    rounds: int = 1,
) -> Eraser:
    """Removes the discriminant directions S_w^-1 (m_k - m) orthogonally, whitening by the *within-class* covariance
    S_w.

    S_w is shrunk toward a multiple of the identity, by `shrinkage` in [0, 1] or by Ledoit and Wolf's estimate
    (doi:10.1016/S0047-259X(03)00096-4), without which it is singular for n < d. k classes have k - 1 discriminants;
    more need `rounds`, each fitted to what the ones before left (as in Ravfogel et al., arXiv:2004.07667). About 35
    dimensions were published for 3 hospitals: one round of LDA cannot give them.

    Misleads: directions that separate best are not the directions along which the means differ. Removing them
    orthogonally leaves the means apart unless S_w is a multiple of the identity, so a refitted probe usually reads
    the classes again.
    """
    basis = np.zeros((h.shape[1], 0))
    center = class_means(h, z, weights)[2]
    rest = np.asarray(h, dtype=np.float64)
    for _ in range(rounds):
        means, shares, middle = class_means(rest, z, weights)
        inverse = np.linalg.inv(within_covariance(rest, z, means, weights, shrinkage))
        directions = discriminants(inverse, means, shares, middle).left
        basis = np.linalg.qr(np.concatenate([basis, directions], axis=1))[0]
        rest = h - (h - center) @ basis @ basis.T
    return _orthogonal("lda", basis, center)


def discriminants(inverse: np.ndarray, means: np.ndarray, shares: np.ndarray, center: np.ndarray) -> Eraser:
    """One round of `lda` from the inverse (d, d) of a within-class covariance and the class means (k, d)."""
    offsets = (means - center) * np.sqrt(shares)[:, None]
    return _orthogonal("lda", row_space(offsets @ inverse, len(means) - 1), center)


def within_covariance(
    h: np.ndarray, z: np.ndarray, means: np.ndarray, weights: np.ndarray | None = None, shrinkage: float | None = None
) -> np.ndarray:
    """Shrunk within-class covariance (d, d): (1 - a) S + a tr(S) / d I."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    codes = np.unique(z, return_inverse=True)[1]
    rest = np.asarray(h, dtype=np.float64) - means[codes]
    if weights is not None:
        rest = rest * np.sqrt(np.asarray(weights) / np.mean(weights))[:, None]
    a = float(ledoit_wolf_shrinkage(rest, assume_centered=True)) if shrinkage is None else shrinkage
    covariance = rest.T @ rest / len(rest)
    size = np.trace(covariance) / len(covariance)
    if size == 0:
        raise ValueError("the features are constant within classes")
    return (1 - a) * covariance + max(a, RELATIVE_ZERO) * size * np.eye(len(covariance))


def probe_rows(rows: np.ndarray, mean: np.ndarray) -> Eraser:
    """Removes the row space of a probe's weights (k, d), or (1, d) for two classes: rank k - 1 by SVD.

    The rows of a multinomial probe sum to zero, so W W' is singular and the published W' (W W')^-1 W does not exist.

    Misleads: the probe is at chance afterward by construction, whatever information is left for another one.
    """
    rows = np.asarray(rows, dtype=np.float64)
    return _orthogonal("probe_rows", row_space(rows, max(len(rows) - 1, 1)), np.asarray(mean, dtype=np.float64))


def principal_angles(a: np.ndarray, b: np.ndarray) -> tuple[float, ...]:
    """Angles in degrees between the spans of bases (d, r) and (d, q), the largest first."""
    from scipy.linalg import subspace_angles

    if a.shape[1] and b.shape[1]:
        return tuple(np.degrees(subspace_angles(a, b)).tolist())
    return ()
