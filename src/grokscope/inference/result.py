"""The record of one test: everything that is needed to read its p-value for what it is."""

from dataclasses import dataclass
from math import inf
from typing import Literal

Alternative = Literal["two-sided", "greater", "less"]
Counts = tuple[int, int]
"""(successes, trials)."""

LEVEL = 0.95
ENOUGH = 6
"""Below so many units in an arm nothing is called significant, whatever its p."""


def interval_words(low: float, high: float, level: float = LEVEL) -> str:
    """``95 %: 0.05 to 0.5``. One of no width is named, for values that happen to agree are no certainty."""
    if low == -inf and high == inf:
        return "no bounded interval with so few values"
    words = f"{100 * level:.4g} %: {low:.3g} to {high:.3g}"
    return f"{words}, no width: the values agree, which is no certainty" if low == high else words


@dataclass(frozen=True, kw_only=True)
class Power:
    """Chance of p <= alpha by shift (``"1.5"`` standard deviations), and its standard error where it was simulated, 0
    where it was computed."""

    chance: dict[str, float]
    error: dict[str, float]
    draws: int
    """Simulated samples; 0 where computed."""

    def __getitem__(self, shift: str) -> float:
        return self.chance[shift]

    def __str__(self) -> str:
        parts = [
            f"{p:.2f}{f' (± {self.error[s]:.2g})' if self.error[s] else ''} at {s} SD" for s, p in self.chance.items()
        ]
        return f"power {', '.join(parts)}"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One test of one question."""

    test: str
    question: str = ""
    family: str = ""
    unit: str = "seed"
    n: tuple[int, ...]
    statistic: float
    effect: float
    effect_name: str
    interval: tuple[float, float] | None
    """Infinite where so few values bound nothing."""
    level: float = LEVEL
    """What the interval really attains; with few values less, or more, than was asked for."""
    p: float
    alternative: Alternative
    p_two_sided: float
    method: str
    """How p was computed: ``exact``, or how many arrangements were drawn."""
    smallest_p: float
    """The smallest p that this test with these n and this sidedness can give, if all goes as far as it can."""
    power: "Power | None"
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
        sides = (
            "two-sided"
            if self.alternative == "two-sided"
            else f"one-sided ({self.alternative}); two-sided {self.p_two_sided:.3g}"
        )
        limit = "" if self.can_reach else "; p <= .05 is impossible with these n"
        where = "" if self.interval is None else f" ({interval_words(*self.interval, self.level)})"
        return (
            f"{self.effect_name} {self.effect:.3g}{where}, {self.test} p = {self.p:.3g}, {sides}, "
            f"n = {' v '.join(map(str, self.n))} (smallest attainable p {self.smallest_p:.3g}{limit})"
        )
