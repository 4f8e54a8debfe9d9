"""Trajectories from external logs: a file or a table in memory, with a column mapping."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from grokscope.config import is_whole
from grokscope.fit_rule import USUAL_THRESHOLD, Kind
from grokscope.registry import nearest
from grokscope.trajectory.logs.guess import suggest, unnamed
from grokscope.trajectory.logs.joining import read_joined
from grokscope.trajectory.logs.reading import is_several, read_table
from grokscope.trajectory.logs.steps import Log, in_order
from grokscope.trajectory.series import FLOAT_TOLERANCE, MEASURED, Trajectory, r2
from grokscope.vocabulary.time_units import time_unit_of

SOLE = "held_out"
"""Name of the held-out split where the log has one and the caller gave only its column."""


def from_log(
    source: Any,
    *,
    step: str | None = None,
    train: str | None = None,
    held_out: str | Mapping[str, str] | None = None,
    train_loss: str | None = None,
    held_out_loss: str | Mapping[str, str] | None = None,
    norm: str | Mapping[str, str] | None = None,
    norm_squared: bool | None = None,
    measured: Mapping[str, str] | None = None,
    kind: Kind = "classification",
    n: int | Mapping[str, int] | None = None,
    threshold: float | None = None,
    trivial: float | Mapping[str, float] | None = None,
    trivial_loss: float | Mapping[str, float] | None = None,
    scale: float | Mapping[str, float] = 1.0,
    repeated: str = "error",
    part: str | None = None,
    max_mb: float | None = None,
) -> Trajectory:
    """Read a log in which every evaluation is a row, or a few rows of one step that complete each other.

    Args:
        source: path of a CSV, TSV, JSONL or JSON file (gzipped or not); several paths, to be joined by step, for
            TensorBoard and W&B export a file for each chart (a column that several of them have is called
            ``FILE:COLUMN``); columns; a DataFrame; a list of rows; or an object with a `history` or `log_history`.
        step: column of the step (or epoch, or tokens: any time that only grows). In a log without one the rows are
            numbered from 1.
        train: column of the train accuracy (R2 in regression; leave out to compute it from `train_loss`).
        held_out: column of the held-out accuracy, or split name -> column for several.
        train_loss: needed for the verdict `diverged` and for loss spikes.
        held_out_loss: like `held_out`; in regression it may stand in its place.
        norm: column of the total weight norm, or group -> column (``total``, ``head``, ...).
        norm_squared: whether these columns hold squares of norms, of which the root is then taken. Must be said where a
            column's name suggests it (``weight_norm_sq``, ``l2_squared``); otherwise they are taken as norms.
        measured: other columns for mechanism checks, by the name that grokscope gives them: ``{"rank_effective":
            "rank", "train_irm": "penalty"}``.
        n: examples per split (train included), for the binomial noise band; a plain number means the held-out splits.
            Accuracies within rounding of a count over n become that count.
        threshold: held-out score from which the task counts as generalized; 0.95 (R2: 0.9) if not given.
        trivial: accuracy of the trivial predictor, one number or by split; without it plateaus are measured from 0.
        trivial_loss: regression: loss of the trivial predictor, one number or by split, to turn losses into R2.
        scale: multiplies the accuracies, one number for all or by split: 0.01 for a log in percent. Never guessed.
        repeated: where steps go back or rows of one step contradict each other: ``error``, or ``last`` for a resumed
            log: what stands later replaces what was logged from that step on.
        part: which part of nested data is the log (``history``), where several could be; or which run of a W&B export.
        max_mb: largest file that is read, in megabytes (512).

    Cells may be blank where a split was not evaluated. ``nan`` in a loss means "not finite"; a loss column that goes
    blank for good is read so too if the accuracy worsened with it, and `Trajectory.notes` says which reading was
    taken, and which lines were left out.

    Raises:
        ValueError: a missing column (with the nearest name), steps that repeat or go back, an empty log, a cell that is
            not a number, an accuracy outside 0..1; each names row and column.
    """
    columns = _Columns(
        train=train,
        held_out=_named(held_out),
        train_loss=train_loss,
        held_out_loss=_named(held_out_loss),
        norms=_named(norm, sole="total"),
        measured=_known_measures(measured or {}),
    )
    if not columns.asked:
        raise ValueError(unnamed(source, part=part, max_mb=max_mb))
    columns.require_distinct()
    log = _read(source, step, columns.asked, repeated, part, max_mb)
    notes = list(log.notes)
    losses = {split: log.values(column) for split, column in columns.losses.items()}
    if kind == "regression":
        _require_unset("regression", scale=(scale, 1.0), trivial=(trivial, None))
        score = _r2_scores(log, columns, losses, trivial_loss)
    else:
        _require_unset("classification", trivial_loss=(trivial_loss, None))
        score = _accuracies(log, columns, scale)
    baselines = _baselines(kind, list(score), trivial, notes)
    held = {split: values for split, values in score.items() if split != "train"}
    sizes = {split: int(k) for split, k in _by_split(n, list(held) if is_whole(n) else list(score), "n").items()}
    counted = _snapped(score, sizes) if kind == "classification" else frozenset[str]()
    if "train" in losses:
        losses["train"] = _close_losses(losses["train"], score["train"], log.steps, notes)
    norms = {group: _norm(log, column, norm_squared) for group, column in columns.norms.items()}
    return Trajectory(
        step=log.steps,
        train=score["train"],
        held_out=held,
        kind=kind,
        n=dict(sizes),
        train_loss=losses.pop("train", None),
        held_out_loss=losses,
        norm=norms.pop("total", None),
        norm_groups=norms,
        measured={name: _finite(log.values(column)) for name, column in columns.measured.items()},
        trivial=baselines,
        threshold=USUAL_THRESHOLD[kind] if threshold is None else threshold,
        counted=counted,
        notes=tuple(notes),
        time_unit=time_unit_of(step),
    )


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """Which column of a log means what: by split, by group of weights, by measured quantity."""

    train: str | None
    held_out: dict[str, str]
    train_loss: str | None
    held_out_loss: dict[str, str]
    norms: dict[str, str]
    measured: dict[str, str]

    @property
    def scores(self) -> dict[str, str]:
        return ({} if self.train is None else {"train": self.train}) | self.held_out

    @property
    def losses(self) -> dict[str, str]:
        return ({} if self.train_loss is None else {"train": self.train_loss}) | self.held_out_loss

    @property
    def asked(self) -> list[str]:
        """Every column that must be in the log."""
        return [c for means in (self.scores, self.losses, self.norms, self.measured) for c in means.values()]

    def require_distinct(self) -> None:
        """Raises ValueError where one split, or one column, is to be both train and held-out."""
        pairs = (("train", "held_out", self.held_out), ("train_loss", "held_out_loss", self.held_out_loss))
        for train, held_out, columns in pairs:
            if "train" in columns:
                raise ValueError(f"{held_out} names a split 'train'; give that column as {train}=")
            for split, column in columns.items():
                if column == getattr(self, train):
                    raise ValueError(
                        f"{train} and {held_out} ({split}) are the same column {column!r}; name another one"
                    )


_SQUARED = re.compile(r"(sq|sqr|square|squared|sumsq|norm2|l2sq)", re.IGNORECASE)
_WORDS = re.compile(r"[^A-Za-z0-9]+")


def _norm(log: Log, column: str, squared: bool | None) -> np.ndarray:
    """The norms in a column (t,), from their squares where it holds those. Raises ValueError for a negative one, and
    where the name speaks of squares and nobody said whether it does."""
    if squared is None and any(_SQUARED.fullmatch(word) for word in _WORDS.split(column)):
        raise ValueError(
            f"{log.name}: column {column!r} may be a squared norm: pass norm_squared=True if it is, "
            f"norm_squared=False if not"
        )
    values = log.values(column)
    if (values < 0).any():
        row = int(np.argmax(values < 0))
        raise ValueError(f"{log.name}: {log.rows[row]}, column {column!r}: {values[row]:g} is not a norm")
    return np.sqrt(values) if squared else values


def _read(
    source: Any, step: str | None, asked: Iterable[str], repeated: str, part: str | None, max_mb: float | None
) -> Log:
    if is_several(source) and len(source) > 1:
        return read_joined(source, step, asked, part=part, max_mb=max_mb, repeated=repeated)
    if is_several(source):
        source = source[0]
    wanted = [*([] if step is None else [step]), *asked]
    table = read_table(source, wanted, part=part, max_mb=max_mb)
    if step is None and (there := suggest(table.names).step) is not None:
        raise ValueError(f"{table.name}: name the column of the step; did you mean step={there!r}?")
    return in_order(table, step, asked, repeated)


def _require_unset(kind: str, **options: tuple[Any, Any]) -> None:
    for name, (given, default) in options.items():
        if given != default:
            raise ValueError(f"{name} does not apply to {kind}; omit it")


def _known_measures(measured: Mapping[str, str]) -> dict[str, str]:
    for name in measured:
        if name not in MEASURED:
            raise ValueError(f"measured: unknown name {name!r}{nearest(name, sorted(MEASURED))}")
    return dict(measured)


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)


def _named(columns: str | Mapping[str, str] | None, sole: str = SOLE) -> dict[str, str]:
    if columns is None:
        return {}
    if isinstance(columns, str):
        return {sole: columns}
    return dict(columns)


def _by_split(given: Any, splits: list[str], what: str) -> dict[str, Any]:
    """One value for all of `splits`, or a mapping whose keys must be splits."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        return dict.fromkeys(splits, given)
    for name in given:
        if name not in splits:
            raise ValueError(f"{what} names {name!r}, which is not a split{nearest(name, splits)}")
    return dict(given)


