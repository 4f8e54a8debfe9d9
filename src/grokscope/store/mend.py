"""Rows of metrics with invalid values: numbers are kept, the rest is reported."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Row = dict[str, Any]
NAMED = 5
"""Columns that are named one by one; the others are counted."""


def mended_rows(rows: Sequence[Mapping[str, Any]], names: dict[str, str]) -> tuple[list[Row], list[str]]:
    """(rows in which every value but `step` is a float or None, what is wrong with the values that were dropped).

    True and False count as 1 and 0 and a value that is not finite is None, both without a word, as everywhere. `names`
    maps a lowercase column to its spelling and grows: SQL does not tell columns apart that differ by case only.
    """
    faults: dict[str, list[int]] = {}
    out = []
    for row in rows:
        clean: Row = {"step": row["step"]}
        for key, value in row.items():
            if key == "step":
                continue
            fault = _fault(key, value, clean, names)
            if fault is None:
                clean[names.setdefault(key.lower(), key)] = _float(value)
            else:
                faults.setdefault(fault, []).append(row["step"])
        out.append(clean)
    return out, _fault_lines(faults)


def _fault(key: str, value: Any, row: Row, names: Mapping[str, str]) -> str | None:
    if not key or not key.isprintable() or key.lower() in ("run", "step"):
        return f"{key!r} cannot be a column name; the column is excluded"
    if names.get(key.lower(), key) in row:
        return f"{key!r} differs from another column only by case and is excluded"
    if value is None or isinstance(value, float):
        return None
    if isinstance(value, int):
        if _float(value) is not None:
            return None
        return f"{key} holds an integer too large for a number, which is NULL"
    kind = {str: "text", list: "a list", dict: "a table"}[type(value)]
    return f"{key} holds {kind}, which is NULL"


def _float(value: float | None) -> float | None:
    try:
        number = math.nan if value is None else float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _fault_lines(faults: Mapping[str, Sequence[int]]) -> list[str]:
    faulty = []
    for words, steps in list(faults.items())[:NAMED]:
        more = f" and {len(steps) - 1:,} more" if len(steps) > 1 else ""
        faulty.append(f"{words} (step {steps[0]}{more})")
    if len(faults) > NAMED:
        faulty.append(f"{len(faults) - NAMED:,} more columns have non-numeric values")
    return faulty
