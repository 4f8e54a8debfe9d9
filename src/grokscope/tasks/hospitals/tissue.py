"""Synthetic tissue: maps of hematoxylin and eosin for lymph-node-like and tumor-like patches.

Normal tissue holds small, round, dark nuclei; tumor holds larger, denser, irregular, paler ones with a nucleolus.
Sizes are in pixels at about one micrometre per pixel, so a larger patch shows more tissue, not larger nuclei. A
cartoon: it is good for planting a known shortcut, not for pathology.
"""

from dataclasses import astuple, dataclass

import numpy as np

_REACH = 8
"""Half the side of the window in which one nucleus is drawn; the largest nucleus fits."""
_SPACING = 6.5
"""Smallest distance between the cells of the jittered grid on which nuclei sit."""


@dataclass(frozen=True)
class Morphology:
    """Means of what is drawn per patch: normal tissue, tumor, and anything between."""

    radius: float
    spacing: float
    irregular: float
    spread: float
    dark: float
    nucleolus: float

    def toward(self, other: "Morphology", share: float) -> "Morphology":
        """`share` of the way to another."""
        return Morphology(*(a + share * (b - a) for a, b in zip(astuple(self), astuple(other), strict=True)))


NORMAL = Morphology(radius=2.5, spacing=8.6, irregular=0.06, spread=0.12, dark=0.92, nucleolus=0.0)
TUMOR = Morphology(radius=3.5, spacing=8.1, irregular=0.20, spread=0.25, dark=0.65, nucleolus=0.5)


def draw(rng: np.random.Generator, tumor: np.ndarray, size: int, contrast: float) -> np.ndarray:
    """Amounts (n, 2, size, size), float32, of hematoxylin and eosin, for labels `tumor` (n,) in {0, 1}; `contrast` 0
    draws tumor as normal tissue, 1 draws it as `TUMOR`."""
    n = len(tumor)
    kinds = np.array([astuple(NORMAL), astuple(NORMAL.toward(TUMOR, contrast))], dtype=np.float32)
    radius, spacing, irregular, spread, dark, nucleolus = kinds[tumor].T
    radius = radius * np.exp(rng.normal(0, 0.08, n))
    spacing = np.maximum(spacing * np.exp(rng.normal(0, 0.08, n)), _SPACING)
    at, patch = _places(rng, size, spacing)
    noise = rng.standard_normal((2, len(patch)), dtype=np.float32)
    radii = np.clip(radius[patch] * np.exp(spread[patch] * noise[0]), 1.2, 5.8).astype(np.float32)
    shade = dark[patch] * np.exp(np.float32(0.15) * noise[1])
    nuclei = _Nuclei(at, patch, radii, irregular[patch], shade, nucleolus[patch])
    return _tissue(rng, _stamp(rng, nuclei, n, size))


def _tissue(rng: np.random.Generator, nuclei: np.ndarray) -> np.ndarray:
    """Lays fibres, gaps and grain around the nuclei."""
    n, size, _ = nuclei.shape
    fibres = waves(rng, n, size, count=10, low=3.0, high=14.0)
    gaps = waves(rng, n, size, count=6, low=20.0, high=60.0)
    tissue = 1 / (1 + np.exp(-8 * (gaps + np.float32(1.9))))
    grain = rng.standard_normal((n, size, size), dtype=np.float32)
    h = nuclei * (0.62 + 0.06 * grain) + 0.05
    e = (0.26 + 0.06 * fibres + 0.02 * grain) * (1 - 0.45 * np.minimum(nuclei, 1))
    return np.maximum(np.stack([h, e], axis=1) * tissue[:, None], 0.002).astype(np.float32)


