"""Learning-rate schedules: a factor for each step, a pure function of the step. Imports no torch."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from grokscope.checks import require_whole
from grokscope.components import Schedule
from grokscope.limits import MAX_STEPS
from grokscope.registry import register


@register
@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """``lr`` at every step: the only schedule whose runs compare at every length without care. Cost: none. Misleads
    late: under Adam the weights keep jittering at the size of lr, which can look like unstable training."""

    name: ClassVar[str] = "constant"
    summary: ClassVar[str] = "the same learning rate at every step"

    def build(self, lr: float, total_steps: int) -> Callable[[int], float]:
        del total_steps
        return lambda step: lr


@register
@dataclass(frozen=True, kw_only=True)
class Warmup(Schedule):
    """``lr min(1, step / warmup_steps)`` (Goyal et al., arXiv:1706.02677). Cost: none. Misleads when a milestone falls
    inside the warm-up."""

    name: ClassVar[str] = "warmup"
    summary: ClassVar[str] = "linear warm-up, then constant"
    source: ClassVar[str] = "arXiv:1706.02677"

    warmup_steps: int = 0
    """Steps until the full learning rate; 0: no warm-up."""

    def __post_init__(self) -> None:
        require_whole("warmup_steps", self.warmup_steps, 0, MAX_STEPS)

    def build(self, lr: float, total_steps: int) -> Callable[[int], float]:
        del total_steps
        return lambda step: lr * min(1.0, step / max(self.warmup_steps, 1))


@register
@dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """Linear warm-up, then ``lr (1 + cos(pi t)) / 2`` over the rest of the budget (Loshchilov & Hutter,
    arXiv:1608.03983).

    Cost: none. Misleads on delays: it ties the trajectory to the length, so such a run cannot be extended, and late
    generalization competes with a rate that falls to zero.
    """

    name: ClassVar[str] = "cosine"
    summary: ClassVar[str] = "linear warm-up, then half a cosine to zero at the budget's end"
    source: ClassVar[str] = "arXiv:1608.03983"
    depends_on_length: ClassVar[bool] = True

    warmup_steps: int = 0
    """Steps until the full learning rate; 0: no warm-up."""

    def __post_init__(self) -> None:
        require_whole("warmup_steps", self.warmup_steps, 0, MAX_STEPS)

    def build(self, lr: float, total_steps: int) -> Callable[[int], float]:
        warm = self.warmup_steps

        def rate(step: int) -> float:
            if step <= warm:
                return lr * step / warm
            t = (step - warm) / max(total_steps - warm, 1)
            return lr * (1 + math.cos(math.pi * min(t, 1.0))) / 2

        return rate
