"""Learning-rate schedules: a factor for each step, a pure function of the step. Imports no torch."""

import math
from dataclasses import dataclass
from typing import ClassVar

from grokscope.config import Regime


@dataclass(frozen=True)
class Constant:
    """``lr`` at every step: the only schedule whose runs compare at every length without care. Cost: none. Misleads
    late: under Adam the weights keep jittering at the size of lr, which can look like unstable training."""

    regime: Regime
    total_steps: int
    depends_on_length: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.regime.warmup_steps:
            raise ValueError("$.regime.warmup_steps: the constant schedule has no warm-up; use schedule = 'warmup'")

    def lr(self, step: int) -> float:
        """Learning rate of step 1, 2, ..."""
        return self.regime.lr


@dataclass(frozen=True)
class Warmup:
    """``lr min(1, step / warmup_steps)`` (Goyal et al., arXiv:1706.02677). Cost: none. Misleads when a milestone falls
    inside the warm-up."""

    regime: Regime
    total_steps: int
    depends_on_length: ClassVar[bool] = False

    def lr(self, step: int) -> float:
        """Learning rate of step 1, 2, ..."""
        return self.regime.lr * min(1.0, step / max(self.regime.warmup_steps, 1))


@dataclass(frozen=True)
class Cosine:
    """Linear warm-up, then ``lr (1 + cos(pi t)) / 2`` over the rest of the budget (Loshchilov & Hutter,
    arXiv:1608.03983).

    Cost: none. Misleads on delays: it ties the trajectory to the length, so such a run cannot be extended, and late
    generalization competes with a rate that falls to zero.
    """

    regime: Regime
    total_steps: int
    depends_on_length: ClassVar[bool] = True

    def lr(self, step: int) -> float:
        """Learning rate of step 1, 2, ..."""
        warm = self.regime.warmup_steps
        if step <= warm:
            return self.regime.lr * step / warm
        t = (step - warm) / max(self.total_steps - warm, 1)
        return self.regime.lr * (1 + math.cos(math.pi * min(t, 1.0))) / 2
