"""Milestones: when a condition first holds, known to the evaluation grid, and censored if it was not reached."""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from grokscope.fit_rule import first_in_a_row
from grokscope.registry import nearest
from grokscope.results.milestones import Milestone, MilestonesRecord, Noise, Span
from grokscope.trajectory.criteria import Criteria
from grokscope.trajectory.curves import runs_of, stretches, time_weights
from grokscope.trajectory.marks import mark
from grokscope.trajectory.selection import peak_rule
from grokscope.trajectory.series import Curve, Trajectory


@dataclass(frozen=True, kw_only=True)
class Milestones(MilestonesRecord):
    """All that is read off one held-out split before any class is named, with the grids it was read from. Steps are in
    the log's own unit."""

    grids: dict[str, np.ndarray] = field(repr=False, compare=False)
    """The steps of evaluation: of ``train`` (for T_fit) and of ``held_out``. What one grid saw, a coarser one cannot
    have seen, so comparisons between runs need them; they are no part of the record."""

    def to_dict(self) -> dict[str, Any]:
        return self.record().to_dict()

    def record(self) -> MilestonesRecord:
        """What is kept and printed of it."""
        return MilestonesRecord(**{f.name: getattr(self, f.name) for f in fields(MilestonesRecord)})


READS = (
    "fit", "fit_r2", "fit_loss", "generalize", "generalize_r2", "generalize_loss", "in_a_row", "dwell", "end_share",
    "zero_loss", "noise_sigmas",
)  # fmt: skip
"""The criteria on which milestones depend: others can be moved without reading them again."""


def milestones(trajectory: Trajectory, split: str | None = None, criteria: Criteria | None = None) -> Milestones:
    """Read the milestones of one held-out split (None: the only one).

    Raises:
        ValueError: an unknown split, or one without evaluations.
    """
    criteria = criteria or Criteria()
    split = trajectory.split(split)
    key = _key(split, criteria)
    if key not in trajectory.known:
        trajectory.known[key] = _milestones(trajectory, split, criteria)
    return trajectory.known[key]


def believe(trajectory: Trajectory, marks: Milestones, criteria: Criteria) -> None:
    """From now on `milestones` gives those that were kept of this very trajectory, and does not read them again."""
    trajectory.known.setdefault(_key(marks.split, criteria), marks)


def _key(split: str, criteria: Criteria) -> tuple[Any, ...]:
    return (Milestones, split, *(getattr(criteria, name) for name in READS))


def _milestones(trajectory: Trajectory, split: str, criteria: Criteria) -> Milestones:
    held, fit, goal = trajectory.curve(split), mark(trajectory, "train", criteria), mark(trajectory, split, criteria)
    above = runs_of(goal.holds, criteria.in_a_row)
    runs = stretches(above, criteria.dwell)
    lasting = [r for r in runs if r.open or r.count >= criteria.dwell]
    fitted = first_in_a_row(fit.holds, criteria.in_a_row)
    T_fit, T_gen = _at_row(fit.curve, fitted), first(goal.curve, above)
    top, top_lasting = int(np.argmax(held.value)), _median_row(held.value, held.smooth)
    stable = _at_row(goal.curve, runs[-1].start if runs and runs[-1].open else None)
    start = _end_from(held, stable, criteria.end_share)
    weights = time_weights(held.step, start)
    end = float(weights @ held.value)
    return Milestones(
        split=split,
        threshold=goal.score,
        generalize_loss=criteria.generalize_loss,
        evaluations=len(held),
        last_step=held.step[-1].item(),
        grids={"train": fit.curve.step, "held_out": goal.curve.step},
        in_a_row=criteria.in_a_row,
        T_fit=T_fit,
        T_gen=T_gen,
        T_gen_lasting=_at_row(goal.curve, lasting[0].start if lasting else None),
        T_gen_stable=stable,
        T_grok=_T_grok(trajectory, held, goal.score, criteria),
        delay=_delay(T_fit, T_gen),
        delay_ratio=_ratio(T_fit, T_gen),
        peak=held.value[top].item(),
        peak_step=held.step[top].item(),
        peak_lasting=held.value[top_lasting].item(),
        peak_lasting_step=held.step[top_lasting].item(),
        end=end,
        end_from=start,
        end_rows=int((weights > 0).sum()),
        final=held.value[-1].item(),
        noise=_noise(trajectory, split, held, float((weights**2).sum()), criteria),
        drop=held.value[top].item() - end,
        peak_rule=peak_rule(split),
    )


NO_GRIDS = {"train": np.empty(0), "held_out": np.empty(0)}
"""Of a split that was never evaluated."""


def grids_of(trajectory: Trajectory, split: str, criteria: Criteria) -> dict[str, np.ndarray]:
    """`Milestones.grids` of a split that was evaluated."""
    fit, goal = mark(trajectory, "train", criteria), mark(trajectory, split, criteria)
    return {"train": fit.curve.step, "held_out": goal.curve.step}


