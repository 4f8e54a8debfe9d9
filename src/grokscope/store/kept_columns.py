"""The columns of a run that has ended, kept beside its metrics as ``results/columns.bin``.

Parsing JSON is most of what a question about thousands of curves costs: of 112 evaluations with 15 columns it takes a
millisecond, and reading the same numbers as they lie in memory a tenth of that. The process that trains leaves the file
when the run ends; it can be deleted at any time. It counts as long as size and times of the metrics are what they were.
Their ctime is set by the system and kept by no copy, so that columns that came with a run from elsewhere are not
believed, and its metrics are parsed.

The file is one line, ``CHECKSUM HEADER``, and the numbers behind it: `step` as 64-bit integers, then every other column
as 64-bit floats, all little-endian. The checksum is of everything behind it.
"""

import json
import os
import zlib
from pathlib import Path

import numpy as np

from grokscope.files import plain_file
from grokscope.store.metrics import METRICS, number_columns, read_rows

VERSION = 1
"""Raise it when the form of the file changes, or what `number_columns` makes of a row."""
FILE = "results/columns.bin"

Table = dict[str, np.ndarray]
"""`step` int64 (t,), every other column float64 (t,)."""


def leave(folder: Path) -> None:
    """Leave the columns of a run's metrics as they are now. Nothing is left of metrics without rows, of
    damaged ones, of those that hold anything but numbers, nor in a folder that cannot be written."""
    before = _stamp(folder)
    try:
        table = number_columns(read_rows(plain_file(folder, METRICS)))
        if before is None or table is None or len(table["step"]) == 0 or _stamp(folder) != before:
            return
        text = _text(before, table)
        path = plain_file(folder, FILE)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.unlink(missing_ok=True)
        with open(temporary, "xb") as file:  # never through a link that lies there
            file.write(b"%d " % zlib.crc32(text) + text)
        os.replace(temporary, path)  # whole or absent, but not pushed to disk: what a crash loses is parsed again
    except (OSError, ValueError):
        return


def _text(stamp: list[int], table: Table) -> bytes:
    step, *others = table.values()
    header = json.dumps([VERSION, stamp, len(step), list(table)[1:]]).encode()
    return header + b"\n" + step.astype("<i8").tobytes() + b"".join(c.astype("<f8").tobytes() for c in others)


def recall(folder: Path) -> Table | None:
    """What `grokscope.store.metrics.columns` would make of the run's rows; None where nothing was left, it is damaged,
    or the metrics have changed since: parse them."""
    try:
        with open(plain_file(folder, FILE), "rb") as file:
            check, _, text = file.read().partition(b" ")
        if check != b"%d" % zlib.crc32(text):
            return None
        head, _, numbers = text.partition(b"\n")
        version, stamp, rows, names = json.loads(head)
        if version != VERSION or stamp != _stamp(folder):
            return None
        step = np.frombuffer(numbers, "<i8", rows).astype(np.int64)
        others = np.frombuffer(numbers, "<f8", offset=8 * rows).reshape(len(names), rows).astype(np.float64)
    except (OSError, ValueError, TypeError):
        return None
    return {"step": step, **dict(zip(names, others, strict=True))}


def _stamp(folder: Path) -> list[int] | None:
    """Size and times of the metrics; None where there are none, or they are no regular file."""
    try:
        now = plain_file(folder, METRICS).lstat()
    except (OSError, ValueError):
        return None
    return [now.st_size, now.st_mtime_ns, now.st_ctime_ns]
