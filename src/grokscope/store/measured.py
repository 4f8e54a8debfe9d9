"""Measurements of a run's checkpoints after the run, in separate files next to the unchanged metrics. Code that reads a
run's columns gets both."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from grokscope.files import plain_file
from grokscope.results.measured import FOLDER, Measured


def measured_file(run: Path, name: str) -> Path:
    """Where the values of a measurement lie in a run's folder. Raises ValueError where a link or anything but a file
    lies there: who writes would write somewhere else."""
    return plain_file(run, f"{FOLDER}/{name}.json")


def measured_of(run: Path) -> list[Measured]:
    """Everything that was measured of a run's checkpoints, by name. A file that cannot be read is left out, with a
    warning."""
    out = []
    for path in sorted((run / FOLDER).glob("*.json")):
        try:
            out.append(Measured.read(plain_file(run, f"{FOLDER}/{path.name}")))
        except ValueError as error:
            warnings.warn(f"{error}; excluded: measure it again", stacklevel=2)
    return out


def measured_rows(run: Path) -> dict[int, dict[str, float]]:
    """Step -> column -> value, of all measurements, in order of step."""
    rows: dict[int, dict[str, float]] = {}
    for measured in measured_of(run):
        for checkpoint in measured.checkpoints:
            rows.setdefault(checkpoint.step, {}).update(checkpoint.values)
    return dict(sorted(rows.items()))


def with_measured(run: Path, table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns of a run's metrics (t,) with what was measured later, at the steps that were evaluated.

    Where a row of the run has the value already, it stays. A checkpoint between two evaluations has no row here: what
    was measured of it is in SQL's view `measured`.
    """
    rows = measured_rows(run)
    steps = table.get("step", np.zeros(0)).tolist()
    out = dict(table)
    for column in dict.fromkeys(name for step in steps for name in rows.get(step, ())):
        later = np.array([rows.get(step, {}).get(column, np.nan) for step in steps], dtype=np.float64)
        before = out.get(column)
        out[column] = later if before is None else np.where(np.isnan(before), later, before)
    return out


def measured_summary(run: Path) -> list[dict[str, Any]]:
    """For each measurement its name, how many checkpoints, the first and the last of them, columns, and what it does
    not say and why."""
    return [_summary(measured) for measured in measured_of(run)]


def _summary(measured: Measured) -> dict[str, Any]:
    steps = [checkpoint.step for checkpoint in measured.checkpoints]
    return {
        "measurement": measured.measurement,
        "parameters": measured.parameters,
        "checkpoints": len(steps),
        "first_step": min(steps, default=None),
        "last_step": max(steps, default=None),
        "columns": list(measured.columns),
        "reasons": measured.reasons,
    }
