"""Milestones: when something first holds, known only to the evaluation grid, and censored where it was not reached."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from grokscope.registry import nearest
from grokscope.trajectory.criteria import Criteria
from grokscope.trajectory.curves import runs_of, stretches, time_weights
from grokscope.trajectory.marks import mark
from grokscope.trajectory.selection import peak_rule
from grokscope.trajectory.series import Curve, Trajectory
from grokscope.vocabulary.text import whole


@dataclass(frozen=True)
class Milestone:
    """A step known to lie in ``(previous, at]``; right-censored: not reached by `at`, the last evaluation.

    `previous` is None where it held at the first evaluation (it happened at or before `at`) and where it is censored.
    """

    at: float
    previous: float | None = None
    censored: bool = False

    def __str__(self) -> str:
        if self.censored:
            return f"not by {whole(self.at)}"
        if self.previous is not None:
            return f"{whole(self.at)} in ({whole(self.previous)}, {whole(self.at)}]"
        return f"{whole(self.at)} or before"

    @property
    def earliest(self) -> float:
        """Lower end of what is known; 0 where it held at the first evaluation."""
        return self.at if self.censored else self.previous or 0

    def to_dict(self) -> dict[str, Any]:
        return {"at": self.at, "previous": self.previous, "censored": self.censored}


@dataclass(frozen=True)
class Span:
    """A quantity made of two milestones: `value` from their `at`, and what the grid leaves open, [low, high].

    Censored: at least `value` (T_gen was not reached), so `high` is infinite.
    """

    value: float
    low: float
    high: float
    censored: bool = False

    def __str__(self) -> str:
        if self.censored:
            return f"> {whole(self.value)}"
        return f"{whole(self.value)} in [{whole(self.low)}, {whole(self.high)}]"

    def to_dict(self) -> dict[str, Any]:
        return {k: v if np.isfinite(v) else None for k, v in vars(self).items()}


@dataclass(frozen=True)
class Noise:
    """How much of a difference between two levels of a held-out curve can be chance.

    - `binomial`: standard error of one evaluation from n examples (None if n is unknown, or in regression). Evaluations
      of one run share their examples, so it overstates the noise of changes; it is the right size for new examples.
    - `roughness`: evaluation-to-evaluation standard deviation, from second differences by their median, which neither a
      trend nor a few jumps inflate; None below five evaluations. It misses slow drift, for which a verdict adds the
      `wander` around a lasting rise or decay.
    - `averaged`: share of an evaluation's variance that the mean at the end leaves.
    - `band`: differences up to this are not beyond noise.
    """

    binomial: float | None
    roughness: float | None
    band: float
    averaged: float = 1.0

    def around(self, spread: float, sigmas: float) -> float:
        """The band beside a lasting rise, around which the curve has the standard deviation `spread`. On a
        coarse grid the transition itself looks like roughness, so the smaller of the two is the noise between
        evaluations."""
        sampling = np.sqrt(2) * (self.binomial or 0.0)
        wobble = np.sqrt(0.45 + self.averaged) * min(self.roughness or 0.0, spread)
        return float(sigmas * max(sampling, wobble, spread))


@dataclass(frozen=True, kw_only=True)
class Milestones:
    """All that is read off one held-out split before any class is named. Steps are in the log's own unit."""

    split: str
    threshold: float
    """Held-out score that counts as generalized; of a regression judged by its loss, the R2 of that loss."""
    generalize_loss: float | None = None
    """Held-out loss that counts in its place."""
    evaluations: int
    last_step: float
    grids: dict[str, np.ndarray] = field(repr=False, compare=False)
    """The steps of evaluation: of ``train`` (for T_fit) and of ``held_out``. What one grid saw, a coarser one cannot
    have seen, so comparisons between runs need them; they are no part of the plain data."""
    in_a_row: int
    """Evaluations in a row that T_fit and T_gen ask for."""
    T_fit: Milestone
    """First evaluation with the train score, or loss, at the fit threshold (the first of `in_a_row`)."""
    T_gen: Milestone
    """First evaluation with the held-out score, or loss, at the threshold (the first of `in_a_row`)."""
    T_gen_lasting: Milestone
    """The same, flickers left out: from here on it holds for `dwell` evaluations (dips shorter than that aside) or to
    the end."""
    T_gen_stable: Milestone
    """From here on it holds to the end, dips shorter than `dwell` evaluations aside."""
    T_grok: Milestone | None
    """First held-out evaluation at the threshold with the train loss near zero (`Criteria.zero_loss`), whatever comes
    after it; None without a train loss."""
    delay: Span | None
    """T_gen - T_fit; None if train never fitted."""
    delay_ratio: Span | None
    """T_gen / T_fit; infinite for a fit at step 0."""
    peak: float
    peak_step: float
    peak_lasting: float
    """Highest running median of three evaluations: what the curve reached without the help of a single evaluation."""
    peak_lasting_step: float
    end: float
    """Mean over the last `Criteria.end_share` of the steps (after `T_gen_stable` where there is one), each evaluation
    weighted by the time since the one before."""
    end_from: float
    """The mean begins after this step."""
    end_rows: int
    """Evaluations in the mean; 1 where the grid is coarser than it."""
    final: float
    """The last evaluation alone."""
    noise: Noise

    @property
    def goal(self) -> str:
        """What held-out had to reach, in words."""
        return f"{self.threshold:g}" if self.generalize_loss is None else f"a loss of {self.generalize_loss:g}"

    @property
    def drop(self) -> float:
        """From the peak to the end."""
        return self.peak - self.end

    def to_dict(self) -> dict[str, Any]:
        """Plain data; ``peak_rule`` names what looking up the peak amounts to, on `ood_test` the oracle's."""
        plain = {k: v for k, v in vars(self).items() if k != "grids"}
        out = {k: v.to_dict() if isinstance(v, Milestone | Span) else v for k, v in plain.items()}
        out = {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in out.items()}
        return {
            **out,
            "noise": vars(self.noise),
            "drop": self.drop if np.isfinite(self.drop) else None,
            "peak_rule": peak_rule(self.split),
        }


