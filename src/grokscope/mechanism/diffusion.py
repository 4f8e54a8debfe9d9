"""Does a norm grow by more than the noise of its steps makes it?"""

import math
from dataclasses import dataclass

from grokscope.mechanism.case import Case, Series
from grokscope.mechanism.check import Answer, Check, lacking, not_applicable, word_of
from grokscope.mechanism.norms import ratio_text


def diffused_norm(start: float, u: float, lr: float, decay: float, steps: float, weights: int) -> float:
    """Norm after `steps` uncorrelated updates of rms `u` per weight, in units of the learning rate, under decoupled
    decay:

    |W|^2 = |W0|^2 e^(-2 eta lambda T) + u^2 eta N / (2 lambda) (1 - e^(-2 eta lambda T)), and without decay
    |W0|^2 + u^2 eta^2 N T.
    """
    spread = lr**2 * weights * steps
    budget = lr * decay * steps
    kept, share = math.exp(-2 * budget), 1.0
    if budget > 1e-12:
        share = -math.expm1(-2 * budget) / (2 * budget)
    return math.sqrt(start**2 * kept + u**2 * spread * share)


def fitted_u(start: float, end: float, lr: float, decay: float, steps: float, weights: int) -> float:
    """The rms per weight with which uncorrelated updates lead from one norm to the other; 0 where decay alone would
    have left more than there is."""
    without = diffused_norm(start, 0.0, lr, decay, steps, weights)
    unit = diffused_norm(0.0, 1.0, lr, decay, steps, weights)
    if unit == 0:  # nothing was learned at a rate of 0
        return math.inf if end > without else 0.0
    return math.sqrt(max(end**2 - without**2, 0.0)) / unit


@dataclass(frozen=True)
class MoreThanDiffusion(Check):
    """Adam's steps have an rms per weight of about the learning rate whatever the loss, so noise alone makes a norm
    grow.

    For gradients that are pure noise u is 1, for any beta1: the momentum that makes each step smaller makes successive
    ones agree.
    """

    group: str | None = None
    """None: the whole network."""
    noise: float = 1.0
    """u of pure noise."""
    margin: float = 0.1
    """How far above that u may lie in a run of pure noise: momentum and the first steps move it by some percent."""

    name = "more than diffusion"
    claim = "The norm grew by more than uncorrelated steps would make it."
    source = "arXiv:1706.05350; arXiv:2305.17212"
    misleads = (
        "u = 1 is what pure noise gives; batch-norm networks were measured at .5 to .7, so a u below 1 does not "
        "show that "
        "nothing systematic grew. Growth of one small group vanishes in the total: look at the groups."
    )

    def title(self) -> str:
        return self.name if self.group is None else f"{self.name}, {self.group}"

    def claim_for(self, case: Case) -> str:
        if self.group is None:
            return self.claim
        return f"The {self.group} grew by more than uncorrelated steps would make it."

    def read(self, case: Case) -> Answer:
        s, column = case.setup, f"norm_{self.group or 'total'}"
        norm, lr, decay = case.series(column), case.lr(), s.weight_decay
        weights = s.parameters if self.group is None else s.group_sizes.get(self.group)
        needed = {column: norm, "lr": lr, "weight_decay": decay, "number of weights": weights}
        if norm is None or lr is None or decay is None or weights is None:
            return lacking(*[name for name, value in needed.items() if value is None])
        if s.optimizer not in (None, "adamw"):
            return Answer(
                "cannot tell", f"the size of {s.optimizer}'s steps follows the gradient: there is no such null"
            )
        return self._against_noise(norm, _Walk.of(lr, decay, case.steps(norm.step[0], norm.step[-1]), weights))

    def _against_noise(self, norm: Series, walk: "_Walk") -> Answer:
        start, end = float(norm.value[0]), float(norm.value[-1])
        if end <= start:
            # Decay against a gradient that is more than noise can settle above the null without any growth.
            return not_applicable(f"{start:.4g} -> {end:.4g}: the norm did not grow")
        last = norm.since(norm.time_at(0.95)).value  # the end is as sure as the last records agree
        low, high = walk.fitted_u(start, float(last.min())), walk.fitted_u(start, float(last.max()))
        by_noise = walk.norm(start, self.noise)
        numbers = {"u_low": low, "u_high": high, "norm_start": start, "norm_end": end, "norm_by_noise": by_noise}
        evidence = (
            f"{start:.4g} -> {end:.4g}; steps of pure noise would lead to {by_noise:.4g} (u = 1), and "
            f"u = {ratio_text(low, high)} leads to what is seen"
        )
        most = self.noise + self.margin
        return Answer(word_of(supports=low > most, against=high <= most), evidence, numbers)


@dataclass(frozen=True)
class _Walk:
    """The steps between two norms."""

    lr: float
    """Root mean square over time: what spreads."""
    decay: float
    """Such that lr x decay is the mean decay of a step."""
    steps: float
    weights: int

    @classmethod
    def of(cls, lr: Series, decay: float, steps: float, weights: int) -> "_Walk":
        rms = math.sqrt(float((lr.value**2).mean()))
        return cls(rms, decay * float(lr.value.mean()) / rms if rms else 0.0, steps, weights)

    def norm(self, start: float, u: float) -> float:
        return diffused_norm(start, u, self.lr, self.decay, self.steps, self.weights)

    def fitted_u(self, start: float, end: float) -> float:
        return fitted_u(start, end, self.lr, self.decay, self.steps, self.weights)
