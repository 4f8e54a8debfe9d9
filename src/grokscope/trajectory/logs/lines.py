"""JSON files: one value, or one object per line."""

import io
import json
from typing import Any, TextIO

from grokscope.trajectory.logs.cells import MISSING, decode_json
from grokscope.trajectory.logs.nested import from_data
from grokscope.trajectory.logs.table import Pick, Table, flatten


def read_json_text(name: str, text: str, pick: Pick) -> Table:
    """A JSON file; one with an object a line under a ``.json`` name is read too.

    Raises:
        ValueError: what is neither, with the line; or no log in it.
    """
    try:
        data = decode_json(text)
    except json.JSONDecodeError as error:
        try:
            return read_lines(name, io.StringIO(text), pick)
        except ValueError as of_lines:
            if "cut short" in str(of_lines) or text.lstrip()[:1] == "[" or "\n" not in text.strip():
                raise ValueError(f"{name}: line {error.lineno}: not valid JSON ({error.msg})") from None
            raise
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return from_data(name, data, pick)


def read_lines(name: str, text: TextIO, pick: Pick) -> Table:
    """One object a line. A last line cut short by a killed writer is left out, with a note.

    Raises:
        ValueError: a broken line anywhere else, or a line that is no object.
    """
    names: dict[str, None] = {}
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    broken: str | None = None
    cut: int | None = None
    actual: dict[str, str] = {}
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        if broken is not None:
            raise ValueError(broken)
        try:
            row = decode_json(line)
        except ValueError as error:
            reason = f"not valid JSON ({error.msg})" if isinstance(error, json.JSONDecodeError) else str(error)
            broken = f"{name}: line {number}: {reason}"
            cut = None if line.endswith("\n") else number
            continue
        if not isinstance(row, dict):
            raise ValueError(f"{name}: line {number} is {type(row).__name__}, expected an object with named values")
        flat = flatten(row)
        if not flat.keys() <= names.keys():
            names.update(dict.fromkeys(flat))
            actual = pick(name, names)
        rows.append({asked: flat[column] for asked, column in actual.items() if column in flat})
        numbers.append(number)
    if broken is not None and cut is None:
        raise ValueError(broken)
    notes = ()
    if cut is not None:
        notes = (f"line {cut}, the last, is incomplete and was excluded",)
    columns = {asked: [row.get(asked, MISSING) for row in rows] for asked in actual}
    return Table(name, tuple(names), columns, "line", numbers, notes)
