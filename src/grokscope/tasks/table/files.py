"""Read a user's table of images: every error names the row, the column and the remedy."""

import csv
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from grokscope.limits import MAX_CELL, MAX_COLUMNS, MAX_DIGITS, MAX_EXAMPLES, brief, require_memory
from grokscope.registry import nearest
from grokscope.tasks.table.groups import told_apart
from grokscope.vocabulary import splits

NEEDED = ("path", "label", "environment", "split")
READ = (*NEEDED, "group")
NAMED = ("label", "environment", "group")
"""Columns whose values are names: two that differ in case alone are probably one."""
_WHOLE = re.compile(r"0|-?[1-9]\d*")
_MISSING = {"nan", "na", "n/a", "#n/a", "#na", "<na>", "null", "none", "nil", "nat", "empty"}
"""What programs write where a value is missing, in any case."""
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
"""Characters without width, which `str.strip` keeps."""
_CELL_BYTES = 100
"""Memory of a cell of text, about."""
_LINE = MAX_COLUMNS * MAX_CELL
"""Characters of a header line."""


@dataclass(frozen=True, eq=False)
class ImageRows:
    """Rows of a table, one array (n,) per column: `row` counts from 1, the header not counted; `path` is absolute;
    label, environment and group hold int or str, one kind in each column."""

    row: np.ndarray
    path: np.ndarray
    label: np.ndarray
    environment: np.ndarray
    split: np.ndarray
    group: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    """What was changed or looks wrong in the table, a sentence each."""

    def __len__(self) -> int:
        return len(self.row)

    def take(self, which: np.ndarray) -> "ImageRows":
        """The rows at these positions, or where a mask holds."""
        columns = {name: column[which] for name, column in vars(self).items() if isinstance(column, np.ndarray)}
        return ImageRows(**columns, notes=self.notes)


def read_table(path: str | Path) -> ImageRows:
    """The columns path, label, environment, split and, where there is one, group, of a CSV or Parquet file.

    Spaces around values are stripped, and a backslash in a path that leads nowhere as it stands separates folders.
    Labels, environments and groups are int where the whole column holds whole numbers, else text (``004`` is text).
    Group numbers that begin anew in an environment are named with it (`groups`). Other columns are left out.
    What was changed, and names that differ in case alone, are in `notes`.

    Raises:
        ValueError: naming the file, the row and the column, also where a text such as ``nan`` stands for no value.
    """
    file = Path(path).expanduser()
    columns = _read_parquet(file) if file.suffix == ".parquet" else _read_csv(file)
    stripped, notes = _stripped(columns, file)
    values = {name: _values(stripped[name], name, file) for name in READ if name in stripped}
    if not values["path"]:
        raise ValueError(f"{file}: no rows below the header; list one image in each")
    values["path"] = [_place(file.parent.absolute(), name) for name in values["path"]]
    notes += _lookalikes(values, file)
    if "group" in values:
        values["group"], more = told_apart(values["group"], values["environment"])
        notes += [f"{file.name}, column group: {note}" for note in more]
    arrays = {name: np.array(value, object) for name, value in values.items()}
    rows = ImageRows(np.arange(1, len(values["path"]) + 1), **arrays, notes=tuple(notes))
    _check_splits(rows, file)
    return rows


def _check_header(names: Sequence[str], file: Path) -> None:
    """All needed columns once, and no more columns than a table of images has."""
    if len(names) > MAX_COLUMNS:
        raise ValueError(
            f"{file}: {len(names):,} columns, more than {MAX_COLUMNS:,}; keep {', '.join(READ)}, or set "
            "GROKSCOPE_MAX_COLUMNS"
        )
    for name in NEEDED:
        if name not in names:
            raise ValueError(f"{file}: no column {name!r}{nearest(name, list(names))}; needed are {', '.join(NEEDED)}")
    for name in READ:
        if list(names).count(name) > 1:
            raise ValueError(f"{file}: column {name!r} occurs {list(names).count(name)} times; keep one of them")


