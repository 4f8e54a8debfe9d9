"""A log as columns of raw cells; only requested columns are kept."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grokscope.registry import nearest
from grokscope.trajectory.logs.cells import MISSING, NotANumber, number

SHOWN_NAMES = 40
"""A message lists no more names of columns than this."""


@dataclass(frozen=True)
class Table:
    """Some columns of a log. Row i stands at ``place numbers[i]`` (``line 4``) of the source, for messages."""

    name: str
    names: tuple[str, ...]
    """Every column that the log has, kept or not."""
    columns: dict[str, list[Any]]
    """Asked name -> raw cells (t,)."""
    place: str
    numbers: Sequence[int]
    notes: tuple[str, ...] = ()
    doubled: frozenset[str] = frozenset()
    """Names that the header holds more than once."""

    def __len__(self) -> int:
        return len(self.numbers)

    def row(self, i: int) -> str:
        return f"{self.place} {self.numbers[i]:g}"

    def values(self, name: str) -> np.ndarray:
        """One column as float64 (t,): NaN where blank, +inf where explicitly not finite.

        Raises:
            ValueError: no such column (the nearest is named), one that the header holds twice, or a cell that is not a
                number, with its row.
        """
        if name in self.doubled:
            raise ValueError(f"{self.name}: the header names {name!r} more than once; rename one of the two")
        if name not in self.columns:
            raise ValueError(f"{self.name}: no column {name!r}{self._nearest(name)}")
        out = np.empty(len(self), dtype=np.float64)
        for i, cell in enumerate(self.columns[name]):
            try:
                out[i] = cell if type(cell) is float and cell - cell == 0 else number(cell)
            except NotANumber as error:
                raise ValueError(f"{self.name}: {self.row(i)}, column {name!r}: {error}") from None
        return out

    def _nearest(self, name: str) -> str:
        hint = nearest(name, [shortened(known) for known in self.names])
        if len(self.names) <= SHOWN_NAMES:
            return hint
        if "did you mean" in hint:
            return hint
        return f"; it has {listed(self.names)}"


def listed(names: Sequence[str], most: int = SHOWN_NAMES) -> str:
    """Names for a message: all, or the first ones and how many more."""
    shown = [shortened(name) for name in names[:most]]
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(shown) + more


def shortened(name: str) -> str:
    """A name for a message: damaged files hold names of any length."""
    return name if len(name) <= 80 else f"{name[:80]}..."


class Pick:
    """Which of a log's columns to keep: the asked names, found under the longer names that some trackers write.

    W&B exports a chart with a column ``RUN - metric`` for each run; ``metric`` then means that column where there is
    only one run, or the run was named (`part`).
    """

    def __init__(self, asked: Iterable[str], part: str | None = None):
        self.asked = tuple(dict.fromkeys(asked))
        self.part = part

    def __call__(self, name: str, names: Iterable[str]) -> dict[str, str]:
        """Asked name -> name in the log, for those that the log has.

        Raises:
            ValueError: columns of several runs end in an asked name, and no part was chosen.
        """
        known = dict.fromkeys(names)
        out = {}
        for asked in self.asked:
            actual = asked if asked in known else self._of_run(name, asked, known)
            if actual is not None:
                out[asked] = actual
        return out

    def _of_run(self, name: str, asked: str, known: Iterable[str]) -> str | None:
        ends = [column for column in known if column.endswith(f" - {asked}")]
        if self.part is not None:
            ends = [column for column in ends if column == f"{self.part} - {asked}"]
        if len(ends) > 1:
            runs = [column.removesuffix(f" - {asked}") for column in ends]
            raise ValueError(
                f"{name}: {len(ends):,} runs have a column {asked!r}: {listed(runs, 10)}; choose one with "
                f"part={runs[0]!r}"
            )
        return ends[0] if ends else None


def from_rows(
    name: str,
    rows: Sequence[Any],
    pick: Pick,
    place: str = "row",
    numbers: Sequence[int] | None = None,
    notes: tuple[str, ...] = (),
) -> Table:
    """Rows that are objects with named values; values inside nested objects are named ``outer.inner``.

    Raises:
        ValueError: naming a row that is no object.
    """
    numbers = range(1, len(rows) + 1) if numbers is None else numbers
    flat = []
    names: dict[str, None] = {}
    for row, number_ in zip(rows, numbers, strict=True):
        if not isinstance(row, Mapping):
            raise ValueError(f"{name}: {place} {number_} is {type(row).__name__}, expected an object with named values")
        flat.append(flatten(row))
        names.update(dict.fromkeys(flat[-1]))
    actual = pick(name, names)
    columns = {asked: [row.get(column, MISSING) for row in flat] for asked, column in actual.items()}
    return Table(name, tuple(names), columns, place, numbers, notes)


def flatten(row: Mapping[Any, Any]) -> Mapping[str, Any]:
    """``{"train": {"acc": 1}}`` -> ``{"train.acc": 1}``. Goes no deeper than five levels: no logger does."""
    if not any(isinstance(value, Mapping) for value in row.values()):
        if all(type(key) is str for key in row):
            return row
        return {str(key): value for key, value in row.items()}
    out: dict[str, Any] = {}
    level: list[tuple[str, Any]] = [(str(key), value) for key, value in row.items()]
    for _ in range(5):
        deeper = []
        for key, value in level:
            if isinstance(value, Mapping):
                deeper += [(f"{key}.{inner}", item) for inner, item in value.items()]
            else:
                out[key] = value
        level = deeper
    return out


def from_columns(name: str, names: Iterable[str], get: Callable[[str], Iterable[Any]], pick: Pick) -> Table:
    """Columns that are kept as such; only the asked ones must be equally long."""
    names = tuple(names)
    columns = {asked: list(get(actual)) for asked, actual in pick(name, names).items()}
    lengths = {asked: len(cells) for asked, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{name}: columns differ in length: {lengths}")
    count = next(iter(lengths.values()), 0)
    return Table(name, names, columns, "row", range(1, count + 1))
