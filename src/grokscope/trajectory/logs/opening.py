"""Open a log file as text: plain or gzip, UTF-8 or UTF-16, up to a size limit."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

MAX_MB = 512.0
"""Larger files are refused unless the caller raises the limit: reading takes up to ten times their size in memory."""
_MEGA = 1_000_000
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
"""What a file begins with when it says its encoding; all others are UTF-8, with its mark or without."""


class _Limited(io.RawIOBase):
    """Reads from another file until a limit, then raises."""

    def __init__(self, file: Any, left: int, refusal: str):
        self._file, self._left, self._refusal = file, left, refusal

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(self._refusal)
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def open_text(path: Path, max_mb: float | None = None) -> Iterator[TextIO]:
    """The file's text, line ends as they are.

    Raises:
        ValueError: no such file, a folder, a pipe or a device, a file beyond `max_mb` (after unpacking), damaged gzip,
            or what is no text.
    """
    limit = MAX_MB if max_mb is None else max_mb
    refusal = (
        f"{path}: larger than {limit:g} MB; raise the limit with max_mb={limit * 10:g}, or keep only the columns and "
        f"rows that are needed"
    )
    _require_file(path)
    if path.stat().st_size > limit * _MEGA:
        raise ValueError(refusal)
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            source = gzip.GzipFile(fileobj=raw) if packed else raw
            limited = io.BufferedReader(_Limited(source, round(limit * _MEGA), refusal), buffer_size=1 << 16)
            with io.TextIOWrapper(limited, encoding=_encoding(path, limited.peek(1 << 16)), newline="") as text:
                yield text
    except UnicodeError:
        raise ValueError(f"{path}: not a text file in UTF-8 or UTF-16; save it as UTF-8") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: damaged gzip file ({error})") from None


def _require_file(path: Path) -> None:
    try:
        present = path.exists()
    except (OSError, ValueError) as error:
        raise ValueError(f"{str(path)[:200]!r}: no file has such a name ({error})") from None
    if not present:
        raise ValueError(f"{path}: no such file")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, expected a CSV, JSONL or JSON file")
    if not path.is_file():  # opening a pipe may wait for ever, and a device never ends
        raise ValueError(f"{path}: is a pipe or a device, not a file; save the log to a file first")


def _encoding(path: Path, start: bytes) -> str:
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    if b"\x00" in start:
        raise ValueError(f"{path}: not a text file (it contains zero bytes); a UTF-16 file needs its byte order mark")
    return "utf-8-sig"
