"""Colour of stained tissue: from the amounts of two stains to the colours that a scanner sees, and back.

Each stain absorbs light in proportion to its amount (Beer-Lambert), so optical densities add up (Ruifrok & Johnston 2001,
Analytical and Quantitative Cytology and Histology 23:291-299): ``I = white * 10 ** -(h * v_h + e * v_e)``.
"""

import numpy as np

HEMATOXYLIN = (0.65, 0.70, 0.29)
"""Optical density of hematoxylin (nuclei, blue-violet) in red, green and blue (Ruifrok & Johnston 2001)."""
EOSIN = (0.07, 0.99, 0.11)
"""Optical density of eosin (cytoplasm and fibres, pink) in red, green and blue (Ruifrok & Johnston 2001)."""


def unit(vectors: np.ndarray) -> np.ndarray:
    """Each vector (..., 3) at length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def shifted(shift: np.ndarray) -> np.ndarray:
    """Stain vectors (..., 2, 3), with length equal to strength, after a shift (..., 4) from the published pair.

    The four numbers are the log of the strength of hematoxylin and eosin and the angle, in radians, by which each turns
    away from green, towards red and blue: what differs between two laboratories.
    """
    pair = unit(np.array([HEMATOXYLIN, EOSIN]))
    green = np.array([0.0, 1.0, 0.0])
    away = -unit(green - (pair @ green)[:, None] * pair)
    away[1] = unit(np.array([0.6, 0.0, 0.8]) - pair[1] * (pair[1] @ np.array([0.6, 0.0, 0.8])))
    angle = shift[..., 2:, None]
    return np.exp(shift[..., :2, None]) * (np.cos(angle) * pair + np.sin(angle) * away)


def mix(h: np.ndarray, e: np.ndarray, vectors: np.ndarray, white: float = 245.0) -> np.ndarray:
    """Colours (n, 3, H, W), float in [0, 255], of hematoxylin and eosin maps (n, H, W) under vectors (n, 2, 3)."""
    amounts = np.stack([h, e], axis=1)
    density = np.einsum("nsc,nshw->nchw", vectors.astype(amounts.dtype), amounts, optimize=True)
    return white * np.exp(-np.log(10, dtype=amounts.dtype) * density)


def unmix(colours: np.ndarray, vectors: np.ndarray, white: float = 245.0) -> tuple[np.ndarray, np.ndarray]:
    """The amounts (n, H, W) of both stains that fit colours (n, 3, H, W) best in optical density: the inverse of `mix`."""
    density = -np.log10(np.maximum(colours, 1.0) / white)
    amounts = np.einsum("ncs,nchw->nshw", np.linalg.pinv(vectors), density)
    return amounts[:, 0], amounts[:, 1]
