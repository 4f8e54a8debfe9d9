"""Events on a trajectory: loss spikes, slingshots, norm collapses and transitions.

Losses are compared on their logarithm, and nothing is judged in the first descent (see `onset`): there every curve does
what later would be an event. Everything is judged against the evaluations around it, so a coarse grid hides short
events and none of these is evidence of absence. `unseen` says which kinds the log cannot show at all.
"""

from typing import get_args

import numpy as np

from grokscope.trajectory.criteria import Criteria
from grokscope.trajectory.curves import running_median, stretches
from grokscope.trajectory.event import Event, EventKind, event_of, logged, trailing_median
from grokscope.trajectory.loss_spikes import loss_spikes
from grokscope.trajectory.onset import course, first_judged, judged_from, kept_level, scored
from grokscope.trajectory.series import Trajectory

FEWEST = 4
"""Evaluations needed on either side of a spike to speak of a norm's growth there: a line through three fits
anything."""


def events(trajectory: Trajectory, criteria: Criteria | None = None) -> list[Event]:
    """All events in order of time."""
    criteria = criteria or Criteria()
    key = (events, criteria)
    if key not in trajectory.known:  # a page asks for each held-out split
        trajectory.known[key] = _events(trajectory, criteria)
    return list(trajectory.known[key])


def _events(trajectory: Trajectory, criteria: Criteria) -> list[Event]:
    spikes = loss_spikes(trajectory, criteria)
    out = [*spikes, *slingshots(trajectory, criteria, spikes), *norm_collapses(trajectory, criteria)]
    out += [e for s in trajectory.splits if (e := transition(trajectory, s, criteria)) is not None]
    return sorted(out, key=lambda e: (e.at, e.kind))


def unseen(trajectory: Trajectory, criteria: Criteria | None = None) -> dict[EventKind, str]:
    """Kinds of event that this log cannot show, and why."""
    out: dict[EventKind, str] = {}
    if first_judged(trajectory, criteria or Criteria()) is None:
        both = scored(trajectory.train) and any(map(scored, trajectory.held_out.values()))
        why = (
            "train never fitted and held-out never rested: all of the log is a first descent"
            if both
            else "without scores of train and of held-out it is not known when the first descent was over"
        )
        return dict.fromkeys(get_args(EventKind), why)
    if trajectory.train_loss is None:
        out["loss spike"] = "the log has no train loss"
        out["slingshot"] = "the log has no train loss"
    elif (trajectory.train_loss < 0).any():
        why = "the train loss is negative in places: it has no logarithm"
        out.update({"loss spike": why, "slingshot": why})
    elif trajectory.norm is None and "head" not in trajectory.norm_groups:
        out["slingshot"] = "the log has no weight norm"
    if trajectory.norm is None:
        out["norm collapse"] = "the log has no total weight norm"
    return out


def slingshots(
    trajectory: Trajectory, criteria: Criteria | None = None, spikes: list[Event] | None = None
) -> list[Event]:
    """Cycles of head-norm growth, then a loss spike, then a norm plateau (arXiv:2206.04817).

    For each spike a line is fitted to the norm over the `spike_window` evaluations before and after it, up to the
    neighboring spikes. Numbers: `growth` over the evaluations before (relative), `rate_before` and `rate_after`
    (relative, per step). Uses the head's norm; without it the total norm, and the note says so: that norm also moves
    with everything else. A spike with fewer than four evaluations on either side cannot be judged and gives no
    slingshot.
    """
    criteria = criteria or Criteria()
    spikes = loss_spikes(trajectory, criteria) if spikes is None else spikes
    head = trajectory.norm_groups.get("head")
    step, norm = logged(trajectory, trajectory.norm if head is None else head)
    note = "" if head is not None else "judged by the total norm: the head's is not logged"
    out = []
    for i, spike in enumerate(spikes):
        since = spikes[i - 1].end if i else -np.inf
        until = spikes[i + 1].start if i + 1 < len(spikes) else np.inf
        before = np.flatnonzero((step > since) & (step <= spike.start))[-criteria.spike_window :]
        after = np.flatnonzero((step > spike.end) & (step <= until))[: criteria.spike_window]
        if min(len(before), len(after)) < FEWEST:
            continue
        rise, calm = _rate(step[before], norm[before]), _rate(step[after], norm[after])
        growth = rise * (step[before[-1]] - step[before[0]])
        if growth >= criteria.slingshot_growth and calm <= criteria.slingshot_calm * rise:
            numbers = {"growth": growth, "rate_before": rise, "rate_after": calm}
            out.append(event_of("slingshot", step[before[0]], spike.at, step[after[-1]], numbers, note=note))
    return out


