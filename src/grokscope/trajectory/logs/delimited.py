"""CSV and similar formats: comma, tab, semicolon or spaces, comment lines, truncated last lines, repeated headers."""

import csv
from collections.abc import Iterator
from typing import Any, TextIO

from grokscope.trajectory.logs.cells import compact
from grokscope.trajectory.logs.table import Pick, Table, listed


class _Lines:
    """The lines of a text without comments; remembers where it is and what the last comment said."""

    def __init__(self, text: TextIO):
        self._text = text
        self.number = 0
        self.comment = ""
        self.comments = 0
        self._quoted = False
        """Whether a quote is open, in which a ``#`` begins no comment."""
        self.ended = True
        """Whether the line that was read last had its line end."""

    def __iter__(self) -> Iterator[str]:
        for line in self._text:
            self.number += 1
            self.ended = line.endswith(("\n", "\r"))
            if not self._quoted and line.lstrip().startswith("#"):
                self.comment = line.lstrip().lstrip("#").strip()
                self.comments += 1
            else:
                self._quoted ^= bool(line.count('"') % 2)
                yield line


class _Spaced:
    """Lines whose cells stand apart by any number of spaces, with a single one between them."""

    def __init__(self, lines: Iterator[str]):
        self._lines = lines

    def __iter__(self) -> Iterator[str]:
        return (" ".join(line.split()) for line in self._lines)


def read_delimited(name: str, text: TextIO, pick: Pick) -> Table:
    """A header and a row a line. Only the asked columns are kept; a doubled column matters only if it is asked for.

    Raises:
        ValueError: no header, a row of another length than the header (named), or a cell of more than 131,072
            characters.
    """
    lines = _Lines(text)
    try:
        return _read(name, lines, pick)
    except csv.Error as error:
        why = "a quote is opened and never closed, or a cell is longer than 131,072 characters"
        if "field larger" not in str(error) and "unexpected end" not in str(error):
            why = str(error)
        raise ValueError(f"{name}: line {lines.number}: {why}") from None


def _read(name: str, lines: _Lines, pick: Pick) -> Table:
    source = iter(lines)
    first = next((line for line in source if line.strip()), None)
    if first is None:
        return Table(name, (), {}, "line", ())
    sample = lines.comment if _all_numbers(_split(first)) and lines.comment else first
    delimiter = max(",\t;", key=sample.count)
    spaced = delimiter not in sample and len(sample.split()) > 1
    rest = _chained(first, source)
    reader = csv.reader(
        _Spaced(rest) if spaced else rest, delimiter=" " if spaced else delimiter, skipinitialspace=True, strict=True
    )
    head = [cell.strip() for cell in next(reader)]
    notes, body = [], []
    if _all_numbers(head):
        body = [head]
        head = _header_of_comment(name, lines, head, " " if spaced else delimiter)
        notes.append("the header was read from the comment line above the numbers")
    rows = _Rows(name, lines, pick, head)
    for cells in body:
        rows.add(cells)
    for cells in reader:
        rows.add(cells)
    return rows.table(tuple(notes))


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _split(line: str) -> list[str]:
    for mark in ",\t;":
        line = line.replace(mark, " ")
    return line.split()


def _all_numbers(cells: list[str]) -> bool:
    return bool(cells) and all(not isinstance(compact(cell), str) for cell in cells if cell) and any(cells)


def _header_of_comment(name: str, lines: _Lines, cells: list[str], delimiter: str) -> list[str]:
    """numpy.savetxt and gnuplot write the names of the columns as a comment."""
    names = [part.strip() for part in (lines.comment.split() if delimiter == " " else lines.comment.split(delimiter))]
    if len(names) == len(cells) and lines.comments and not _all_numbers(names):
        return names
    raise ValueError(
        f"{name}: line {lines.number}: the first line contains numbers instead of column names; add a header line"
    )


class _Rows:
    """Collects the asked cells of each line and checks its length."""

    def __init__(self, name: str, lines: _Lines, pick: Pick, head: list[str]):
        self._name, self._lines, self._head = name, lines, head
        self._at: dict[str, int] = {}
        for i, column in enumerate(head):
            self._at.setdefault(column, i)
        self._doubled = frozenset(c for c in self._at if c) & _twice(head)
        self._actual = pick(name, self._at)
        self._cells: dict[str, list[Any]] = {asked: [] for asked in self._actual}
        self._numbers: list[int] = []
        self._short: tuple[int, int] | None = None
        self._repeated: list[int] = []

    def add(self, cells: list[str]) -> None:
        if not any(cell.strip() for cell in cells):
            return
        self._refuse_short()
        if len(cells) < len(self._head):
            self._short = (self._lines.number, len(cells))  # an error, unless it turns out to be the last line, cut
            return
        if any(cell.strip() for cell in cells[len(self._head) :]):
            raise ValueError(self._length(self._lines.number, len(cells)))
        if [cell.strip() for cell in cells] == self._head:
            self._repeated.append(self._lines.number)
            return
        for asked, actual in self._actual.items():
            self._cells[asked].append(compact(cells[self._at[actual]]))
        self._numbers.append(self._lines.number)

    def table(self, notes: tuple[str, ...]) -> Table:
        if self._short is not None:
            if self._lines.ended:
                self._refuse_short()
            notes = (*notes, f"line {self._short[0]}, the last, is incomplete and was excluded")
        if self._repeated:
            where = listed([str(n) for n in self._repeated], 5)
            notes = (*notes, f"the header is repeated in line {where}: excluded")
        doubled = frozenset(asked for asked, actual in self._actual.items() if actual in self._doubled)
        return Table(self._name, tuple(self._at), self._cells, "line", self._numbers, notes, doubled)

    def _refuse_short(self) -> None:
        if self._short is not None:
            raise ValueError(self._length(*self._short))

    def _length(self, number: int, count: int) -> str:
        return f"{self._name}: line {number}: {count} cells under a header of {len(self._head):,}"


def _twice(names: list[str]) -> frozenset[str]:
    seen: set[str] = set()
    twice = set()
    for name in names:
        (twice if name in seen else seen).add(name)
    return frozenset(twice)
