"""Images decoded once, whatever they are called and wherever they lie: an image is known by a digest of its bytes.

All images of one size share a pool (`imagepool`), of which every training subset and split takes what it needs: a
nested subset or another seed decodes only what no run has met before, and a folder that was moved nothing at all. The
bytes of every file are read each time, so that a replaced file is noticed whatever its size and date; that costs
about a tenth of decoding it. The cache folder may be deleted at any time.
"""

import os
import sys
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

from grokscope.limits import require_memory
from grokscope.tasks import imagepool
from grokscope.tasks.images import TooLarge, check_file_size, read_rgb, stored_size

Pixels = tuple[int, int]
"""Width and height."""


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
) -> np.ndarray:
    """What `load_known_images` loads, without its digest."""
    return load_known_images(paths, size=size, stored=stored, cache_dir=cache_dir, where=where)[0]


def load_known_images(
    paths: Sequence[str | Path],
    *,
    size: int | None = None,
    stored: Pixels | None = None,
    cache_dir: str | Path | None = None,
    where: Sequence[str] | None = None,
) -> tuple[np.ndarray, str]:
    """The images as uint8 (n, 3, H, W); those that the cache has not are decoded by `read_rgb` and added to it.

    With neither `size` (resize to) nor `stored` (width and height in the file) all images must be as large as the
    first. `where[i]` says in an error where path i comes from, such as a row of a table. Writing to the array changes
    neither the cache nor the files. The digest is of the files' bytes in their order, and of how they were decoded.

    Raises:
        ValueError: when files are missing (how many, and the first), for the first image that cannot be used, or when
            the cache folder cannot be written.
    """
    where = where or [f"image {i}" for i in range(len(paths))]
    keys = _keys(paths, where)
    if size is None and stored is None:
        stored = stored_size(paths[0])
    width, height = (size, size) if size is not None else stored or (0, 0)
    require_memory(3 * width * height * len(paths), "image_size, n_train or n_eval", "images")
    folder = cache_folder(cache_dir) / "images" / _pool_name(size, stored)

    def decode(i: int) -> np.ndarray:
        return _decode(paths[i], keys[i], size, stored, where[i])

    try:
        images = _from_pool(folder, (3, height, width), keys, decode)
    except OSError as error:
        raise ValueError(f"cannot use the image cache ({error}); set cache_dir or GROKSCOPE_CACHE elsewhere") from error
    if images is None:
        raise ValueError(f"{folder}: damaged right after writing; check the disk, or set GROKSCOPE_CACHE elsewhere")
    return images, blake2b(b"".join([_pool_name(size, stored).encode(), *keys]), digest_size=16).hexdigest()


def _pool_name(size: int | None, stored: Pixels | None) -> str:
    """One pool for each way to decode: the same file gives other pixels, or an error, in another one."""
    whole = "any" if stored is None else f"{stored[0]}x{stored[1]}"
    return whole if size is None else f"{size}x{size}-of-{whole}"


def _from_pool(
    folder: Path, shape: imagepool.Shape, keys: list[bytes], decode: Callable[[int], np.ndarray]
) -> np.ndarray | None:
    for _ in range(3):  # at worst: one round finds a damaged file, one decodes, one reads
        shards = imagepool.open_pool(folder, shape)
        found = imagepool.locate(shards, keys)
        new = [i for i, key in enumerate(keys) if key not in found]
        if new:
            imagepool.add(folder, shape, [keys[i] for i in new], lambda j, new=new: decode(new[j]))
        elif (images := imagepool.collect(shards, keys, found)) is not None:
            return images
    return None


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=imagepool.KEY_BYTES).digest()


def _keys(paths: Sequence[str | Path], where: Sequence[str]) -> list[bytes]:
    """A digest of every file."""
    keys, absent = [b""] * len(paths), [False] * len(paths)

    def one(i: int) -> None:
        try:
            check_file_size(paths[i])
            keys[i] = _digest(Path(paths[i]).read_bytes())
        except TooLarge as error:
            raise TooLarge(f"{where[i]}: {error}") from None
        except OSError:
            absent[i] = True

    imagepool.on_all_cores(one, len(paths))
    if any(absent):
        lines = [f"{where[i]}: {paths[i]}" for i, gone in enumerate(absent) if gone]
        listed = "\n".join(lines[:5]) + ("\n..." if len(lines) > 5 else "")
        raise ValueError(
            f"{len(lines)} of {len(paths)} image files are missing or cannot be read; restore them or drop their rows:"
            f"\n{listed}"
        )
    return keys


def _decode(path: str | Path, key: bytes, size: int | None, stored: Pixels | None, where: str) -> np.ndarray:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{where}: {path}: {error.strerror}; restore the file") from None
    if _digest(data) != key:
        raise ValueError(f"{where}: {path} changed while it was read; run again when nothing writes to it")
    try:
        return read_rgb(path, size, stored, data)
    except ValueError as error:
        raise type(error)(f"{where}: {error}") from None