def _places(rng: np.random.Generator, size: int, spacing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centers (k, 2) of all nuclei that touch their patch, and the patch (k,) of each: a jittered hexagonal grid."""
    n = len(spacing)
    side = int(np.ceil((size + 2 * _REACH) / _SPACING)) + 1
    row, col = np.divmod(np.arange(side * side), side)
    grid = np.stack([row * 0.87, col + 0.5 * (row % 2)], axis=-1) - 1
    place = grid + rng.random((n, 1, 2)) + rng.normal(0, 0.16, (n, side * side, 2))
    place = (place * spacing[:, None, None] - _REACH).astype(np.float32)
    kept = rng.random((n, side * side)) < 0.92
    kept &= ((place > -_REACH + 1) & (place < size + _REACH - 2)).all(axis=-1)
    patch, which = np.nonzero(kept)
    return place[patch, which], patch


@dataclass(frozen=True)
class _Nuclei:
    """k nuclei: where (k, 2), in which patch (k,), and what each looks like (k,)."""

    at: np.ndarray
    patch: np.ndarray
    radius: np.ndarray
    irregular: np.ndarray
    shade: np.ndarray
    nucleolus: np.ndarray


def _stamp(rng: np.random.Generator, nuclei: _Nuclei, n: int, size: int) -> np.ndarray:
    """Density of all nuclei (n, size, size), each drawn in a small window; where two overlap, their densities add."""
    corner = np.floor(nuclei.at).astype(np.int32)
    step = np.arange(-_REACH, _REACH + 1)
    apart = (step[:, None] - (nuclei.at - corner)[:, None, :]).astype(np.float32)
    dy, dx = apart[:, :, None, 0], apart[:, None, :, 1]
    distance = np.sqrt(dy * dy + dx * dx) + np.float32(1e-3)
    edge = _edge(rng, (dx + 1j * dy) / distance, nuclei)
    inside = np.clip(edge - distance + 0.5, 0, 1)
    rim = 0.8 + 0.2 * np.minimum(distance / np.maximum(edge, 1), 1) ** 2
    off = rng.uniform(-0.35, 0.35, (len(corner), 2, 1, 1)).astype(np.float32) * _wide(nuclei.radius)[..., None]
    dot = np.exp(-((dy - off[:, 0]) ** 2 + (dx - off[:, 1]) ** 2) / 1.6) * _wide(nuclei.nucleolus)
    density = _wide(nuclei.shade) * inside * (rim + dot)
    return _add_up(density, nuclei.patch, corner, step, n, size)


def _edge(rng: np.random.Generator, ray: np.ndarray, nuclei: _Nuclei) -> np.ndarray:
    """Radius along every ray (k, window, window) of modulus 1: a circle with harmonics 2 to 4 of random phase."""
    bumps = rng.standard_normal((len(ray), 3, 2), dtype=np.float32).view(np.complex64)[..., None]
    wobble, power = np.zeros(ray.shape, np.float32), ray
    for harmonic, weight in enumerate((0.9, 0.6, 0.5)):
        power = power * ray
        wobble += weight * (bumps[:, harmonic] * power).real
    return _wide(nuclei.radius) * (1 + _wide(nuclei.irregular) * np.clip(wobble, -2, 2))


def _wide(values: np.ndarray) -> np.ndarray:
    return values[:, None, None]


def _add_up(
    density: np.ndarray, patch: np.ndarray, corner: np.ndarray, step: np.ndarray, n: int, size: int
) -> np.ndarray:
    """Windows (k, window, window) summed into patches (n, size, size); what lies outside is cut off."""
    margin = 2 * _REACH
    side = size + 2 * margin
    y = corner[:, :1] + step + margin
    x = corner[:, 1:] + step + margin
    flat = (_wide(patch) * side + y[:, :, None]) * side + x[:, None, :]
    canvas = np.bincount(flat.ravel(), density.ravel(), n * side * side).reshape(n, side, side)
    inner = slice(margin, margin + size)
    return canvas[:, inner, inner].astype(np.float32)


def waves(rng: np.random.Generator, n: int, size: int, count: int, low: float, high: float) -> np.ndarray:
    """Smooth random fields (n, size, size) of variance 1: `count` plane waves each, wavelengths in pixels, one main
    direction."""
    length = low * (high / low) ** rng.random((n, count))
    angle = rng.uniform(0, np.pi, (n, 1)) + rng.normal(0, 0.5, (n, count))
    phase = rng.uniform(0, 2 * np.pi, (n, count, 1))
    turn = (2 * np.pi / length)[:, :, None] * np.arange(size)
    rows = np.exp(1j * (np.sin(angle)[:, :, None] * turn + phase)).astype(np.complex64)
    columns = np.exp(1j * np.cos(angle)[:, :, None] * turn).astype(np.complex64)
    return (rows.transpose(0, 2, 1) @ columns).real * np.float32(np.sqrt(2 / count))
