"""Which evaluations and columns of a run are saved, and their text format."""

import csv
import io
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np

from grokscope.results.verdict import VerdictRecord

Level = Literal["thinned", "whole", "everything"]
"""Rows thinned and columns chosen; all rows of these columns; all there is, with every digit."""
LEVELS: tuple[Level, ...] = ("thinned", "whole", "everything")

JUDGED = ("loss", "correct", "acc", "n", "r2", "loss_logged", "probe_acc", "probe_low", "probe_high")
"""Of each split: what a verdict is read from."""
BESIDE = ("norm_total", "norm_head", "rank_effective")
"""Kept beside it, for figures and spikes."""
DIGITS = 7
"""As many as a float32 has, which losses are computed in."""
END_SHARE = 0.06
"""Every row of the last part of a run is kept: a little more than the twentieth that ``end`` is the mean of."""
AROUND = 2
"""So many rows on both sides of a milestone are kept."""
MOMENTS = ("T_fit", "T_gen", "T_gen_lasting", "T_gen_stable")
PEAKS = ("peak_step", "peak_lasting_step")


@dataclass(frozen=True, eq=False)
class Kept:
    """What is kept of one run: columns (t,) over its kept rows, ``step`` among them, and those that never change."""

    columns: Mapping[str, np.ndarray]
    constants: Mapping[str, float]

    def metrics(self) -> dict[str, np.ndarray]:
        """The columns as a run has them: those that never change at full length, and accuracies from their counts."""
        rows = len(self.columns["step"])
        whole = {**self.columns, **{name: np.full(rows, value) for name, value in self.constants.items()}}
        for name in [n for n in whole if n.endswith("_correct")]:
            front = name.removesuffix("_correct")
            if f"{front}_n" in whole and f"{front}_acc" not in whole:
                whole[f"{front}_acc"] = whole[name] / whole[f"{front}_n"]
        return whole


def keep(
    metrics: Mapping[str, np.ndarray],
    splits: Collection[str],
    named: Collection[str],
    rows: np.ndarray | None,
    level: Level,
) -> Kept:
    """The chosen columns of these rows (all where None). `named` are columns that the study asks for."""
    names = list(metrics) if level == "everything" else _chosen(metrics, splits, named)
    counted = {n.removesuffix("_correct") for n in names if n.endswith("_correct")}
    columns: dict[str, np.ndarray] = {}
    constants: dict[str, float] = {}
    for name in names:
        front = name.removesuffix("_acc")
        if name.endswith("_acc") and front in counted and f"{front}_n" in names:
            continue  # the count over n, and `Kept.metrics` divides again
        values = metrics[name] if rows is None else metrics[name][rows]
        values = values if name == "step" or level == "everything" else _rounded(values)
        if name != "step" and len(values) > 1 and (values == values[0]).all():
            constants[name] = float(values[0])
        else:
            columns[name] = values
    return Kept(columns, constants)


def _chosen(metrics: Mapping[str, np.ndarray], splits: Collection[str], named: Collection[str]) -> list[str]:
    judged = {f"{split}_{end}" for split in splits for end in JUDGED}
    return [name for name in metrics if name == "step" or name in judged or name in BESIDE or name in named]


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.array([float(f"{v:.{DIGITS}g}") for v in values])


def thinned(
    metrics: Mapping[str, np.ndarray],
    verdicts: Mapping[str, VerdictRecord],
    columns: Iterable[str],
    stride: int,
) -> np.ndarray:
    """Indices of every `stride`-th row and of all that a number may hang on: both ends, what surrounds a milestone or a
    peak, rows with a diagnosis, and the lowest and highest value of these columns."""
    step = metrics["step"]
    mask = np.zeros(len(step), dtype=bool)
    mask[::stride] = True
    mask[:AROUND] = True
    mask[step >= step[-1] - END_SHARE * (step[-1] - step[0])] = True
    for at in chain.from_iterable(_decisive(v) for v in verdicts.values()):
        i = int(np.searchsorted(step, at))
        mask[max(i - AROUND, 0) : i + AROUND + 1] = True
    for name in columns:
        values = metrics[name]
        known = np.flatnonzero(~np.isnan(values))
        if 0 < len(known) < len(values):
            mask[known] = True  # a diagnosis
        elif len(known):
            mask[[int(np.argmin(values)), int(np.argmax(values))]] = True
    return np.flatnonzero(mask)


def _decisive(verdict: VerdictRecord) -> list[float]:
    """Steps that a verdict names."""
    moments = [getattr(verdict.milestones, name) for name in MOMENTS]
    steps = [m.at for m in moments if m is not None]
    steps += [m.previous for m in moments if m is not None and m.previous is not None]
    return [*steps, *(s for name in PEAKS if (s := getattr(verdict.milestones, name)) is not None)]


# -- text -------------------------------------------------------------------------------------------------------------


def rows_text(kept: Sequence[Kept | None]) -> str:
    """All runs' rows as CSV: the run's place in the manifest, the step, then every column that any run has; an empty
    cell is a value that the row lacks."""
    names = [n for n in dict.fromkeys(chain.from_iterable(k.columns for k in kept if k is not None)) if n != "step"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["run", "step", *names])
    for index, k in enumerate(kept):
        if k is None:
            continue
        cells = [k.columns.get(name) for name in names]
        for row, step in enumerate(k.columns["step"]):
            writer.writerow([index, int(step), *("" if c is None else _text(c[row]) for c in cells)])
    return out.getvalue()


def _text(value: float) -> str:
    if math.isnan(value):
        return ""
    if value == int(min(max(value, -1e15), 1e15)):
        return str(int(value))
    return repr(float(value))


def read_rows(path: Path) -> dict[int, dict[str, np.ndarray]]:
    """Place in the manifest -> column -> values (t,); columns that a run has nowhere are left out.

    Raises:
        ValueError: naming file and line where a cell is no number.
    """
    try:
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from None
    if not lines or lines[0][:2] != ["run", "step"]:
        raise ValueError(f"{path}: the first line must begin with run,step")
    head = lines[0][2:]
    by_run: dict[int, list[list[float]]] = {}
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(lines[0]):
            raise ValueError(f"{path}, line {number}: {len(line)} cells, and {len(lines[0])} columns")
        by_run.setdefault(int(_number(line[0], path, number)), []).append([_number(c, path, number) for c in line[1:]])
    return {run: _columns(head, np.array(rows)) for run, rows in by_run.items()}


def _columns(head: Sequence[str], rows: np.ndarray) -> dict[str, np.ndarray]:
    known = {name: rows[:, i] for i, name in enumerate(head, 1) if not np.isnan(rows[:, i]).all()}
    return {"step": rows[:, 0].astype(np.int64), **known}


def _number(cell: str, path: Path, line: int) -> float:
    try:
        return float(cell) if cell else math.nan
    except ValueError:
        raise ValueError(f"{path}, line {line}: {cell!r} is not a number") from None


def as_rows(metrics: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """One dict for each row, without what it lacks."""
    out = []
    for i, step in enumerate(metrics["step"]):
        values = {name: float(v[i]) for name, v in metrics.items() if name != "step" and not math.isnan(v[i])}
        out.append({"step": int(step), **values})
    return out
