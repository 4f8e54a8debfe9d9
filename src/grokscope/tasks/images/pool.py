"""A pool of decoded images on disk: append-only files, written once, memory-mapped, and never changed.

Each file (``.shard``) holds the images that were new at one time: their pixels, uint8 (n, 3, H, W); then n records of
key and checksum; then a checksum of the records. A new image needs a new file, never a rewritten one. A file is written
under another name and renamed when complete, so that several processes at once are safe and an interrupted one leaves
nothing that looks whole. Its name follows from its keys: two processes that decode the same images make one file.
"""

import os
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

Shape = tuple[int, int, int]
KEY_BYTES = 16
_RECORD = np.dtype([("key", f"V{KEY_BYTES}"), ("sum", "<u4")])
_SUM_BYTES = 4
_BATCH = 64
_STALE_S = 24 * 3600.0
"""An unfinished file older than this was left by a process that was killed."""
_IN_MEMORY = 1 << 30
"""Bytes up to which images out of several places are copied into memory; beyond, into an unnamed file of the pool."""


@dataclass(frozen=True, eq=False)
class Shard:
    """One file of a pool; `keys` and `sums` (n,) are those of its images, in order."""

    file: Path
    shape: Shape
    keys: list[bytes]
    sums: np.ndarray

    def pixels(self) -> np.ndarray:
        """The images (n, 3, H, W), mapped; writing to them changes neither the file nor anyone else's mapping."""
        return np.asarray(np.memmap(self.file, np.uint8, "c", shape=(len(self.keys), *self.shape)))

    def discard(self) -> None:
        """Delete a damaged file, saying so."""
        self.file.unlink(missing_ok=True)
        name = Path(*self.file.parts[-3:])  # what is warned of goes into archives, whose readers need not know our disk
        warnings.warn(f"{name.as_posix()}: damaged image cache, decoding again", stacklevel=2)


def open_pool(folder: Path, shape: Shape) -> list[Shard]:
    """All sound files of a pool; damaged ones are deleted with a warning."""
    return [shard for file in sorted(folder.glob("*.shard")) if (shard := _open(file, shape)) is not None]


def _open(file: Path, shape: Shape) -> Shard | None:
    try:
        with file.open("rb") as f:
            n, odd = divmod(os.fstat(f.fileno()).st_size - _SUM_BYTES, _bytes(shape) + _RECORD.itemsize)
            f.seek(max(n, 0) * _bytes(shape))
            records, checksum = f.read(max(n, 0) * _RECORD.itemsize), f.read()
    except FileNotFoundError:  # another process found it damaged
        return None
    index = np.frombuffer(records, _RECORD)
    shard = Shard(file, shape, index["key"].tolist(), index["sum"])
    if n > 0 and not odd and checksum == zlib.crc32(records).to_bytes(_SUM_BYTES, "big"):
        return shard
    shard.discard()
    return None


def locate(shards: Sequence[Shard], keys: Sequence[bytes]) -> dict[bytes, tuple[int, int]]:
    """key -> (number of the file, number of the image in it), for the keys that the pool has."""
    wanted, places = set(keys), {}
    for s, shard in enumerate(shards):
        for row, key in enumerate(shard.keys):
            if key in wanted:
                places.setdefault(key, (s, row))
    return places


