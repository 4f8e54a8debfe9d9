"""Loss spikes: brief rises of the log train loss relative to its recent past."""

from dataclasses import replace

import numpy as np

from grokscope.trajectory.criteria import Criteria
from grokscope.trajectory.curves import Stretch, stretches
from grokscope.trajectory.event import (
    Event,
    beginnings,
    event_of,
    logged,
    medians,
    middles,
    norm_change,
    trailing_median,
)
from grokscope.trajectory.onset import first_judged
from grokscope.trajectory.peak_bias import ROUNDING
from grokscope.trajectory.series import Trajectory

TINY, HUGE = 1e-300, 1e30
"""Losses are clipped to these before their logarithm is taken: a row of infinite loss is a high one."""
MOST_DIGITS = 6
"""Decimals up to which a log counts as rounded; with more the rounding is below `spike_floor`."""


def loss_spikes(trajectory: Trajectory, criteria: Criteria | None = None) -> list[Event]:
    """Brief rises of the train loss, judged on its logarithm from `judged_from` on.

    A spike lies above the median of the `spike_window` evaluations before it by more than `spike_sigmas` robust
    standard deviations and by a factor of `spike_rise`, and ends where it has lost half of its height (in logarithms),
    within `spike_scale` evaluations after its top. The standard deviation is 1.4826 times the median absolute deviation
    of the distances from the trailing median over the `spike_scale` evaluations before, or over those after its end,
    whichever is larger, and at least that of rounding (of a log with few digits, and by `spike_floor` of a float32
    loss): where a curve starts to jitter for good there is no spike. Neighboring ones are one.

    Numbers: `loss` at its highest, `median` before it, their `ratio`, `sigmas` (height in robust standard deviations;
    infinite on a curve without jitter), and where the total norm is logged `norm_change`, relative, from the last
    evaluation before the spike to the first after it. The final stretch of a diverged run is no spike; one that is not
    over when the log ends has a note.

    Misleads where evaluations are so dense that a spike takes longer to rise than the trailing median to follow.

    Measured by `benchmarks/events.py`. Spikes per 1,000 rows where there are none: normal jitter of the log loss with
    a standard deviation of .02 to .5, correlated by 0 to .95 between neighbors, a log that is quiet and then jitters
    for good, and full-batch AdamW at every step: 0 (in logs of 61 rows at most .03, and 1.5 where it starts to
    jitter); with heavy tails (t, 3 degrees of
    freedom), 2.5: single rows that do jut out. Planted rises over two evaluations, share found at a jitter of .01, .02
    and .05: by a factor of 1.3, 1, 1 and .11 (there it is five standard deviations); by 1.5, 1, 1 and .84.
    """
    criteria = criteria or Criteria()
    since = first_judged(trajectory, criteria)
    step, loss = logged(trajectory, trajectory.train_loss)
    end = trajectory.non_finite_from
    if end is not None:
        step, loss = step[step < end], loss[step < end]
    if since is None or not len(step) or (loss < 0).any():
        return []
    judged = _LogLoss(step, loss, since, criteria)
    out: list[Event] = []
    for run in stretches(judged.above(), criteria.dwell):
        spike = judged.spike(run)
        if spike is not None and (not out or spike.start >= out[-1].end):
            change = norm_change(trajectory, spike.start, judged.after(spike))
            out.append(spike if change is None else replace(spike, numbers={**spike.numbers, "norm_change": change}))
    return out


