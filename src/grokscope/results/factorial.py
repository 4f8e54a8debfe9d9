"""Effects of the factors of a design: the design, its aliases, and each effect with its interval."""

from dataclasses import dataclass
from typing import Any, Literal

from grokscope.results.record import Record
from grokscope.results.seed_tests import interval_words, with_open_ends
from grokscope.vocabulary.text import number


@dataclass(frozen=True, kw_only=True)
class CellMiddle(Record):
    """One combination of levels."""

    name: str
    """Its levels."""
    runs: int
    """Runs that count: one of each seed that is finished in every cell. [runs]"""
    reached: int | None
    """Of these, runs that reached a milestone; None for other numbers. [runs]"""
    middle: float | None
    """Median of a milestone, or mean of other numbers; None where a median was not reached. [as the response]"""


@dataclass(frozen=True, kw_only=True)
class FactorEffect(Record):
    """A main effect, or an interaction of two factors: half the difference that one makes to the other's."""

    name: str
    """``weight_decay``, ``weight_decay x init_scale``."""
    aliases: tuple[str, ...]
    """Effects of up to two factors that these cells cannot tell from it."""
    by_seed: tuple[float, ...]
    """Of each seed, the mean over cells of the upper sign less that of the lower; of scores where some times were not
    reached. [as the response, or its logarithm, or scores]"""
    effect: float | None
    """None where no finite one can be estimated. [as the response's `effect_name` says]"""
    interval: tuple[float, float] | None
    """Of the effect; infinite ends bound nothing. [as the effect]"""
    level: float
    """What the interval attains; for a hazard ratio only nearly. [share]"""
    p: float
    """Sign-flip test over seeds, two-sided. [probability]"""
    p_adjusted: float
    """The same, by Holm over the effects of the response. [probability]"""
    smallest_p: float
    """The smallest that so many seeds allow. [probability]"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "interval", with_open_ends(self.interval))

    def excludes(self, null: float) -> bool:
        """Whether its interval leaves out no effect."""
        return self.interval is not None and not self.interval[0] <= null <= self.interval[1]

    def in_words(self, null: float) -> str:
        """``weight_decay 0.2 (93.75 %: 0.1 to 0.3)``."""
        if self.effect is None:
            return f"{self.name} none estimated"
        where = ""
        if self.interval is not None:
            where = f" ({interval_words(*self.interval, self.level, null)})"
        return f"{self.name} {number(self.effect)}{where}"


@dataclass(frozen=True, kw_only=True)
class Response(Record):
    """All effects on one number."""

    response: str
    """What was measured."""
    outcome: Literal["told", "open", "cannot tell"]
    """``open`` while runs are missing."""
    effect_name: str
    """``difference of means``, ``ratio of times``, or ``hazard ratio`` where some times were not reached."""
    null: float
    """The effect where there is none: 1 for ratios, else 0. [as the effect]"""
    seeds: int
    """Seeds that are finished in every cell. [seeds]"""
    cells: tuple[CellMiddle, ...]
    """In the order of the design."""
    effects: tuple[FactorEffect, ...]
    """Main effects first."""
    notes: tuple[str, ...]
    """Why nothing is told, or what a reader should know."""


@dataclass(frozen=True, kw_only=True)
class DesignResult(Record):
    """A designed study."""

    factors: tuple[str, ...]
    """What is varied, with lower and upper level."""
    cells: int
    """Combinations that are run. [cells]"""
    resolution: str
    """``full``, ``one off``, or III to VII."""
    says: str
    """The design in a sentence, with what it confounds."""
    responses: tuple[Response, ...]
    """In the order of the study file."""


def design_of(raw: Any) -> DesignResult | None:
    """The designed study in plain data, as a report is given it; None for runs that no design laid out."""
    if raw is None:
        return None
    return DesignResult.from_dict(raw, "$.design")
