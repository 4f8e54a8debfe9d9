"""Trajectories from logs that grokscope did not write: a file or a table in memory, and which column means what."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from grokscope.registry import nearest
from grokscope.trajectory.series import DEFAULT_THRESHOLD, FLOAT_TOLERANCE, Kind, Trajectory, r2
from grokscope.trajectory.table import Table, read_table

SOLE = "held_out"
"""Name of the held-out split where the log has one and the caller gave only its column."""


def from_log(
    source: Any,
    *,
    step: str,
    train: str | None = None,
    held_out: str | Mapping[str, str] | None = None,
    train_loss: str | None = None,
    held_out_loss: str | Mapping[str, str] | None = None,
    norm: str | Mapping[str, str] | None = None,
    kind: Kind = "classification",
    n: int | Mapping[str, int] | None = None,
    threshold: float | None = None,
    trivial: float | Mapping[str, float] | None = None,
    trivial_loss: float | Mapping[str, float] | None = None,
    scale: float | Mapping[str, float] = 1.0,
) -> Trajectory:
    """Read a log in which every evaluation is a row.

    Args:
        source: path of a CSV, TSV, JSONL or JSON file; columns; a DataFrame; or a list of rows.
        step: column of the step (or epoch, or tokens: any time that only grows).
        train: column of the train accuracy (R2 in regression; leave out to compute it from `train_loss`).
        held_out: column of the held-out accuracy, or split name -> column for several.
        train_loss: needed for the verdict `diverged` and for loss spikes.
        held_out_loss: like `held_out`; in regression it may stand in its place.
        norm: column of the total weight norm, or group -> column (``total``, ``head``, ...).
        n: examples per split (train included), for the binomial noise band; a plain number means the held-out splits.
            Accuracies within rounding of a count over n become that count.
        threshold: held-out score from which the task counts as generalized; 0.95 (R2: 0.9) if not given.
        trivial: accuracy of the trivial predictor, one number or by split; without it plateaus are measured from 0.
        trivial_loss: regression: loss of the trivial predictor, one number or by split, to turn losses into R2.
        scale: multiplies the accuracies, one number or by split: 0.01 for a log in percent. Never guessed.

    Cells may be blank where a split was not evaluated. ``nan`` in a loss means "not finite"; a loss column that goes
    blank for good is read so too if the accuracy worsened with it, and `Trajectory.notes` says which reading was
    taken.

    Raises:
        ValueError: a missing column (with the nearest name), steps that repeat or go back, an empty log, a cell that is
            not a number, an accuracy outside 0..1; each names row and column.
    """
    table = read_table(source)
    steps = _steps(table, step)
    columns = _named(held_out)
    loss_columns = _named(held_out_loss)
    notes = list(table.notes)
    losses = {s: table.numbers(c) for s, c in {"train": train_loss, **loss_columns}.items() if c is not None}
    if kind == "regression":
        score = _r2_scores(table, train, columns, losses, trivial_loss)
        trivials = dict.fromkeys(score, 0.0)
    else:
        score = _accuracies(table, train, columns, scale)
        trivials = _by_split(trivial, list(score), "trivial")
        if not trivials:
            notes.append("the trivial predictor's accuracy was not given: plateaus are measured from 0")
    held = {s: v for s, v in score.items() if s != "train"}
    counts = _by_split(n, list(held) if isinstance(n, int) else list(score), "n")
    counted = frozenset(s for s, k in counts.items() if kind == "classification" and _snap(score[s], int(k)))
    if "train" in losses:
        losses["train"] = _close_losses(losses["train"], score["train"], steps, notes)
    norms = {g: table.numbers(c) for g, c in _named(norm, sole="total").items()}
    return Trajectory(
        step=steps,
        train=score["train"],
        held_out=held,
        kind=kind,
        n={s: int(k) for s, k in counts.items()},
        train_loss=losses.pop("train", None),
        held_out_loss=losses,
        norm=norms.pop("total", None),
        norm_groups=norms,
        trivial={s: float(v) for s, v in trivials.items()},
        threshold=DEFAULT_THRESHOLD[kind] if threshold is None else threshold,
        counted=counted,
        notes=tuple(notes),
    )


def _named(columns: str | Mapping[str, str] | None, sole: str = SOLE) -> dict[str, str]:
    if columns is None:
        return {}
    return {sole: columns} if isinstance(columns, str) else dict(columns)


def _by_split(given: Any, splits: list[str], what: str) -> dict[str, Any]:
    """One value for all of `splits`, or a mapping whose keys must be splits."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        return dict.fromkeys(splits, given)
    for name in given:
        if name not in splits:
            raise ValueError(f"{what} names {name!r}, which is no split{nearest(name, splits)}")
    return dict(given)


