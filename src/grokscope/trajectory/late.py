"""Behavior of a held-out curve after the fit: late rise, leveling off, decay from a peak. All in shares of time, so
that the evaluation grid does not matter; only `dwell` counts evaluations."""

from dataclasses import dataclass

import numpy as np

from grokscope.trajectory.criteria import Criteria
from grokscope.trajectory.curves import slope, stretches
from grokscope.trajectory.milestones import Milestones
from grokscope.trajectory.series import Curve

BEGUN = 0.1
"""A rise has begun when a tenth of it is made."""
RECENT = 0.25
"""Share of the time since a rise began in which it must have gone on to be under way."""
SETTLED_NOISE = 3.0
"""Standard deviations between evaluations up to which a train score has not improved."""
TREND_ERRORS = 2.0
"""Standard errors by which the recent gain may be off before "leveled off" or "under way" can be said firmly."""


@dataclass(frozen=True, kw_only=True)
class Decay:
    lasting_drop: float
    """From the lasting peak to the end."""
    drop_band: float
    """A drop up to this is noise: the noise band, or `noise_sigmas` of the wander around a lasting decay."""
    decayed_from: float | None
    """Start of the last stretch, up to the end, nearer to the end than to the lasting peak; None if there is none."""
    decayed: bool
    """The drop is beyond noise, worth the name, lasting, and from a peak above the trivial predictor."""
    lost: bool
    """The threshold was reached, does not hold at the end, and the curve decayed or lies clearly below it."""
    peak_single: bool
    """The highest value is that of one evaluation: its neighbors are lower by more than noise."""
    peak_before_fit: bool


def decay(held: Curve, marks: Milestones, trivial: float | None, way: float, criteria: Criteria) -> Decay:
    """Read the decay from the lasting peak; `way` is the stretch from the trivial predictor to the threshold."""
    falling = held.wander(_top_row(held, marks), increasing=False)
    noise = max(marks.noise.band, criteria.noise_sigmas * falling)
    margin = max(noise, criteria.drop_share * way)
    drop = marks.peak_lasting - marks.end
    after = np.flatnonzero(held.step > marks.peak_lasting_step)
    runs = stretches(held.value[after] < (marks.peak_lasting + marks.end) / 2, criteria.dwell)
    lasting = bool(runs) and runs[-1].open and runs[-1].count >= criteria.dwell
    worth = trivial is None or marks.peak_lasting > trivial + margin
    decayed = lasting and drop > margin and worth
    below = marks.threshold - marks.end > max(marks.noise.band, criteria.drop_share * way)
    return Decay(
        lasting_drop=drop,
        drop_band=noise,
        decayed_from=held.step[after[runs[-1].start]].item() if lasting and drop > 0 else None,
        decayed=decayed,
        lost=not marks.T_gen_lasting.censored and marks.T_gen_stable.censored and (decayed or below),
        peak_single=len(held) > 1 and marks.peak - marks.peak_lasting > margin,
        peak_before_fit=marks.T_fit.censored or marks.peak_step < marks.T_fit.at,
    )


def _top_row(held: Curve, marks: Milestones) -> int:
    """The highest of the three evaluations whose median is the lasting peak: from there on the curve falls."""
    row = int(np.searchsorted(held.step, marks.peak_lasting_step))
    first = max(row - 1, 0)
    return first + int(np.argmax(held.value[first : row + 2]))


@dataclass(frozen=True, kw_only=True)
class Rise:
    base: float
    """The plateau: highest running median from the fit (or, unfitted, from when train had settled) to the end of what
    counts as no delay."""
    base_until: float
    rise: float
    """From the plateau to the end."""
    rise_band: float
    """A rise up to this is noise: see `Noise.around` and `wander`."""
    kept_rise: float
    """Share of the rise from the plateau to the lasting peak that is left at the end; 0 if it never left the
    plateau."""
    rose_late: bool
    """The rise is beyond noise, worth the name, and larger than what the curve gained while the plateau was read: a
    steady approach is no late rise."""
    rise_from: float | None
    """The last step at which less than a tenth of the rise was made; None without a rise."""
    gained_lately: float
    """By a straight line through the last quarter of the time since `rise_from`."""
    gained_error: float
    """Its standard error."""
    still_rising: bool
    """That gain is at least `level_share` of the rise: it has not leveled off."""


def rise(held: Curve, train: Curve, marks: Milestones, way: float, criteria: Criteria, lean: float = 0.0) -> Rise:
    """Read the late rise. `lean` standard errors are added to the recent gain, to ask what it may also be."""
    since = _settled(train) if marks.T_fit.censored else marks.T_fit.at
    until = criteria.delay_ratio * since
    window = (held.step >= since) & (held.step <= until)
    if not window.any():  # no evaluation between them: the last one before stands for the plateau
        window[max(int(np.searchsorted(held.step, until, side="right")) - 1, 0)] = True
    base = float(held.smooth[window].max())
    height, whole = marks.end - base, marks.peak_lasting - base
    already = base - float(held.smooth[window][0])
    noise = marks.noise.around(held.wander(int(np.argmax(window)), increasing=True), criteria.noise_sigmas)
    begun = _begun(held, base, height)
    gained, error = (0.0, 0.0) if begun is None else _gained(held, begun)
    return Rise(
        base=base,
        base_until=max(until, held.step[window][-1].item()),
        rise=height,
        rise_band=noise,
        kept_rise=height / whole if whole > 0 else 0.0,
        rose_late=bool(height > max(noise, criteria.rise_share * way, already)),
        rise_from=begun,
        gained_lately=gained,
        gained_error=error,
        still_rising=height > 0 and gained + lean * error > criteria.level_share * height,
    )


def _settled(train: Curve) -> float:
    """When a train score that never fitted had made four fifths of its improvement: up to the level that it exceeds for
    a quarter of the time, for the highest evaluation may be noise. At once where it did not improve beyond noise."""
    even = np.linspace(train.step[0], train.step[-1], 201)
    begin, good = train.value[0], np.quantile(np.interp(even, train.step, train.value), 0.75)
    improved = good - begin > SETTLED_NOISE * (train.roughness or 0.0)
    return train.step[np.argmax(train.value >= begin + 0.8 * (good - begin)) if improved else 0].item()


def _begun(held: Curve, base: float, height: float) -> float | None:
    if height <= 0:
        return None
    low = np.flatnonzero(held.smooth <= base + BEGUN * height)
    return held.step[low[-1] if low.size else 0].item()


def _gained(held: Curve, begun: float) -> tuple[float, float]:
    """(gain, standard error) over the recent part of the time since `begun`; the curve is read off a straight line
    between evaluations where the part begins."""
    last = held.step[-1].item()
    start = last - RECENT * (last - begun)
    inside = held.step > start
    if start >= last:
        return 0.0, 0.0
    step = np.append(start, held.step[inside])
    value = np.append(np.interp(start, held.step, held.value), held.value[inside])
    steepness, error = slope(step, value)
    return steepness * (last - start), error * (last - start)
