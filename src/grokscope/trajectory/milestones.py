"""Milestones: when something first holds, known only to the evaluation grid, and censored where it was not reached."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from grokscope.registry import nearest
from grokscope.trajectory.criteria import Criteria
from grokscope.trajectory.selection import peak_rule
from grokscope.trajectory.series import Curve, Trajectory


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
            return f"not by {self.at:g}"
        return (
            f"{self.at:g} in ({self.previous:g}, {self.at:g}]"
            if self.previous is not None
            else f"{self.at:g} or before"
        )

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
        return f"> {self.value:g}" if self.censored else f"{self.value:g} in [{self.low:g}, {self.high:g}]"

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
    - `band`: differences up to this are not beyond noise.
    """

    binomial: float | None
    roughness: float | None
    band: float


@dataclass(frozen=True, kw_only=True)
class Milestones:
    """All that is read off one held-out split before any class is named. Steps are in the log's own unit."""

    split: str
    threshold: float
    evaluations: int
    last_step: float
    grids: dict[str, np.ndarray] = field(repr=False, compare=False)
    """The steps of evaluation: of ``train`` (for T_fit) and of ``held_out``. What one grid saw, a coarser one cannot
    have seen, so comparisons between runs need them; they are no part of the plain data."""
    T_fit: Milestone
    """First evaluation with the train score at the fit threshold."""
    T_gen: Milestone
    """First evaluation with the held-out score at the threshold."""
    T_gen_lasting: Milestone
    """The same, flickers left out: from here on it holds for `dwell` evaluations (dips shorter than that aside) or to
    the end."""
    T_gen_stable: Milestone
    """From here on it holds to the end, dips shorter than `dwell` evaluations aside."""
    delay: Span | None
    """T_gen - T_fit; None if train never fitted."""
    delay_ratio: Span | None
    """T_gen / T_fit; infinite for a fit at step 0."""
    peak: float
    peak_step: float
    peak_lasting: float
    """Highest running median of three evaluations: what the curve reached without the help of a single evaluation."""
    peak_lasting_step: float
    final: float
    """Mean of the last few evaluations."""
    final_rows: int
    noise: Noise

    @property
    def drop(self) -> float:
        """From the peak to the final value."""
        return self.peak - self.final

    def to_dict(self) -> dict[str, Any]:
        """Plain data; ``peak_rule`` names what looking up the peak amounts to, on `ood_test` the oracle's."""
        plain = {k: v for k, v in vars(self).items() if k != "grids"}
        out = {k: v.to_dict() if isinstance(v, Milestone | Span) else v for k, v in plain.items()}
        return {**out, "noise": vars(self.noise), "drop": self.drop, "peak_rule": peak_rule(self.split)}


def milestones(trajectory: Trajectory, split: str | None = None, criteria: Criteria | None = None) -> Milestones:
    """Read the milestones of one held-out split (None: the only one).

    Raises:
        ValueError: an unknown split, or one without evaluations.
    """
    criteria = criteria or Criteria()
    split = trajectory.split(split)
    held, train = trajectory.curve(split), trajectory.curve("train")
    fit, threshold = criteria.thresholds(trajectory)
    above = held.reaches(threshold)
    runs = stretches(above, criteria.dwell)
    lasting = [r for r in runs if r.open or r.count >= criteria.dwell]
    T_fit, T_gen = first(train, train.reaches(fit)), first(held, above)
    smooth = running_median(held.value)
    top, top_lasting = int(np.argmax(held.value)), _median_row(held.value, smooth)
    rows = final_count(len(held), criteria)
    return Milestones(
        split=split,
        threshold=threshold,
        evaluations=len(held),
        last_step=held.step[-1].item(),
        grids={"train": train.step, "held_out": held.step},
        T_fit=T_fit,
        T_gen=T_gen,
        T_gen_lasting=_at_row(held, lasting[0].start if lasting else None),
        T_gen_stable=_at_row(held, runs[-1].start if runs and runs[-1].open else None),
        delay=_delay(T_fit, T_gen),
        delay_ratio=_ratio(T_fit, T_gen),
        peak=held.value[top].item(),
        peak_step=held.step[top].item(),
        peak_lasting=held.value[top_lasting].item(),
        peak_lasting_step=held.step[top_lasting].item(),
        final=held.value[-rows:].mean().item(),
        final_rows=rows,
        noise=_noise(trajectory, split, held, criteria),
    )


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


