"""The weight norm: does it shrink after the fit, does it grow by more than diffusion, and is it the head that grows?"""

import math
from dataclasses import dataclass

import numpy as np

from grokscope.mechanism.case import Case, Series
from grokscope.mechanism.check import Answer, Arm, Check, lacking, not_applicable
from grokscope.mechanism.decay import DecayTime, decay_budget


@dataclass(frozen=True)
class NormGrowth(Check):
    """The total norm from the fit to the end (or to T_gen)."""

    moved: float = 0.05
    """Changes up to this count as none."""

    name = "norm after the fit"
    claim = "The weight norm did not shrink after the fit."
    source = "arXiv:2210.01117"
    misleads = (
        "Where decay had no time, the norm cannot shrink, and this explains nothing by itself. A norm that is mostly "
        "scale-invariant says little of the function."
    )

    def claim_for(self, case: Case) -> str:
        return "The weight norm shrank between the fit and T_gen." if case.outcome == "late" else self.claim

    def read(self, case: Case) -> Answer:
        norm = case.series("norm_total")
        if norm is None:
            return lacking("norm_total")
        if case.fitted_at is None:
            return Answer("cannot tell", "train never fitted, so there is no norm at the fit")
        low, high = _ratios(norm, case.fitted_at, case.until)
        numbers = {
            "norm_at_fit": norm.at(case.fitted_at),
            "norm_at_end": norm.at(case.until),
            "ratio_low": low,
            "ratio_high": high,
        }
        evidence = (
            f"{numbers['norm_at_fit']:.4g} at the fit, {numbers['norm_at_end']:.4g} at the end: x {_range(low, high)}"
        )
        budget = decay_budget(case, 0.0, case.until)
        if budget is not None and budget < DecayTime.little:
            evidence += f"; decay had no time to shrink it (budget {budget:.2g})"
        shrank, stayed = high < 1 - self.moved, low > 1 - self.moved
        if case.outcome in ("late", "at once"):
            return Answer("supports" if shrank else "against" if stayed else "cannot tell", evidence, numbers)
        return Answer("supports" if stayed else "against" if shrank else "cannot tell", evidence, numbers)


def _ratios(series: Series, start: float, end: float) -> tuple[float, float]:
    """Smallest and largest ratio of the end to the start, each read one recorded value earlier and later as well."""
    starts = _around(series, start)
    return float(_around(series, end).min() / starts.max()), float(_around(series, end).max() / starts.min())


def _around(series: Series, step: float) -> np.ndarray:
    row = max(int(np.searchsorted(series.step, step, side="right")) - 1, 0)
    return series.value[max(row - 1, 0) : row + 2]


def _range(low: float, high: float) -> str:
    return f"{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g} to {high:.3g}"


# -- diffusion --------------------------------------------------------------------------------------------------------


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
    return math.sqrt(max(end**2 - without**2, 0.0)) / unit


@dataclass(frozen=True)
class MoreThanDiffusion(Check):
    """Adam's steps have an rms per weight of about the learning rate whatever the loss, so noise alone makes a norm
    grow.
    For gradients that are pure noise u is 1, for any beta1: the momentum that makes each step smaller makes them agree
    for longer."""

    group: str | None = None
    """None: the whole network."""
    noise: float = 1.0
    """u of pure noise."""

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
        return (
            self.claim
            if self.group is None
            else f"The {self.group} grew by more than uncorrelated steps would make it."
        )

    def read(self, case: Case) -> Answer:
        column = f"norm_{self.group or 'total'}"
        norm, lr, s = case.series(column), case.lr(), case.setup
        weights = s.parameters if self.group is None else s.group_sizes.get(self.group)
        absent = [
            name
            for name, value in (
                (column, norm),
                ("lr", lr),
                ("weight_decay", s.weight_decay),
                ("number of weights", weights),
            )
            if value is None
        ]
        if absent or norm is None or lr is None or weights is None or s.weight_decay is None:
            return lacking(*absent)
        if s.optimizer is not None and s.optimizer != "adamw":
            return Answer(
                "cannot tell", f"the size of {s.optimizer}'s steps follows the gradient, so there is no null without it"
            )
        mean_lr = float(lr.value.mean())
        ends = norm.since(norm.step[0] + 0.95 * (norm.step[-1] - norm.step[0])).value
        span = case.steps(norm.step[0], norm.step[-1])
        low, high = (
            fitted_u(norm.value[0], end, mean_lr, s.weight_decay, span, weights) for end in (ends.min(), ends.max())
        )
        null = diffused_norm(norm.value[0], self.noise, mean_lr, s.weight_decay, span, weights)
        numbers = {
            "u_low": low,
            "u_high": high,
            "norm_start": norm.value[0].item(),
            "norm_end": norm.value[-1].item(),
            "norm_by_noise": null,
        }
        evidence = (
            f"{norm.value[0]:.4g} -> {norm.value[-1]:.4g}; steps of pure noise would lead to {null:.4g} (u = 1), and u "
            f"= {_range(low, high)} leads to what is seen"
        )
        if low > self.noise:
            return Answer("supports", evidence, numbers)
        return Answer("against" if high <= self.noise else "cannot tell", evidence, numbers)


