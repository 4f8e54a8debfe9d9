"""The trajectory's rows: append-only JSON lines, one writer, readable at any moment."""

import errno
import itertools
import json
import os
from collections.abc import Container, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from grokscope.files import explain_full_disk, require_writable, to_json, write_atomic

METRICS = "results/metrics.jsonl"
"""Where a run's rows lie in its folder."""


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
    rows = _all_at_once(lines)
    if rows is None:
        rows = [_parse(line, path, number) for number, line in enumerate(lines, 1)]
    for number, (before, row) in enumerate(itertools.pairwise(rows), 2):
        if row["step"] <= before["step"]:
            raise Damaged(
                f"{path}, line {number}: step {row['step']} does not follow {before['step']}; the file is damaged"
            )
    return rows


def _all_at_once(lines: list[bytes]) -> list[dict[str, Any]] | None:
    """The rows of a file as we write it, parsed in one go, which takes two thirds of the time; None where a line is
    looked at by itself. Without lists and with whole objects only, no row can reach over two lines unseen."""
    text = b",".join(lines)
    if b"[" in text or not all(line.startswith(b"{") and line.endswith(b"}") for line in lines):
        return None
    try:
        rows = json.loads(b"[" + text + b"]")
    except (ValueError, RecursionError):
        return None
    usual = len(rows) == len(lines) and all(type(row) is dict and _is_step(row.get("step")) for row in rows)
    return rows if usual else None


def _is_step(step: Any) -> bool:
    return type(step) is int and 0 <= step < 2**63


def _parse(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if not _is_step(row["step"]):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        shown = line[:60].decode(errors="replace")
        raise Damaged(f"{path}, line {number}: not a row of metrics: {shown!r}; the file is damaged") from None
    return row


def columns(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Rows -> one array per column: `step` int64, all others float64 with NaN where a row lacks the value."""
    return _tabulated(rows)[0]


def number_columns(rows: list[dict[str, Any]]) -> dict[str, np.ndarray] | None:
    """`columns` of rows that hold nothing else than numbers (null counts as one) under names that SQL can tell apart;
    None where anything is lost in them."""
    table, whole = _tabulated(rows)
    names = [name.lower() for name in table]
    nameable = all(name and name.isprintable() and name != "run" for name in names)
    return table if whole and nameable and len(set(names)) == len(names) else None


def _tabulated(rows: list[dict[str, Any]]) -> tuple[dict[str, np.ndarray], bool]:
    """(columns, whether every value was a number)."""
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    alike: dict[tuple[str, ...], list[int]] = {}
    for i, row in enumerate(rows):
        alike.setdefault(tuple(row), []).append(i)
    out = {name: np.full(len(rows), np.nan) for name in names if name != "step"}
    whole = True
    for held, places in alike.items():  # a run has few kinds of rows: each is turned into columns as a block
        for name, values in zip(held, zip(*(rows[i].values() for i in places), strict=True), strict=True):
            if name == "step":
                continue
            numbers = _numbers(values)
            whole = whole and numbers is not None
            out[name][places] = [_number(value) for value in values] if numbers is None else numbers
    return {"step": np.array([row["step"] for row in rows], dtype=np.int64), **out}, whole


def _numbers(values: Sequence[Any]) -> np.ndarray | None:
    """None where one of them is no number."""
    # numpy takes None for NaN; it would also read numbers out of texts, which are none here
    if set(map(type, values)) <= {float, int, bool, type(None)}:
        try:
            return np.array(values, dtype=np.float64)
        except OverflowError:  # an integer of hundreds of digits
            pass
    return None


def _number(value: Any) -> float:
    try:
        return float(value) if isinstance(value, int | float) else float("nan")
    except OverflowError:
        return float("nan")
