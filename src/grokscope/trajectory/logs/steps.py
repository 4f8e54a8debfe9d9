"""Rows in order of their steps, merged to one row per step.

Loggers write what they know when they know it: Lightning one row for validation and one for training, the Hugging Face
Trainer a row for each kind of number. Rows of one step that stand together and do not contradict each other are one
evaluation. A log that was resumed goes back; which of its rows count is the caller's choice, never guessed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from grokscope.registry import nearest
from grokscope.trajectory.logs.table import Table, listed

Repeated = Literal["error", "last"]
REPEATED: tuple[Repeated, ...] = get_args(Repeated)
_EXACT = 2.0**53
"""Beyond, neighboring steps are no longer told apart."""


@dataclass(frozen=True)
class Log:
    """Asked columns over strictly increasing steps."""

    name: str
    steps: np.ndarray
    """(t,) int64, or float64 where some are fractional."""
    columns: dict[str, np.ndarray]
    """Asked name -> (t,) float64: NaN where blank, +inf where explicitly not finite."""
    rows: tuple[str, ...]
    """Where each row stands in the source."""
    notes: tuple[str, ...]

    def values(self, column: str) -> np.ndarray:
        """A copy, to be changed at will."""
        return self.columns[column].copy()


def in_order(table: Table, step: str | None, asked: Iterable[str], repeated: str = "error") -> Log:
    """Columns over steps that only grow. Without a step column the rows are numbered from 1, with a note.

    Args:
        repeated: what to do where steps go back or rows of one step contradict each other: ``error``, or ``last``, for
            a resumed log: what stands later replaces what was logged from that step on.

    Raises:
        ValueError: a missing column, a step or a value that is no number, steps that go back, contradicting rows; each
            names the row and the remedy.
    """
    if repeated not in REPEATED:
        raise ValueError(f"repeated: unknown value {repeated!r}{nearest(str(repeated), list(REPEATED))}")
    names = list(dict.fromkeys(asked))
    steps = np.arange(1, len(table) + 1, dtype=np.float64) if step is None else table.values(step)
    values = np.array([table.values(name) for name in names]).reshape(len(names), -1)
    notes = list(table.notes)
    if step is None:
        notes.append("no step column: rows are counted from 1")
        keep = np.arange(len(table))
    else:
        keep = _with_step(table, step, steps, values, notes)
    if names:
        keep = keep[~np.isnan(values[:, keep]).all(axis=0)]  # a row without any asked value is no evaluation
    if not len(keep):
        raise ValueError(f"{table.name}: no row with a step holds any of {listed(names)}")
    _check_steps(table, step, steps, keep)
    if (np.diff(steps[keep]) > 0).all():
        merged, kept_values = keep, values[:, keep]
    else:
        merged, kept_values = _merged(table, step, names, steps, values, keep, repeated, notes)
    kept = steps[merged]
    whole = bool((kept == np.round(kept)).all())
    return Log(
        name=table.name,
        steps=kept.astype(np.int64) if whole else kept,
        columns=dict(zip(names, kept_values, strict=True)),
        rows=tuple(table.row(i) for i in merged.tolist()),
        notes=tuple(notes),
    )


def _with_step(table: Table, step: str, steps: np.ndarray, values: np.ndarray, notes: list[str]) -> np.ndarray:
    """Rows that have a step. The others are left out with a note where they hold nothing that was asked for, or stand
    before or after all rows with a step, as lines of settings and summaries do."""
    has = ~np.isnan(steps)
    rows = np.flatnonzero(has)
    if len(rows) == len(steps):
        return rows
    if not len(rows):
        raise ValueError(f"{table.name}: column {step!r} is blank in every row")
    without = np.flatnonzero(~has)
    holding = [i for i in without.tolist() if not np.isnan(values[:, i]).all()]
    inside = [i for i in holding if rows[0] < i < rows[-1]]
    if inside:
        raise ValueError(
            f"{table.name}: {table.row(inside[0])}, column {step!r}: a step must be a number >= 0, but this cell is "
            f"blank although the row has values"
        )
    held = ", some of which hold values" if holding else ""
    where = listed([f"{table.numbers[i]:g}" for i in without.tolist()], 5)
    notes.append(f"excluded because they have no {step}: {table.place} {where}{held}")
    return rows


def _check_steps(table: Table, step: str | None, steps: np.ndarray, keep: np.ndarray) -> None:
    bad = keep[~np.isfinite(steps[keep]) | (steps[keep] < 0) | (steps[keep] >= _EXACT)]
    if len(bad):
        value = steps[bad[0]]
        limit = "" if value < _EXACT or not np.isfinite(value) else f" and below {_EXACT:.0f}"
        raise ValueError(
            f"{table.name}: {table.row(bad[0])}, column {step!r}: a step must be a number >= 0{limit}, got {value:g}"
        )


def _merged(
    table: Table,
    step: str | None,
    names: list[str],
    steps: np.ndarray,
    values: np.ndarray,
    keep: np.ndarray,
    repeated: str,
    notes: list[str],
) -> tuple[np.ndarray, np.ndarray]:
    """(rows that begin an evaluation, values (columns, evaluations))."""
    order: list[int] = []
    cells: list[np.ndarray] = []
    replaced = 0
    for i in keep.tolist():
        while order and steps[i] < steps[order[-1]]:
            if repeated == "error":
                raise ValueError(_goes_back(table, step, steps, i, order[-1]))
            order.pop()
            cells.pop()
            replaced += 1
        if not order or steps[i] > steps[order[-1]]:
            order.append(i)
            cells.append(values[:, i].copy())
            continue
        clash = _clash(cells[-1], values[:, i])
        if clash is None:
            cells[-1] = np.where(np.isnan(cells[-1]), values[:, i], cells[-1])
        elif repeated == "error":
            one, two = cells[-1][clash], values[clash, i]
            raise ValueError(
                f"{table.name}: {table.row(i)}, column {step!r}: step {steps[i]:g} repeats, and {names[clash]!r} "
                f"differs: {one:g} in {table.row(order[-1])}, {two:g} here; {_REMEDY}"
            )
        else:
            cells[-1] = np.where(np.isnan(values[:, i]), cells[-1], values[:, i])
            replaced += 1
    if replaced:
        some = "1 evaluation was"
        if replaced != 1:
            some = f"{replaced:,} evaluations were"
        notes.append(f"steps repeat or go backward: {some} replaced by later rows")
    return np.array(order), np.array(cells).T


_REMEDY = "if the log was resumed, pass repeated='last': later rows then replace earlier ones from that step onward"


def _goes_back(table: Table, step: str | None, steps: np.ndarray, row: int, before: int) -> str:
    return (
        f"{table.name}: {table.row(row)}, column {step!r}: {steps[row]:g} goes backward from {steps[before]:g} in "
        f"{table.row(before)}; {_REMEDY}; if it was not, sort it by step"
    )


def _clash(one: np.ndarray, two: np.ndarray) -> Any:
    """The first column in which both rows hold a value, and not the same; None if they can be one row."""
    both = ~np.isnan(one) & ~np.isnan(two) & (one != two)
    return int(np.argmax(both)) if both.any() else None
