"""Find the log inside nested data: a list of rows, or columns of equal length, at any depth.

Hugging Face's ``trainer_state.json`` keeps its rows in ``log_history``, others write ``history`` beside a config. What
holds every asked column is the log; where several parts do, the caller chooses one by its path (``part="history"``).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from grokscope.registry import nearest
from grokscope.trajectory.logs.table import Pick, Table, flatten, from_columns, from_rows, listed

_DEEPEST = 50
"""Levels that are searched: no logger nests deeper, and hostile files do."""


@dataclass(frozen=True)
class _Part:
    """A place in the data that could be a log."""

    path: str
    rows: list[Any] | None = None
    columns: Mapping[str, Any] | None = None

    @property
    def names(self) -> list[str]:
        if self.columns is not None:
            return [str(name) for name in self.columns]
        return list(dict.fromkeys(chain.from_iterable(map(flatten, self.rows or ()))))

    def has(self, name: str, pick: Pick) -> bool:
        return len(pick(name, self.names)) == len(pick.asked)

    def table(self, name: str, pick: Pick) -> Table:
        if self.columns is None:
            return from_rows(name, self.rows or [], pick)
        columns = {str(key): cells for key, cells in self.columns.items()}
        return from_columns(name, columns, lambda key: _cells(columns[key]), pick)


def from_data(name: str, data: Any, pick: Pick) -> Table:
    """Rows or columns as they come out of JSON, or the same held in memory.

    Raises:
        ValueError: nothing in it is a log; several parts are, and none was chosen; or the chosen one is not there.
    """
    if _is_list(data):
        inner = [] if _holds_rows(data) else list(_parts(data, ""))
        if not inner:
            return from_rows(name, list(data), pick)
        return _choose(name, inner, pick).table(name, pick)
    if not isinstance(data, Mapping):
        raise ValueError(f"{name}: expected a list of rows or an object that holds one, got {type(data).__name__}")
    if data and not any(isinstance(value, Mapping) or _is_list(value) for value in data.values()):
        return from_rows(name, [data], pick)
    return _choose(name, list(_parts(data, "")), pick).table(name, pick)


def _choose(name: str, parts: list[_Part], pick: Pick) -> _Part:
    if pick.part is not None:
        chosen = next((part for part in parts if part.path == pick.part), None)
        if chosen is not None:
            return chosen
        columns = chain.from_iterable(part.names for part in parts)
        if not any(column.startswith(f"{pick.part} - ") for column in columns):
            raise ValueError(f"{name}: no part {pick.part!r}{nearest(pick.part, [p.path or '(top)' for p in parts])}")
    whole = [part for part in parts if part.has(name, pick)] if pick.asked else parts
    if len(whole) == 1 or len(parts) == 1:
        return (whole or parts)[0]
    if whole:
        paths = " and ".join(repr(part.path or "(top)") for part in whole[:5])
        raise ValueError(
            f"{name}: {len(whole):,} parts could be the log: {paths}; choose one with part={whole[-1].path!r}"
        )
    if not parts:
        raise ValueError(f"{name}: expected a list of rows or an object of equally long columns; it contains neither")
    described = "; ".join(f"{part.path or '(top)'} has {listed(part.names, 10)}" for part in parts[:5])
    raise ValueError(f"{name}: no part has all of {', '.join(pick.asked)}: {described}")


def _parts(data: Any, path: str) -> Iterator[_Part]:
    """All places that could be a log, outer before inner."""
    level = [(path, data)]
    for _ in range(_DEEPEST):
        deeper: list[tuple[str, Any]] = []
        for where, value in level:
            if isinstance(value, Mapping):
                yield from _of_object(where, value)
                front = f"{where}." if where else ""
                deeper += [(f"{front}{key}", inner) for key, inner in value.items() if _may_hold(inner)]
            elif _holds_rows(value):
                yield _Part(where, rows=list(value))
            else:
                deeper += [(f"{where}[{i}]", inner) for i, inner in enumerate(value) if _may_hold(inner)]
        level = deeper
        if not level:
            return


def _of_object(path: str, value: Mapping[Any, Any]) -> Iterator[_Part]:
    """Two lists of plain values and more that are equally long: columns. pandas writes them as ``{"0": ..., "1":
    ...}``."""
    columns = {key: cells for key, cells in value.items() if _is_column(cells)}
    lengths = [len(cells) for cells in columns.values()]
    if any(lengths.count(n) > 1 for n in dict.fromkeys(lengths)):
        yield _Part(path, columns=columns)


def _is_column(cells: Any) -> bool:
    if isinstance(cells, Mapping):
        return bool(cells) and all(isinstance(k, str) and k.isdigit() and _is_plain(v) for k, v in cells.items())
    return _is_list(cells) and len(cells) > 0 and all(_is_plain(cell) for cell in cells)


def _cells(column: Any) -> list[Any]:
    if isinstance(column, Mapping):
        return list(column.values())
    return list(column)


def _is_plain(cell: Any) -> bool:
    return not isinstance(cell, Mapping | list | tuple)


def _holds_rows(value: Any) -> bool:
    """Whether a list's items are objects with at least one plain value each."""
    return (
        _is_list(value)
        and len(value) > 0
        and all(isinstance(row, Mapping) for row in value)
        and any(_is_plain(cell) for cell in chain.from_iterable(flatten(row).values() for row in value))
    )


def _may_hold(value: Any) -> bool:
    """Whether a log could lie in a value: not in plain ones, nor in lists of them."""
    return isinstance(value, Mapping) or (_is_list(value) and any(not _is_plain(item) for item in value))


def _is_list(value: Any) -> bool:
    if isinstance(value, str | bytes | Mapping):
        return False
    return isinstance(value, list | tuple) or getattr(value, "ndim", 0) == 1
