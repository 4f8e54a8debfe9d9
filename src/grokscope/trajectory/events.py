"""Events on a trajectory: loss spikes, slingshots, norm collapses and transitions.

Everything is judged against the evaluations around it, so a coarse grid hides short events and none of these is
evidence of absence. `unseen` says which kinds the log cannot show at all.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from grokscope.trajectory.criteria import Criteria
from grokscope.trajectory.curves import running_median, stretches
from grokscope.trajectory.milestones import milestones
from grokscope.trajectory.series import Trajectory

EventKind = Literal["loss spike", "slingshot", "norm collapse", "transition"]

FEWEST = 4
"""Evaluations needed on either side of a spike to speak of a norm's growth there: a line through three fits
anything."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened in ``(start, end]``, most of all at the evaluation `at`."""

    kind: EventKind
    start: float
    at: float
    end: float
    split: str | None = None
    """For a transition."""
    numbers: dict[str, float] = field(default_factory=dict)
    """Its size, by name; the docstring of the function that finds it says which."""
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "numbers": {k: v if np.isfinite(v) else None for k, v in self.numbers.items()}}


def events(trajectory: Trajectory, criteria: Criteria | None = None) -> list[Event]:
    """All events in order of time."""
    criteria = criteria or Criteria()
    spikes = loss_spikes(trajectory, criteria)
    found = [*spikes, *slingshots(trajectory, criteria, spikes), *norm_collapses(trajectory, criteria)]
    found += [e for s in trajectory.splits if (e := transition(trajectory, s, criteria)) is not None]
    return sorted(found, key=lambda e: (e.at, e.kind))


def unseen(trajectory: Trajectory) -> dict[EventKind, str]:
    """Kinds of event that this log cannot show, and why."""
    out: dict[EventKind, str] = {}
    if trajectory.train_loss is None:
        out["loss spike"] = "the log has no train loss"
        out["slingshot"] = "the log has no train loss"
    elif trajectory.norm is None and "head" not in trajectory.norm_groups:
        out["slingshot"] = "the log has no weight norm"
    if trajectory.norm is None:
        out["norm collapse"] = "the log has no total weight norm"
    return out


