"""The trajectory's rows: append-only JSON lines, one writer, readable at any moment."""

import errno
import itertools
import json
import os
from collections.abc import Container, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from grokscope.files import explain_full_disk, require_writable, to_json, write_atomic


class Damaged(ValueError):
    """A file of metrics that is not what was written. The message names it."""


class MetricsWriter:
    """Appends rows to a metrics file. Each row is one write, so that a reader sees whole lines but for the last."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - lives as long as the writer

    def append(self, row: Mapping[str, Any]) -> None:
        line = (to_json(dict(row)) + "\n").encode()
        require_writable(self.path)
        try:
            if self._file.write(line) < len(line):  # a nearly full disk takes a part and reports no error
                raise OSError(errno.ENOSPC, "the row was written in part")
        except OSError as error:
            explain_full_disk(error, self.path)
            raise

    def keep(self, wanted: Container[int], last: int) -> int:
        """Cut the file back to the rows up to step `last` whose step is wanted: what a resume state has seen. Returns
        the last step kept, -1 for none."""
        rows = [r for r in read_rows(self.path) if r["step"] <= last and r["step"] in wanted]
        text = "".join(to_json(r) + "\n" for r in rows).encode()
        if rows or self.path.stat().st_size:
            # Always a new file: a process that was stopped in the middle of a write, and whose run this one took over,
            # then writes into the old one, which nobody reads.
            write_atomic(self.path, lambda file: file.write(text))
            self._file.close()
            self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115 - the old handle is the replaced file's
        return rows[-1]["step"] if rows else -1

    def sync(self) -> None:
        """Push the rows to disk: a resume state must never be ahead of them."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            explain_full_disk(error, self.path)
            raise

    def close(self) -> None:
        self._file.close()


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All whole rows. A last line without its end is a row being written (or cut by a crash) and is left out.

    Raises:
        Damaged: (a ValueError) naming file and line where a row before the last is damaged, or steps do not increase.
    """
    if not path.exists():
        return []
    try:
        *lines, unfinished = path.read_bytes().split(b"\n")
    except OSError as error:
        raise Damaged(f"{path}: cannot be read ({error.strerror})") from None
    del unfinished
    rows = [_parse(line, path, number) for number, line in enumerate(lines, 1)]
    for number, (before, row) in enumerate(itertools.pairwise(rows), 2):
        if row["step"] <= before["step"]:
            raise Damaged(
                f"{path}, line {number}: step {row['step']} does not follow {before['step']}; the file is damaged"
            )
    return rows


def _parse(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if type(row["step"]) is not int or not 0 <= row["step"] < 2**63:
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        shown = line[:60].decode(errors="replace")
        raise Damaged(f"{path}, line {number}: not a row of metrics: {shown!r}; the file is damaged") from None
    return row


def columns(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Rows -> one array per column: `step` int64, all others float64 with NaN where a row lacks the value."""
    names = dict.fromkeys(chain.from_iterable(rows))
    out = {name: _column([row.get(name) for row in rows]) for name in names if name != "step"}
    return {"step": np.array([row["step"] for row in rows], dtype=np.int64), **out}


def _column(values: list[Any]) -> np.ndarray:
    # numpy takes None for NaN; it would also read numbers out of texts, which are none here
    if set(map(type, values)) <= {float, bool, type(None)}:
        return np.array(values, dtype=np.float64)
    return np.array([_number(value) for value in values], dtype=np.float64)


def _number(value: Any) -> float:
    try:
        return float(value) if isinstance(value, int | float) else float("nan")
    except OverflowError:  # an integer of hundreds of digits
        return float("nan")