def _read_csv(file: Path) -> dict[str, list[Any]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as f:
            names = [name.strip() for name in next(csv.reader([f.readline(_LINE)]), [])]
    except FileNotFoundError:
        raise ValueError(f"{file}: no such table; give the path of a CSV or Parquet file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _no_csv(file, error) from None
    if not names:
        raise _no_csv(file, "it is empty")
    if len(names) == 1 and ";" in names[0]:
        raise ValueError(f"{file}: columns are separated by ';', expected ','")
    _check_header(names, file)
    require_memory(file.stat().st_size * 4, str(file), "table")
    used = {name: names.index(name) for name in READ if name in names}
    options: dict[str, Any] = {"names": list(range(len(names))), "usecols": list(used.values()), "header": 0}
    try:
        frame = pd.read_csv(file, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig", **options)
    except (OSError, ValueError, OverflowError) as error:  # pandas' own are ValueErrors
        raise _no_csv(file, error) from None
    _require_no_spare_cells(file, len(names))
    return {name: [None if v == "" or v != v else v for v in frame[k]] for name, k in used.items()}


def _require_no_spare_cells(file: Path, columns: int) -> None:
    """Raises ValueError where a row has more cells than the header has names: pandas drops them, and which of them were
    meant is not known."""
    usual = csv.field_size_limit(file.stat().st_size + 1)  # too long cells are refused by name elsewhere
    try:
        with file.open(encoding="utf-8-sig", newline="") as f:
            rows = csv.reader(f)
            spare = next((cells for cells in rows if any(cells[columns:])), None)
    finally:
        csv.field_size_limit(usual)
    if spare is not None:
        raise _no_csv(file, f"line {rows.line_num} has {len(spare):,} cells under a header of {columns}")


def _no_csv(file: Path, why: object) -> ValueError:
    return ValueError(f"{file}: cannot be read as a CSV table in UTF-8 ({str(why).strip()[:200]})")


def _read_parquet(file: Path) -> dict[str, list[Any]]:
    import duckdb

    if not file.is_file():
        raise ValueError(f"{file}: no such table; give the path of a CSV or Parquet file")
    try:
        with duckdb.connect() as connection:
            table = connection.read_parquet(str(file))
            names = [name.strip() for name in table.columns]
            _check_header(names, file)
            used = {name: table.columns[names.index(name)] for name in READ if name in names}
            ((count,),) = table.count("*").fetchall()
            if count > MAX_EXAMPLES:
                raise ValueError(f"{file}: claims {count:,} rows, more than {MAX_EXAMPLES:,}; split the table")
            require_memory(count * len(used) * _CELL_BYTES, str(file), "table")
            quoted = ['"' + column.replace('"', '""') + '"' for column in used.values()]
            rows = table.project(", ".join(quoted)).fetchall()
    except duckdb.Error as error:
        raise ValueError(f"{file}: cannot be read as Parquet ({str(error).splitlines()[0]})") from None
    return {name: [row[i] for row in rows] for i, name in enumerate(used)}


def _stripped(columns: dict[str, list[Any]], file: Path) -> tuple[dict[str, list[Any]], list[str]]:
    """The values without spaces around them, and which columns had some."""
    result, notes = {}, []
    for name, column in columns.items():
        bare = [value.strip().strip(_INVISIBLE).strip() if isinstance(value, str) else value for value in column]
        if name == "path":  # a file's name may really end in a space
            bare = [
                old if old != new and old and (file.parent / old).is_file() else new
                for old, new in zip(column, bare, strict=True)
            ]
        changed = [row for row, (old, new) in enumerate(zip(column, bare, strict=True), start=1) if old != new]
        if changed:
            first = brief(column[changed[0] - 1])
            rows = f"{len(changed):,} rows" if len(changed) > 1 else "1 row"
            notes.append(
                f"{file.name}, column {name}: spaces around values stripped in {rows}, first {changed[0]} ({first})"
            )
        result[name] = [None if value == "" else value for value in bare]
    return result, notes


def _place(folder: Path, name: str) -> str:
    """Where an image lies. Windows writes backslashes, which elsewhere may be a letter of a file's name."""
    if "\\" in name and os.sep != "\\" and not (folder / name).is_file():
        name = name.replace("\\", "/")
    return os.path.normpath(folder / name)


def _lookalikes(values: dict[str, list[Any]], file: Path) -> list[str]:
    """A sentence for each set of names that differ only in case, inner spaces or leading zeros."""
    notes = []
    for column in NAMED:
        alike = defaultdict(set)
        for value in set(values.get(column, ())):
            alike[_folded(value)].add(value)
        for names in alike.values():
            if len(names) > 1:
                listed = " and ".join(repr(name) for name in sorted(names, key=str))
                notes.append(
                    f"{file.name}, column {column}: {listed} count as different; if they are one, write it one way"
                )
    return sorted(notes)


def _folded(value: Any) -> str:
    text = " ".join(unicodedata.normalize("NFKC", str(value)).casefold().split())
    if text.isascii() and text.isdigit() and len(text) < 20:
        return str(int(text))
    return text


def _values(column: list[Any], name: str, file: Path) -> list[Any]:
    """Text, or whole numbers where the whole column holds them."""
    for i, value in enumerate(column, start=1):
        where = f"{file} row {i}, column {name}"
        if value is None:
            raise ValueError(f"{where}: empty; fill it in or drop the row")
        if type(value) not in (int, str):
            raise ValueError(f"{where}: {brief(value)} is neither text nor a whole number; write it as one")
        if isinstance(value, str) and len(value) > MAX_CELL:
            raise ValueError(f"{where}: {len(value):,} characters, more than {MAX_CELL:,}; is a quote left open?")
        if name in NAMED and isinstance(value, str) and value.casefold() in _MISSING:
            raise ValueError(
                f"{where}: {value!r} denotes a missing value; fill it in or remove the row (a class or hospital with "
                f"this name must be renamed)"
            )
    if name in ("path", "split"):
        return [str(value) for value in column]
    if all(type(value) is int or _is_whole(value) for value in column) and not _typed_text(column, file):
        return [int(value) for value in column]
    return [str(value) for value in column]


def _is_whole(text: str) -> bool:
    return len(text) <= MAX_DIGITS and _WHOLE.fullmatch(text) is not None


def _typed_text(column: list[Any], file: Path) -> bool:
    """Whether the file itself says that a column is text: Parquet does, CSV cannot."""
    return file.suffix == ".parquet" and isinstance(column[0] if column else None, str)


def _check_splits(rows: ImageRows, file: Path) -> None:
    at = [f"{file} row {i}, column" for i in rows.row]
    for i, split in enumerate(rows.split):
        if split not in splits.NAMES:
            raise ValueError(f"{at[i]} split: unknown split {split!r}{nearest(split, list(splits.NAMES))}")
    train = rows.take(rows.split == "train")
    if not len(train):
        raise ValueError(f"{file}, column split: no row is 'train'; mark the training images")
    labels, seen = set(train.label), set()
    for i, (path, label) in enumerate(zip(rows.path, rows.label, strict=True)):
        if label not in labels:
            raise ValueError(f"{at[i]} label: {label!r} has no training image; drop it or move some to train")
        if path in seen:
            raise ValueError(f"{at[i]} path: {path} is listed before; list each image once")
        seen.add(path)
    _check_environments(rows, at)


def _check_environments(rows: ImageRows, at: list[str]) -> None:
    """Seen splits have the environments of train, and each unseen split has its own."""
    seen = {split: set(rows.environment[rows.split == split]) for split in splits.NAMES}
    trained, chosen_on = seen[splits.TRAIN], [name for name in splits.UNSEEN if name in splits.SELECTING]
    for i, (split, env) in enumerate(zip(rows.split, rows.environment, strict=True)):
        what = f"{at[i]} environment: {env!r}"
        if split in splits.SEEN and env not in trained:
            raise ValueError(f"{what} is in {split} but not in train; call the split {splits.choices(splits.UNSEEN)}")
        if split in splits.UNSEEN and env in trained:
            remedy = f"call the split {splits.choices(splits.SEEN)}"
            raise ValueError(f"{what} is in {split} and in train, but must be unseen there; {remedy}")
        for other in chosen_on if splits.is_reported(split) else ():
            if env in seen[other]:
                raise ValueError(
                    f"{what} is in {split} and in {other}, so selection would see it; keep it in one of them"
                )