def logged(trajectory: Trajectory, values: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """(step, value) at the rows where `values` was logged; empty for None."""
    if values is None:
        return np.empty(0), np.empty(0)
    keep = ~np.isnan(values)
    return trajectory.step[keep], values[keep]


def loss_spikes(trajectory: Trajectory, criteria: Criteria | None = None) -> list[Event]:
    """Evaluations with a train loss above `spike_factor` times the median of the `spike_window` evaluations before.

    Neighbouring ones are one spike. Numbers: `loss` at its highest, `median` before it, their `ratio`, and where the
    total norm is logged `norm_change`, relative, from the last evaluation before the spike to the first after it. The
    final stretch of a diverged run is no spike.
    """
    criteria = criteria or Criteria()
    step, loss = logged(trajectory, trajectory.train_loss)
    end = trajectory.non_finite_from
    if end is not None:
        step, loss = step[step < end], loss[step < end]
    median = np.maximum(_trailing_median(loss, criteria.spike_window), criteria.spike_floor)
    out = []
    for run in stretches(loss > criteria.spike_factor * median, criteria.dwell):
        top = run.start + int(np.argmax(loss[run.start : run.stop]))
        numbers = {"loss": loss[top], "median": median[run.start], "ratio": loss[top] / median[run.start]}
        before, after = step[run.start - 1], step[min(run.stop, len(step) - 1)]
        if (change := norm_change(trajectory, before, after)) is not None:
            numbers["norm_change"] = change
        out.append(_event("loss spike", before, step[top], step[run.stop - 1], numbers))
    return out


def norm_change(trajectory: Trajectory, before: float, after: float) -> float | None:
    """Relative change of the total norm between its evaluations nearest outside [before, after]; None if not logged
    there."""
    step, norm = logged(trajectory, trajectory.norm)
    i, j = np.searchsorted(step, before, side="right") - 1, np.searchsorted(step, after)
    if i < 0 or j >= len(step) or norm[i] == 0:
        return None
    return float(norm[j] / norm[i] - 1)


def slingshots(
    trajectory: Trajectory, criteria: Criteria | None = None, spikes: list[Event] | None = None
) -> list[Event]:
    """Cycles of head-norm growth, then a loss spike, then a norm plateau (arXiv:2206.04817).

    For each spike a line is fitted to the norm over the `spike_window` evaluations before and after it, up to the
    neighbouring spikes. Numbers: `growth` over the evaluations before (relative), `rate_before` and `rate_after`
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
            out.append(_event("slingshot", step[before[0]], spike.at, step[after[-1]], numbers, note=note))
    return out


def norm_collapses(trajectory: Trajectory, criteria: Criteria | None = None) -> list[Event]:
    """Falls of the total norm by `norm_drop` or more, faster than `norm_drop_speed` times its trailing median speed.

    Speed is the change of the norm's logarithm per step, so exponential shrinking by weight decay is steady whatever
    its rate. Numbers: `before`, `after`, `change` (relative).
    """
    criteria = criteria or Criteria()
    step, norm = logged(trajectory, trajectory.norm)
    usable = np.isfinite(norm) & (norm > 0)
    step, norm = step[usable], norm[usable]
    speed = np.diff(np.log(norm)) / np.diff(step)
    usual = _trailing_median(np.abs(speed), criteria.spike_window)
    out = []
    for run in stretches(-speed > criteria.norm_drop_speed * usual, criteria.dwell):
        before, after = norm[run.start], norm[run.stop]
        if after <= before * (1 - criteria.norm_drop):
            worst = run.start + int(np.argmin(speed[run.start : run.stop]))
            numbers = {"before": before, "after": after, "change": after / before - 1}
            out.append(_event("norm collapse", step[run.start], step[worst + 1], step[run.stop], numbers))
    return out


def transition(trajectory: Trajectory, split: str | None = None, criteria: Criteria | None = None) -> Event | None:
    """The held-out curve's largest lasting rise, by its steep middle; None if none is beyond noise and `rise_share`.

    Lasting: the level counts only if kept for `dwell` evaluations. ``(start, end]`` holds the middle half of the
    rise, `at` is the evaluation that ends its steepest part (in score per evaluation). Numbers: `rise`, `low`,
    `high`. The early learning of a run that never grokked is a transition too; compare `at` with T_fit.
    """
    criteria = criteria or Criteria()
    split = trajectory.split(split)
    curve, found = trajectory.curve(split), milestones(trajectory, split, criteria)
    kept = _kept_level(running_median(curve.value), criteria.dwell)
    lowest = np.minimum.accumulate(kept)
    top = int(np.argmax(kept - lowest))
    low, high = lowest[top], kept[top]
    way = found.threshold - trajectory.trivial.get(split, 0.0)
    if high - low <= max(found.noise.band, criteria.rise_share * way):
        return None
    bottom = int(np.flatnonzero(kept[: top + 1] <= low + 0.25 * (high - low))[-1])
    end = bottom + int(np.argmax(kept[bottom : top + 1] >= low + 0.75 * (high - low)))
    steepest = bottom + 1 + int(np.argmax(np.diff(kept[bottom : end + 1])))
    numbers = {"rise": high - low, "low": low, "high": high}
    return _event("transition", curve.step[bottom], curve.step[steepest], curve.step[end], numbers, split)


def _kept_level(values: np.ndarray, rows: int) -> np.ndarray:
    """The lowest of each value and the rows - 1 after it (fewer at the end)."""
    padded = np.append(values, np.full(rows - 1, np.inf))
    return np.lib.stride_tricks.sliding_window_view(padded, rows).min(axis=1)


def _trailing_median(values: np.ndarray, window: int) -> np.ndarray:
    """Median of the `window` values before each (t,) -> (t,); inf, which nothing exceeds, where fewer than half
    precede."""
    out = np.full(len(values), np.inf)
    for i in range((window + 1) // 2, min(window, len(values))):
        out[i] = np.median(values[:i])
    if len(values) > window:
        out[window:] = np.median(np.lib.stride_tricks.sliding_window_view(values[:-1], window), axis=1)
    return out


def _rate(step: np.ndarray, norm: np.ndarray) -> float:
    """Slope of a straight line through a norm, relative to its mean, per step."""
    centred = step - step.mean()
    return float(centred @ norm / (centred @ centred) / norm.mean())


def _event(
    kind: EventKind, start: Any, at: Any, end: Any, numbers: dict[str, Any], split: str | None = None, note: str = ""
) -> Event:
    plain = {k: float(v) for k, v in numbers.items()}
    start, at, end = (x.item() if isinstance(x, np.generic) else x for x in (start, at, end))
    return Event(kind=kind, start=start, at=at, end=end, split=split, numbers=plain, note=note)