def _steps(table: Table, column: str) -> np.ndarray:
    steps = table.numbers(column)
    for i, (value, row) in enumerate(zip(steps, table.rows, strict=True)):
        if not np.isfinite(value) or value < 0:
            raise ValueError(f"{table.name}: {row}, column {column!r}: a step must be a number >= 0, got {value}")
        if i and value <= steps[i - 1]:
            fault = "repeats" if value == steps[i - 1] else "goes back from"
            raise ValueError(
                f"{table.name}: {row}, column {column!r}: {value:g} {fault} {steps[i - 1]:g}; sort the log by step and "
                "merge rows of the same step (a resumed log may hold some steps twice)"
            )
    return steps.astype(np.int64) if (steps == np.round(steps)).all() else steps


def _accuracies(table: Table, train: str | None, columns: dict[str, str], scale: Any) -> dict[str, np.ndarray]:
    if train is None or not columns:
        raise ValueError("name the columns: train= and held_out= (a column, or split -> column)")
    if "train" in columns:
        raise ValueError("held_out names a split 'train'; give that column as train=")
    every = {"train": train, **columns}
    factors = {**dict.fromkeys(every, 1.0), **_by_split(scale, list(every), "scale")}
    return {s: _accuracy(table, c, float(factors[s])) for s, c in every.items()}


def _accuracy(table: Table, column: str, scale: float) -> np.ndarray:
    values = table.numbers(column)
    values[np.isinf(values)] = np.nan  # an accuracy that is not a number is no evaluation
    for value, row in zip(values * scale, table.rows, strict=True):
        if value > 1 + FLOAT_TOLERANCE or value < 0:
            remedy = "; if this log is in percent, pass scale=0.01" if scale == 1 and 1 < value <= 100 else ""
            raise ValueError(f"{table.name}: {row}, column {column!r}: {value:g} is not an accuracy in 0..1{remedy}")
    if scale < 1 and np.nanmax(values, initial=0.0) <= 1 and np.nanmax(values, initial=0.0) > 0:
        raise ValueError(
            f"{table.name}: column {column!r} already lies in 0..1 (largest {np.nanmax(values):g}); "
            f"leave out scale={scale:g} for it"
        )
    return values * scale


def _r2_scores(
    table: Table, train: str | None, columns: dict[str, str], losses: dict[str, np.ndarray], trivial_loss: Any
) -> dict[str, np.ndarray]:
    every = {**({"train": train} if train else {}), **columns}
    score = {s: np.where(np.isinf(v := table.numbers(c)), -np.inf, v) for s, c in every.items()}
    wanted = [s for s in losses if s not in score]
    baselines = _by_split(
        trivial_loss, wanted if not isinstance(trivial_loss, Mapping) else list(losses), "trivial_loss"
    )
    for s in wanted:
        if s not in baselines:
            raise ValueError(
                f"to turn the loss of {s!r} into R2, give trivial_loss: the loss of predicting the mean target"
            )
        score[s] = r2(losses[s], float(baselines[s]))
    if "train" not in score or len(score) < 2:
        raise ValueError(
            "name the columns: train= and held_out= hold R2, or train_loss= and held_out_loss= with trivial_loss="
        )
    return score


def _snap(values: np.ndarray, n: int) -> bool:
    """Replace accuracies by the count over n that they round, in place; False if some are no such count."""
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    counts = np.round(values * n)
    if (np.abs(values * n - counts) > max(1e-3, FLOAT_TOLERANCE * n)).any() or FLOAT_TOLERANCE * n > 0.4:
        return False
    values[:] = counts / n
    return True


def _close_losses(loss: np.ndarray, score: np.ndarray, steps: np.ndarray, notes: list[str]) -> np.ndarray:
    """Decide what it means when a train loss logged at every evaluation goes blank for good: many loggers write a NaN
    loss as a blank. It is read as divergence only if the score fell with it; the note says which reading was
    taken."""
    evaluated = np.flatnonzero(~np.isnan(score))
    blank = np.isnan(loss[evaluated])
    count = int(blank.sum())
    if not 0 < count < len(blank) or not blank[-count:].all():
        return loss
    gone = evaluated[-count:]
    fell = bool((score[gone] < score[evaluated[-count - 1]]).all())
    reading = (
        "not finite (the score fell with it)" if fell else "not logged; if it was NaN there, write nan in those cells"
    )
    notes.append(f"train loss is blank from step {steps[gone[0]]} to the end: read as {reading}")
    if fell:
        loss = loss.copy()
        loss[gone] = np.inf
    return loss
