"""Checks of the head, the one group without a norm layer after it: does it grow, and does a filter amplify this?"""

from dataclasses import dataclass

from grokscope.mechanism.case import Case
from grokscope.mechanism.check import Answer, Check, lacking, not_applicable, without_start, word_of
from grokscope.mechanism.setup import GROKFAST
from grokscope.results.mechanisms import Arm


@dataclass(frozen=True)
class HeadGrowth(Check):
    """The norm of the last layer after the fit, and whether it goes on growing."""

    grew: float = 1.2
    still: float = 1.05
    """Up to this the head counts as not grown."""

    name = "head growth"
    claim = "The head grew without bound after the fit, as cross-entropy asks of it."
    source = "arXiv:2501.04697"
    misleads = (
        "A growing head need not be the cause: it also grows in runs that grok. The arm that decays it tests this."
    )

    def read(self, case: Case) -> Answer:
        head, loss = case.series("norm_head"), case.setup.loss
        if case.setup.grows_logits is False:
            return not_applicable(f"{loss} does not fall with the size of the logits")
        if head is None:
            return lacking("norm_head")
        if case.fitted_at is None:
            return Answer("cannot tell", "train never fitted")
        after = head.since(case.fitted_at)
        if after.value[0] <= 0:
            return without_start("head's norm")
        growth, late = after.growth(), after.since(after.time_at(0.75)).growth()
        low, high = after.factor()
        numbers = {"growth_after_fit": growth, "growth_low": low, "growth_high": high, "growth_last_quarter": late}
        evidence = f"the head grew by x {growth:.3g} after the fit, by x {late:.3g} in the last quarter"
        if growth <= self.still:
            return Answer("against", evidence, numbers)
        if loss is None:
            return Answer("cannot tell", evidence, numbers, missing=("loss",))
        goes_on = low >= self.grew and late > 1.0
        return Answer(word_of(supports=goes_on, against=False), evidence, numbers, arm=DECAYED_HEAD)


DECAYED_HEAD = Arm(
    name="decay on the head",
    changes={"regime.interventions": [{"name": "decay_head", "weight_decay": 1.0, "from": "T_fit"}]},
    expects="the head stops growing; held-out rises if its growth was the reason",
)


@dataclass(frozen=True)
class FilterFeedsHead(Check):
    """Grokfast amplifies what stays the same in the gradient; after the fit that could be the growth of the head."""

    along: float = 0.05
    """Mean cosine of the step with the head's weights, from which the filter can feed their growth."""
    still: float = 1.05
    """Up to this the head counts as not grown."""

    name = "filter feeds the head"
    claim = "Grokfast amplifies the growth of the head."
    source = "arXiv:2405.20233"
    misleads = "A single run has no comparison without the filter: amplification can be seen only against that arm."

    def read(self, case: Case) -> Answer:
        used = case.setup.grad_filter
        if used is None:
            return lacking("grad_filter")
        if used not in GROKFAST:
            return not_applicable("no Grokfast filter was used")
        head, cosine = case.series("norm_head"), case.series("cos_grad_head")
        if head is None:
            return lacking("norm_head")
        start = float(head.step[0]) if case.fitted_at is None else case.fitted_at
        after = head.since(start)
        if after.value[0] <= 0:
            return without_start("head's norm")
        growth = after.growth()
        numbers: dict[str, float | None] = {"growth_after_fit": growth}
        evidence = f"the head grew by x {growth:.3g} after the fit"
        fed = True
        if cosine is not None:
            along = -float(cosine.since(start).value.mean())  # a step goes against the gradient
            numbers["step_along_head"] = along
            evidence += f"; cosine of the step with the head's weights {along:.2g} on average"
            fed = along >= self.along
        neither = growth < self.still and (cosine is None or not fed)
        return Answer(word_of(supports=False, against=neither), evidence, numbers, arm=WITHOUT_FILTER)


WITHOUT_FILTER = Arm(
    name="no filter", changes={"regime.grad_filter": "none"}, expects="the head grows less without the filter"
)