def _accuracies(log: Log, columns: _Columns, scale: Any) -> dict[str, np.ndarray]:
    if columns.train is None or not columns.held_out:
        raise ValueError("name the columns: train= and held_out= (a column, or split -> column)")
    every = columns.scores
    factors = {**dict.fromkeys(every, 1.0), **_by_split(scale, list(every), "scale")}
    _check_scale(log, every, factors)
    return {s: _accuracy(log, c, float(factors[s])) for s, c in every.items()}


def _check_scale(log: Log, every: dict[str, str], factors: dict[str, float]) -> None:
    """Raises ValueError where all columns that are to be scaled down lie in 0..1 already. One of them may: in percent,
    a network that only memorized can stay below 1."""
    scaled = {s: log.columns[every[s]] for s, factor in factors.items() if factor < 1}
    largest = max((_largest(values) for values in scaled.values()), default=np.inf)
    if 0 < largest <= 1:
        names = " and ".join(repr(every[s]) for s in scaled)
        raise ValueError(f"{log.name}: {names}: every value is already in 0..1 (largest {largest:g}); omit scale")


def _largest(values: np.ndarray) -> float:
    return float(np.max(values, initial=0.0, where=np.isfinite(values)))


def _accuracy(log: Log, column: str, scale: float) -> np.ndarray:
    values = log.values(column)
    values[np.isinf(values)] = np.nan  # an accuracy that is not a number is no evaluation
    for row in np.flatnonzero((values * scale > 1 + FLOAT_TOLERANCE) | (values < 0)):
        value = values[row] * scale
        words = f"{log.name}: {log.rows[row]}, column {column!r}: {value:g} is not an accuracy in 0..1"
        if scale == 1 and 1 < value <= 100:
            words += "; if this log is in percent, pass scale=0.01 for all columns"
        raise ValueError(words)
    return values * scale


