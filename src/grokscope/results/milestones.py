"""Records of milestones: steps known to the evaluation grid, levels, and their noise."""

from dataclasses import dataclass
from math import inf, isnan, sqrt
from typing import Any

from grokscope.files import finite
from grokscope.results.record import Record
from grokscope.vocabulary.text import whole

Step = int | float
"""A step in the log's own unit: whole numbers stay whole in a file."""


@dataclass(frozen=True)
class Milestone(Record):
    """A step known to lie in ``(previous, at]``; right-censored: not reached by `at`, the last evaluation."""

    at: Step
    """The evaluation that showed it, or the last one where it was not reached. [steps]"""
    previous: Step | None = None
    """The evaluation before; None where it held at the first evaluation (it happened at or before `at`) and where it is
    censored. [steps]"""
    censored: bool = False
    """Whether it was not reached."""

    def __str__(self) -> str:
        if self.censored:
            return f"not by {whole(self.at)}"
        if self.previous is not None:
            return f"{whole(self.at)} in ({whole(self.previous)}, {whole(self.at)}]"
        return f"{whole(self.at)} or before"

    @property
    def earliest(self) -> float:
        """Lower end of what is known; 0 where it held at the first evaluation."""
        if self.censored:
            return self.at
        return self.previous or 0


@dataclass(frozen=True)
class Span(Record):
    """A quantity made of two milestones: `value` from their `at`, and what the grid leaves open, [low, high]."""

    value: Step
    """From the evaluations that showed them; censored: at least this. [steps, or 1 for a ratio]"""
    low: Step
    """The least that the grid allows. [as `value`]"""
    high: Step
    """The most; infinite, in a file null, where T_gen was not reached. [as `value`]"""
    censored: bool = False
    """Whether T_gen was not reached."""

    def __post_init__(self) -> None:
        for name in ("value", "low", "high"):  # null in a file, read as NaN: a ratio to a fit at step 0 is infinite
            if isnan(getattr(self, name)):
                object.__setattr__(self, name, inf)

    def __str__(self) -> str:
        if self.censored:
            return f"> {whole(self.value)}"
        return f"{whole(self.value)} in [{whole(self.low)}, {whole(self.high)}]"


@dataclass(frozen=True)
class Noise(Record):
    """How much of a difference between two levels of a held-out curve can be chance."""

    binomial: float | None
    """Standard error of one evaluation from n examples; None if n is unknown, or in regression. Evaluations of one run
    share their examples, so it overstates the noise of changes; it is the right size for new examples. [score]"""
    roughness: float | None
    """Evaluation-to-evaluation standard deviation, from second differences by their median, which neither a trend nor a
    few jumps inflate; None below five evaluations. It misses slow drift, for which a verdict adds the `wander` around a
    lasting rise or decay. [score]"""
    band: float
    """Differences up to this are not beyond noise. [score]"""
    averaged: float = 1.0
    """What the mean at the end leaves of an evaluation's variance. [share]"""

    def around(self, spread: float, sigmas: float) -> float:
        """The band beside a lasting rise, around which the curve has the standard deviation `spread`. On a
        coarse grid the transition itself looks like roughness, so the smaller of the two is the noise between
        evaluations."""
        sampling = sqrt(2) * (self.binomial or 0.0)
        wobble = sqrt(0.45 + self.averaged) * min(self.roughness or 0.0, spread)
        return float(sigmas * max(sampling, wobble, spread))


@dataclass(frozen=True, kw_only=True)
class MilestonesRecord(Record):
    """All that is read off one held-out split before any class is named. Levels are scores, and NaN where the split was
    never evaluated."""

    split: str
    """The held-out split."""
    threshold: float
    """Held-out score that counts as generalized; of a regression judged by its loss, the R2 of that loss. [score]"""
    generalize_loss: float | None = None
    """Held-out loss that counts in its place. [as the loss]"""
    evaluations: int
    """Of held-out. [count]"""
    last_step: Step
    """The last evaluation. [steps]"""
    in_a_row: int
    """Evaluations in a row that T_fit and T_gen ask for. [count]"""
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
    """Highest held-out score. [score]"""
    peak_step: Step
    """Where. [steps]"""
    peak_lasting: float
    """Highest running median of three evaluations: what the curve reached without the help of a single evaluation.
    [score]"""
    peak_lasting_step: Step
    """Where. [steps]"""
    end: float
    """Mean over the last `Criteria.end_share` of the steps (after `T_gen_stable` where there is one), each evaluation
    weighted by the time since the one before. [score]"""
    end_from: Step
    """The mean begins after this step. [steps]"""
    end_rows: int
    """Evaluations in the mean; 1 where the grid is coarser than it. [count]"""
    final: float
    """The last evaluation alone. [score]"""
    noise: Noise
    """How much of a difference can be chance."""
    drop: float
    """From the peak to the end. [score]"""
    peak_rule: str
    """What looking up the peak amounts to: on `ood_test` the oracle's rule."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, which has no word for numbers that are not finite: they become None."""
        return finite(super().to_dict())

    @property
    def goal(self) -> str:
        """What held-out had to reach, in words."""
        if self.generalize_loss is None:
            return f"{self.threshold:g}"
        return f"a loss of {self.generalize_loss:g}"