@dataclass(frozen=True)
class Stretch:
    """Rows [start, stop) in which something holds, short gaps bridged; `count` rows in which it really does."""

    start: int
    stop: int
    count: int
    open: bool
    """It still holds at the end of the curve: in the last row, or, once it held for `dwell` rows, a few rows before
    it."""


def stretches(holds: np.ndarray, dwell: int) -> list[Stretch]:
    """The stretches of a condition (t,) bool, gaps shorter than `dwell` rows bridged."""
    rows = np.flatnonzero(holds)
    if not rows.size:
        return []
    parts = np.split(rows, np.flatnonzero(np.diff(rows) > dwell) + 1)
    out = []
    for part in parts:
        tail = len(holds) - 1 - int(part[-1])
        still = tail == 0 or (tail < dwell and len(part) >= dwell)
        out.append(Stretch(int(part[0]), int(part[-1]) + 1, len(part), still))
    return out


def running_median(values: np.ndarray) -> np.ndarray:
    """Running median of three (t,) -> (t,); the ends take the first and last three. Fewer than three rows: their
    minimum."""
    if len(values) < 3:
        return np.full_like(values, values.min())
    a, b, c = values[:-2], values[1:-1], values[2:]
    middle = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    return np.concatenate([middle[:1], middle, middle[-1:]])


def _median_row(values: np.ndarray, smooth: np.ndarray) -> int:
    """The row whose value is the highest running median (it is one of the three)."""
    top = int(np.argmax(smooth))
    start = min(max(top - 1, 0), max(len(values) - 3, 0))
    return start + int(np.argmax(values[start : start + 3] == smooth[top]))


def final_count(evaluations: int, criteria: Criteria) -> int:
    """How many evaluations the final value averages: in a short log, no more than a quarter of them."""
    return min(criteria.final_rows, max(evaluations // 4, 1))


def roughness(values: np.ndarray) -> float | None:
    """Standard deviation of white noise on a smooth curve (t,), or None below five rows.

    ``1.4826 median|x[i-1] - 2 x[i] + x[i+1]| / sqrt(6)``: consistent for Gaussian noise. Rows at the end that only
    repeat the last value are left out: a network at rest says nothing of the noise before.
    """
    values = _moving(values)
    if len(values) < 5:
        return None
    return float(1.4826 * np.median(np.abs(np.diff(values, 2))) / np.sqrt(6))


def wander(values: np.ndarray, *, increasing: bool) -> float:
    """Standard deviation of a curve (t,) around the best-fitting monotone one: all that it does besides lasting change.

    Unlike `roughness` it also sees slow drift, in which neighbouring evaluations err together. A monotone fit follows
    part of such drift; where the two disagree the result is therefore raised by their ratio, at most twofold, which
    about restores the right size for first-order autoregressive noise. 0 for a monotone curve, or one too short to
    tell.
    """
    values = _moving(values)
    fit = isotonic_regression(values, increasing=increasing)
    free = len(values) - (len(fit.blocks) - 1)
    spread = float(np.sqrt(((values - fit.x) ** 2).sum() / free)) if free > 0 else 0.0
    rough = roughness(values)
    return spread * min(max(spread / rough, 1.0), 2.0) if rough else spread


def _moving(values: np.ndarray) -> np.ndarray:
    """The curve without the repetitions of its last value at the end."""
    moving = np.flatnonzero(values != values[-1])
    return values[: moving[-1] + 2] if moving.size else values[:1]


def _noise(trajectory: Trajectory, split: str, held: Curve, criteria: Criteria) -> Noise:
    """Band for a difference between a running median of three (variance 0.45) and a mean of `final_rows` evaluations;
    the binomial part is not averaged away, because all evaluations share their examples."""
    rough = roughness(held.value)
    n = trajectory.n.get(split)
    binomial = None
    if n and trajectory.kind == "classification":
        level = (held.value.max() + held.value[-1]) / 2
        binomial = float(np.sqrt(level * (1 - level) / n)) if level < 1 else 0.0
    sampling = np.sqrt(2) * (binomial or 0.0)
    wobble = np.sqrt(0.45 + 1 / criteria.final_rows) * (rough or 0.0)
    return Noise(binomial, rough, float(criteria.noise_sigmas * max(sampling, wobble)))


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