def _baselines(
    kind: Kind, splits: list[str], trivial: float | Mapping[str, float] | None, notes: list[str]
) -> dict[str, float]:
    """Score of the trivial predictor on each split, where it is known; a note where it is not."""
    if kind == "regression":
        return dict.fromkeys(splits, 0.0)  # predicting the mean has an R2 of 0
    given = {split: float(value) for split, value in _by_split(trivial, splits, "trivial").items()}
    if not given:
        notes.append("the trivial predictor's accuracy was not given: plateaus are measured from 0")
    return given


def _r2_scores(log: Log, columns: _Columns, losses: dict[str, np.ndarray], trivial_loss: Any) -> dict[str, np.ndarray]:
    score = {split: log.values(column) for split, column in columns.scores.items()}
    for values in score.values():
        values[np.isinf(values)] = -np.inf  # an infinite R2 of either sign comes from an infinite loss
    wanted = [s for s in losses if s not in score]
    baselines = _by_split(trivial_loss, list(losses) if isinstance(trivial_loss, Mapping) else wanted, "trivial_loss")
    for s in wanted:
        if s not in baselines:
            raise ValueError(
                f"to turn the loss of {s!r} into R2, give trivial_loss=LOSS, the loss of predicting the mean target"
            )
        score[s] = r2(losses[s], float(baselines[s]))
    if "train" not in score or len(score) < 2:
        raise ValueError(
            "name the columns: train= and held_out= hold R2, or train_loss= and held_out_loss= with trivial_loss="
        )
    return score


def _snapped(score: dict[str, np.ndarray], sizes: Mapping[str, int]) -> frozenset[str]:
    """The splits whose accuracies are counts over n, which they then become: their noise is binomial, and the verdict
    need not estimate it."""
    return frozenset(split for split, n in sizes.items() if _snap(score[split], n))


def _snap(values: np.ndarray, n: int) -> bool:
    """Replace accuracies by the count over n that they round, in place; False if some are no such count."""
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    counts = np.round(values * n)
    tolerance = FLOAT_TOLERANCE * n
    if tolerance > 0.4:  # of so many examples every accuracy would pass for a count
        return False
    if (np.abs(values * n - counts) > max(1e-3, tolerance)).any():
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
    blank_from = f"train loss is blank from step {steps[gone[0]]} to the end: read as"
    if not fell:
        notes.append(f"{blank_from} not logged; if it was NaN there, write nan in those cells")
        return loss
    notes.append(f"{blank_from} not finite (the score fell with it)")
    loss = loss.copy()
    loss[gone] = np.inf
    return loss
