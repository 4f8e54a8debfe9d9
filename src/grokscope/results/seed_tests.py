"""Records of tests over seeds: everything needed to interpret a p-value."""

from dataclasses import dataclass
from math import inf, isnan
from typing import Literal

from grokscope.results.record import Record
from grokscope.vocabulary.text import p_equation, p_value

Alternative = Literal["two-sided", "greater", "less"]
Counts = tuple[int, int]
"""(successes, trials)."""

LEVEL = 0.95
ENOUGH = 6
"""Below so many units in an arm nothing is called significant, whatever its p."""


def interval_words(low: float, high: float, level: float = LEVEL, null: float = 0.0) -> str:
    """``95 %: 0.05 to 0.5``; ``95 %: above 0.05`` with an open end. One of no width is named, for values that happen to
    agree are no certainty. `null`: the effect where there is none; nothing bounds a ratio (1) from 0 to infinity."""
    lowest = 0.0 if null == 1.0 else -inf
    if low <= lowest and high == inf:
        return "no bounded interval with so few values"
    at = f"{100 * level:.4g} %:"
    if high == inf:
        return f"{at} above {low:.3g}"
    if low == -inf:
        return f"{at} below {high:.3g}"
    words = f"{at} {low:.3g} to {high:.3g}"
    if low == high:
        return f"{words}, no width: the values agree, which is no certainty"
    return words


def with_open_ends(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    """An interval as it was before a file wrote null for each end that nothing bounds, which is read as NaN."""
    if interval is None:
        return None
    low, high = interval
    return (-inf if isnan(low) else low, inf if isnan(high) else high)


@dataclass(frozen=True, kw_only=True)
class Power(Record):
    """Chance of p <= alpha by shift (``"1.5"`` standard deviations), and its standard error."""

    chance: dict[str, float]
    """Shift -> chance of p <= alpha. [probability]"""
    error: dict[str, float]
    """Shift -> standard error of the chance where it was simulated, 0 where it was computed. [probability]"""
    draws: int
    """Simulated samples; 0 where computed. [count]"""

    def __getitem__(self, shift: str) -> float:
        return self.chance[shift]

    def __str__(self) -> str:
        parts = [
            f"{p:.2f}{f' (± {self.error[s]:.2g})' if self.error[s] else ''} at {s} SD" for s, p in self.chance.items()
        ]
        return f"power {', '.join(parts)}"


@dataclass(frozen=True, kw_only=True)
class Result(Record):
    """One test of one question."""

    test: str
    """Its name."""
    question: str = ""
    """What was asked."""
    unit: str = "seed"
    """What is independent."""
    n: tuple[int, ...]
    """In each arm. [units]"""
    statistic: float
    """The test's own. [as the test says]"""
    effect: float
    """How far the arms differ. [as `effect_name` says]"""
    effect_name: str
    """What the effect is."""
    interval: tuple[float, float] | None
    """Of the effect, infinite where so few values bound nothing. [as the effect]"""
    level: float = LEVEL
    """What the interval really attains; with few values less, or more, than was asked for. [share]"""
    p: float
    """Of the alternative. [probability]"""
    alternative: Alternative
    """What was asked for beforehand."""
    p_two_sided: float
    """The same, two-sided. [probability]"""
    method: str
    """How p was computed: ``exact``, or how many arrangements were drawn."""
    smallest_p: float
    """The smallest p that this test with these n and this sidedness can give, if all goes as far as it can.
    [probability]"""
    power: Power | None
    """Chance of p <= .05 when the arms differ by so many standard deviations (see `power`)."""

    @property
    def enough(self) -> bool:
        """Whether the word "significant" may be used at all: six units or more in each arm."""
        return min(self.n) >= ENOUGH

    @property
    def can_reach(self) -> bool:
        """Whether p <= .05 is possible with these n."""
        return self.smallest_p <= 0.05

    def sentence(self) -> str:
        """The result in words that claim no more than the numbers."""
        sides = "two-sided"
        if self.alternative != "two-sided":
            sides = f"one-sided ({self.alternative}); two-sided {p_value(self.p_two_sided)}"
        limit = "" if self.can_reach else "; p <= .05 is impossible with these n"
        where = ""
        if self.interval is not None:
            where = f" ({interval_words(*self.interval, self.level)})"
        return (
            f"{self.effect_name} {self.effect:.3g}{where}, {self.test} {p_equation(self.p)}, {sides}, "
            f"n = {' v '.join(map(str, self.n))} (smallest attainable p {p_value(self.smallest_p)}{limit})"
        )
