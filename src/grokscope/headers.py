"""Checks of binary file headers before the content is read.

Somebody else's file can be a few kilobytes and claim to be, or unpack to, more than a machine's memory.
"""

import json
import os
import zipfile
from pathlib import Path

from grokscope.limits import MAX_HEADER_BYTES, MAX_TENSORS, check_depth, whole_number

RATIO, SLACK = 4, 64 << 20
"""Content of a file of weights may take so many times its bytes, and so many bytes more: weights are stored as they
are, but tensors can share what is stored (tied embeddings), and small ones may be views that repeat it."""


def check_safetensors(path: Path | str) -> None:
    """Raises ValueError, naming the file, for a table of contents that is too long, holds too many tensors, or is none.

    The offsets in it are checked by safetensors itself. A file that is absent stays a FileNotFoundError.
    """
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            held = os.fstat(file.fileno()).st_size - 8
            damaged = held < 2 or length > held
            if not damaged:
                _check_header_length(path, length)
            header = b"" if damaged else file.read(length)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    if damaged:
        raise ValueError(
            f"{path}: cut short, damaged or no safetensors file (a header of {length:,} bytes in {max(held, 0):,})"
        )
    try:
        entries = json.loads(header, parse_int=whole_number)
    except (ValueError, RecursionError):
        raise ValueError(f"{path}: not a safetensors file, or damaged (its header is not JSON)") from None
    check_depth(entries, str(path))
    if not isinstance(entries, dict):
        raise ValueError(f"{path}: not a safetensors file, or damaged (its header is not a table)")
    check_tensor_count(path, len(entries))


def _check_header_length(path: Path | str, length: int) -> None:
    if length > MAX_HEADER_BYTES:
        raise ValueError(
            f"{path}: its header claims {length:,} bytes, more than any network's list of tensors "
            f"({MAX_HEADER_BYTES:,}); set GROKSCOPE_MAX_HEADER_BYTES to read it anyway"
        )


def check_tensor_count(path: Path | str, count: int) -> None:
    """Raises ValueError for more tensors than any network has."""
    if count > MAX_TENSORS:
        raise ValueError(
            f"{path}: contains {count:,} tensors, more than any network ({MAX_TENSORS:,}); set GROKSCOPE_MAX_TENSORS "
            f"to read it anyway"
        )


def check_zip(path: Path | str) -> None:
    """Raises ValueError, naming the file, for a zip archive (as torch writes) that unpacks to far more than it holds,
    has more entries than a network tensors, or too long a pickle. Other files pass."""
    with open(path, "rb") as file:
        if file.read(4) != b"PK\x03\x04":  # as torch tells them
            return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: cut short or damaged ({error}); fetch it again") from None
    check_tensor_count(path, len(entries))
    check_content(path, sum(e.file_size for e in entries), "it unpacks to")
    for entry in entries:
        if entry.filename.endswith(".pkl"):
            _check_header_length(path, entry.file_size)


def check_content(path: Path | str, size: int, what: str) -> None:
    """Raises ValueError where the content of a file takes far more bytes than the file."""
    held = os.stat(path).st_size
    if size > RATIO * held + SLACK:
        raise ValueError(
            f"{path}: refused: {what} {size / 1000000.0:,.0f} MB, from a file of {held / 1000000.0:,.3f} MB; weights "
            f"are not compressed, so this is either not a weight file or a decompression bomb. Save its state_dict "
            f"again with contiguous tensors"
        )
