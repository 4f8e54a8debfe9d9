"""The record of one test: everything that is needed to read its p-value for what it is."""

from dataclasses import dataclass
from typing import Literal

Alternative = Literal["two-sided", "greater", "less"]
Counts = tuple[int, int]
"""(successes, trials)."""

LEVEL = 0.95
ENOUGH = 6
"""Below so many units in an arm nothing is called significant, whatever its p."""


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
    level: float = LEVEL
    p: float
    alternative: Alternative
    p_two_sided: float
    method: str
    """How p was computed: ``exact``, or how many arrangements were drawn."""
    smallest_p: float
    """The smallest p that this test with these n and this sidedness can give, if all goes as far as it can."""
    power: dict[str, float] | None
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
        where = "" if self.interval is None else f" [{self.interval[0]:.3g}, {self.interval[1]:.3g}]"
        return (
            f"{self.effect_name} {self.effect:.3g}{where}, {self.test} p = {self.p:.3g}, {sides}, "
            f"n = {' v '.join(map(str, self.n))} (smallest attainable p {self.smallest_p:.3g}{limit})"
        )
