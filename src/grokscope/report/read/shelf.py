"""Metrics of many runs: those of the last few in memory, all others in one temporary file.

A page of ten thousand runs asks for one column of all runs, to draw a band, or for all columns of one run, to judge it;
never for everything at once. So no more than `KEPT` runs are held whole, however many there are and however long they
were trained, and up to that many nothing is written at all.
"""

import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import IO, TYPE_CHECKING

import numpy as np

from grokscope.trajectory.series import RunTable

if TYPE_CHECKING:
    from grokscope.trajectory import Trajectory

KEPT = 64
"""So many runs are held whole."""
ITEM = 8
"""Bytes of a number: steps are int64, all else is float64."""
BLOCK = 1 << 16
"""Bytes of a column of several runs that lie side by side in the file, at most: they are read at once."""
READ_AHEAD = 1 << 25
"""Bytes of such columns that are kept for the runs that are asked for next."""


@dataclass(frozen=True)
class Brief:
    """What is asked of every run again and again, so that its curves need not be looked at for it."""

    kind: str
    splits: tuple[str, ...]
    last: float
    """The last evaluated step."""
    non_finite_from: float | None
    trivial: Mapping[str, float]
    """Split -> score of the trivial predictor."""
    ends: tuple[float, ...]
    """The first step where it is not positive, the first positive and the last: an axis needs no others."""
    notes: tuple[str, ...]


def brief_of(t: "Trajectory") -> Brief:
    begin = int(np.searchsorted(t.step, 0, side="right"))
    ends = (*t.step[: min(begin, 1)].tolist(), *t.step[begin : begin + 1].tolist(), t.step[-1].item())
    return Brief(t.kind, tuple(t.splits), t.last_step, t.non_finite_from, t.trivial, ends, t.notes)


@dataclass(frozen=True, eq=False)
class Loaded(RunTable):
    """A run whose files have been read, and its trajectory once that is asked for."""

    @cached_property
    def trajectory(self) -> "Trajectory":
        from grokscope.trajectory import from_run

        return from_run(self)