# -- the head ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HeadGrowth(Check):
    """The norm of the last layer after the fit: the one group without a norm after it."""

    grew: float = 1.2
    still: float = 1.05
    """Up to this the head counts as not grown."""

    name = "head growth"
    claim = "The head grew without bound after the fit, as cross-entropy asks of it."
    source = "arXiv:2501.04697"
    misleads = (
        "A head that grows need not be the reason: it grows in runs that grok as well. The arm that decays it tells."
    )

    def read(self, case: Case) -> Answer:
        head = case.series("norm_head")
        if head is None:
            return lacking("norm_head")
        if case.fitted_at is None:
            return Answer("cannot tell", "train never fitted")
        after = head.since(case.fitted_at)
        growth, late = (
            after.value[-1] / after.value[0],
            after.value[-1] / after.at(after.step[0] + 0.75 * (after.step[-1] - after.step[0])),
        )
        numbers = {"growth_after_fit": float(growth), "growth_last_quarter": float(late)}
        evidence = f"the head grew by x {growth:.3g} after the fit, by x {late:.3g} in the last quarter"
        if growth <= self.still:
            return Answer("against", evidence, numbers)
        if case.setup.grows_logits is False:
            return Answer(
                "against", f"{evidence}, but {case.setup.loss} does not fall with the size of the logits", numbers
            )
        if case.setup.grows_logits is None:
            return Answer("cannot tell", evidence, numbers, missing=("loss",))
        arm = Arm(
            name="decay on the head",
            changes={"regime.decay_groups": "head", "regime.weight_decay": 1.0},
            expects="the head stops growing; held-out rises if its growth was the reason",
        )
        return Answer("supports" if growth >= self.grew and late > 1.0 else "cannot tell", evidence, numbers, arm=arm)


@dataclass(frozen=True)
class FilterFeedsHead(Check):
    """Grokfast amplifies what stays the same in the gradient; after the fit that could be the growth of the head."""

    along: float = 0.05
    """Mean cosine of the step with the head's growth from which the filter can feed it."""

    name = "filter feeds the head"
    claim = "Grokfast amplifies the growth of the head."
    source = "arXiv:2405.20233"
    misleads = "One run has no run without the filter beside it: whether it amplifies is seen only against that arm."

    def read(self, case: Case) -> Answer:
        s = case.setup
        if s.grad_filter is None:
            return lacking("grad_filter")
        if not s.grad_filter.startswith("grokfast"):
            return not_applicable("no Grokfast filter was used")
        head, cosine = case.series("norm_head"), case.series("cos_grad_head")
        if head is None:
            return lacking("norm_head")
        start = case.fitted_at or head.step[0]
        after = head.since(start)
        growth = float(after.value[-1] / after.value[0])
        numbers: dict[str, float | None] = {"growth_after_fit": growth}
        evidence = f"the head grew by x {growth:.3g} after the fit"
        if cosine is not None:
            along = -float(cosine.since(start).value.mean())  # a step goes against the gradient
            numbers["step_along_head"] = along
            evidence += f"; cosine of the step with the head's growth {along:.2g} on average"
            if growth < 1.05 or along < self.along:
                return Answer(
                    "against" if growth < 1.05 and along < self.along else "cannot tell",
                    evidence,
                    numbers,
                    arm=_WITHOUT,
                )
        elif growth < 1.05:
            return Answer("against", evidence, numbers)
        return Answer("cannot tell", evidence, numbers, arm=_WITHOUT)


_WITHOUT = Arm(
    name="no filter", changes={"regime.grad_filter": "none"}, expects="the head grows less without the filter"
)


@dataclass(frozen=True)
class InitScaleUndone(Check):
    """A larger start changes nothing of a function whose weights are scale-invariant; it only lowers their effective
    learning rate."""

    most: float = 0.5

    name = "init scale undone"
    claim = "Normalization undoes the larger initialization."
    source = "arXiv:2210.01117"
    misleads = "Through the effective learning rate a larger start still slows learning; only the function is the same."

    def read(self, case: Case) -> Answer:
        scale = case.setup.init_scale
        if scale is None:
            return lacking("init_scale")
        if scale == 1:
            return not_applicable("the network starts at its usual size")
        total, invariant = case.series("norm_total"), case.series("norm_scale_invariant")
        if total is None or (invariant is None and len(case.trajectory.norm_groups) < 2):
            return lacking("norm_total" if total is None else "norm_scale_invariant")
        share = 0.0 if invariant is None else float((invariant.value[0] / total.value[0]) ** 2)
        numbers = {"init_scale": scale, "share_at_start": share}
        evidence = (
            f"the weights start {scale:g} times as large, and {share:.0%} of their squared norm is scale-invariant"
        )
        return Answer(
            "supports" if share >= self.most else "against" if share < 0.1 else "cannot tell", evidence, numbers
        )