class _LogLoss:
    """A log loss (t,) beside its trailing median, and its jitter around that."""

    def __init__(self, step: np.ndarray, loss: np.ndarray, since: float, criteria: Criteria):
        self.step, self.loss, self.criteria = step, loss, criteria
        self.level = np.log(np.clip(loss, max(criteria.spike_floor, TINY), HUGE))
        self.median = trailing_median(self.level, criteria.spike_window)
        self.judged = np.isfinite(self.median) & (step >= since)
        self.away = np.where(self.judged, self.level - np.where(self.judged, self.median, 0.0), 0.0)
        rounding = ROUNDING * _last_digit(loss[np.isfinite(loss)]) + criteria.spike_floor
        self.rounding = rounding / np.exp(np.where(self.judged, self.median, 0.0))

    def above(self) -> np.ndarray:
        """(t,) bool: evaluations that stand out from what was before."""
        rows = np.flatnonzero(self.judged)
        before = np.zeros(len(self.level))
        before[rows] = _trailing_jitter(self.away[rows], self.criteria.spike_scale, self.criteria.spike_window)
        sigma = np.maximum(before, self.rounding)
        return self.judged & (self.away > self.criteria.spike_sigmas * sigma) & (self.away > self._least)

    @property
    def _least(self) -> float:
        return float(np.log(self.criteria.spike_rise))

    def spike(self, run: Stretch) -> Event | None:
        """The spike that begins with these rows; None if what rose stays, or is the begin of a jitter."""
        top = run.start + int(np.argmax(self.level[run.start : run.stop]))
        base = self.median[run.start]
        height = self.level[top] - base
        halved = self._halved(top, base + height / 2)
        if halved is None and top + self.criteria.spike_scale < len(self.level):
            return None
        stop = len(self.level) if halved is None else max(run.stop, halved)
        sigma = self._jitter(run.start, stop)
        if sigma is None or height <= self.criteria.spike_sigmas * sigma:
            return None
        median = np.exp(base)
        sigmas = height / sigma if sigma > 0 else np.inf
        numbers = {"loss": self.loss[top], "median": median, "ratio": self.loss[top] / median, "sigmas": sigmas}
        note = "the log ends before it is over" if halved is None else ""
        return event_of("loss spike", self.step[run.start - 1], self.step[top], self.step[stop - 1], numbers, note=note)

    def _halved(self, top: int, level: float) -> int | None:
        """The first row after the top that is below a level; None if there is none among the next `spike_scale`."""
        below = np.flatnonzero(self.level[top + 1 : top + 1 + self.criteria.spike_scale] < level)
        if not below.size:
            return None
        return top + 1 + int(below[0])

    def _jitter(self, start: int, stop: int) -> float | None:
        """The larger of the jitters before and after rows [start, stop); None with too few rows to know either."""
        scale, fewest = self.criteria.spike_scale, self.criteria.spike_window
        judged = np.flatnonzero(self.judged)
        before, after = self.away[judged[judged < start]][-scale:], self.away[stop : stop + scale]
        if max(len(before), len(after)) < fewest:
            return None
        if len(after) < fewest:  # near the end of the log the last rows before speak for those after
            after = before[-2 * fewest :]
        return max(_robust(before), _robust(after), float(self.rounding[start]))

    def after(self, spike: Event) -> float:
        """The first evaluation after a spike, or the last one."""
        return self.step[min(int(np.searchsorted(self.step, spike.end)) + 1, len(self.step) - 1)]


def _last_digit(loss: np.ndarray) -> float:
    """The unit of the last decimal of a log that was written with few (0.0001 for four), or 0."""
    with np.errstate(over="ignore", invalid="ignore"):  # of a huge loss: it is a whole number already
        scaled = loss * 10.0 ** np.arange(MOST_DIGITS + 1)[:, None]
        whole = (np.abs(scaled - np.round(scaled)) <= 1e-9 * np.maximum(scaled, 1)).all(axis=1)
    if not whole.any():
        return 0.0
    return 10.0 ** -int(np.argmax(whole))


def _robust(values: np.ndarray) -> float:
    if values.size:
        return float(1.4826 * np.median(np.abs(values - np.median(values))))
    return 0.0


def _trailing_jitter(away: np.ndarray, scale: int, fewest: int) -> np.ndarray:
    """Robust standard deviation of the `scale` values before each (t,) -> (t,); 0, so that others decide, where fewer
    than `fewest` precede."""
    out = np.zeros(len(away))
    full = min(scale, len(away))
    if full > fewest:
        begun, counts = beginnings(away, fewest, full), np.arange(fewest, full)
        spread = np.abs(begun - middles(begun, counts)[:, None])
        out[fewest:full] = 1.4826 * middles(spread, counts)
    if len(away) > scale:
        windows = np.lib.stride_tricks.sliding_window_view(away[:-1], scale)
        out[scale:] = 1.4826 * medians(np.abs(windows - medians(windows)[:, None]))
    return out