class Shelf:
    """Where the metrics of runs are put, and taken from as they are needed."""

    def __init__(self, kept: int = KEPT):
        self.kept = kept
        self._whole: OrderedDict[Shelved, Loaded] = OrderedDict()
        """Those held whole, the one longest not asked for first."""
        self._file: IO[bytes] | None = None
        self._end = 0
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._grids: dict[bytes, np.ndarray] = {}
        """Steps of evaluation, which most runs share."""
        self._ahead: OrderedDict[int, np.ndarray] = OrderedDict()
        """Place in the file -> a column (runs, rows) of a block, the one longest not asked for first."""
        self._ahead_bytes = 0

    def put(self, loaded: Loaded) -> "Shelved":
        """Keep a run's metrics, of which some are evaluations.

        Raises:
            ValueError: they are no trajectory.
        """
        names = tuple(loaded.table)
        step = loaded.table["step"]
        shared = self._grids.setdefault(step.tobytes(), step)
        run = Shelved(self, loaded, self._names.setdefault(names, names), shared)
        self._hold(run, loaded)
        return run

    def whole(self, run: "Shelved") -> Loaded:
        """All metrics of a run, which is then among the last few."""
        if run in self._whole:
            self._whole.move_to_end(run)
            return self._whole[run]
        assert run.place is not None
        size = ITEM * run.rows
        columns = (self._read(run.place.of(i) + size * run.place.row, size) for i in range(len(run.names)))
        table = {name: np.frombuffer(data, np.float64) for name, data in zip(run.names, columns, strict=True)}
        loaded = Loaded(run.id, run.facts, run.status, {**table, "step": run.step})
        self._hold(run, loaded)
        return loaded

    def column(self, run: "Shelved", name: str) -> np.ndarray:
        """One column (t,) of a run. Raises KeyError where it has none of this name."""
        if name == "step":
            return run.step
        if run in self._whole:
            return self._whole[run].table[name]
        if name not in run.names:
            raise KeyError(name)
        assert run.place is not None
        return self._column(run.place.of(run.names.index(name)), run.place.runs, run.rows)[run.place.row]

    def _column(self, start: int, runs: int, rows: int) -> np.ndarray:
        """A column (runs, rows) of a block."""
        if start in self._ahead:
            self._ahead.move_to_end(start)
            return self._ahead[start]
        numbers = np.frombuffer(self._read(start, ITEM * runs * rows), np.float64).reshape(runs, rows)
        self._ahead[start] = numbers
        self._ahead_bytes += numbers.nbytes
        while self._ahead_bytes > READ_AHEAD and len(self._ahead) > 1:
            self._ahead_bytes -= self._ahead.popitem(last=False)[1].nbytes
        return numbers

    def _hold(self, run: "Shelved", loaded: Loaded) -> None:
        self._whole[run] = loaded
        if len(self._whole) > self.kept:
            self._make_room()

    def _make_room(self) -> None:
        """Half of the runs go, those longest not asked for; runs with the same columns and rows as one block."""
        going = [self._whole.popitem(last=False) for _ in range((self.kept + 1) // 2)]
        alike: dict[tuple[tuple[str, ...], int], list[tuple[Shelved, Loaded]]] = {}
        for run, loaded in going:
            if run.place is None:  # once for each run: its metrics do not change
                alike.setdefault((run.names, run.rows), []).append((run, loaded))
        for (names, rows), members in alike.items():
            side_by_side = max(BLOCK // (ITEM * rows), 1)
            for first in range(0, len(members), side_by_side):
                self._write(members[first : first + side_by_side], names)

    def _write(self, members: "list[tuple[Shelved, Loaded]]", names: tuple[str, ...]) -> None:
        """A block: the first column of all these runs, then the second ..."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="grokscope-")  # noqa: SIM115 - lives as long as the shelf
            weakref.finalize(self, self._file.close)
        tables = [loaded.table for _, loaded in members]
        data = b"".join(np.ascontiguousarray(t[name]).tobytes() for name in names for t in tables)
        self._file.seek(self._end)
        self._file.write(data)
        for row, (run, _) in enumerate(members):
            run.place = Place(self._end, row, len(members), ITEM * run.rows * len(members))
        self._end += len(data)

    def _read(self, start: int, size: int) -> bytes:
        assert self._file is not None
        self._file.seek(start)
        return self._file.read(size)


@dataclass(frozen=True)
class Place:
    """Where a run lies in the shelf's file: a row in each column of a block."""

    start: int
    """Of the block. [bytes]"""
    row: int
    runs: int
    column: int
    """Size of one column of all its runs. [bytes]"""

    def of(self, column: int) -> int:
        """Where a column of the block begins. [bytes]"""
        return self.start + column * self.column


class Shelved:
    """A run whose metrics are on a shelf."""

    def __init__(self, shelf: Shelf, loaded: Loaded, names: tuple[str, ...], step: np.ndarray):
        self.shelf, self.names, self.step = shelf, names, step
        self.id, self.facts, self.status = loaded.id, loaded.facts, loaded.status
        self.rows = len(step)
        self.brief = brief_of(loaded.trajectory)
        self.place: Place | None = None
        """Where in the shelf's file; None before it is written."""

    @property
    def trajectory(self) -> "Trajectory":
        return self.shelf.whole(self).trajectory

    @property
    def table(self) -> "Columns":
        return Columns(self)

    def curve(self, name: str, split: str) -> tuple[np.ndarray, np.ndarray] | None:
        """(steps, values) as `curve_of` gives them, read of these columns alone."""
        from grokscope.trajectory.series import score_of

        table = self.table
        if name == "train" or name in self.brief.splits:
            values = score_of(table, name, self.facts)
        else:
            column = f"{split}_probe_acc" if name == "probe" else name
            values = table.get(column) if name == "probe" or name.startswith("norm_") else None
        return None if values is None else (table["step"], np.asarray(values, np.float64))


class Columns(Mapping[str, np.ndarray]):
    """Column -> (t,) of a run on a shelf; each is read when it is asked for."""

    def __init__(self, run: Shelved):
        self._run = run

    def __getitem__(self, name: str) -> np.ndarray:
        return self._run.shelf.column(self._run, name)

    def __contains__(self, name: object) -> bool:
        return name in self._run.names

    def __iter__(self) -> Iterator[str]:
        return iter(self._run.names)

    def __len__(self) -> int:
        return len(self._run.names)


def curve_of(t: "Trajectory", name: str, split: str) -> tuple[np.ndarray, np.ndarray] | None:
    """(steps, values) of ``train``, a held-out split, ``probe`` (on `split`), ``norm_total`` or ``norm_<group>``, NaN
    where not evaluated; None where there is no such curve."""
    values = t.probe.get(split) if name == "probe" else _values(t, name)
    return None if values is None else (t.step, values)


def _values(t: "Trajectory", name: str) -> np.ndarray | None:
    if name == "train":
        return t.train
    if name == "norm_total":
        return t.norm
    if name.startswith("norm_") and name not in t.held_out:
        return t.norm_groups.get(name.removeprefix("norm_"))
    return t.held_out.get(name)
