"""Color of stained tissue: from the amounts of two stains to the colors that a scanner sees, and back.

Each stain absorbs light in proportion to its amount, so optical densities add up:
``I = WHITE * 10 ** -(h v_h + e v_e)`` (Ruifrok & Johnston 2001, Anal. Quant. Cytol. Histol. 23:291-299).
Shapes: n patches, s = 2 stains (hematoxylin, eosin), c = 3 colors, H x W pixels.
"""

import numpy as np

HEMATOXYLIN = (0.65, 0.70, 0.29)
"""Optical density of hematoxylin (nuclei, blue-violet) in red, green and blue (Ruifrok & Johnston 2001)."""
EOSIN = (0.07, 0.99, 0.11)
"""Optical density of eosin (cytoplasm and fibres, pink) in red, green and blue (Ruifrok & Johnston 2001)."""
WHITE = 245.0
"""What the scanner reads where there is no tissue."""


def laboratory(offset: np.ndarray) -> np.ndarray:
    """Stain vectors (..., s, c), as long as they are strong, of a laboratory that differs by `offset` (..., 4) from
    the published pair: log strength of hematoxylin and of eosin, and the angles (radians) by which hematoxylin turns
    toward red and eosin toward blue."""
    pair = np.array([HEMATOXYLIN, EOSIN])
    pair /= np.linalg.norm(pair, axis=1, keepdims=True)
    aim = np.array([[1.0, 0, 0], [0.6, 0, 0.8]])
    aside = aim - (aim * pair).sum(axis=1, keepdims=True) * pair
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    angle = offset[..., 2:, None]
    return np.exp(offset[..., :2, None]) * (np.cos(angle) * pair + np.sin(angle) * aside)


def mix(amounts: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Colors (n, c, H, W) in [0, WHITE] of stain amounts (n, s, H, W) under vectors (n, s, c)."""
    density = np.einsum("nsc,nshw->nchw", vectors.astype(amounts.dtype), amounts, optimize=True)
    return WHITE * np.exp(amounts.dtype.type(-np.log(10)) * density)


def even_light(colors: np.ndarray, vectors: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Factors (n, c) for the light of each patch, so that its mean color is in every channel that of a patch evenly
    stained with the amounts `target` (n, s). `balance` can meet only as many channels as there are stains."""
    even = WHITE * np.exp(-np.log(10) * np.einsum("ns,nsc->nc", target, vectors))
    return even / colors.mean(axis=(2, 3), dtype=np.float64)


def balance(amounts: np.ndarray, vectors: np.ndarray, target: np.ndarray, rounds: int = 5) -> np.ndarray:
    """Factors (n, s) for the stains of each patch, so that its mean red and green are those of a patch evenly stained
    with the amounts `target` (n, s): what makes the mean color say nothing of how the stain is distributed.

    Newton's method on the logarithms, each step at most a factor of e ** 0.7.
    """
    n = len(amounts)
    strength = (np.log(10) * vectors[:, :, :2]).astype(np.float32)
    wanted = -np.einsum("ns,nsc->nc", target, strength)
    factor = np.ones((n, 2))
    flat = amounts.reshape(n, 2, -1)
    for _ in range(rounds):
        light = np.exp(-np.einsum("nsc,nsp->ncp", strength * factor[:, :, None].astype(np.float32), flat))
        mean = light.mean(axis=2, dtype=np.float64)
        slope = -np.einsum("ncp,nsp->ncs", light, flat) / flat.shape[2] * strength.transpose(0, 2, 1)
        slope = slope * factor[:, None, :] / mean[:, :, None]
        step = np.linalg.solve(slope, (wanted - np.log(mean))[:, :, None])[:, :, 0]
        factor *= np.exp(np.clip(step, -0.7, 0.7))
    return factor