def milestones(trajectory: Trajectory, split: str | None = None, criteria: Criteria | None = None) -> Milestones:
    """Read the milestones of one held-out split (None: the only one).

    Raises:
        ValueError: an unknown split, or one without evaluations.
    """
    criteria = criteria or Criteria()
    split = trajectory.split(split)
    held, fit, goal = trajectory.curve(split), mark(trajectory, "train", criteria), mark(trajectory, split, criteria)
    above = runs_of(goal.holds, criteria.in_a_row)
    runs = stretches(above, criteria.dwell)
    lasting = [r for r in runs if r.open or r.count >= criteria.dwell]
    T_fit, T_gen = first(fit.curve, runs_of(fit.holds, criteria.in_a_row)), first(goal.curve, above)
    top, top_lasting = int(np.argmax(held.value)), _median_row(held.value, held.smooth)
    stable = _at_row(goal.curve, runs[-1].start if runs and runs[-1].open else None)
    start = _end_from(held, stable, criteria.end_share)
    weights = time_weights(held.step, start)
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
        end=float(weights @ held.value),
        end_from=start,
        end_rows=int((weights > 0).sum()),
        final=held.value[-1].item(),
        noise=_noise(trajectory, split, held, float((weights**2).sum()), criteria),
    )


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
        grids={"train": np.empty(0), "held_out": np.empty(0)},
        in_a_row=criteria.in_a_row,
        **dict.fromkeys(("T_fit", "T_gen", "T_gen_lasting", "T_gen_stable"), never),
        T_grok=None,
        delay=None,
        delay_ratio=None,
        **dict.fromkeys(("peak", "peak_step", "peak_lasting", "peak_lasting_step", "end", "end_from", "final"), nan),
        end_rows=0,
        noise=Noise(None, None, 0.0),
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
    return start if stable.censored else max(start, stable.earliest)


def milestone(found: Milestones, name: str) -> Milestone:
    """The milestone called `name` (``T_gen``, ...). Raises ValueError naming the nearest."""
    known = [k for k, v in vars(found).items() if isinstance(v, Milestone)]
    if name not in known:
        raise ValueError(f"unknown milestone {name!r}{nearest(name, known)}")
    return getattr(found, name)


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
