"""Checks of the logits: softmax collapse, their scale, and the penalty that falls with the loss."""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import spearmanr

from grokscope.mechanism.case import Case, Series
from grokscope.mechanism.check import Answer, Check, lacking, not_applicable, without_start, word_of
from grokscope.results.mechanisms import Arm
from grokscope.vocabulary.text import percent, plural

TOO_FEW = 6
"""Values below which a rank correlation says nothing."""


@dataclass(frozen=True)
class SoftmaxCollapse(Check):
    """Share of train rows whose softmax is exactly one-hot in the loss's number format: their gradient is exactly
    zero."""

    much: float = 0.5
    little: float = 0.05

    name = "softmax collapse"
    claim = "Softmax collapse stops learning: most training rows give no gradient."
    source = "arXiv:2501.04697"
    misleads = (
        "Rows without a gradient are those that are fitted best; a few others can continue to train the network, more "
        "slowly."
    )

    def read(self, case: Case) -> Answer:
        if case.setup.grows_logits is False:
            return not_applicable(f"{case.setup.loss} has no softmax that could collapse")
        collapse = case.series("softmax_collapse")
        if collapse is None:
            return lacking("softmax_collapse")
        during = collapse.since(case.fitted_at or 0.0).until(case.until)
        if not len(during):
            return Answer("cannot tell", "it was not recorded between the fit and the end")
        mean, most = float(during.value.mean()), float(during.value.max())
        low, high = during.mean_range()
        numbers = {"mean_share": mean, "mean_low": low, "mean_high": high, "largest_share": most}
        evidence = f"{percent(mean)} of the training rows on average after the fit, at most {percent(most)}"
        arm = Arm(
            name="float64 loss", changes={"regime.loss_dtype": "float64"}, expects="no collapse, and learning goes on"
        )
        return Answer(word_of(supports=low >= self.much, against=most < self.little), evidence, numbers, arm=arm)


@dataclass(frozen=True)
class LogitScale(Check):
    """Under cross-entropy the delay runs through the size of the logits: divided by a temperature they delay less. No
    single trajectory shows it."""

    still: float = 1.05
    """Up to this the logits count as not grown."""

    name = "logit scale"
    claim = "The growing scale of the logits delays held-out."
    source = "arXiv:2606.18465"
    misleads = (
        "Logits grow in every run that fits under cross-entropy; only an arm with a temperature distinguishes cause "
        "from symptom."
    )
    explains = frozenset({"late", "failed"})

    def read(self, case: Case) -> Answer:
        if case.setup.grows_logits is False:
            return not_applicable(f"under {case.setup.loss} the scale of the logits is fixed by the targets")
        scale = case.series("train_logit_scale")
        if scale is None:
            return lacking("train_logit_scale")
        start = case.fitted_at or float(scale.step[0])
        if scale.at(start) <= 0:
            return without_start("scale of the logits")
        growth = scale.at(case.until) / scale.at(start)
        numbers = {"growth_after_fit": growth}
        evidence = f"the logits grew by x {growth:.3g} from the fit on"
        arm = COOLED if case.outcome == "failed" else replace(COOLED, by="T_gen")
        return Answer(word_of(supports=False, against=growth <= self.still), evidence, numbers, arm=arm)


COOLED = Arm(
    name="logits at a temperature of 2",
    changes={"regime.interventions": [{"name": "temperature", "temperature": 2.0, "from": "T_fit"}]},
    expects="with the same norm and smaller logits in the loss, held-out comes sooner",
)


@dataclass(frozen=True)
class PenaltyFollowsLoss(Check):
    """The IRMv1 penalty is a squared derivative of the loss and goes to zero with it: on memorized data it says nothing
    about invariance."""

    close: float = 0.8
    apart: float = 0.3

    name = "penalty follows loss"
    claim = "The IRM penalty falls because the train loss does, and not by invariance."
    source = "arXiv:1907.02893"
    misleads = (
        "A rank correlation cannot distinguish a penalty that falls because of the loss from one that falls at "
        "the same time."
    )
    explains = frozenset()
    """It describes what happened; no verdict follows from it."""

    def read(self, case: Case) -> Answer:
        weight = case.setup.irm_weight
        if weight:
            return Answer("cannot tell", f"the penalty is part of the objective (weight {weight:g})")
        penalty, loss = case.series("train_irm"), case.series("train_loss")
        if penalty is None or loss is None:
            return lacking(*[n for n, v in (("train_irm", penalty), ("train_loss", loss)) if v is None])
        common, a, b = _shared(penalty, loss)
        if len(common) < TOO_FEW:
            return Answer("cannot tell", f"only {plural(len(common), 'row')} with both")
        if np.ptp(a) == 0 or np.ptp(b) == 0:
            return Answer("cannot tell", "penalty or loss never changes")
        rho = float(np.asarray(spearmanr(a, b))[0])
        low, high = rank_correlation_range(rho, len(common))
        numbers = {
            "rank_correlation": rho,
            "low": low,
            "high": high,
            "penalty_start": float(a[0]),
            "penalty_end": float(a[-1]),
        }
        evidence = (
            f"penalty {a[0]:.3g} -> {a[-1]:.3g} while the loss went {b[0]:.3g} -> {b[-1]:.3g}; rank correlation "
            f"{rho:.2f} over {len(common):,} rows"
        )
        if not a[-1] < a[0]:
            return Answer("against", evidence, numbers)
        follows = rho >= self.close and low > self.apart
        word = word_of(supports=follows, against=high <= self.apart)
        return Answer(word, evidence, numbers, arm=PENALIZED)


PENALIZED = Arm(
    name="penalty in the loss",
    changes={"regime.irm_weight": 1.0},
    expects="a penalty that is trained falls below what the loss alone brings, and held-out rises if invariance lacked",
)


def rank_correlation_range(rho: float, n: int) -> tuple[float, float]:
    """95 % interval of a rank correlation over n pairs by Fisher's transform, with the variance of Fieller, Hartley &
    Pearson (doi:10.1093/biomet/44.3-4.470). Misleads where successive pairs are alike: it takes them as independent."""
    if abs(rho) >= 1:
        return rho, rho
    wide = 1.96 * math.sqrt(1.06 / (n - 3))
    return math.tanh(math.atanh(rho) - wide), math.tanh(math.atanh(rho) + wide)


def _shared(one: Series, other: Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps at which both were recorded, and the values of each there."""
    common, i, j = np.intersect1d(one.step, other.step, return_indices=True)
    return common, one.value[i], other.value[j]