def norm_collapses(trajectory: Trajectory, criteria: Criteria | None = None) -> list[Event]:
    """Falls of the total norm by `norm_drop` or more, faster than `norm_drop_speed` times its trailing median speed,
    from `judged_from` on.

    Speed is the change of the norm's logarithm per step, so exponential shrinking by weight decay is steady whatever
    its rate. Numbers: `before`, `after`, `change` (relative).
    """
    criteria = criteria or Criteria()
    since = first_judged(trajectory, criteria)
    step, norm = logged(trajectory, trajectory.norm)
    usable = np.isfinite(norm) & (norm > 0)
    step, norm = step[usable], norm[usable]
    if since is None or len(step) < 2:
        return []
    speed = np.diff(np.log(norm)) / np.diff(step)
    usual = trailing_median(np.abs(speed), criteria.spike_window)
    out = []
    for run in stretches((-speed > criteria.norm_drop_speed * usual) & (step[:-1] >= since), criteria.dwell):
        before, after = norm[run.start], norm[run.stop]
        if after <= before * (1 - criteria.norm_drop):
            worst = run.start + int(np.argmin(speed[run.start : run.stop]))
            numbers = {"before": before, "after": after, "change": after / before - 1}
            out.append(event_of("norm collapse", step[run.start], step[worst + 1], step[run.stop], numbers))
    return out


def transition(trajectory: Trajectory, split: str | None = None, criteria: Criteria | None = None) -> Event | None:
    """The held-out curve's largest lasting rise after `judged_from`, by its steep middle; None if none is beyond noise
    and `rise_share`, or if there is nothing after the first descent.

    In regression rises are compared on the logarithm of the loss (see `onset.Course`): a fall from 3.0 to 1.3 is more
    than one from 20 to 10. Lasting: the level counts only if kept for `dwell` evaluations. ``(start, end]`` holds the
    middle half of the rise, `at` is the evaluation that ends its steepest part (in score, or log loss, per evaluation).
    Numbers: `rise`, `low`, `high` in accuracy or R2; in regression also `loss_ratio`, the loss after over the loss
    before.
    """
    criteria = criteria or Criteria()
    split = trajectory.split(split)
    since = judged_from(trajectory, split, criteria)
    if since is None:
        return None
    held = course(trajectory, split, criteria)
    judged = held.step >= since
    step, kept = held.step[judged], kept_level(running_median(held.level[judged]), criteria.dwell)
    lowest = np.minimum.accumulate(kept)
    top = int(np.argmax(kept - lowest))
    low, high = lowest[top], kept[top]
    if high - low <= max(held.band, criteria.rise_share * held.way):
        return None
    bottom = int(np.flatnonzero(kept[: top + 1] <= low + 0.25 * (high - low))[-1])
    end = bottom + int(np.argmax(kept[bottom : top + 1] >= low + 0.75 * (high - low)))
    steepest = bottom + 1 + int(np.argmax(np.diff(kept[bottom : end + 1])))
    numbers = {"rise": high - low, "low": low, "high": high}
    if trajectory.kind == "regression":
        r2 = -np.expm1(-np.array([low, high]))
        numbers = {"rise": r2[1] - r2[0], "low": r2[0], "high": r2[1], "loss_ratio": np.exp(low - high)}
    return event_of("transition", step[bottom], step[steepest], step[end], numbers, split)


def _rate(step: np.ndarray, norm: np.ndarray) -> float:
    """Slope of a straight line through a norm, relative to its mean, per step."""
    centered = step - step.mean()
    return float(centered @ norm / (centered @ centered) / norm.mean())
