"""Reading a user's table of images: every fault names the row, the column and the remedy."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from grokscope.limits import MAX_CELL, MAX_COLUMNS, MAX_DIGITS, brief
from grokscope.registry import nearest
from grokscope.tasks.data import SPLITS

NEEDED = ("path", "label", "environment", "split")
_WHOLE = re.compile(r"0|-?[1-9]\d*")


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

    def __len__(self) -> int:
        return len(self.row)

    def take(self, which: np.ndarray) -> "ImageRows":
        """The rows at these positions, or where a mask holds."""
        return ImageRows(**{name: column[which] for name, column in vars(self).items() if column is not None})


def read_table(path: str | Path) -> ImageRows:
    """The columns path, label, environment, split and, where there is one, group, of a CSV or Parquet file.

    Labels, environments and groups are int where the whole column holds whole numbers, else text (``004`` is text).
    Other columns are left out. Raises ValueError naming the file, the row and the column.
    """
    file = Path(path).expanduser()
    columns = _read_parquet(file) if file.suffix == ".parquet" else _read_csv(file)
    for name in NEEDED:
        if name not in columns:
            raise ValueError(
                f"{file}: no column {name!r}{nearest(name, list(columns))}; needed are {', '.join(NEEDED)}"
            )
    values = {name: _values(columns[name], name, file) for name in (*NEEDED, "group") if name in columns}
    if not values["path"]:
        raise ValueError(f"{file}: no rows below the header; list one image in each")
    values["path"] = [os.path.normpath(file.parent.absolute() / name) for name in values["path"]]
    rows = ImageRows(np.arange(1, len(values["path"]) + 1), **{c: np.array(v, object) for c, v in values.items()})
    _check_splits(rows, file)
    return rows


def _read_csv(file: Path) -> dict[str, list[Any]]:
    options: dict[str, Any] = {"dtype": str, "keep_default_na": False, "index_col": False, "encoding": "utf-8-sig"}
    try:
        _check_columns(list(pd.read_csv(file, nrows=0, **options).columns), file)
        frame = pd.read_csv(file, **options)
    except FileNotFoundError:
        raise ValueError(f"{file}: no such table; give the path of a CSV or Parquet file") from None
    except TooMany:
        raise
    except (OSError, ValueError, OverflowError) as error:  # pandas' own are ValueErrors
        raise ValueError(f"{file}: cannot be read as a CSV table in UTF-8 ({str(error).strip()[:200]})") from None
    if len(frame.columns) == 1 and ";" in frame.columns[0]:
        raise ValueError(f"{file}: columns are separated by ';', expected ','")
    return {str(c).strip(): [None if v == "" or v != v else v for v in frame[c]] for c in frame.columns}


class TooMany(ValueError):
    """A table with more columns than one that lists images."""


def _check_columns(names: list[Any], file: Path) -> None:
    if len(names) > MAX_COLUMNS:
        raise TooMany(
            f"{file}: {len(names):,} columns, more than {MAX_COLUMNS:,}; keep {', '.join(NEEDED)} and group, or set "
            "GROKSCOPE_MAX_COLUMNS"
        )


def _read_parquet(file: Path) -> dict[str, list[Any]]:
    import duckdb

    if not file.is_file():
        raise ValueError(f"{file}: no such table; give the path of a CSV or Parquet file")
    try:
        with duckdb.connect() as connection:
            found = connection.read_parquet(str(file))
            _check_columns(found.columns, file)
            names, rows = found.columns, found.fetchall()
    except duckdb.Error as error:
        raise ValueError(f"{file}: cannot be read as Parquet ({str(error).splitlines()[0]})") from None
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _values(column: list[Any], name: str, file: Path) -> list[Any]:
    """Text, or whole numbers where the whole column holds them."""
    for i, value in enumerate(column, start=1):
        if value is None:
            raise ValueError(f"{file} row {i}, column {name}: empty; fill it in or drop the row")
        if isinstance(value, str) and len(value) > MAX_CELL:
            raise ValueError(
                f"{file} row {i}, column {name}: {len(value):,} characters, more than {MAX_CELL:,}; cut it"
            )
        if type(value) not in (int, str):
            raise ValueError(
                f"{file} row {i}, column {name}: {brief(value)} is neither text nor a whole number; write it as one"
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
        if split not in SPLITS:
            raise ValueError(f"{at[i]} split: unknown split {split!r}{nearest(split, list(SPLITS))}")
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
    """id_val has the environments of train, and each ood_ split has its own."""
    seen = {split: set(rows.environment[rows.split == split]) for split in SPLITS}
    for i, (split, env) in enumerate(zip(rows.split, rows.environment, strict=True)):
        what = f"{at[i]} environment: {env!r}"
        if split == "id_val" and env not in seen["train"]:
            raise ValueError(f"{what} is in id_val but not in train; call the split ood_val or ood_test")
        if split in ("ood_val", "ood_test") and env in seen["train"]:
            raise ValueError(f"{what} is in {split} and in train, but must be unseen there; call the split id_val")
        if split == "ood_test" and env in seen["ood_val"]:
            raise ValueError(f"{what} is in ood_test and in ood_val, so selection would see it; keep it in one of them")
