"""Convert one cell of a log to a number.

A cell is a number, blank (not logged: empty, ``-``, ``NA``, ``None``, ``null``, a missing key) or explicitly not finite
(``nan``, ``inf``). Files keep blank and ``nan`` apart; a float NaN held in memory is ambiguous and is read as blank.
"""

import json
import math
import re
from typing import Any

BLANK = frozenset({"", "-", "na", "n/a", "null", "none", "<na>", "nat"})
MISSING = object()
"""The cell of a row that lacks the key."""
_NOT_FINITE = re.compile(r"[-+]?(nan|inf|infinity)", re.IGNORECASE)
_LONG = 40
_EXACT = 18
"""Integers of so many digits fit 64 bits; longer ones stay text until somebody asks for them."""


class NotANumber(ValueError):
    """Why a cell cannot be read; the caller adds file, row and column."""


def is_blank(cell: Any) -> bool:
    if cell is None or cell is MISSING:
        return True
    if isinstance(cell, str):
        return cell.strip().lower() in BLANK
    return (isinstance(cell, float) and math.isnan(cell)) or type(cell).__name__ in ("NAType", "NaTType")


def number(cell: Any) -> float:
    """NaN where blank, +inf where explicitly not finite.

    Raises:
        NotANumber: with the remedy where the cell shows what its writer meant.
    """
    if is_blank(cell):
        return math.nan
    if isinstance(cell, str):
        return _from_text(cell.strip())
    if isinstance(cell, bool) or type(cell).__name__ in ("bool_", "bool") or getattr(cell, "shape", ()) != ():
        raise NotANumber(f"{shown(cell)} is not a number")
    try:
        value = float(cell)
    except OverflowError:
        raise NotANumber(f"{shown(cell)} is too large for a number") from None
    except (TypeError, ValueError, RecursionError):
        raise NotANumber(f"{shown(cell)} is not a number") from None
    return math.inf if math.isinf(value) else value


def _from_text(text: str) -> float:
    if _NOT_FINITE.fullmatch(text):
        return math.inf
    try:
        if "_" in text:  # Python reads 1_000; no logger writes it
            raise ValueError
        value = float(text)
    except ValueError:
        raise NotANumber(f"{shown(text)} is not a number{_remedy(text)}") from None
    if math.isinf(value):
        raise NotANumber(f"{shown(text)} is too large for a number")
    return value


def _remedy(text: str) -> str:
    if re.fullmatch(r"[-+]?[\d.,' ]*\d,\d+[\d.,]*", text):
        return (
            ": a comma is ambiguous; write a decimal point and no thousands separator (or read the file with "
            "pandas.read_csv(..., decimal=',') and pass the DataFrame)"
        )
    if text.endswith("%"):
        return ": remove the percent sign and pass scale=0.01"
    return ""


def shown(cell: Any) -> str:
    """A cell for a message: short, on one line, whatever it is."""
    try:
        text = repr(cell)
    except (ValueError, RecursionError):  # an integer of more digits than Python prints
        return f"a value of type {type(cell).__name__}"
    if len(text) <= _LONG:
        return text
    return f"{text[:_LONG]}... ({len(text):,} characters)"


def compact(text: str) -> float | str:
    """A cell of a text file as a float where it plainly is one, which takes half the memory; else the text itself."""
    try:
        value = float(text)
    except ValueError:
        return text
    if math.isfinite(value) and "_" not in text:
        return value
    return text


def decode_json(text: str) -> Any:
    """JSON in which ``NaN`` and ``Infinity`` are kept as words, as in a CSV file, and numbers too large for 64 bits as
    text.

    Raises:
        ValueError: not JSON (a `json.JSONDecodeError` with the line), or nested deeper than Python reads.
    """
    try:
        return json.loads(text, parse_constant=str, parse_float=compact, parse_int=_integer)
    except RecursionError:
        raise ValueError("nested too deeply to be a log") from None


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= _EXACT else text
