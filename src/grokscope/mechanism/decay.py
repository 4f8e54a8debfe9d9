"""Checks of weight decay: did it have time to act, did it affect the function, and was it too strong?"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from grokscope.mechanism.case import Case, Series
from grokscope.mechanism.check import (
    STEPS_PER_UNIT,
    Answer,
    Check,
    absent,
    lacking,
    never_fitted,
    not_applicable,
    without_start,
    word_of,
)
from grokscope.results.mechanisms import Arm
from grokscope.vocabulary.text import percent


def decay_budget(case: Case, start: float, end: float, group: str | None = None) -> float | None:
    """Sum of lr * decay over the steps between two times: how often decay alone would divide the weights of a group
    (None: all but the head) by e. None where learning rate, decay or the steps in one unit of time are unknown."""
    lr, history = case.lr(), case.setup.decay_history(group, start, end)
    if lr is None or case.setup.weight_decay is None:
        return None
    total = math.fsum(decay * integral(lr.step, lr.value, begin, stop) for begin, stop, decay in history)
    if total == 0:
        return 0.0
    if case.steps_per_unit is None:
        return None
    return total * case.steps_per_unit


def needed_for_budget(case: Case) -> dict[str, Any]:
    """What a decay budget is made of, by name; None where it is not known."""
    return {"lr": case.lr(), "weight_decay": case.setup.weight_decay, STEPS_PER_UNIT: case.steps_per_unit}


def integral(step: np.ndarray, value: np.ndarray, start: float, end: float) -> float:
    """Of a value recorded at some times, linear between them and constant beyond."""
    inside = step[(step > start) & (step < end)]
    grid = np.concatenate([[start], inside, [end]])
    return float(np.trapezoid(np.interp(grid, step, value), grid))


ROUNDED = 1.001
"""A part may be above the whole by this factor where both are rounded."""


def squared_shares(part: Series, whole: Series) -> Series | None:
    """The share of the squared norm `whole` that is in `part`, over the times of both; None where some part is above
    the whole: then one of the columns is no norm, or of other weights."""
    both, i, j = np.intersect1d(part.step, whole.step, return_indices=True)
    ratio = part.value[i] / np.maximum(whole.value[j], np.finfo(np.float64).tiny)
    if not len(both) or (ratio > ROUNDED).any():
        return None
    return Series(both, np.minimum(ratio, 1.0) ** 2)


def part_above_whole() -> Answer:
    return Answer(
        "cannot tell", "the norm of the scale-invariant weights is above the total in some rows: the columns disagree"
    )


def not_decoupled(case: Case) -> Answer:
    return Answer(
        "cannot tell",
        f"{case.setup.optimizer} adds decay to the gradient and rescales it, so lr x decay x steps does not measure "
        f"its time",
    )


@dataclass(frozen=True)
class DecayTime(Check):
    """eta * lambda * T, the decay budget in units of 1/e. Where it is far below 1, "the norm does not shrink" holds
    trivially and explains nothing."""

    enough: float = 1.0
    """In one unit decay alone divides the weights by e: no shrinking can be expected of less."""
    little: float = 0.5
    ample: float = 10.0
    """Budget of the arm that tests it: networks that grok by decay were seen to reach T_gen after budgets of 1 to 6."""

    name = "decay time"
    claim = "Weight decay had too little time to act."
    source = "arXiv:2605.18845"
    misleads = (
        "The budget says how far decay alone would shrink the weights; the gradient works against it, and "
        "scale-invariant "
        "weights settle where the two balance. A budget above 1 is necessary for a mechanism by decay, not sufficient."
    )
    explains = frozenset({"failed", "late"})

    def claim_for(self, case: Case) -> str:
        if case.outcome in ("late", "at once"):
            return "Weight decay had time to act before held-out rose."
        return self.claim

    def read(self, case: Case) -> Answer:
        s = case.setup
        if s.decoupled is False and s.weight_decay:
            return not_decoupled(case)
        budget = decay_budget(case, 0.0, case.until)
        if budget is None:
            return lacking(*absent(needed_for_budget(case)))
        numbers = {"decay_budget": budget, "steps": case.steps(0.0, case.until)}
        where = "to T_gen" if case.until < case.trajectory.last_step else "in all"
        evidence = (
            f"lr x decay x steps is {_short(budget)} {where}, in units of 1/e: decay alone would have left "
            f"{percent(math.exp(-budget))} of the weights"
        )
        if budget < self.little:
            share = percent(budget / self.enough, 1) if budget else "none"
            evidence = f"decay had {share} of the time it needs: {evidence}"
        if s.decay_groups == "head":
            evidence += "; it acts on the head alone, and this refers to all other weights"
        if case.fitted_at is None:
            return never_fitted(f"so there was nothing that decay could have undone; {evidence}", numbers)
        had_time, had_none = budget >= self.enough, budget < self.little
        if case.outcome in ("late", "at once"):
            return Answer(word_of(supports=had_time, against=had_none), evidence, numbers, arm=WITHOUT_DECAY)
        word = word_of(supports=had_none, against=had_time)
        return Answer(word, evidence, numbers, arm=self._arm(case, budget))

    def _arm(self, case: Case, budget: float) -> Arm | None:
        """More decay; or, where an intervention took it away, the decay that the run had before, if that is enough."""
        lr, steps_per_unit = case.lr(), case.steps_per_unit
        if lr is None or steps_per_unit is None or case.until <= 0 or not float(lr.value.mean()):
            return None
        everywhere = {}
        if case.setup.decay_groups == "head":
            everywhere = {"regime.decay_groups": "all"}
        rate = integral(lr.step, lr.value, 0.0, case.until) * steps_per_unit
        left_on = case.setup.weight_decay or 0.0
        if left_on * rate >= self.enough and left_on * rate > budget:
            return Arm(
                name="decay left on",
                changes={"regime.weight_decay": left_on, **everywhere},
                expects=f"with decay {left_on:g} to the end, a budget of {_short(left_on * rate)}, the norm shrinks "
                "after the fit, and held-out rises late",
            )
        return Arm(
            name="decay with time",
            changes={"regime.weight_decay": float(f"{self.ample / rate:.2g}"), **everywhere},
            expects=f"with a budget of {self.ample:g} the norm shrinks after the fit, and held-out rises late",
        )


WITHOUT_DECAY = Arm(
    name="no decay after the fit",
    changes={"regime.interventions": [{"name": "switch", "from": "T_fit", "to": {"weight_decay": 0.0}}]},
    expects="held-out does not rise within the same number of steps",
    raises=False,
    by="T_gen",
)


@dataclass(frozen=True)
class DecayGrip(Check):
    """Share of the squared weight norm in scale-invariant weights. There decay sets the effective learning rate and
    regularizes nothing."""

    most: float = 0.5
    few: float = 0.1

    name = "decay grip"
    claim = "Decay has no grip on the function: most of the norm is scale-invariant."
    source = "arXiv:1706.05350"
    misleads = (
        "The share says where the norm is, not what the other weights could do: a small head can memorize alone, and "
        "through the effective learning rate decay still changes what is learned."
    )

    def read(self, case: Case) -> Answer:
        total = case.series("norm_total")
        if total is None:
            return lacking("norm_total")
        invariant = case.series("norm_scale_invariant")
        if invariant is None:
            if not case.setup.groups_tested:
                return lacking("norm_scale_invariant")
            return not_applicable("no weight of this network is scale-invariant")
        at = case.fitted_at
        if at is None:
            return never_fitted("so there is no fit that decay could undo")
        if total.at(at) <= 0 or total.at(case.until) <= 0:
            return without_start("norm")
        shares = squared_shares(invariant, total)
        if shares is None:
            return part_above_whole()
        at_fit, at_end = shares.at(at), shares.at(case.until)
        numbers = {"share_at_fit": at_fit, "share_at_end": at_end}
        evidence = (
            f"{percent(at_fit)} of the squared norm is in scale-invariant weights at the fit, "
            f"{percent(at_end)} at the end"
        )
        if decay_budget(case, at, case.until) == 0:
            return Answer("cannot tell", f"there was no decay on these weights after the fit; {evidence}", numbers)
        word = word_of(supports=min(at_fit, at_end) >= self.most, against=max(at_fit, at_end) <= self.few)
        if word == "supports":
            evidence = f"decay has no grip: {evidence}"
        return Answer(word, evidence, numbers, arm=WITHOUT_NORM)


WITHOUT_NORM = Arm(
    name="no normalization",
    changes={"model.norm": "none"},
    expects="without normalization layers decay shrinks the function itself",
)


@dataclass(frozen=True)
class DecayTooStrong(Check):
    """The fit breaks, again and again or for good, under a decay that acts within few steps."""

    strong: float = 3.0
    """Budget after the fit from which decay can have undone it."""

    name = "decay too strong"
    claim = "Decay is so strong that it breaks the fit."
    source = "arXiv:2205.10343"
    misleads = (
        "A learning rate that is too large also breaks the fit, without decay; the arm with less decay tests this."
    )
    explains = frozenset({"broke", "failed"})

    def read(self, case: Case) -> Answer:
        broke = case.verdict.verdict == "unstable"
        if not broke and case.fitted_at is not None:
            return not_applicable("the fit holds")
        if case.setup.decoupled is False and case.setup.weight_decay:
            return not_decoupled(case)
        since, end = case.fitted_at or 0.0, float(case.trajectory.last_step)
        budgets = [decay_budget(case, since, end, group) for group in (None, "head")]
        budget = max((b for b in budgets if b is not None), default=None)
        if budget is None:
            return lacking(*absent(needed_for_budget(case)))
        numbers = {"decay_budget_after_fit": budget}
        state = "train never fits"
        if broke:
            state = "the train score collapses after the fit"
        evidence = f"{state}, and the decay budget from there on is {_short(budget)}"
        if budget < self.strong:
            return Answer("against", evidence, numbers)
        return Answer(word_of(supports=broke, against=False), evidence, numbers, arm=_fifth(case, since, end))


def _fifth(case: Case, since: float, end: float) -> Arm:
    """A fifth of the strongest decay that was in force after the fit, from where it began."""
    histories = [*case.setup.decay_history(None, since, end), *case.setup.decay_history("head", since, end)]
    began, _, strongest = max(histories, key=lambda span: span[2])
    fifth = float(f"{strongest / 5:.2g}")
    changes: dict[str, Any] = {"regime.weight_decay": fifth}
    if strongest != case.setup.weight_decay:  # an intervention's: the run before it stays as it was
        switch = {"name": "switch", "from": int(began), "to": {"weight_decay": fifth}}
        changes = {"regime.interventions": [switch]}
    return Arm(name="a fifth of the decay", changes=changes, expects="the fit holds")


def _short(value: float) -> str:
    if value < 100:
        return f"{value:.2g}"
    return f"{value:.0f}"
