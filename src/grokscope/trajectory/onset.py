"""Start of event detection: when train is fitted, or the initial descent has ended in a plateau.

Every training begins with the steepest rise of its life. Looked for over the whole curve, the transition of a log whose
held-out loss falls from 13 to 3 in a hundred epochs, rests for seven hundred and then drops to 1.3 is the first of the
two. What is of interest comes after `judged_from`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from grokscope.trajectory.criteria import Criteria
from grokscope.trajectory.curves import roughness, running_median
from grokscope.trajectory.milestones import milestones
from grokscope.trajectory.series import Curve, Trajectory

SETTLED = 0.8
"""Share of its whole improvement that the train score must have made for its first descent to be over."""
ARRIVED = 0.01
"""Share of the trivial predictor's loss below which a regression has arrived: an R2 of .99. Log losses go on falling
for ever, and would make of every late decimal a transition."""
CANDIDATE = 1.02
"""A plateau's begin is looked for at every evaluation of a short log, and at steps this far apart in a long one."""


@dataclass(frozen=True)
class Course:
    """A held-out curve in the unit in which its rises are compared: accuracy, or in regression the logarithm of the
    trivial predictor's loss over the loss, ``-log(1 - R2)``, up to 4.6 (R2 .99)."""

    step: np.ndarray
    """(t,)"""
    level: np.ndarray
    """(t,)"""
    band: float
    """Differences up to this are noise."""
    way: float
    """From the trivial predictor to the threshold."""


def course(trajectory: Trajectory, split: str, criteria: Criteria) -> Course:
    """Raises ValueError where the split was never evaluated."""
    curve, marks = trajectory.curve(split), milestones(trajectory, split, criteria)
    if trajectory.kind == "classification":
        return Course(curve.step, curve.value, marks.noise.band, marks.threshold - trajectory.trivial.get(split, 0.0))
    level = -np.log(np.maximum(1 - curve.value, ARRIVED))
    band = criteria.noise_sigmas * np.sqrt(0.45 + 1 / 5) * (roughness(level) or 0.0)
    return Course(curve.step, level, float(band), float(-np.log(max(1 - marks.threshold, ARRIVED))))


def judged_from(trajectory: Trajectory, split: str | None = None, criteria: Criteria | None = None) -> float | None:
    """The step from which events are judged: `T_fit` or the begin of the plateau, whichever is first. None where train
    never fitted and held-out never rested: the log shows a first descent and nothing else. Nor can it be known where
    one of the two has no scores.

    Misleads where train fits at once and held-out rises a little later: the end of that rise is judged, too.
    """
    criteria = criteria or Criteria()
    split = trajectory.split(split)
    if not (scored(trajectory.train) and scored(trajectory.held_out[split])):
        return None
    key = (judged_from, split, criteria)
    if key not in trajectory.known:  # every kind of event asks for it
        trajectory.known[key] = _judged_from(trajectory, split, criteria)
    return trajectory.known[key]


def _judged_from(trajectory: Trajectory, split: str, criteria: Criteria) -> float | None:
    fit = milestones(trajectory, split, criteria).T_fit
    steps = [] if fit.censored else [fit.at]
    plateau = plateau_from(trajectory, split, criteria)
    return min([*steps, *([] if plateau is None else [plateau])], default=None)


def first_judged(trajectory: Trajectory, criteria: Criteria) -> float | None:
    """The earliest `judged_from` of the held-out splits: from there on the train loss is judged."""
    starts = [judged_from(trajectory, s, criteria) for s in trajectory.splits]
    return min((s for s in starts if s is not None), default=None)


def scored(values: np.ndarray) -> bool:
    """Whether a curve (t,) was evaluated at all."""
    return not np.isnan(values).all()


def plateau_from(trajectory: Trajectory, split: str, criteria: Criteria) -> float | None:
    """Where held-out, with the first descent of train over, stopped rising for as long as it had taken to get there.

    It is the first evaluation at step s, with train beyond `SETTLED` of its improvement, over which the curve does not
    lastingly rise by more than noise and `drop_share` of the chance-corrected range up to step 2 s (and for
    `spike_window` evaluations). None where there is none within the log.
    """
    held = course(trajectory, split, criteria)
    smooth = running_median(held.level)
    kept = kept_level(smooth, criteria.dwell)
    slack = max(held.band, criteria.drop_share * held.way)
    twice_as_far = np.searchsorted(held.step, 2 * held.step, side="right").tolist()
    inside = int(np.searchsorted(2 * held.step, held.step[-1], side="right"))  # rows whose double lies in the log
    for row in _candidates(held.step, settled(trajectory.curve("train"))):
        until = max(twice_as_far[row], row + 1 + criteria.spike_window)
        if until > len(held.step) or row >= inside:
            return None
        if kept[row + 1 : until].max() - smooth[row] <= slack:
            return held.step[row].item()
    return None


def settled(train: Curve) -> float:
    """The step at which the train score had made `SETTLED` of its improvement."""
    begin, best = train.value[0], train.value.max()
    return train.step[np.argmax(train.value >= begin + SETTLED * (best - begin))].item()


def kept_level(values: np.ndarray, rows: int) -> np.ndarray:
    """The lowest of each value and the rows - 1 after it (fewer at the end)."""
    lowest = values.copy()
    for ahead in range(1, min(rows, len(values))):
        np.minimum(lowest[:-ahead], values[ahead:], out=lowest[:-ahead])
    return lowest


def _candidates(step: np.ndarray, since: float) -> Iterator[int]:
    """Rows from `since` on, neighbors at least `CANDIDATE` apart in their steps."""
    apart = np.searchsorted(step, step * CANDIDATE).tolist()
    row = int(np.searchsorted(step, since))
    while row < len(step):
        yield row
        row = max(row + 1, apart[row])
