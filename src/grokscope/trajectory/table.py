"""Reading a training log that grokscope did not write, cell by cell, so that every complaint can name row and column.

A cell is a number, blank (not logged: empty, ``NA``, ``null``, a missing key) or explicitly not finite (``nan``,
``inf``). Files keep blank and ``nan`` apart; a float NaN held in memory is ambiguous and is read as blank.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grokscope.registry import nearest

_BLANK = {"", "na", "n/a", "null", "none", "<na>"}
_MISSING = object()


@dataclass(frozen=True)
class Table:
    """Columns of raw cells. `rows[i]` says where row i stands in the source (``line 4``), for messages."""

    name: str
    columns: dict[str, list[Any]]
    rows: list[str]
    notes: tuple[str, ...] = ()
    nan_is_value: bool = False
    """Whether a float NaN was written as such (JSON's NaN), not a stand-in for a blank cell."""

    def column(self, name: str) -> list[Any]:
        """Raises ValueError naming the nearest column."""
        if name not in self.columns:
            raise ValueError(f"{self.name}: no column {name!r}{nearest(name, list(self.columns))}")
        return self.columns[name]

    def numbers(self, name: str) -> np.ndarray:
        """One column as float64 (t,): NaN where blank, +inf where explicitly not finite.

        Raises:
            ValueError: naming row and column of the first cell that is not a number.
        """
        cells = self.column(name)
        return np.array([self._number(c, name, row) for c, row in zip(cells, self.rows, strict=True)], dtype=np.float64)

    def _number(self, cell: Any, column: str, row: str) -> float:
        if cell is None or cell is _MISSING or str(cell).strip().lower() in _BLANK:
            return math.nan
        try:
            if isinstance(cell, bool | np.bool_):
                raise TypeError
            value = float(cell)
        except (TypeError, ValueError):
            raise ValueError(f"{self.name}: {row}, column {column!r}: {cell!r} is not a number") from None
        if math.isnan(value):
            return math.inf if isinstance(cell, str) or self.nan_is_value else math.nan
        return math.inf if math.isinf(value) else value


def read_table(source: Any) -> Table:
    """A log as columns, from a CSV, TSV, JSONL or JSON file, a mapping of columns, a DataFrame or a list of rows.

    A last line cut short by a killed writer is left out, with a note; a broken line anywhere else is an error.

    Raises:
        ValueError: no such file, an unknown shape, a broken line (named), or no rows at all.
    """
    if isinstance(source, str | Path):
        table = _from_file(Path(source))
    elif isinstance(source, Mapping):
        table = _from_columns("the log", {str(k): list(v) for k, v in source.items()}, nan_is_value=False)
    elif hasattr(source, "columns") and hasattr(source, "__getitem__"):  # pandas or polars, never imported here
        table = _from_columns("the table", {str(c): list(source[c]) for c in source.columns}, nan_is_value=False)
    elif isinstance(source, Iterable):
        table = _from_rows("the log", list(source), None, nan_is_value=False)
    else:
        raise ValueError(
            f"cannot read a log from {type(source).__name__}; give a path, columns, a DataFrame or a list of rows"
        )
    if not table.rows:
        raise ValueError(f"{table.name}: the log has no rows")
    return table


def _from_columns(name: str, columns: dict[str, list[Any]], *, nan_is_value: bool) -> Table:
    lengths = {k: len(v) for k, v in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{name}: columns differ in length: {lengths}")
    count = next(iter(lengths.values()), 0)
    return Table(name, columns, [f"row {i + 1}" for i in range(count)], nan_is_value=nan_is_value)


def _from_rows(
    name: str, rows: list[Any], where: list[str] | None, notes: tuple[str, ...] = (), *, nan_is_value: bool
) -> Table:
    where = where or [f"row {i + 1}" for i in range(len(rows))]
    for row, place in zip(rows, where, strict=True):
        if not isinstance(row, Mapping):
            raise ValueError(f"{name}: {place} is {type(row).__name__}, expected an object with named values")
    names = dict.fromkeys(str(k) for row in rows for k in row)
    columns = {k: [row.get(k, _MISSING) for row in rows] for k in names}
    return Table(name, columns, where, notes, nan_is_value)


def _from_file(path: Path) -> Table:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ValueError(f"{path}: is a folder, expected a CSV, JSONL or JSON file") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file ({error.reason} at byte {error.start})") from None
    if not text.strip():
        raise ValueError(f"{path}: the log has no rows")
    kind = path.suffix.lower()
    first = text.lstrip()[0]
    if kind in (".jsonl", ".ndjson"):
        return _jsonl(str(path), text)
    if kind == ".json":
        return _json(str(path), text)
    if kind not in (".csv", ".tsv", ".tab") and first in "[{":
        return _json(str(path), text) if first == "[" else _jsonl(str(path), text)
    return _csv(str(path), text)


def _json(name: str, text: str) -> Table:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        try:
            return _jsonl(name, text)  # one object per line under a .json name
        except ValueError:
            raise ValueError(f"{name}: line {error.lineno}: not valid JSON ({error.msg})") from None
    if isinstance(data, list):
        return _from_rows(name, data, None, nan_is_value=True)
    if isinstance(data, dict) and data and all(isinstance(v, list) for v in data.values()):
        return _from_columns(name, data, nan_is_value=True)
    if isinstance(data, dict) and not any(isinstance(v, dict | list) for v in data.values()):
        return _from_rows(name, [data], None, nan_is_value=True)
    raise ValueError(f"{name}: expected a list of rows or an object of equally long columns")


def _jsonl(name: str, text: str) -> Table:
    lines = [(i, line) for i, line in enumerate(text.split("\n"), start=1) if line.strip()]
    rows: list[Any] = []
    notes: tuple[str, ...] = ()
    for position, (number, line) in enumerate(lines):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if position < len(lines) - 1 or text.endswith("\n"):
                raise ValueError(f"{name}: line {number}: not valid JSON ({error.msg})") from None
            notes = (f"line {number}, the last, is cut short and was left out",)
    return _from_rows(name, rows, [f"line {n}" for n, _ in lines[: len(rows)]], notes, nan_is_value=True)


def _csv(name: str, text: str) -> Table:
    lines = text.lstrip().split("\n", 1)[0]
    delimiter = max(",\t;", key=lines.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    numbered = [(reader.line_num, cells) for cells in reader if any(c.strip() for c in cells)]
    header = [c.strip() for c in numbered[0][1]]
    if doubled := {c for c in header if header.count(c) > 1}:
        raise ValueError(f"{name}: the header names {sorted(doubled)} more than once")
    body, notes = numbered[1:], ()
    if body and len(body[-1][1]) < len(header) and not text.endswith("\n"):
        notes = (f"line {body[-1][0]}, the last, is cut short and was left out",)
        body = body[:-1]
    for number, cells in body:
        if len(cells) != len(header):
            raise ValueError(f"{name}: line {number}: {len(cells)} cells under a header of {len(header)}")
    columns = {c: [cells[i] for _, cells in body] for i, c in enumerate(header)}
    return Table(name, columns, [f"line {n}" for n, _ in body], notes)
