"""The numbers behind a verdict, each computed once."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from grokscope.trajectory.collapse import Collapses, collapses
from grokscope.trajectory.criteria import Criteria
from grokscope.trajectory.late import TREND_ERRORS, Decay, Rise, decay, rise
from grokscope.trajectory.marks import mark
from grokscope.trajectory.milestones import Milestones, milestones, ratio
from grokscope.trajectory.series import Curve, Trajectory

Reading = Literal["at", "shortest", "longest", "flattest", "steepest"]
"""Where inside their intervals T_fit and T_gen are taken: at the evaluations that showed them, or so that the delay is
the shortest or the longest that the grid allows; and whether the recent gain of a late rise is taken as estimated, or
as small or as large as its error allows."""
_LEAN = {"flattest": -TREND_ERRORS, "steepest": TREND_ERRORS}


@dataclass(frozen=True, kw_only=True)
class Evidence(Decay, Rise, Collapses):
    """What `grokscope.trajectory.verdict` decides on. Shares are in 0..1 and of time; scores are accuracies or R2."""

    milestones: Milestones
    trivial: float | None
    """Score of the trivial predictor, None if unknown."""
    way: float
    """From the trivial predictor (0 if unknown) to the threshold."""
    diverged_at: float | None
    diverged: str | None
    """The same in words."""
    fit_threshold: float
    train_peak: float
    train_peak_step: float
    train_end: float
    """Last train score."""
    train_trivial: float | None
    delay_ratio: float | None
    """Lasting T_gen over T_fit, at the named reading of the grid; None without both."""
    low_level: float
    """Held-out below this is far below the threshold."""
    low_share: float | None
    """Share of the delay spent below `low_level`."""
    held_for: float | None
    """Steps from T_gen_stable to the last evaluation; None without T_gen_stable."""
    held_for_share: float | None
    """The same as a share of the log."""
    held_rows: int
    """Evaluations after T_gen_stable."""
    no_better: bool
    """The end is no better than the trivial predictor's, or hardly: `baseline_share` of the chance-corrected range."""

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
        plain = {k: v for k, v in vars(self).items() if k != "milestones"}
        m = self.milestones
        peaks = ("peak", "peak_step", "peak_lasting", "peak_lasting_step")
        shared = ("evaluations", "threshold", *peaks, "end", "final", "drop")
        out = {k: getattr(m, k) for k in shared} | {"noise_band": m.noise.band} | plain
        return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in out.items()}


class NothingToShow(ValueError):
    """The trivial predictor already reaches the threshold."""


def gather(
    trajectory: Trajectory, split: str, criteria: Criteria, reading: Reading = "at", known: Milestones | None = None
) -> Evidence:
    """Read the evidence for one held-out split; `known` spares reading its milestones by these criteria again.

    Raises:
        NothingToShow: the trivial predictor already reaches the threshold, so that reaching it would show nothing.
    """
    marks = milestones(trajectory, split, criteria) if known is None else known
    held, train = trajectory.curve(split), trajectory.curve("train")
    trivial = trajectory.trivial.get(split)
    train_trivial = trajectory.trivial.get("train", trivial)
    fit = mark(trajectory, "train", criteria).score
    if trivial is not None and trivial >= marks.threshold:
        raise NothingToShow(
            f"{split}: the trivial predictor has {trivial:.4g}, so reaching {marks.threshold:g} shows nothing; "
            "set a threshold above it (criteria.generalize, or generalize_r2)"
        )
    floor = trivial or 0.0
    way = marks.threshold - floor
    top = int(np.argmax(train.value))
    lost = trajectory.divergence(split)
    return Evidence(
        milestones=marks,
        trivial=trivial,
        way=way,
        diverged_at=lost and lost[0],
        diverged=lost and lost[1],
        fit_threshold=fit,
        train_peak=train.value[top].item(),
        train_peak_step=train.step[top].item(),
        train_end=train.value[-1].item(),
        train_trivial=train_trivial,
        **_delay(held, marks, floor + criteria.plateau_level * way, reading),
        **_held(held, marks),
        **vars(decay(held, marks, trivial, way, criteria)),
        **vars(rise(held, train, marks, way, criteria, _LEAN.get(reading, 0.0))),
        no_better=trivial is not None and marks.end <= trivial + criteria.baseline_share * way,
        **vars(collapses(train, held, marks, fit, train_trivial or 0.0, criteria)),
    )


def _delay(held: Curve, marks: Milestones, level: float, reading: Reading) -> dict[str, Any]:
    fit, gen = marks.T_fit, marks.T_gen_lasting
    if fit.censored or gen.censored:
        return {"delay_ratio": None, "low_level": level, "low_share": None}
    start = fit.earliest if reading == "longest" else fit.at
    end = gen.earliest if reading == "shortest" else gen.at
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


def _held(held: Curve, marks: Milestones) -> dict[str, Any]:
    stable = marks.T_gen_stable
    if stable.censored:
        return {"held_for": None, "held_for_share": None, "held_rows": 0}
    length = marks.last_step - stable.at
    whole = marks.last_step - held.step[0].item()
    rows = int((held.step > stable.at).sum())
    return {"held_for": length, "held_for_share": length / whole if whole else 1.0, "held_rows": rows}
