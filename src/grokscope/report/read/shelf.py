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

    def put(self, loaded: Loaded) -> "Shelved":
        """Keep a run's metrics, of which some are evaluations.

        Raises:
            ValueError: they are no trajectory.
        """
        names = tuple(loaded.table)
        run = Shelved(self, loaded, self._names.setdefault(names, names))
        self._hold(run, loaded)
        return run

    def whole(self, run: "Shelved") -> Loaded:
        """All metrics of a run, which is then among the last few."""
        if run in self._whole:
            self._whole.move_to_end(run)
            return self._whole[run]
        numbers = np.frombuffer(self._read(run.place, ITEM * run.rows * len(run.names)), np.float64)
        columns = numbers.reshape(len(run.names), run.rows)
        table = {name: _typed(values, name) for name, values in zip(run.names, columns, strict=True)}
        loaded = Loaded(run.id, run.facts, run.status, table)
        self._hold(run, loaded)
        return loaded

    def column(self, run: "Shelved", name: str) -> np.ndarray:
        """One column (t,) of a run. Raises KeyError where it has none of this name."""
        if run in self._whole:
            return self._whole[run].table[name]
        if name not in run.names:
            raise KeyError(name)
        size = ITEM * run.rows
        data = self._read(run.place, size, size * run.names.index(name))
        return _typed(np.frombuffer(data, np.float64), name)

    def _hold(self, run: "Shelved", loaded: Loaded) -> None:
        self._whole[run] = loaded
        while len(self._whole) > self.kept:
            self._write(*self._whole.popitem(last=False))

    def _write(self, run: "Shelved", loaded: Loaded) -> None:
        """Once for each run: its metrics do not change."""
        if run.place is not None:
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="grokscope-")  # noqa: SIM115 - lives as long as the shelf
            weakref.finalize(self, self._file.close)
        data = b"".join(np.ascontiguousarray(values).tobytes() for values in loaded.table.values())
        self._file.seek(self._end)
        self._file.write(data)
        run.place = self._end
        self._end += len(data)

    def _read(self, place: int | None, size: int, after: int = 0) -> bytes:
        assert self._file is not None
        assert place is not None
        self._file.seek(place + after)
        return self._file.read(size)


class Shelved:
    """A run whose metrics are on a shelf."""

    def __init__(self, shelf: Shelf, loaded: Loaded, names: tuple[str, ...]):
        self.shelf, self.names = shelf, names
        self.id, self.facts, self.status = loaded.id, loaded.facts, loaded.status
        self.rows = len(loaded.table["step"])
        self.brief = brief_of(loaded.trajectory)
        self.place: int | None = None
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


def _typed(values: np.ndarray, name: str) -> np.ndarray:
    """Steps are whole numbers; all are kept in eight bytes."""
    return values.view(np.int64) if name == "step" else values
