"""Logs that cannot be judged: they get their milestones and a reason, but no verdict."""

import numpy as np

from grokscope.trajectory.criteria import Criteria
from grokscope.trajectory.marks import trivial_loss
from grokscope.trajectory.milestones import Milestones
from grokscope.trajectory.series import Trajectory
from grokscope.vocabulary.text import whole

FEW = 3
"""Equal evaluations below this number may be chance."""


def never_measured(trajectory: Trajectory, split: str) -> str | None:
    """Why nothing can be read off this split: train or the split itself was never evaluated; None where both were."""
    for name in ("train", split):
        if not trajectory.evaluated(name):
            try:
                trajectory.curve(name)
            except ValueError as error:
                return str(error)
    return None


def worthless_loss(trajectory: Trajectory, split: str, marks: Milestones, criteria: Criteria) -> str | None:
    """Why a loss that was asked for shows no generalization: a trivial predictor has it as well, or held-out had it
    with no better a score. None where it may show something, and where no loss was asked for."""
    goal = criteria.generalize_loss
    if goal is None:
        return None
    when = "" if marks.T_gen.censored else f" (reached at {whole(marks.T_gen.at)})"
    if trajectory.kind == "regression":
        trivial = trivial_loss(trajectory, split)
        if not trivial <= goal:
            return None
        return (
            f"a held-out loss of {goal:g}{when} is {goal / trivial:.3g} times the trivial predictor's {trivial:.3g}, "
            "so reaching it is no generalization"
        )
    floor = trajectory.trivial.get(split)
    if floor is None or marks.T_gen_lasting.censored:
        return None
    held = trajectory.curve(split)
    row = max(int(np.searchsorted(held.step, marks.T_gen_lasting.at, side="right")) - 1, 0)
    score = float(held.value[row])
    if score > floor + criteria.baseline_share * (marks.threshold - floor):
        return None
    return (
        f"held-out had a loss of {goal:g}{when} with a score of {score:.3g}, no better than the trivial predictor's "
        f"{floor:.3g}, so reaching it is no generalization"
    )


def unjudgeable(trajectory: Trajectory, split: str, marks: Milestones) -> str | None:
    """Why this split gets no class although it was evaluated; None where it can be judged."""
    if _same_column(trajectory, split):
        return f"train and {split} are the same in every evaluation: it is one column, named twice"
    train, held = trajectory.curve("train"), trajectory.curve(split)
    if len(train) == 1 and len(held) > 1:
        return f"train was evaluated once, at step {whole(train.step[0])}: whether and when it fitted is not known"
    last, half = train.step[-1].item(), (held.step[0] + held.step[-1]).item() / 2
    if marks.T_fit.censored and (last < half or _reached_after(marks, last)):
        return (
            f"train was last evaluated at step {whole(last)} and had not fitted by then, {split} at "
            f"{whole(marks.last_step)}: whether train fitted in between is not known"
        )
    return None


def left_censored(marks: Milestones) -> str | None:
    """The sentence for a log whose first evaluation comes after both milestones; None for any other."""
    fit, gen = marks.T_fit, marks.T_gen_lasting
    if fit.censored or gen.censored or fit.previous is not None or gen.previous is not None:
        return None
    return (
        f"the log begins at {whole(max(fit.at, gen.at))} with train fitted and held-out at {marks.goal}: both "
        f"milestones lie at or before it, so whether one came late is not known{_since(marks)}"
    )


def _since(marks: Milestones) -> str:
    if marks.T_gen_stable.censored:
        return f"; held-out ends at {marks.end:.3g}"
    return f"; held-out holds the threshold to the end, at {whole(marks.last_step)}"


def _reached_after(marks: Milestones, last: float) -> bool:
    return not marks.T_gen_lasting.censored and marks.T_gen_lasting.at > last


def _same_column(trajectory: Trajectory, split: str) -> bool:
    """Equal wherever both were evaluated, at values that two different sets of examples do not share by themselves:
    both at 0, at 1 or at the trivial predictor's score say nothing, and neither does one constant value."""
    train, held = trajectory.train, trajectory.held_out[split]
    both = ~np.isnan(train) & ~np.isnan(held)
    values = train[both]
    if len(values) < FEW or not np.array_equal(values, held[both]):
        return False
    ordinary = [0.0, 1.0, *(trajectory.trivial.get(s, 0.0) for s in ("train", split))]
    return len(np.unique(values)) > 1 and not bool(np.isin(values, ordinary).all())
