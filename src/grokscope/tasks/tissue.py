"""Synthetic tissue: maps of hematoxylin and eosin for lymph-node-like and tumour-like patches.

Normal tissue holds small, round, evenly dark nuclei; tumour holds larger, denser, irregular ones with a nucleolus. Sizes are in
pixels at about one micrometre per pixel, so a larger patch shows more tissue, not larger nuclei. A cartoon: it is good for
planting a known shortcut, not for pathology.
"""

from dataclasses import dataclass

import numpy as np

_REACH = 8
"""Half the side of the window in which one nucleus is drawn; the largest nucleus fits."""
_SPACING = 6.5
"""Smallest distance between the cells of the jittered grid on which nuclei sit."""


@dataclass(frozen=True)
class Morphology:
    """Means of what is drawn per patch: normal tissue, tumour, and anything between."""

    radius: float
    spacing: float
    irregular: float
    spread: float
    dark: float
    nucleolus: float

    def towards(self, other: "Morphology", share: float) -> "Morphology":
        a, b = np.array(list(vars(self).values())), np.array(list(vars(other).values()))
        return Morphology(*(a + share * (b - a)))


NORMAL = Morphology(radius=2.5, spacing=8.8, irregular=0.06, spread=0.12, dark=0.92, nucleolus=0.0)
TUMOUR = Morphology(radius=3.7, spacing=9.2, irregular=0.22, spread=0.25, dark=0.62, nucleolus=0.5)


def draw(rng: np.random.Generator, tumour: np.ndarray, size: int, contrast: float) -> tuple[np.ndarray, np.ndarray]:
    """Maps of hematoxylin and eosin, both float32 (n, size, size), for labels `tumour` (n,) in {0, 1}."""
    kinds = np.array([list(vars(m).values()) for m in (NORMAL, NORMAL.towards(TUMOUR, contrast))], dtype=np.float32)
    radius, spacing, irregular, spread, dark, nucleolus = kinds[tumour].T[..., None]
    n = len(tumour)
    radius = radius * np.exp(rng.normal(0, 0.08, (n, 1)))
    spacing = np.maximum(spacing * np.exp(rng.normal(0, 0.10, (n, 1))), _SPACING)
    at, patch = _places(rng, size, spacing)
    pick = lambda values: values[patch, 0].astype(np.float32)
    radii = pick(radius) * np.exp(pick(spread) * rng.standard_normal(len(patch), dtype=np.float32))
    shade = pick(dark) * np.exp(0.15 * rng.standard_normal(len(patch), dtype=np.float32))
    nuclei = _stamp(rng, n, size, at, patch, np.clip(radii, 1.2, 5.8), pick(irregular), shade, pick(nucleolus))
    fibres = waves(rng, n, size, count=10, low=3.0, high=14.0)
    gaps = waves(rng, n, size, count=6, low=20.0, high=60.0)
    tissue = 1 / (1 + np.exp(-(gaps + 1.9) * 8))
    grain = rng.standard_normal((n, size, size), dtype=np.float32)
    h = tissue * (nuclei * (0.62 + 0.06 * grain) + 0.05)
    e = tissue * (0.26 + 0.07 * fibres + 0.02 * grain) * (1 - 0.45 * np.minimum(nuclei, 1))
    return h.astype(np.float32), np.maximum(e, 0.01).astype(np.float32)


def _places(rng, size, spacing):
    """Centres (k, 2) of all nuclei that touch their patch, and the patch (k,) of each: a jittered hexagonal grid."""
    n = len(spacing)
    side = int(np.ceil((size + 2 * _REACH) / _SPACING)) + 1
    row, col = np.divmod(np.arange(side * side), side)
    grid = np.stack([row * 0.87, col + 0.5 * (row % 2)], axis=-1) - 1
    place = grid + rng.random((n, 1, 2)) + rng.normal(0, 0.16, (n, side * side, 2))
    place = (place * spacing[..., None] - _REACH).astype(np.float32)
    kept = rng.random((n, side * side)) < 0.92
    kept &= ((place > -_REACH + 1) & (place < size + _REACH - 2)).all(axis=-1)
    patch, which = np.nonzero(kept)
    return place[patch, which], patch


def _stamp(rng, n, size, at, patch, radius, irregular, shade, nucleolus):
    """Draws all nuclei, each in a small window; where two overlap, their densities add."""
    k = len(at)
    corner = np.floor(at).astype(np.int32)
    step = np.arange(-_REACH, _REACH + 1)
    dy = (step - (at[:, :1] - corner[:, :1])).astype(np.float32)[:, :, None]
    dx = (step - (at[:, 1:] - corner[:, 1:])).astype(np.float32)[:, None, :]
    distance = np.sqrt(dy * dy + dx * dx) + np.float32(1e-3)
    ray = (dx + 1j * dy) / distance
    bumps = rng.standard_normal((k, 3, 2), dtype=np.float32).view(np.complex64)[..., None]
    wobble, power = np.zeros_like(distance), ray
    for m, weight in enumerate((0.9, 0.6, 0.5)):
        power = power * ray
        wobble += weight * (bumps[:, m] * power).real
    edge = radius[:, None, None] * (1 + irregular[:, None, None] * np.clip(wobble, -2, 2))
    inside = np.clip(edge - distance + 0.5, 0, 1)
    rim = 0.8 + 0.2 * np.minimum(distance / np.maximum(edge, 1), 1) ** 2
    off = rng.uniform(-0.35, 0.35, (k, 2, 1, 1)).astype(np.float32) * radius[:, None, None, None]
    dot = np.exp(-((dy - off[:, 0]) ** 2 + (dx - off[:, 1]) ** 2) / 1.6) * nucleolus[:, None, None]
    value = shade[:, None, None] * inside * (rim + dot)
    return _add(n, size, patch, corner, step, value)


def _add(n, size, patch, corner, step, value):
    wide = size + 4 * _REACH
    y = corner[:, :1] + step + 2 * _REACH
    x = corner[:, 1:] + step + 2 * _REACH
    flat = (patch[:, None, None] * wide + y[:, :, None]) * wide + x[:, None, :]
    canvas = np.bincount(flat.ravel(), value.ravel(), n * wide * wide).reshape(n, wide, wide)
    inner = slice(2 * _REACH, 2 * _REACH + size)
    return canvas[:, inner, inner].astype(np.float32)


def waves(rng, n, size, count, low, high):
    """Smooth random fields (n, size, size) of variance 1: `count` plane waves each, wavelengths in pixels, one main direction."""
    length = low * (high / low) ** rng.random((n, count))
    angle = rng.uniform(0, np.pi, (n, 1)) + rng.normal(0, 0.5, (n, count))
    phase = rng.uniform(0, 2 * np.pi, (n, count, 1))
    grid = np.arange(size)
    along = lambda k: (2 * np.pi / length * k)[..., None] * grid
    rows = np.exp(1j * (along(np.sin(angle)) + phase)).astype(np.complex64)
    columns = np.exp(1j * along(np.cos(angle))).astype(np.complex64)
    return (rows.transpose(0, 2, 1) @ columns).real * np.float32(np.sqrt(2 / count))
