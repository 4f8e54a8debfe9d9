"""Join one log from several files: TensorBoard and W&B export one file per chart.

A column is called by its name where only one file has it, and always as ``FILE:COLUMN``, FILE without its ending. A
TensorBoard file (``Wall time,Step,Value``) has one value column, which its file's name alone means, too.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from grokscope.registry import nearest
from grokscope.trajectory.logs.reading import column_names, read_table
from grokscope.trajectory.logs.steps import Log, in_order
from grokscope.trajectory.logs.table import Pick, listed

_TENSORBOARD = ("Wall time", "Step", "Value")


def read_joined(
    paths: Sequence[str | Path],
    step: str | None,
    asked: Iterable[str],
    *,
    part: str | None = None,
    max_mb: float | None = None,
    repeated: str = "error",
) -> Log:
    """The asked columns of several files over all their steps; blank where a file lacks a step.

    Raises:
        ValueError: no step column is named, a file lacks it, a column that no file or more than one file has, or a
            fault in a file.
    """
    if step is None:
        raise ValueError("to join files, name their common step column")
    files = [Path(p) for p in paths]
    stems = [_stem(path) for path in files]
    if doubled := {stem for stem in stems if stems.count(stem) > 1}:
        raise ValueError(f"two of the files to join are called {sorted(doubled)[0]!r}; rename one")
    names = {path: column_names(path, part=part, max_mb=max_mb) for path in files}
    wanted: dict[Path, dict[str, str]] = {path: {} for path in files}
    for column in dict.fromkeys(asked):
        path, actual = _place(column, files, names, part)
        wanted[path][column] = actual
    logs = []
    for path, columns in wanted.items():
        if columns:
            table = read_table(path, [step, *columns.values()], part=part, max_mb=max_mb)
            logs.append((in_order(table, step, columns.values(), repeated), columns))
    return _outer(
        logs,
        [f"{_stem(p)} has none of the requested columns: not read" for p, columns in wanted.items() if not columns],
    )


def _stem(path: Path) -> str:
    name = path.name.removesuffix(".gz")
    return name.rpartition(".")[0] or name


def _place(column: str, files: list[Path], names: dict[Path, tuple[str, ...]], part: str | None) -> tuple[Path, str]:
    """(file, its column) that an asked name means."""
    places = []
    for path in files:
        known = {f"{_stem(path)}:{name}": name for name in names[path]}
        if set(_TENSORBOARD) <= set(names[path]):
            known[_stem(path)] = _TENSORBOARD[-1]
        inner = column.removeprefix(f"{_stem(path)}:")
        actual = known.get(column) or Pick([inner], part)(str(path), names[path]).get(inner)
        if actual is not None:
            places.append((path, actual))
    if len(places) == 1:
        return places[0]
    if places:
        choices = " or ".join(repr(f"{_stem(path)}:{name}") for path, name in places[:4])
        raise ValueError(f"column {column!r} is in {len(places):,} of the files; choose one: {choices}")
    known = [_stem(path) for path in files]
    for columns in names.values():
        known += [name for name in columns if columns.count(name) == 1]
    raise ValueError(f"no column {column!r} in {listed([str(f) for f in files], 4)}{nearest(column, known)}")


def _outer(logs: list[tuple[Log, dict[str, str]]], notes: list[str]) -> Log:
    steps = np.unique(np.concatenate([log.steps for log, _ in logs]))
    columns = {}
    for log, columns_of in logs:
        at = np.searchsorted(steps, log.steps)
        for asked, actual in columns_of.items():
            columns[asked] = np.full(len(steps), np.nan)
            columns[asked][at] = log.columns[actual]
        notes = [*notes, *(f"{log.name}: {note}" for note in log.notes)]
    name = " and ".join(log.name for log, _ in logs)
    return Log(name, steps, columns, tuple(f"step {s:g}" for s in steps), tuple(notes))
