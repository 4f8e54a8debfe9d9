"""Read any log source as a table: a file by its format, several files joined by step, or data in memory."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from grokscope.trajectory.logs.delimited import read_delimited
from grokscope.trajectory.logs.lines import read_json_text, read_lines
from grokscope.trajectory.logs.nested import from_data
from grokscope.trajectory.logs.opening import open_text
from grokscope.trajectory.logs.table import Pick, Table, from_columns

SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".log", ".jsonl", ".ndjson", ".json")
"""Endings of files that are taken for logs in a folder, with or without ``.gz``."""
_HISTORIES = ("log_history", "history")
"""Attributes under which the Hugging Face Trainer's state and a Keras `History` keep their rows."""


def read_table(source: Any, asked: Iterable[str], *, part: str | None = None, max_mb: float | None = None) -> Table:
    """The asked columns of a log: a CSV, TSV, JSONL or JSON file, gzipped or not; a mapping of columns; a DataFrame; a
    list of rows; or an object that keeps such a `history`.

    Args:
        asked: names of columns; none of them to learn only which the log has.
        part: which part of nested data is the log (``history``), or which run of a W&B export.
        max_mb: largest file that is read, 512 if not given.

    Raises:
        ValueError: no such file, an unknown shape, a broken line (named), or no rows at all.
    """
    pick = Pick(asked, part)
    table = _from_file(Path(source), pick, max_mb) if isinstance(source, str | Path) else _from_memory(source, pick)
    if not table.names:
        raise ValueError(f"{table.name}: the log has no rows")
    if pick.asked and table.columns and not len(table):
        raise ValueError(f"{table.name}: the log has no rows")
    return table


def column_names(source: Any, *, part: str | None = None, max_mb: float | None = None) -> tuple[str, ...]:
    """Every column of a log, in its order. Raises ValueError as `read_table` does."""
    return read_table(source, (), part=part, max_mb=max_mb).names


def is_several(source: Any) -> bool:
    """Whether a source is a list of files, to be joined, rather than a list of rows."""
    return isinstance(source, Sequence) and not isinstance(source, str) and all(
        isinstance(item, str | Path) for item in source
    ) and len(source) > 0  # fmt: skip


def _from_memory(source: Any, pick: Pick) -> Table:
    for attribute in _HISTORIES:
        if isinstance(inner := getattr(source, attribute, None), Mapping | list):
            return from_data("the log", inner, pick)
    if isinstance(source, Mapping):
        return _from_mapping(source, pick)
    if hasattr(source, "columns") and hasattr(source, "__getitem__"):  # pandas or polars, never imported here
        return _from_frame(source, pick)
    if isinstance(source, Iterable) and not isinstance(source, bytes):
        return from_data("the log", list(source), pick)
    raise ValueError(
        f"cannot read a log from {type(source).__name__}; give a path, columns, a DataFrame or a list of rows"
    )


def _from_mapping(source: Mapping[Any, Any], pick: Pick) -> Table:
    plain = {str(k): v for k, v in source.items()}
    flat = all(hasattr(v, "__len__") and not isinstance(v, str | Mapping) for v in plain.values())
    if flat and all(getattr(v, "ndim", 1) == 1 and not _holds_objects(v) for v in plain.values()):
        return from_columns("the log", plain, lambda name: plain[name], pick)
    return from_data("the log", plain, pick)


def _holds_objects(values: Any) -> bool:
    return isinstance(values, list | tuple) and any(isinstance(v, Mapping | list | tuple) for v in values)


def _from_frame(frame: Any, pick: Pick) -> Table:
    """A DataFrame; a named index counts as a column."""
    names = [str(c) for c in frame.columns]
    index = [str(n) for n in getattr(getattr(frame, "index", None), "names", None) or () if n is not None]
    for name in pick.asked:
        if names.count(name) > 1:
            raise ValueError(f"the table: it has {names.count(name)} columns called {name!r}; rename all but one")
    keys = dict(zip(names, frame.columns, strict=True))

    def cells(name: str) -> Iterable[Any]:
        if name not in keys:
            return frame.index.get_level_values(name)
        return frame[keys[name]]

    if not len(frame):
        raise ValueError("the table: the log has no rows")
    return from_columns("the table", [*names, *(n for n in index if n not in keys)], cells, pick)


def _from_file(path: Path, pick: Pick, max_mb: float | None) -> Table:
    name = str(path)
    with open_text(path, max_mb) as text:
        start = text.read(1 << 16)
        first = start.lstrip()[:1]
        if not first and len(start) < 1 << 16:
            raise ValueError(f"{path}: the log has no rows")
    with open_text(path, max_mb) as text:
        match _format(path, first):
            case "lines":
                return read_lines(name, text, pick)
            case "json":
                return read_json_text(name, text.read(), pick)
            case _:
                return read_delimited(name, text, pick)


def _format(path: Path, first: str) -> str:
    """By the file's ending, and where that says nothing by its first character."""
    kind = Path(path.name.lower().removesuffix(".gz")).suffix
    if kind in (".jsonl", ".ndjson"):
        return "lines"
    if kind == ".json":
        return "json"
    if kind not in (".csv", ".tsv", ".tab") and first in ("[", "{"):
        return "json"
    return "delimited"