def unmeasured(trajectory: Trajectory, split: str, criteria: Criteria) -> Milestones:
    """What is left where train or this split was never evaluated: nothing reached, levels that are no numbers."""
    never = Milestone(trajectory.last_step, censored=True)
    nan = float("nan")
    return Milestones(
        split=split,
        threshold=criteria.thresholds(trajectory)[1],
        generalize_loss=criteria.generalize_loss,
        evaluations=0,
        last_step=trajectory.last_step,
        grids=dict(NO_GRIDS),
        in_a_row=criteria.in_a_row,
        **dict.fromkeys(("T_fit", "T_gen", "T_gen_lasting", "T_gen_stable"), never),
        T_grok=None,
        delay=None,
        delay_ratio=None,
        **dict.fromkeys(("peak", "peak_step", "peak_lasting", "peak_lasting_step"), nan),
        **dict.fromkeys(("end", "end_from", "final", "drop"), nan),
        end_rows=0,
        noise=Noise(None, None, 0.0),
        peak_rule=peak_rule(split),
    )


def _T_grok(trajectory: Trajectory, held: Curve, threshold: float, criteria: Criteria) -> Milestone | None:
    """The train loss at a held-out evaluation is the last that was logged up to then."""
    loss = trajectory.train_loss
    if trajectory.kind == "regression":
        loss = 1 - trajectory.train
    if loss is None or np.isnan(loss).all():
        return None
    known = ~np.isnan(loss)
    row = np.searchsorted(trajectory.step[known], held.step, side="right") - 1
    near_zero = (row >= 0) & (loss[known][row] <= criteria.zero_loss)
    return first(held, held.reaches(threshold) & near_zero)


def _end_from(held: Curve, stable: Milestone, share: float) -> float:
    """Where the last `share` of the steps begins, but not before the threshold was reached for good."""
    start = held.step[-1].item() - share * (held.step[-1] - held.step[0]).item()
    if stable.censored:
        return start
    return max(start, stable.earliest)


def milestone(marks: Milestones, name: str) -> Milestone:
    """The milestone called `name` (``T_gen``, ...). Raises ValueError naming the nearest."""
    known = [k for k, v in vars(marks).items() if isinstance(v, Milestone)]
    if name not in known:
        raise ValueError(f"unknown milestone {name!r}{nearest(name, known)}")
    return getattr(marks, name)


def first(curve: Curve, holds: np.ndarray) -> Milestone:
    """The first evaluation at which `holds` (t,) is true, censored if there is none."""
    return _at_row(curve, int(np.argmax(holds)) if holds.any() else None)


def _at_row(curve: Curve, row: int | None) -> Milestone:
    if row is None:
        return Milestone(curve.step[-1].item(), censored=True)
    return Milestone(curve.step[row].item(), curve.step[row - 1].item() if row else None)


def _median_row(values: np.ndarray, smooth: np.ndarray) -> int:
    """The row whose value is the highest running median (it is one of the three)."""
    top = int(np.argmax(smooth))
    start = min(max(top - 1, 0), max(len(values) - 3, 0))
    return start + int(np.argmax(values[start : start + 3] == smooth[top]))


def _noise(trajectory: Trajectory, split: str, held: Curve, averaged: float, criteria: Criteria) -> Noise:
    """Band for a difference between a running median of three (variance 0.45) and the mean at the end, which leaves
    `averaged` of the variance; the binomial part is not averaged away, because all evaluations share their examples."""
    rough = held.roughness
    n = trajectory.n.get(split)
    binomial = None
    if n and trajectory.kind == "classification":
        level = (held.value.max() + held.value[-1]) / 2
        binomial = float(np.sqrt(level * (1 - level) / n)) if level < 1 else 0.0
    sampling = np.sqrt(2) * (binomial or 0.0)
    wobble = np.sqrt(0.45 + averaged) * (rough or 0.0)
    return Noise(binomial, rough, float(criteria.noise_sigmas * max(sampling, wobble)), averaged)


def _delay(fit: Milestone, gen: Milestone) -> Span | None:
    if fit.censored:
        return None
    high = np.inf if gen.censored else gen.at - fit.earliest
    return Span(gen.at - fit.at, gen.earliest - fit.at, high, gen.censored)


def _ratio(fit: Milestone, gen: Milestone) -> Span | None:
    if fit.censored:
        return None
    high = np.inf if gen.censored else ratio(gen.at, fit.earliest)
    return Span(ratio(gen.at, fit.at), ratio(gen.earliest, fit.at), high, gen.censored)


def ratio(later: float, earlier: float) -> float:
    """later / earlier, for steps that may be 0: 0 / 0 is 1, anything / 0 is infinite."""
    if earlier == 0:
        return 1.0 if later == 0 else np.inf
    return later / earlier
