"""Collapses of the train score after the fit: repeated or permanent."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from grokscope.trajectory.criteria import Criteria
from grokscope.trajectory.curves import stretches, time_weights
from grokscope.trajectory.milestones import Milestones
from grokscope.trajectory.series import Curve

Instability = Literal["cyclic", "lasting"]


@dataclass(frozen=True, kw_only=True)
class Collapses:
    collapses: int
    """Separate collapses of the train score after T_fit."""
    collapse_share: float
    """Share of the time since T_fit in which it is collapsed; each evaluation stands for the steps since the one
    before."""
    collapse_level: float
    """The train score is collapsed below this."""
    collapsed_from: float | None
    """Start of the collapse that lasts to the end; None if it does not end collapsed."""
    held_share: float | None
    """Share of the time since the lasting T_gen that held-out was at the threshold."""
    instability: Instability | None


def collapses(
    train: Curve, held: Curve, marks: Milestones, fit: float, trivial: float, criteria: Criteria
) -> Collapses:
    """Read the collapses; `fit` is the fit threshold, `trivial` the train score of the trivial predictor.

    Repeated ones are excused where held-out stayed at the threshold through them: slingshots of a run that groks."""
    # The majority per group can be perfect on train: then there is no range above it, and 0 is the floor.
    floor = trivial if trivial < fit else 0.0
    depth = criteria.collapse_depth * (fit - floor)
    after = train.step >= marks.T_fit.at if not marks.T_fit.censored else np.zeros(len(train), dtype=bool)
    step, value = train.step[after], train.value[after]
    low = value < fit - depth
    count = _separate(low, value >= fit - depth / 2)
    share = _time_share(step, low)
    collapsed_from = _open_collapse(step, value, low, fit - depth, train, criteria)
    kept = _held_share(held, marks)
    repeated = count >= criteria.collapses and share >= criteria.collapse_share
    for_good = low.sum() >= criteria.dwell and (share > criteria.lasting_share or collapsed_from is not None)
    instability = None
    if repeated and share <= criteria.lasting_share and not _long(collapsed_from, step):
        excused = not marks.T_gen_stable.censored and kept is not None and kept >= criteria.kept_share
        instability = None if excused else "cyclic"
    elif for_good:
        instability = "lasting"
    return Collapses(
        collapses=count,
        collapse_share=share,
        collapse_level=fit - depth,
        collapsed_from=collapsed_from,
        held_share=kept,
        instability=instability,
    )


def _held_share(held: Curve, marks: Milestones) -> float | None:
    """Share of the time since held-out generalized in which it was at the threshold; None where it never did."""
    gen = marks.T_gen_lasting
    if gen.censored:
        return None
    since = held.step >= gen.at
    return float(time_weights(held.step[since], gen.at) @ held.reaches(marks.threshold)[since])


def _time_share(step: np.ndarray, low: np.ndarray) -> float:
    """Share of the time in which the score is low; each evaluation stands for half the stretch to each neighbor."""
    if len(step) < 2:
        return float(low.all()) if len(step) else 0.0
    around = np.diff(step) / 2
    weights = np.append(around, 0.0) + np.append(0.0, around)
    return float(weights[low].sum() / weights.sum())


def _separate(low: np.ndarray, back: np.ndarray) -> int:
    """Falls below the collapse level; between two the score must have been `back`, so that a fall which rattles around
    the level counts once."""
    down, count = False, 0
    for is_low, is_back in zip(low, back, strict=True):
        count += bool(is_low and not down)
        down = bool(is_low or (down and not is_back))
    return count


def _open_collapse(
    step: np.ndarray, value: np.ndarray, low: np.ndarray, level: float, train: Curve, criteria: Criteria
) -> float | None:
    """Since when the score has been collapsed up to the end: for `dwell` evaluations or more, and on average over the
    end of the run, so that a few dense rows decide nothing."""
    runs = stretches(low, criteria.dwell)
    if not runs or not runs[-1].open or runs[-1].count < criteria.dwell:
        return None
    last = train.step[-1].item()
    ending = time_weights(step, last - criteria.end_share * (last - train.step[0].item()))
    if ending @ value < level:
        return step[runs[-1].start].item()
    return None


def _long(collapsed_from: float | None, step: np.ndarray) -> bool:
    """Whether the last collapse fills a quarter of the time since the fit."""
    return collapsed_from is not None and step[-1] - collapsed_from >= 0.25 * (step[-1] - step[0])
