"""Image files as uint8 RGB arrays, and the mean color of images."""

import os
import re
import struct
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from grokscope.limits import MAX_IMAGE_BYTES, MAX_PIXELS

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""By which networks standardize red, green and blue in [0, 1]: ImageNet's numbers, as WILDS takes them. They are fixed
so that a larger training subset changes nothing else."""


class WrongSize(ValueError):
    """An image file that holds another number of pixels than the rest."""


class TooLarge(ValueError):
    """An image file of more pixels, or bytes, than can be wanted."""


class Unfit(ValueError):
    """A sound image file of a kind that would give wrong pixels."""


_FORMATS = ("PNG", "JPEG", "MPO", "TIFF", "BMP", "GIF", "WEBP", "PPM", "TGA")
"""Those whose depth the header tells. Others (JPEG 2000, AVIF) may hold more than 8 bits, which the decoder drops."""
_EIGHT_BIT = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
_DEEP = re.compile(r";16[BLN]")
"""How a decoder names 16 bits a channel; ``BGR;16``, 5 to 6 bits a channel, is none of them."""
_BITS_PER_SAMPLE, _ORIENTATION = 258, 274
_MAY_BE_TURNED = (b"Exif", b"eXIf", b"EXIF", b"exif", b"tiff:Orientation")


def read_rgb(
    path: str | Path, size: int | None = None, stored: tuple[int, int] | None = None, data: bytes | None = None
) -> np.ndarray:
    """One image as uint8 (3, H, W), turned upright where its EXIF orientation says so.

    Gray, palette and CMYK images become RGB; an alpha channel is dropped, not blended, and color profiles are not
    applied. With `size` an image of another size is resized to size x size (bilinear with antialiasing; the aspect
    ratio is not kept). `stored`, (width, height), is what the file must hold once upright; `data` its bytes, where they
    have been read before. Form, depth and size are checked in the header, before anything of its size takes memory.

    Raises:
        ValueError: naming the file, when it is missing, damaged, too large (`limits`), of another size than `stored`,
            deeper than 8 bits a channel, of a format that does not tell its depth, or of several pages.
    """
    try:
        with Image.open(path if data is None else BytesIO(data)) as image:
            _check_header(image, path)
            if stored is not None and upright_size(image) != stored:
                raise WrongSize(f"{path}: image of {_times(upright_size(image))} pixels, expected {_times(stored)}")
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
    except (WrongSize, TooLarge, Unfit):
        raise
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except UnidentifiedImageError:  # its own words name an object in memory
        raise ValueError(f"{path}: not a readable image (of no known format); restore the file") from None
    except _BOMBS:
        raise TooLarge(f"{path}: image of {_TOO_MANY}") from None
    except _UNREADABLE as error:
        raise ValueError(f"{path}: not a readable image, or damaged ({_cause(error)}); restore the file") from None
    if image.mode == "P":
        image = image.convert("RGBA")
    image = image.convert("RGB")
    if size is not None and image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, AttributeError, OverflowError,
    ZeroDivisionError, NotImplementedError, MemoryError, AssertionError, RuntimeError, struct.error, zlib.error,
    *_BOMBS,
)  # fmt: skip
"""What Pillow's readers of some fifty formats raise on damaged files."""
_TOO_MANY = f"more than {MAX_PIXELS:,} pixels in all; scale it down first, or set GROKSCOPE_MAX_PIXELS"


def _cause(error: Exception) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__


def check_file_size(path: str | Path) -> None:
    """Raises ValueError for a file too large for any image of MAX_PIXELS, and OSError where there is none."""
    size = os.stat(path).st_size
    if size > MAX_IMAGE_BYTES:
        raise TooLarge(
            f"{path}: {size:,} bytes, more than an image of {MAX_PIXELS:,} pixels can take; scale it down first, or "
            "set GROKSCOPE_MAX_PIXELS"
        )


def _check_header(image: Image.Image, path: str | Path) -> None:
    """Raises TooLarge or Unfit for what must not be decoded."""
    if image.format not in _FORMATS:
        raise Unfit(f"{path}: format {image.format}, which may hide its depth; convert the file to 8-bit PNG or TIFF")
    if image.width * image.height > MAX_PIXELS:
        raise TooLarge(f"{path}: image of {_times(image.size)} pixels, {_TOO_MANY}")
    if getattr(image, "is_animated", False):
        raise Unfit(f"{path}: contains several pages or frames; save the intended one as a separate file")
    if image.mode not in _EIGHT_BIT:
        raise Unfit(f"{path}: pixels of kind {image.mode!r}, expected 8 bits a channel; convert the file first")
    if _deeper_than_eight(image):
        raise Unfit(
            f"{path}: 16 bits a channel, expected 8; scale by the depth that the camera really has (12 bits: divide by "
            "16) and save the file again"
        )


def _deeper_than_eight(image: Image.Image) -> bool:
    """Pillow calls 16-bit color ``RGB`` and keeps the upper eight bits, which are nearly all 0 where 12 are used."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,))) > 8
    return any(_DEEP.search(str(tile)) for tile in getattr(image, "tile", ()))


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of an opened file once its EXIF orientation is applied."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # tells its size upright already
        return image.size
    width, height = image.size
    lies = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    return (height, width) if lies else (width, height)


def is_turned(data: bytes) -> bool:
    """Whether the bytes of an image file say that its pixels must be turned or mirrored to be upright."""
    if not any(mark in data for mark in _MAY_BE_TURNED):
        return False
    try:
        with Image.open(BytesIO(data)) as image:
            return image.getexif().get(_ORIENTATION, 1) in range(2, 9)
    except _UNREADABLE:
        return False  # decoding it says what is wrong


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def stored_size(path: str | Path) -> tuple[int, int]:
    """(width, height), upright, from the header of an image file for `read_rgb`. Raises ValueError naming the file."""
    try:
        check_file_size(path)
        with Image.open(path) as image:
            _check_header(image, path)
            return upright_size(image)
    except (TooLarge, Unfit):
        raise
    except _BOMBS:
        raise TooLarge(f"{path}: image of {_TOO_MANY}") from None
    except _UNREADABLE as error:
        raise ValueError(f"{path}: not a readable image ({_cause(error)}); restore the file") from None


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
    if groups is None:
        return facts
    return facts | {"groups": {str(k): str(v) for k, v in groups.items()}}


def mean_rgb(x: np.ndarray) -> np.ndarray:
    """Mean color (n, 3), float64 in [0, 255], of uint8 images (n, 3, H, W): what a baseline that sees only color may
    use.

    It misleads where color is part of the signal: tumor tissue is often bluer because it has more nuclei, so a good
    score of this baseline on an unseen hospital is no proof of a shortcut.
    """
    if x.ndim != 4 or x.shape[1] != 3:
        raise ValueError(f"x must be images of shape (n, 3, height, width), got {x.shape}")
    return x.sum(axis=(2, 3), dtype=np.int64) / (x.shape[2] * x.shape[3])
