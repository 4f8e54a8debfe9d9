"""Results of verbs: data for programs, text for people, and an exit code."""

import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import chain
from math import isfinite
from typing import TYPE_CHECKING, Any

from grokscope.results.milestones import Milestone, Span
from grokscope.terminal import one_line
from grokscope.vocabulary.text import number

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 100_000
"""Width of output that is not a terminal: nothing is wrapped or cut in a file or a pipe."""
LONG = 1_000
"""Tables with more rows are not fitted to the terminal, because that would take seconds."""


class Result(ABC):
    """Base class of verb results. Its string form is the output of the command line."""

    @property
    def exit_code(self) -> int:
        """0, or 1 if a check or a run failed."""
        return 0

    @abstractmethod
    def data(self) -> Any:
        """Plain data for ``--json``."""

    @abstractmethod
    def show(self, console: "Console") -> None:
        """Text for people."""

    def __str__(self) -> str:
        buffer = StringIO()
        self.show(safe_console(file=buffer, width=WIDE))
        return buffer.getvalue().rstrip("\n")


@dataclass
class Rows(Result):
    """A table: every row a dict with the same keys."""

    rows: list[dict[str, Any]]
    empty: str = "nothing found"

    def data(self) -> Any:
        return self.rows

    def show(self, console: "Console") -> None:
        if not self.rows:
            console.print(self.empty)
            return
        print_table(console, list(self.rows[0]), ([_cell(v) for v in row.values()] for row in self.rows))


def safe_console(**options: Any) -> "Console":
    """A console that prints names and values as plain text, without markup or control characters.

    Every printed string is one line; print the lines of a longer text separately.
    """
    from rich.console import Console

    class Safe(Console):
        def print(self, *objects: Any, **more: Any) -> None:
            super().print(*(one_line(o) if isinstance(o, str) else o for o in objects), **more)

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would exit with 1, but the command line does not treat it as an error

    return Safe(highlight=False, markup=False, emoji=False, **options)


def stdout_console() -> "Console":
    """Terminal width on a terminal, no wrapping elsewhere. Colors follow NO_COLOR."""
    return safe_console(width=None if sys.stdout.isatty() else WIDE, soft_wrap=True)


def moment_text(moment: Milestone | Span | None) -> str:
    """``2,200``; ``> 10,000`` if it was not reached; empty if it does not exist."""
    if moment is None:
        return ""
    value = moment.at if isinstance(moment, Milestone) else moment.value
    text = number(value) if isfinite(value) else "inf"
    return f"> {text}" if moment.censored else text


def note_lines(notes: Collection[Iterable[str]], unit: str = "") -> list[str]:
    """Each note once, from the notes of every source, with the number of sources that it applies to unless it is all.
    `unit`: the kind of source, with a leading space (`` runs``)."""
    counts = Counter(chain.from_iterable(map(dict.fromkeys, notes)))
    return [_note_line(note, count, len(notes), unit) for note, count in counts.items()]


def _note_line(note: str, count: int, total: int, unit: str) -> str:
    if count == total:
        return f"note: {note}"
    return f"note: in {count} of {total:,}{unit}: {note}"


def print_table(console: "Console", header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print aligned columns with numbers right-aligned, without rules, for easy copying. Wraps only on a terminal."""
    header = [one_line(name) for name in header]
    body = [[one_line(cell) for cell in row] for row in rows]
    right = [all(_is_number(row[i]) for row in body) and any(row[i] for row in body) for i in range(len(header))]
    if console.width >= WIDE or len(body) > LONG:
        _print_plain(console, [list(header), *body], right)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, numeric in zip(header, right, strict=True):
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in body:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _print_plain(console: "Console", lines: list[list[str]], right: Sequence[bool]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)]
        console.file.write(
            "  ".join(cells).rstrip() + "\n"
        )  # the cells are already sanitized; rich would check each again


def _is_number(text: str) -> bool:
    return not text or text.lstrip("<>~- ").replace(",", "").replace(".", "").replace("%", "").isdigit()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def states(counts: dict[str, int]) -> str:
    """``3 done, 1 failed``: counts that add up to all."""
    return ", ".join(f"{n:,} {state}" for state, n in counts.items()) or "none"
