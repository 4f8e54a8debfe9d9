"""Numbers of one run's verdict."""

import math
from dataclasses import dataclass

from grokscope.results.milestones import Milestone, Span
from grokscope.results.verdict import VerdictRecord
from grokscope.study.words import number

STEPS = ("T_fit", "T_gen", "T_gen_lasting", "T_gen_stable", "T_grok", "delay", "delay_ratio")
"""Milestones: known to the evaluation grid, and right-censored where they were not reached."""
LEVELS = ("peak", "peak_step", "peak_lasting", "peak_lasting_step", "drop", "end", "final")
PEAKS = LEVELS[:5]
"""Numbers that follow from the highest evaluation."""
QUANTITIES = (*STEPS, *LEVELS)


@dataclass(frozen=True)
class Seen:
    """One quantity of one run; censored: it is at least `value`. NaN where it does not exist (no delay without a
    fit)."""

    value: float
    censored: bool = False
    before: float | None = None
    """The evaluation before it, at which it was not reached yet; None for what is known exactly, or held from the
    start."""

    def within(self, low: float, high: float) -> bool:
        """Whether it surely lies in [low, high]: a censored one only where there is no upper end."""
        return self.value >= low and (high == math.inf if self.censored else self.value <= high)

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "none"
        if self.censored:
            return f"> {number(self.value)}"
        return number(self.value)


def seen(verdict: VerdictRecord, quantity: str) -> Seen:
    """A quantity read off a verdict's milestones."""
    match getattr(verdict.milestones, quantity):
        case Milestone() as moment:
            return Seen(moment.at, moment.censored, moment.previous)
        case Span() as span:
            return Seen(span.value, span.censored)
        case None:
            return Seen(math.nan)
        case level:
            return Seen(level)


def route(verdict: VerdictRecord) -> str | None:
    """By which route held-out rose late; None for other verdicts, and without probes."""
    if verdict.formation is None:
        return None
    return verdict.formation.route
