"""Filtering and sorting of run tables, and the settings in which runs differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from grokscope.config import require
from grokscope.registry import nearest

Row = Mapping[str, Any]
ALIASES = {"arm": "regime", "run": "id"}
SHOWN = 6
"""Maximum number of values listed for a varying setting."""


def chosen(rows: Sequence[dict[str, Any]], conditions: Sequence[str]) -> list[dict[str, Any]]:
    """The rows that satisfy all conditions ``key=value``; a key is a column of `ls --json` or any key of a config.

    Raises:
        ValueError: for a condition without ``=``, and a key that no row has.
    """
    kept = list(rows)
    for condition in conditions:
        key, equals, value = condition.partition("=")
        require(bool(equals), f"--where {condition!r}: expected key=value, for example verdict=grokked")
        name = _column(rows, key.strip(), "--where")
        kept = [row for row in kept if _is(row.get(name), value.strip())]
    return kept


def in_order(rows: Sequence[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Rows by a column, from the smallest, or with ``-key`` from the largest; those without a value come last.

    Raises:
        ValueError: for a key that no row has.
    """
    name = _column(rows, key.removeprefix("-"), "--sort")
    known = [row for row in rows if row.get(name) is not None]
    known.sort(key=lambda row: _rank(row[name]), reverse=key.startswith("-"))
    return known + [row for row in rows if row.get(name) is None]


def varying(rows: Sequence[Row], settings: Sequence[str]) -> dict[str, list[Any]]:
    """Setting -> its values, of those in which these rows differ."""
    values_of = {key: list(dict.fromkeys(row.get(key) for row in rows)) for key in settings}
    return {key: values for key, values in values_of.items() if len(values) > 1}


def _column(rows: Sequence[Row], key: str, option: str) -> str:
    name = ALIASES.get(key, key)
    columns = dict.fromkeys(column for row in rows for column in row)
    require(not rows or name in columns, f"{option}: no run has {key!r}{nearest(key, list(columns))}")
    return name


def _is(value: Any, text: str) -> bool:
    """Whether a value matches the given text: numbers by value, everything else as displayed."""
    if isinstance(value, bool) or value is None:
        return text.lower() == ("none" if value is None else str(value).lower())
    if isinstance(value, int | float):
        try:
            return float(text) == value
        except ValueError:
            return False
    return str(value) == text


def _rank(value: Any) -> tuple[int, float, str]:
    """Numbers before texts."""
    if isinstance(value, int | float):
        return (0, float(value), "")
    return (1, 0.0, str(value))
