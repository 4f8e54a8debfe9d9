"""The numbers that a verdict rests on, each read off the trajectory once."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from grokscope.trajectory.criteria import Criteria
from grokscope.trajectory.curves import running_median, stretches, wander
from grokscope.trajectory.milestones import Milestones, milestones, ratio
from grokscope.trajectory.series import Curve, Trajectory

Grid = Literal["at", "shortest", "longest"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What `grokscope.trajectory.verdict` decides on. Shares are in 0..1; scores are accuracies or R2."""

    milestones: Milestones
    trivial: float | None
    """Score of the trivial predictor, None if unknown."""
    way: float
    """From the trivial predictor (0 if unknown) to the threshold."""
    diverged_at: float | None
    delay_ratio: float | None
    """Lasting T_gen over T_fit, at the named reading of the grid; None without both."""
    low_level: float
    """Held-out below this is far below the threshold."""
    low_share: float | None
    """Share of the delay spent below `low_level`."""
    held_share: float | None
    """Share of the evaluations since the lasting T_gen that are at the threshold."""
    lasting_drop: float
    """From the lasting peak to the end."""
    drop_band: float
    """A drop up to this is noise: the noise band, or `noise_sigmas` of the wander around a lasting decay."""
    decayed_from: float | None
    """Start of the last stretch, up to the end, nearer to the end than to the lasting peak; None if there is
    none."""
    decayed: bool
    """The drop is beyond noise, worth the name, lasting, and from a peak above the trivial predictor."""
    lost: bool
    """The threshold was reached, does not hold at the end, and the curve decayed or lies clearly below it."""
    peak_single: bool
    """The highest value is that of one evaluation: its neighbours are lower by more than noise."""
    peak_before_fit: bool
    base: float
    """The plateau: highest running median from the fit (or, unfitted, from when train had settled) to the end of what
    counts as no delay."""
    base_until: float
    rise: float
    """From the plateau to the end."""
    rise_band: float
    """A rise up to this is noise: the noise band, or `noise_sigmas` of the wander around a lasting rise."""
    kept_rise: float
    """Share of the rise from the plateau to the lasting peak that is left at the end; 0 if it never left the
    plateau."""
    rose_late: bool
    """The rise is beyond noise, worth the name, and larger than what the curve gained while the plateau was read: a
    steady approach is no late rise."""
    still_rising: bool
    """The last few evaluations lie above the few before them, beyond noise."""
    no_better: bool
    """The end is no better than the trivial predictor's."""
    collapses: int
    """Separate collapses of the train score after T_fit."""
    collapse_share: float
    unstable: bool

    @property
    def fitted(self) -> bool:
        return not self.milestones.T_fit.censored

    @property
    def reached(self) -> bool:
        """The threshold was reached by more than a flicker."""
        return not self.milestones.T_gen_lasting.censored

    @property
    def stable(self) -> bool:
        return not self.milestones.T_gen_stable.censored

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers; what is not finite becomes None."""
        own = {k: v for k, v in vars(self).items() if k != "milestones"}
        m = self.milestones
        shared = (
            "evaluations",
            "threshold",
            "peak",
            "peak_step",
            "peak_lasting",
            "peak_lasting_step",
            "end",
            "final",
            "drop",
        )
        out = {k: getattr(m, k) for k in shared} | {"noise_band": m.noise.band} | own
        return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in out.items()}


class NothingToShow(ValueError):
    """The trivial predictor already reaches the threshold."""


def gather(trajectory: Trajectory, split: str, criteria: Criteria, grid: Grid = "at") -> Evidence:
    """Read the evidence for one held-out split.

    `grid` says where inside their intervals T_fit and T_gen are taken: at the evaluations that showed them, or so
    that the delay is the shortest or the longest that the grid allows.

    Raises:
        NothingToShow: the trivial predictor already reaches the threshold, so that reaching it would show nothing.
    """
    found = milestones(trajectory, split, criteria)
    held, train = trajectory.curve(split), trajectory.curve("train")
    trivial = trajectory.trivial.get(split)
    if trivial is not None and trivial >= found.threshold:
        raise NothingToShow(
            f"{split}: the trivial predictor has {trivial:.4g}, so reaching {found.threshold:g} shows nothing; "
            "set a threshold above it (criteria.generalize, or generalize_r2)"
        )
    floor = trivial or 0.0
    way = found.threshold - floor
    smooth = running_median(held.value)
    return Evidence(
        milestones=found,
        trivial=trivial,
        way=way,
        diverged_at=trajectory.non_finite_from,
        **_delay(held, found, floor + criteria.plateau_level * way, grid),
        **_decay(held, found, floor, way, trivial is not None, criteria),
        **_rise(held, train, smooth, found, way, criteria),
        no_better=trivial is not None and found.end <= trivial + criteria.baseline_share * way,
        **_collapses(trajectory, train, held, found, criteria),
    )


def _delay(held: Curve, found: Milestones, level: float, grid: Grid) -> dict[str, Any]:
    fit, gen = found.T_fit, found.T_gen_lasting
    if fit.censored or gen.censored:
        return {"delay_ratio": None, "low_level": level, "low_share": None}
    start = fit.earliest if grid == "longest" else fit.at
    end = gen.earliest if grid == "shortest" else gen.at
    return {"delay_ratio": ratio(end, start), "low_level": level, "low_share": time_below(held, level, start, end)}


def time_below(curve: Curve, level: float, start: float, end: float) -> float:
    """Share of the time from start to end with the curve below `level`; a value stands until the next evaluation, and
    the first also for the time before it. 0 where end <= start."""
    if end <= start:
        return 0.0
    edges = np.append(curve.step, np.inf)
    edges[0] = -np.inf
    spent = np.clip(np.minimum(edges[1:], end) - np.maximum(edges[:-1], start), 0, None)
    return float(spent[~curve.reaches(level)].sum() / (end - start))


def _decay(
    held: Curve, found: Milestones, floor: float, way: float, trivial_known: bool, criteria: Criteria
) -> dict[str, Any]:
    since = held.step >= found.peak_lasting_step
    noise = max(found.noise.band, criteria.noise_sigmas * wander(held.value[since], increasing=False))
    margin = max(noise, criteria.drop_share * way)
    drop = found.peak_lasting - found.end
    after = np.flatnonzero(held.step > found.peak_lasting_step)
    low = held.value[after] < (found.peak_lasting + found.end) / 2
    runs = stretches(low, criteria.dwell)
    lasting = bool(runs) and runs[-1].open and runs[-1].count >= criteria.dwell
    worth = not trivial_known or found.peak_lasting > floor + margin
    decayed = lasting and drop > margin and worth
    below = found.threshold - found.end > max(found.noise.band, criteria.drop_share * way)
    return {
        "lasting_drop": drop,
        "drop_band": noise,
        "decayed_from": held.step[after[runs[-1].start]].item() if lasting and drop > 0 else None,
        "decayed": decayed,
        "lost": not found.T_gen_lasting.censored and found.T_gen_stable.censored and (decayed or below),
        "peak_single": len(held) > 1 and found.peak - found.peak_lasting > margin,
        "peak_before_fit": found.T_fit.censored or found.peak_step < found.T_fit.at,
    }


def _rise(
    held: Curve, train: Curve, smooth: np.ndarray, found: Milestones, way: float, criteria: Criteria
) -> dict[str, Any]:
    since = _settled(train) if found.T_fit.censored else found.T_fit.at
    until = criteria.delay_ratio * since
    window = (held.step >= since) & (held.step <= until)
    if not window.any():  # no evaluation between them: the last one before stands for the plateau
        window[max(int(np.searchsorted(held.step, until, side="right")) - 1, 0)] = True
    base = float(smooth[window].max())
    rise, whole = found.end - base, found.peak_lasting - base
    gained = base - float(smooth[window][0])
    noise = max(found.noise.band, criteria.noise_sigmas * wander(held.value[np.argmax(window) :], increasing=True))
    rows = found.end_rows
    before = held.value[-2 * rows : -rows]
    trend = found.end - before.mean() if before.size else 0.0
    wobble = criteria.noise_sigmas * (found.noise.roughness or 0.0) * np.sqrt(2 / rows)
    return {
        "base": base,
        "base_until": max(until, held.step[window][-1].item()),
        "rise": rise,
        "rise_band": noise,
        "kept_rise": rise / whole if whole > 0 else 0.0,
        "rose_late": bool(rise > max(noise, criteria.rise_share * way, gained)),
        "still_rising": bool(trend > max(wobble, 0.01 * way)),
    }


def _settled(train: Curve) -> float:
    """When a train score that never fitted had made four fifths of its improvement."""
    begin, best = train.value[0], train.value.max()
    return train.step[np.argmax(train.value >= begin + 0.8 * (best - begin))].item()


def _collapses(
    trajectory: Trajectory, train: Curve, held: Curve, found: Milestones, criteria: Criteria
) -> dict[str, Any]:
    """Count separate falls of the train score below the collapse level; between two it must have been fitted again,
    at least by half the depth, so that a fall which rattles around the level counts once."""
    fit = criteria.thresholds(trajectory)[0]
    depth = criteria.collapse_depth * (fit - trajectory.trivial.get("train", trajectory.trivial.get(found.split, 0.0)))
    value = train.value[train.step >= found.T_fit.at] if not found.T_fit.censored else np.empty(0)
    down, count = False, 0
    low = value < fit - depth
    for is_low, is_back in zip(low, value >= fit - depth / 2, strict=True):
        count += bool(is_low and not down)
        down = bool(is_low or (down and not is_back))
    share = float(low.mean()) if value.size else 0.0
    gen = found.T_gen_lasting
    kept = None if gen.censored else float(held.reaches(found.threshold)[held.step >= gen.at].mean())
    excused = not found.T_gen_stable.censored and kept is not None and kept >= criteria.kept_share
    repeated = count >= criteria.collapses and share >= criteria.collapse_share
    return {"collapses": count, "collapse_share": share, "held_share": kept, "unstable": repeated and not excused}