def collect(
    shards: Sequence[Shard], keys: Sequence[bytes], places: dict[bytes, tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray] | None:
    """The images of `keys` (n, 3, H, W) uint8 and the checksums of their pixels (n,) uint32, every one compared; None
    when a file was damaged and is now gone.

    Images that lie one after the other in one file (a list that was decoded at once, or a beginning of it) are that
    file's mapping, others are copied together.
    """
    s, start = places[keys[0]]
    if shards[s].keys[start : start + len(keys)] == list(keys):
        at = [(s, start + i) for i in range(len(keys))]
        x = shards[s].pixels()[start : start + len(keys)]
    else:
        at = [places[key] for key in keys]
        x = _together(shards, at)
    damaged: set[int] = set()

    def compare(i: int) -> None:
        s, row = at[i]
        if zlib.crc32(x[i].data) != shards[s].sums[row]:
            damaged.add(s)

    on_all_cores(compare, len(keys))
    for s in damaged:
        shards[s].discard()
    if damaged:
        return None
    return (x, np.array([shards[s].sums[row] for s, row in at], np.uint32))


def _together(shards: Sequence[Shard], at: Sequence[tuple[int, int]]) -> np.ndarray:
    """A copy of images out of several places."""
    mapped = {s: shards[s].pixels() for s in {s for s, _ in at}}
    x = _room((len(at), *shards[at[0][0]].shape), shards[at[0][0]].file)
    for i, (s, row) in enumerate(at):
        x[i] = mapped[s][row]
    return x


def _room(shape: tuple[int, ...], beside: Path) -> np.ndarray:
    """An array to fill: in memory, or where it is large in a file that goes with the process, so that memory need not
    hold it."""
    if np.prod(shape, dtype=np.int64) <= _IN_MEMORY:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile(dir=beside.parent) as f:
        _reserve(f.fileno(), int(np.prod(shape, dtype=np.int64)))
        return np.asarray(np.memmap(f, np.uint8, "r+", shape=shape))


def add(folder: Path, shape: Shape, keys: Sequence[bytes], image: Callable[[int], np.ndarray | None]) -> None:
    """Write one file with the images ``image(i)`` (3, H, W) of the keys, computed on all cores; those that are None are
    left out.

    Raises OSError where the folder cannot be written, and the first error of `image` in the order of the keys; then
    nothing is added.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    part = folder / f".{os.getpid()}.{time.monotonic_ns()}.part"
    try:
        with part.open("wb") as f:
            _reserve(f.fileno(), len(keys) * _bytes(shape))
        index = _fill(part, shape, keys, image)
        if len(index) == 0:
            return
        records = index.tobytes()
        with part.open("r+b") as f:
            f.truncate(len(index) * _bytes(shape))
            f.seek(0, os.SEEK_END)
            f.write(records + zlib.crc32(records).to_bytes(_SUM_BYTES, "big"))
            f.flush()
            os.fsync(f.fileno())
        os.replace(part, folder / f"{blake2b(b''.join(index['key'].tolist()), digest_size=8).hexdigest()}.shard")
    finally:
        part.unlink(missing_ok=True)


def _fill(part: Path, shape: Shape, keys: Sequence[bytes], image: Callable[[int], np.ndarray | None]) -> np.ndarray:
    """Put the images that there are into the file, without gaps; returns their records."""
    pixels = np.memmap(part, np.uint8, "r+", shape=(len(keys), *shape))
    index = np.zeros(len(keys), _RECORD)
    index["key"] = np.array(keys, _RECORD["key"])
    absent = np.zeros(len(keys), bool)

    def one(i: int) -> None:
        decoded = image(i)
        if decoded is None:
            absent[i] = True
            return
        pixels[i] = decoded
        index["sum"][i] = zlib.crc32(pixels[i].data)

    on_all_cores(one, len(keys))
    there = np.flatnonzero(~absent)
    for to, i in enumerate(there):
        if to != i:
            pixels[to] = pixels[i]
    pixels.flush()
    return index[there]


def on_all_cores(job: Callable[[int], None], n: int) -> None:
    """``job(i)`` for all i < n in threads: for work outside the interpreter lock. Raises the error of the lowest i."""

    def some(start: int) -> None:
        for i in range(start, min(start + _BATCH, n)):
            job(i)

    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for done in [pool.submit(some, start) for start in range(0, n, _BATCH)]:
            done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _reserve(handle: int, size: int) -> None:
    """Makes a file that long. A full disk must be an error here: in a mapping it would kill the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
    else:
        os.ftruncate(handle, size)


def _bytes(shape: Shape) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _sweep(folder: Path) -> None:
    for part in folder.glob(".*.part"):
        try:
            if time.time() - part.stat().st_mtime > _STALE_S:
                part.unlink()
        except OSError:
            continue  # another process swept it first
