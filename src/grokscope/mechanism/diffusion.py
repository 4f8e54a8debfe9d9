"""Checks whether a norm grows by more than the noise of its steps explains."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from grokscope.mechanism.case import NORM_DEVIATIONS, Case, Series
from grokscope.mechanism.check import Answer, Check, absent, lacking, not_applicable, word_of
from grokscope.mechanism.decay import integral, needed_for_budget
from grokscope.mechanism.in_force import Span
from grokscope.mechanism.norms import ratio_text
from grokscope.results.mechanisms import Arm


def diffused_norm(start: float, u: float, lr: float, decay: float, steps: float, weights: int) -> float:
    """Norm after `steps` uncorrelated updates of rms `u` per weight, in units of the learning rate, under decoupled
    decay:

    |W|^2 = |W0|^2 e^(-2 eta lambda T) + u^2 eta N / (2 lambda) (1 - e^(-2 eta lambda T)), and without decay
    |W0|^2 + u^2 eta^2 N T.
    """
    return Walk.constant(lr, decay, steps, weights).norm(start, u)


def fitted_u(start: float, end: float, lr: float, decay: float, steps: float, weights: int) -> float:
    """The rms per weight with which uncorrelated updates lead from one norm to the other; 0 where decay alone would
    have left more than there is."""
    return Walk.constant(lr, decay, steps, weights).fitted_u(start, end)


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
    still: float = 0.01
    """A growth up to this share is none: what rounding does to a norm is many times what tiny steps would."""

    name = "more than diffusion"
    claim = "The norm grew by more than uncorrelated steps would make it."
    source = "arXiv:1706.05350; arXiv:2305.17212"
    misleads = (
        "u = 1 is what pure noise gives; batch-norm networks were measured at .5 to .7, so a u below 1 does not "
        "show that "
        "nothing systematic grew. Growth of one small group vanishes in the total: look at the groups."
    )

    def title(self) -> str:
        if self.group is None:
            return self.name
        return f"{self.name}, {self.group}"

    def claim_for(self, case: Case) -> str:
        if self.group is None:
            return self.claim
        return f"The {self.group} grew by more than uncorrelated steps would make it."

    def read(self, case: Case) -> Answer:
        s, column = case.setup, f"norm_{self.group or 'total'}"
        norm, lr, decay = case.series(column), case.lr(), s.weight_decay
        weights = s.parameters if self.group is None else s.group_sizes.get(self.group)
        counted = "number of weights"
        if self.group is not None:
            counted = f"number of weights in {self.group}"
        needed = {column: norm, **needed_for_budget(case), counted: weights, "optimizer": s.optimizer}
        if s.optimizer not in (None, "adamw"):
            return Answer(
                "cannot tell",
                f"the size of {s.optimizer}'s steps depends on the gradient, so this null hypothesis does not apply",
            )
        steps_per_unit = case.steps_per_unit
        if norm is None or lr is None or decay is None or weights is None or steps_per_unit is None or not s.optimizer:
            return lacking(*absent(needed))
        history = s.decay_history(self.group, float(norm.step[0]), float(norm.step[-1]))
        answer = self._against_noise(norm, Walk.through(lr, history, steps_per_unit, weights))
        if case.fitted_at is None:
            return replace(answer, is_reason=False)
        return replace(answer, arm=self._arm())

    def _arm(self) -> Arm:
        of = self.group or "total"
        return Arm(
            name=f"{self.group or 'norm'} held where it was at the fit",
            changes={"regime.interventions": [{"name": "hold_norm", "of": of, "rho": 1.0, "from": "T_fit"}]},
            expects="held-out rises if the growth was the reason",
        )

    def _against_noise(self, norm: Series, walk: "Walk") -> Answer:
        start, end = float(norm.value[0]), float(norm.value[-1])
        if end <= start * (1 + self.still):
            # Decay against a gradient that is more than noise can settle above the null without any growth.
            return not_applicable(f"{start:.4g} -> {end:.4g}: the norm did not grow")
        last = norm.since(norm.time_at(0.95)).value  # the end is as sure as the last records agree
        surely = float(last.min()) * norm.factor(NORM_DEVIATIONS)[0] / norm.growth()  # and as one record is
        low, high = walk.fitted_u(start, surely), walk.fitted_u(start, float(last.max()))
        by_noise = walk.norm(start, self.noise)
        numbers = {"u_low": low, "u_high": high, "norm_start": start, "norm_end": end, "norm_by_noise": by_noise}
        evidence = (
            f"{start:.4g} -> {end:.4g}; pure noise would lead to {by_noise:.4g} (u = 1), and u = "
            f"{ratio_text(low, high)} matches the observed norm"
        )
        most = self.noise + self.margin
        return Answer(word_of(supports=low > most, against=high <= most), evidence, numbers)


@dataclass(frozen=True)
class Walk:
    """The steps between two norms: ``|W|^2 = kept |W0|^2 + spread u^2``."""

    kept: float
    spread: float

    @classmethod
    def constant(cls, lr: float, decay: float, steps: float, weights: int) -> "Walk":
        """Of steps at one rate under one decay."""
        budget = lr * decay * steps
        share = -math.expm1(-2 * budget) / (2 * budget) if budget > 1e-12 else 1.0
        return cls(math.exp(-2 * budget), lr**2 * weights * steps * share)

    @classmethod
    def through(cls, lr: Series, history: Sequence[Span], steps_per_unit: float, weights: int) -> "Walk":
        """Of one stretch of constant decay after the other. Within each the rate counts by its mean square over time,
        which is what spreads, and decay by its mean budget: exact where the rate is constant too."""
        walk = cls(1.0, 0.0)
        for begin, stop, decay in history:
            mean = integral(lr.step, lr.value, begin, stop) / (stop - begin)
            rms = math.sqrt(integral(lr.step, lr.value**2, begin, stop) / (stop - begin))
            steps = (stop - begin) * steps_per_unit
            walk = walk.then(cls.constant(rms, decay * mean / rms if rms else 0.0, steps, weights))
        return walk

    def then(self, after: "Walk") -> "Walk":
        """Both, one after the other."""
        return Walk(self.kept * after.kept, self.spread * after.kept + after.spread)

    def norm(self, start: float, u: float) -> float:
        return math.sqrt(start**2 * self.kept + u**2 * self.spread)

    def fitted_u(self, start: float, end: float) -> float:
        """0 where decay alone would have left more than there is."""
        grown = end**2 - start**2 * self.kept
        if self.spread == 0:  # nothing was learned at a rate of 0
            return math.inf if grown > 0 else 0.0
        return math.sqrt(max(grown, 0.0) / self.spread)
