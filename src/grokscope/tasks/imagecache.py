"""Images decoded once: uint8 arrays on disk, mapped into memory, shared by every later run.

One file per list of images, named by the hash of what it was made from: the paths, their sizes in bytes and their
times of change. It is a plain ``.npy`` followed by a checksum, written under another name and renamed when complete,
so that two processes at once are safe and an interrupted one leaves nothing that looks whole. The folder may be
deleted at any time.
"""

import json
import os
import sys
import time
import warnings
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path

import numpy as np

from grokscope.tasks.images import read_rgb, stored_size

Pixels = tuple[int, int]
"""Width and height."""
_VERSION = 1
_CHUNK = 1 << 24
_BATCH = 64
_STALE_S = 24 * 3600.0
"""An unfinished file older than this was left by a process that was killed."""


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
    """The images as uint8 (n, 3, H, W), decoded by `read_rgb` on the first call and mapped from the cache afterwards.

    With neither `size` (resize to) nor `stored` (width and height in the file) all images must be as large as the
    first. `where[i]` says in an error where path i comes from, such as a row of a table. The mapping is private:
    writing to the array changes neither the cache nor the files.

    Raises:
        ValueError: when files are missing (how many, and the first), for the first image that cannot be used, or when
            the cache folder cannot be written.
    """
    where = where or [f"image {i}" for i in range(len(paths))]
    if size is None and stored is None:
        stored = stored_size(paths[0])
    name = _key(paths, size, stored, where)
    folder = cache_folder(cache_dir) / "images"
    file = folder / f"{name}.npy"
    if (found := _open(file)) is not None:
        return found
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        _build(file, paths, size, stored, where)
    except OSError as error:
        raise ValueError(
            f"cannot write the image cache ({error}); set cache_dir or GROKSCOPE_CACHE elsewhere"
        ) from error
    made = _open(file)
    if made is None:
        raise ValueError(f"{file}: damaged right after writing; check the disk, or set GROKSCOPE_CACHE elsewhere")
    return made


def _key(paths: Sequence[str | Path], size: int | None, stored: Pixels | None, where: Sequence[str]) -> str:
    entries, absent = [], []
    for i, path in enumerate(paths):
        try:
            stat = os.stat(path)
            entries.append((os.path.abspath(path), stat.st_size, stat.st_mtime_ns))
        except OSError:
            absent.append(f"{where[i]}: {path}")
    if absent:
        listed = "\n".join(absent[:5]) + ("\n..." if len(absent) > 5 else "")
        raise ValueError(
            f"{len(absent)} of {len(paths)} image files are missing; restore them or drop their rows:\n{listed}"
        )
    text = json.dumps([_VERSION, size, stored, entries])
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _open(file: Path) -> np.ndarray | None:
    """The finished array, or None when there is none or it does not match its checksum."""
    try:
        array = np.load(file, mmap_mode="c")
        with file.open("rb") as f:
            f.seek(-4, os.SEEK_END)
            wanted = int.from_bytes(f.read(4), "big")
        if array.offset + array.nbytes + 4 == file.stat().st_size and _checksum(array) == wanted:
            return np.asarray(array)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, EOFError):
        pass
    warnings.warn(f"{file}: damaged image cache, decoding again", stacklevel=3)
    return None


def _checksum(array: np.ndarray) -> int:
    flat, crc = array.reshape(-1), 0
    for start in range(0, len(flat), _CHUNK):
        crc = zlib.crc32(flat[start : start + _CHUNK].tobytes(), crc)
    return crc


def _build(
    file: Path, paths: Sequence[str | Path], size: int | None, stored: Pixels | None, where: Sequence[str]
) -> None:
    width, height = (size, size) if size is not None else stored or (0, 0)
    part = file.with_name(f".{file.stem}.{os.getpid()}.{time.monotonic_ns()}.part")
    try:
        array = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=(len(paths), 3, height, width))
        if hasattr(os, "posix_fallocate"):  # a full disk must be an error here: in a mapping it would kill the process
            with part.open("r+b") as f:
                os.posix_fallocate(f.fileno(), 0, part.stat().st_size)
        _decode(array, paths, size, stored, where)
        array.flush()
        crc = _checksum(array)
        del array
        with part.open("ab") as f:
            f.write(crc.to_bytes(4, "big"))
            os.fsync(f.fileno())
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def _decode(
    array: np.ndarray,
    paths: Sequence[str | Path],
    size: int | None,
    stored: Pixels | None,
    where: Sequence[str],
) -> None:
    """Fills `array` on all cores (Pillow decodes outside the interpreter lock); raises the first error in list
    order."""

    def some(start: int) -> None:
        for i in range(start, min(start + _BATCH, len(paths))):
            try:
                array[i] = read_rgb(paths[i], size, stored)
            except ValueError as error:
                raise type(error)(f"{where[i]}: {error}") from None

    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for job in [pool.submit(some, start) for start in range(0, len(paths), _BATCH)]:
            job.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _sweep(folder: Path) -> None:
    for part in folder.glob(".*.part"):
        try:
            if time.time() - part.stat().st_mtime > _STALE_S:
                part.unlink()
        except OSError:
            continue  # another process swept it first
