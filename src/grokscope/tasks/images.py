"""Image files as uint8 RGB arrays, and the mean colour of images."""

import os
import struct
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from grokscope.limits import MAX_IMAGE_BYTES, MAX_PIXELS

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""By which networks standardize red, green and blue in [0, 1]: ImageNet's numbers, as WILDS takes them. They are fixed
so that a larger training subset changes nothing else."""


class WrongSize(ValueError):
    """An image file that holds another number of pixels than the rest."""


class TooLarge(ValueError):
    """An image file of more pixels, or bytes, than can be wanted."""


_UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, AttributeError, OverflowError,
    ZeroDivisionError, NotImplementedError, MemoryError, AssertionError, RuntimeError, struct.error, zlib.error,
    Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip
"""What Pillow's readers of some fifty formats raise on damaged files."""
_EIGHT_BIT = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}


def read_rgb(
    path: str | Path, size: int | None = None, stored: tuple[int, int] | None = None, data: bytes | None = None
) -> np.ndarray:
    """One image as uint8 (3, H, W).

    Grey, palette and CMYK images become RGB; an alpha channel is dropped, not blended. With `size` an image of another
    size is resized to size x size (bilinear with antialiasing; the aspect ratio is not kept). `stored`, (width,
    height), is what the file must hold; `data` its bytes, where they have been read before.

    Raises:
        ValueError: naming the file, when it is missing, damaged, of another size than `stored`, or deeper than 8 bits.
    """
    try:
        with Image.open(path if data is None else BytesIO(data)) as image:
            _check_size(path, image.size)
            if stored is not None and image.size != stored:
                raise WrongSize(f"{path}: image of {_times(image.size)} pixels, expected {_times(stored)}")
            image.load()
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except UnidentifiedImageError:  # its own words name an object in memory
        raise ValueError(f"{path}: not a readable image (of no known format); restore the file") from None
    except (WrongSize, TooLarge):
        raise
    except _UNREADABLE as error:
        raise ValueError(f"{path}: not a readable image, or damaged ({_cause(error)}); restore the file") from None
    if image.mode not in _EIGHT_BIT:
        raise ValueError(f"{path}: pixels of kind {image.mode!r}, expected 8 bits a channel; convert the file first")
    if image.mode == "P":
        image = image.convert("RGBA")
    image = image.convert("RGB")
    if size is not None and image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def stored_size(path: str | Path) -> tuple[int, int]:
    """(width, height) from an image file's header. Raises ValueError naming the file."""
    try:
        check_file_size(path)
        with Image.open(path) as image:
            _check_size(path, image.size)
            return image.size
    except TooLarge:
        raise
    except _UNREADABLE as error:
        raise ValueError(f"{path}: not a readable image ({_cause(error)}); restore the file") from None


def check_file_size(path: str | Path) -> None:
    """Raises ValueError for a file too large for any image of MAX_PIXELS, and OSError where there is none."""
    size = os.stat(path).st_size
    if size > MAX_IMAGE_BYTES:
        raise TooLarge(
            f"{path}: {size:,} bytes, more than an image of {MAX_PIXELS:,} pixels can take; scale it down first, or "
            "set GROKSCOPE_MAX_PIXELS"
        )


def _check_size(path: str | Path, size: tuple[int, int]) -> None:
    """By the header alone, before anything of that size is decoded."""
    if size[0] * size[1] > MAX_PIXELS:
        raise TooLarge(
            f"{path}: image of {_times(size)} pixels, more than {MAX_PIXELS:,} in all; scale it down first, or set "
            "GROKSCOPE_MAX_PIXELS"
        )


def _cause(error: Exception) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__


def image_facts(
    shape: tuple[int, ...], labels: list[str], environments: Mapping[int, Any], groups: Mapping[int, Any] | None = None
) -> dict[str, Any]:
    """Facts of an image task as plain data: `shape` (3, H, W), channel means and deviations for the network, and names
    of labels, environments and groups; the latter two by their number written as text."""
    facts = {
        "image_shape": list(shape),
        "mean": list(MEAN),
        "std": list(STD),
        "labels": labels,
        "environments": {str(k): str(v) for k, v in environments.items()},
    }
    return facts if groups is None else facts | {"groups": {str(k): str(v) for k, v in groups.items()}}


def mean_rgb(x: np.ndarray) -> np.ndarray:
    """Mean colour (n, 3), float64 in [0, 255], of uint8 images (n, 3, H, W): what a baseline that sees only colour may
    use.

    It misleads where colour is part of the signal: tumour tissue is often bluer because it has more nuclei, so a good
    score of this baseline on an unseen hospital is no proof of a shortcut.
    """
    if x.ndim != 4 or x.shape[1] != 3:
        raise ValueError(f"x must be images of shape (n, 3, height, width), got {x.shape}")
    return x.sum(axis=(2, 3), dtype=np.int64) / (x.shape[2] * x.shape[3])
