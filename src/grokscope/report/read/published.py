"""Published dissections: files in ``mechinterp/published`` of an imported run, as plain tables.

Nobody here knows what their names mean, so nothing is computed from them: lists of equal length become columns, lists
of records rows, and single values a table of two columns, under the names that the file gives.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from grokscope.results.dissection import FOLDER

PUBLISHED = "published"
MOST_ROWS = 200
"""Rows of one table that a page shows; how many there are is said."""


@dataclass(frozen=True)
class PublishedTable:
    """What one file, or one part of it, says."""

    title: str
    """The file, and the keys that lead to this part."""
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def published_tables(run: Path) -> tuple[list[PublishedTable], list[str]]:
    """(tables, files that could not be read) of one run's folder."""
    tables: list[PublishedTable] = []
    unread: list[str] = []
    root = run / FOLDER / PUBLISHED
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".json", ".csv")):
        name = path.relative_to(root).as_posix()
        try:
            text = path.read_text(encoding="utf-8")
            read = _csv(name, text) if path.suffix == ".csv" else list(_json(name, json.loads(text)))
        except (OSError, ValueError, RecursionError):
            read = []
        tables += read
        unread += [] if read else [name]
    return tables, unread


def _csv(name: str, text: str) -> list[PublishedTable]:
    head, *rows = csv.reader(text.splitlines())
    return [PublishedTable(name, tuple(head), tuple(tuple(row) for row in rows if row))]


def _json(title: str, value: Any) -> Iterator[PublishedTable]:
    if isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
        yield _records(title, value)
    elif isinstance(value, list):
        yield PublishedTable(title, ("value",), tuple((_cell(v),) for v in value))
    elif isinstance(value, Mapping):
        single = {k: v for k, v in value.items() if not isinstance(v, (list, dict))}
        if single:
            yield PublishedTable(title, ("name", "value"), tuple((str(k), _cell(v)) for k, v in single.items()))
        columns = {k: v for k, v in value.items() if _plain(v)}
        for length in dict.fromkeys(len(v) for v in columns.values()):
            same = {k: v for k, v in columns.items() if len(v) == length}
            rows = tuple(tuple(map(_cell, row)) for row in zip(*same.values(), strict=True))
            yield PublishedTable(title, tuple(map(str, same)), rows)
        for key, inner in value.items():
            if key not in single and key not in columns:
                yield from _json(f"{title}: {key}", inner)


def _plain(value: Any) -> bool:
    """A list of single values."""
    return isinstance(value, list) and bool(value) and not any(isinstance(v, (list, dict)) for v in value)


def _records(title: str, records: Sequence[Mapping[str, Any]]) -> PublishedTable:
    head = tuple(dict.fromkeys(str(k) for k in chain.from_iterable(records)))
    return PublishedTable(title, head, tuple(tuple(_cell(r.get(k, "")) for k in head) for r in records))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
