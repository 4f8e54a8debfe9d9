"""Columns of many runs in Parquet files of bounded size: what a query needs of runs that the index lacks."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grokscope.progress import watched
from grokscope.store import kept_columns
from grokscope.store.kept_columns import Table
from grokscope.store.mend import mended_rows
from grokscope.store.metrics import METRICS, columns, number_columns
from grokscope.store.run import Run
from grokscope.store.sql_text import literal, text_id

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CELLS = 1 << 21
"""Numbers that are held at a time, 16 MB, before they are written; and so often again while they are."""


@dataclass
class Gathered:
    """What was read of some runs."""

    whole: list[Path] = field(default_factory=list)
    """Files of rows that are as they should be."""
    mended: list[Path] = field(default_factory=list)
    """Files of the runs in which something was no number."""
    not_kept: set[str] = field(default_factory=set)
    """Ids of the runs that are damaged or mended, which each question reads, and speaks of, again."""


class _Files:
    """Tables of runs, put into files one after another, each as soon as it holds `CELLS` numbers."""

    def __init__(self, connection: "DuckDBPyConnection", folder: Path, name: str, spelling: dict[str, str]):
        self.connection, self.folder, self.name, self.spelling = connection, folder, name, spelling
        self.written: list[Path] = []
        self._held: list[tuple[str, Table]] = []
        self._cells = 0

    def add(self, run: str, table: Table) -> None:
        if len(table["step"]) == 0:
            return
        self._held.append((run, table))
        self._cells += len(table) * len(table["step"])
        if self._cells >= CELLS:
            self.flush()

    def flush(self) -> None:
        if not self._held:
            return
        path = self.folder / f"{self.name}-{len(self.written)}.parquet"
        self.connection.register("held", self._one_table())
        # not compressed, for it is read once
        form = "format parquet, compression uncompressed"
        self.connection.execute(f"copy (from held) to {literal(str(path))} ({form})")
        self.connection.unregister("held")
        self.written.append(path)
        self._held, self._cells = [], 0

    def _one_table(self) -> Table:
        """The rows of all runs, with NaN, which DuckDB takes for NULL, where a run lacks a column."""
        lengths = [len(table["step"]) for _, table in self._held]
        out = {
            "run": np.repeat(np.array([run for run, _ in self._held], dtype=object), lengths),
            "step": np.concatenate([table["step"] for _, table in self._held]),
        }
        end = 0
        for (_, table), length in zip(self._held, lengths, strict=True):
            end += length
            for name, values in table.items():
                if name == "step":
                    continue
                spelled = self.spelling.setdefault(name.lower(), name)
                if spelled not in out:
                    out[spelled] = np.full(len(out["step"]), np.nan)
                out[spelled][end - length : end] = values
        for name, values in out.items():
            if name not in ("run", "step"):
                values[np.isinf(values)] = np.nan
        return out


def gather(connection: "DuckDBPyConnection", runs: Sequence[Run], scratch: Path) -> Gathered:
    """The rows of these runs in files in `scratch`: `run`, `step` and a number or NULL in every other column.

    A run that ended here has left its columns (`grokscope.store.kept_columns`); the metrics of others are parsed. Warns
    of every run that cannot be read, which has no rows then, and of values that are no numbers, which are NULL. Columns
    that differ by case only are one, as SQL has it.
    """
    spelling: dict[str, str] = {}
    whole = _Files(connection, scratch, "whole", spelling)
    mended = _Files(connection, scratch, "mended", spelling)
    out = Gathered(whole.written, mended.written)
    for run in watched(runs, "read the metrics of new and changed runs:"):
        name = text_id(run)
        try:
            table, faults = _numbers_of(run, spelling)
        except ValueError as error:
            warnings.warn(f"{error}; this run has no rows in metrics", stacklevel=5)
            out.not_kept.add(name)
            continue
        for fault in faults:
            warnings.warn(f"{run.path / METRICS}: {fault}", stacklevel=5)
        if faults:
            out.not_kept.add(name)
        (mended if faults else whole).add(name, table)
    whole.flush()
    mended.flush()
    return out


def _numbers_of(run: Run, spelling: dict[str, str]) -> tuple[Table, list[str]]:
    """(columns, what is wrong with values that were dropped)."""
    if (table := kept_columns.recall(run.path)) is not None:
        return table, []
    rows = run.rows()
    if (table := number_columns(rows)) is not None:
        return table, []
    clean, faults = mended_rows(rows, spelling)
    return columns(clean), faults
