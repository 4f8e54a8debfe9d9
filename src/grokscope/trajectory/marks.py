"""Thresholds for fitted and generalized: a minimum score, or a maximum loss."""

from dataclasses import dataclass

import numpy as np

from grokscope.registry import nearest
from grokscope.trajectory.criteria import Criteria
from grokscope.trajectory.series import Curve, Trajectory


@dataclass(frozen=True)
class Mark:
    """One curve against what it has to reach."""

    curve: Curve
    """The evaluations that decide: scores, or losses with their sign turned."""
    holds: np.ndarray
    """(t,) bool: reached at this evaluation."""
    score: float
    """The same level as a score: that of the criteria, or the R2 of the loss that is asked for."""


def mark(trajectory: Trajectory, split: str, criteria: Criteria) -> Mark:
    """What `train` or a held-out split has to reach, and where it does.

    Raises:
        ValueError: a loss is asked for and none was recorded.
    """
    fit, generalize = criteria.thresholds(trajectory)
    score = fit if split == "train" else generalize
    loss = criteria.fit_loss if split == "train" else criteria.generalize_loss
    curve = trajectory.curve(split)
    if loss is None:
        return Mark(curve, curve.reaches(score), score)
    losses = _losses(trajectory, split)
    if trajectory.kind == "regression":
        score = 1 - loss / trivial_loss(trajectory, split)
    return Mark(losses, losses.reaches(-loss), score)


def _losses(trajectory: Trajectory, split: str) -> Curve:
    """The losses of a split with their sign turned, so that more is better."""
    values = trajectory.train_loss if split == "train" else trajectory.held_out_loss.get(split)
    if values is None or np.isnan(values).all():
        key = "fit_loss" if split == "train" else "generalize_loss"
        have = [s for s, v in {"train": trajectory.train_loss, **trajectory.held_out_loss}.items() if v is not None]
        raise ValueError(f"criteria.{key}: no loss of {split} was recorded{nearest(split, have) if have else ''}")
    logged = ~np.isnan(values)
    return Curve(trajectory.step[logged], -values[logged], slack=0.0)


def trivial_loss(trajectory: Trajectory, split: str) -> float:
    """Of a regression: the trivial predictor's loss, which R2 was made with. NaN where no evaluation tells."""
    scores = trajectory.train if split == "train" else trajectory.held_out[split]
    losses = trajectory.train_loss if split == "train" else trajectory.held_out_loss.get(split)
    if losses is None:
        return float("nan")
    share = 1 - scores  # of the trivial loss that is left: the largest one tells it most exactly
    known = np.isfinite(share) & np.isfinite(losses) & (share > 0)
    if not known.any():
        return float("nan")
    row = np.flatnonzero(known)[np.argmax(share[known])]
    return float(losses[row] / share[row])
