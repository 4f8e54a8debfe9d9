"""Replay early stopping on a recorded trajectory.

A patience rule is the one of Keras and Lightning: an evaluation that is not better than the best so far (by more than
`min_delta`) is waited through, and training stops when it has waited so long. What a rule cannot show is what happens
between two evaluations: on a coarser grid the same patience in evaluations is a longer one in steps.
"""

from dataclasses import dataclass

import numpy as np

from grokscope.registry import nearest
from grokscope.results.stopping import StopRule
from grokscope.trajectory.series import Trajectory
from grokscope.vocabulary.splits import TRAIN


@dataclass(frozen=True, eq=False)
class Watched:
    """A column at its own evaluations: step (t,), value (t,), larger is better; losses have their sign turned."""

    step: np.ndarray
    value: np.ndarray
    is_loss: bool
    slack: float = 0.0
    """How far below a level a score may lie and still reach it."""


def watchable(trajectory: Trajectory) -> list[str]:
    """Columns that a rule can watch on this trajectory: the loss and the score of each split that has one."""
    ending = "_acc" if trajectory.kind == "classification" else "_r2"
    losses = {TRAIN: trajectory.train_loss, **trajectory.held_out_loss}
    columns = []
    for split in (TRAIN, *trajectory.splits):
        loss = losses.get(split)
        if loss is not None and not np.isnan(loss).all():
            columns.append(f"{split}_loss")
        if trajectory.evaluated(split):
            columns.append(f"{split}{ending}")
    return columns


def watched(trajectory: Trajectory, column: str) -> Watched:
    """The column that a rule watches.

    Raises:
        ValueError: the trajectory has no such column; the nearest is named.
    """
    known = watchable(trajectory)
    if column not in known:
        raise ValueError(f"no column {column!r} to monitor{nearest(column, known)}; there are {', '.join(known)}")
    split, _, ending = column.rpartition("_")
    if ending != "loss":
        curve = trajectory.curve(split)
        return Watched(curve.step, curve.value, False, curve.slack)
    loss = trajectory.train_loss if split == TRAIN else trajectory.held_out_loss[split]
    assert loss is not None
    logged = ~np.isnan(loss)
    return Watched(trajectory.step[logged], -loss[logged], True)


@dataclass(frozen=True, eq=False)
class Waits:
    """How long each evaluation (t,) has waited for an improvement, in evaluations and in steps."""

    step: np.ndarray
    evaluations: np.ndarray
    steps: np.ndarray


def waits(column: Watched, min_delta: float = 0.0) -> Waits:
    """The wait at each evaluation since the best one so far; 0 at an improvement. The first evaluation is one."""
    rows = np.arange(len(column.step))
    best = np.maximum.accumulate(np.where(_improves(column.value, min_delta), rows, 0))
    return Waits(column.step, rows - best, column.step - column.step[best])


def _improves(value: np.ndarray, min_delta: float) -> np.ndarray:
    """(t,) bool: better than the best so far by more than `min_delta`. The best moves at improvements only, so that a
    slow climb counts once it has added up."""
    if min_delta == 0:
        before = np.maximum.accumulate(np.concatenate([[-np.inf], value[:-1]]))
        return value > before
    improves = np.zeros(len(value), dtype=bool)
    best = -np.inf
    for row, now in enumerate(value):
        if now > best + min_delta:
            improves[row], best = True, now
    return improves


def stop_step(trajectory: Trajectory, rule: StopRule) -> float | None:
    """The evaluation at which a rule would have stopped; None: never within the log.

    A threshold's steps afterward end at the first evaluation of anything that lies as far: nothing is known between.

    Raises:
        ValueError: the trajectory lacks the column.
    """
    column = watched(trajectory, rule.on)
    if rule.kind == "threshold":
        assert rule.level is not None
        level = -rule.level if column.is_loss else rule.level
        hit = first_step(column.step, column.value >= level - column.slack)
        if hit is None:
            return None
        return first_step(trajectory.step, trajectory.step >= hit + rule.then)
    waited = waits(column, rule.min_delta)
    how_long = waited.steps if rule.unit == "steps" else waited.evaluations
    return first_step(waited.step, how_long >= rule.patience)


def first_step(step: np.ndarray, holds: np.ndarray) -> float | None:
    """The first of the steps (t,) at which a condition (t,) holds; None where it never does."""
    if not holds.any():
        return None
    return step[int(np.argmax(holds))].item()


def longest_wait(trajectory: Trajectory, column: str, min_delta: float, until: float) -> tuple[int, float]:
    """(evaluations, steps) of the longest wait at evaluations before the step `until`: a patience must be longer."""
    waited = waits(watched(trajectory, column), min_delta)
    before = waited.step < until
    if not before.any():
        return 0, 0
    return int(waited.evaluations[before].max()), waited.steps[before].max().item()
