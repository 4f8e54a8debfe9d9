"""Cache of decoded images, keyed by a digest of their bytes, independent of name and location.

All images of one size share a pool (`pool`), of which every training subset and split takes what it needs: a
nested subset or another seed decodes only what no run has met before, and a folder that was moved nothing at all. The
bytes of every file are read each time, so that a replaced file is noticed whatever its size and date; that costs
about a tenth of decoding it. The cache folder may be deleted at any time.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from grokscope.limits import require_memory
from grokscope.tasks.images import pool
from grokscope.tasks.images.files import TooLarge, WrongSize, check_file_size, is_turned, read_rgb, stored_size

Pixels = tuple[int, int]
"""Width and height."""
_POOLS = "images2"
"""Pools of files that were checked for depth and pages, and turned upright; earlier releases' lie in ``images``."""
_LISTED = 5
"""How many bad files a message names."""


@dataclass(frozen=True, eq=False)
class Images:
    """Decoded images: `pixels` uint8 (n, 3, H, W), a checksum of each one's pixels (n,) uint32, and a digest of what
    they were decoded from, and how."""

    pixels: np.ndarray
    sums: np.ndarray
    digest: str


class BadImages(ValueError):
    """Image files that cannot be used: a sentence for each in `faults`, of `total` that were asked for."""

    def __init__(self, faults: Sequence[str], total: int):
        self.faults, self.total = list(faults), total
        more = "\n..." if len(faults) > _LISTED else ""
        head = f"{len(faults):,} of {total:,} images cannot be used; repair them or remove their rows:\n"
        super().__init__(faults[0] if len(faults) == 1 else head + "\n".join(faults[:_LISTED]) + more)


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """Where decoded images are kept: `cache_dir`, else $GROKSCOPE_CACHE, else the platform's own folder for caches."""
    if chosen := cache_dir or os.environ.get("GROKSCOPE_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "grokscope"
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "grokscope" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "grokscope"


def load_images(
    paths: Sequence[str | Path],
    *,
    size: int | None = None,
    stored: Pixels | None = None,
    cache_dir: str | Path | None = None,
    where: Sequence[str] | None = None,
) -> Images:
    """The images of the files; those that the cache has not are decoded by `read_rgb` and added to it.

    With neither `size` (resize to) nor `stored` (width and height in the file) all images must be as large as the
    first. `where[i]` says in an error where path i comes from, such as a row of a table. Writing to the pixels changes
    neither the cache nor the files. The digest is of the files' bytes in their order, and of how they were decoded.

    Raises:
        BadImages: naming every image that cannot be used; the others are in the cache then.
        ValueError: when files are missing (how many, and the first), or the cache folder cannot be written.
    """
    where = where or [f"image {i}" for i in range(len(paths))]
    keys = _keys(paths, where)
    if size is None and stored is None:
        stored = stored_size(paths[0])
    width, height = (size, size) if size is not None else stored or (0, 0)
    require_memory(3 * width * height * len(paths), "image_size, n_train or n_eval", "images")
    folder = cache_folder(cache_dir) / _POOLS / _pool_name(size, stored)
    faults: dict[int, ValueError] = {}

    def decode(i: int) -> np.ndarray | None:
        try:
            return _decode(paths[i], keys[i], size, stored, where[i])
        except ValueError as error:
            faults[i] = error
            return None

    try:
        images = _from_pool(folder, (3, height, width), keys, decode, faults)
    except OSError as error:
        raise ValueError(f"cannot use the image cache ({error}); set cache_dir or GROKSCOPE_CACHE elsewhere") from error
    if faults:
        raise _all_bad(faults, len(paths))
    if images is None:
        raise ValueError(f"{folder}: damaged right after writing; check the disk, or set GROKSCOPE_CACHE elsewhere")
    named = [_pool_name(size, stored).encode(), *keys]
    return Images(*images, blake2b(b"".join(named), digest_size=16).hexdigest())


def _all_bad(faults: dict[int, ValueError], total: int) -> BadImages:
    """All faults in the order of the images; of the wrong size alone where all are."""
    odd = all(isinstance(error, WrongSize) for error in faults.values())
    return (WrongSizes if odd else BadImages)([str(faults[i]) for i in sorted(faults)], total)


class WrongSizes(BadImages):
    """Sound images, all of another size than the rest."""


def _pool_name(size: int | None, stored: Pixels | None) -> str:
    """One pool for each way to decode: the same file gives other pixels, or an error, in another one."""
    whole = "any" if stored is None else f"{stored[0]}x{stored[1]}"
    if size is None:
        return whole
    return f"{size}x{size}-of-{whole}"


def _from_pool(
    folder: Path,
    shape: pool.Shape,
    keys: list[bytes],
    decode: Callable[[int], np.ndarray | None],
    faults: dict[int, ValueError],
) -> tuple[np.ndarray, np.ndarray] | None:
    """Images and checksums; None where some were not decoded (then there are faults) or the disk fails."""
    for _ in range(3):  # at worst: one round finds a damaged file, one decodes, one reads
        shards = pool.open_pool(folder, shape)
        places = pool.locate(shards, keys)
        new = [i for i, key in enumerate(keys) if key not in places]
        if new:
            pool.add(folder, shape, [keys[i] for i in new], lambda j, new=new: decode(new[j]))
            if faults:
                return None
        elif (images := pool.collect(shards, keys, places)) is not None:
            return images
    return None


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=pool.KEY_BYTES).digest()


def _keys(paths: Sequence[str | Path], where: Sequence[str]) -> list[bytes]:
    """A digest of every file: of its bytes and, where its pixels must be turned, of that too."""
    keys, absent = [b""] * len(paths), [False] * len(paths)
    large: dict[int, str] = {}

    def one(i: int) -> None:
        try:
            check_file_size(paths[i])
            keys[i] = _key(Path(paths[i]).read_bytes())
        except TooLarge as error:
            large[i] = f"{where[i]}: {error}"
        except OSError:
            absent[i] = True

    pool.on_all_cores(one, len(paths))
    if large:
        raise BadImages([large[i] for i in sorted(large)], len(paths))
    if any(absent):
        lines = [f"{where[i]}: {paths[i]}" for i, gone in enumerate(absent) if gone]
        listed = "\n".join(lines[:_LISTED]) + ("\n..." if len(lines) > _LISTED else "")
        raise ValueError(
            f"{len(lines):,} of {len(paths):,} image files are missing or unreadable; restore them or drop their rows:"
            f"\n{listed}"
        )
    return keys


def _key(data: bytes) -> bytes:
    """Turned images are other pixels than earlier releases made of the same bytes, so they are known by another key."""
    if is_turned(data):
        return _digest(data + b"upright")
    return _digest(data)


def _decode(path: str | Path, key: bytes, size: int | None, stored: Pixels | None, where: str) -> np.ndarray:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{where}: {path}: {error.strerror}; restore the file") from None
    if _key(data) != key:
        raise ValueError(f"{where}: {path} changed while it was read; run again when no process writes to it")
    try:
        return read_rgb(path, size, stored, data)
    except ValueError as error:
        raise type(error)(f"{where}: {error}") from None
