"""Look up a column of metrics.jsonl by name. A column that neither the table nor a registered measurement describes
belongs to the user and is shown under "Other columns"."""

import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from grokscope import registry
from grokscope.vocabulary.column_table import COLUMNS, DIAGNOSED, EVALUATION, PARAMETER_GROUPS, REQUESTED, Column
from grokscope.vocabulary.splits import NAMES, TRAIN

USER = "a user"
"""Who writes a column that nobody described."""


@dataclass(frozen=True)
class Described:
    """A column by its full name, with its row's words filled in."""

    column: str
    title: str
    meaning: str
    unit: str
    scale: Literal["linear", "log"]
    writer: str
    panel: bool
    around: tuple[str, str] | None = None
    losses: tuple[str, ...] = ()

    @property
    def every_evaluation(self) -> bool:
        """Whether it is measured at every evaluation, as scores are; diagnoses are rarer and seldom start at 0."""
        return self.writer == EVALUATION


def table(plugins: bool = True) -> tuple[Column, ...]:
    """Every described column in the order of its panels: grokscope's table, then what registered measurements say of
    their own, those of plug-ins first."""
    known = registry.entries("measurement") if plugins else registry.built_in("measurement")
    return COLUMNS + _of_measurements(tuple(known.values()))


@cache
def _of_measurements(entries: tuple[registry.Entry, ...]) -> tuple[Column, ...]:
    """A plug-in that cannot be imported describes nothing, with a warning: its columns are undescribed ones."""
    described: list[Column] = []
    for entry in entries:
        try:
            measurement = entry.load()
        except registry.PluginError as error:
            warnings.warn(f"the columns of a measurement are not described: {error}", stacklevel=4)
            continue
        writer = DIAGNOSED if measurement.standard else REQUESTED
        described += [replace(column, writer=writer) for column in measurement.columns]
    return tuple(described)


def describe(column: str, splits: Collection[str] = NAMES) -> Described | None:
    """What a column is; None for one that no row describes.

    Args:
        column: its full name.
        splits: names that may stand for ``{split}``, of a foreign log too. ``my_loss`` is no split's loss where there
            is no split `my`.
    """
    rows = table()
    row, words = _row(column, _expressions(rows, tuple(splits)))
    if row is None:
        return None
    return _filled(rows[row], column, words)


def panels(columns: Iterable[str], splits: Sequence[str]) -> list[Described]:
    """Of these columns those that have a panel of their own, in the order of `table`; those of one row by split, and
    then by name with numbers by size.

    Args:
        splits: held-out splits of the runs, in the order in which they are to be shown.
    """
    order, rows = [TRAIN, *splits], table()
    expressions = _expressions(rows, tuple(order))
    chosen = []
    for column in set(columns):
        row, words = _row(column, expressions)
        if row is None or not rows[row].panel:
            continue
        split = words.get("split") or words.get("held_out")
        place = order.index(split) if split else 0
        chosen.append(((row, place, _natural(column)), _filled(rows[row], column, words)))
    return [described for _, described in sorted(chosen, key=lambda pair: pair[0])]


def undescribed(columns: Iterable[str], splits: Sequence[str]) -> list[Described]:
    """Of these columns those that nobody described, by name, with plain words made of the name: somebody's own
    measurements, and columns of splits that the runs were not judged on."""
    order = [TRAIN, *splits]
    unknown = [c for c in sorted(set(columns), key=_natural) if describe(c, order) is None]
    return [describe(c) or Described(c, plain_name(c), "", "", "linear", USER, panel=True) for c in unknown]


def plain_name(column: str) -> str:
    """``my_lab_score`` -> ``my lab score``; ``ood_test_f1`` -> ``f1, ood_test``."""
    split = next((name for name in NAMES if column.startswith(f"{name}_") and len(column) > len(name) + 1), None)
    rest = column.removeprefix(f"{split}_") if split else column
    words = re.sub(r"[_\s]+", " ", rest).strip() or column
    return f"{words}, {split}" if split else words


def _row(column: str, expressions: Sequence[re.Pattern[str]]) -> tuple[int | None, dict[str, str]]:
    """(index of the row that describes a column, what its placeholders stand for); of several rows the first."""
    for i, expression in enumerate(expressions):
        if match := expression.fullmatch(column):
            return i, match.groupdict()
    return None, {}


def _filled(row: Column, column: str, words: Mapping[str, str]) -> Described:
    spoken = {k: v.replace("_", " ") if k in ("weights", "part") else v for k, v in words.items()}
    around = None
    if row.around is not None:
        around = (row.around[0].format(**words), row.around[1].format(**words))
    return Described(
        column,
        row.title.format(**spoken),
        row.meaning.format(**spoken),
        row.unit,
        row.scale,
        row.writer,
        row.panel,
        around,
        row.losses,
    )


def _expressions(rows: Iterable[Column], splits: tuple[str, ...]) -> list[re.Pattern[str]]:
    """The rows' patterns as regular expressions, whose groups are the placeholders."""
    named = {
        "split": _any(splits),
        "held_out": _any([s for s in splits if s != TRAIN]),
        "env": r"\d+",
        "cls": r"\d+",
        "group": r"\d+",
        "part": r"env\d+|class\d+|env\d+_class\d+",
        "weights": _any(PARAMETER_GROUPS),
        "tensor": ".+",
    }
    return [_expression(row.pattern, tuple(named.items())) for row in rows]


@cache
def _expression(pattern: str, named: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    table = dict(named)
    parts = re.split(r"\{(\w+)\}", pattern)  # text and placeholders in turn
    pieces = [f"(?P<{p}>{table[p]})" if i % 2 else re.escape(p) for i, p in enumerate(parts)]
    return re.compile("".join(pieces))


def _any(names: Iterable[str]) -> str:
    """Any one of the names; nothing at all where there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def _natural(column: str) -> list[str | int]:
    """A key that sorts ``env10`` after ``env2``."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", column))]
