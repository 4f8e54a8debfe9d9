"""Run all checks on one case and summarize them: what happened, possible explanations, ruled-out ones, and next
arms."""

import warnings
from collections.abc import Sequence
from itertools import chain

from grokscope.mechanism.case import Case
from grokscope.mechanism.check import Check
from grokscope.mechanism.data import EvaluationMode, LabelNoise, Leakage, NothingMemorized, TooLittleData
from grokscope.mechanism.decay import DecayGrip, DecayTime, DecayTooStrong
from grokscope.mechanism.delay_law import Delay, DelayLaw
from grokscope.mechanism.diffusion import MoreThanDiffusion
from grokscope.mechanism.features import RankCollapse, Readout
from grokscope.mechanism.head import FilterFeedsHead, HeadGrowth
from grokscope.mechanism.logits import LogitScale, PenaltyFollowsLoss, SoftmaxCollapse
from grokscope.mechanism.norms import InitScaleUndone, NormGrowth
from grokscope.results.mechanisms import Explanation

CHECKS: tuple[Check, ...] = (
    NothingMemorized(),
    LabelNoise(),
    Leakage(),
    EvaluationMode(),
    DecayTime(),
    NormGrowth(),
    MoreThanDiffusion(),
    MoreThanDiffusion("head"),
    DecayGrip(),
    DecayTooStrong(),
    HeadGrowth(),
    FilterFeedsHead(),
    InitScaleUndone(),
    SoftmaxCollapse(),
    LogitScale(),
    PenaltyFollowsLoss(),
    RankCollapse(),
    Readout(),
    TooLittleData(),
)
"""In the order in which they are told: what the data and the log allow first, then whether decay had time, for much
else holds trivially where it had not."""


def explain(case: Case, checks: Sequence[Check] = CHECKS) -> Explanation:
    """Run the checks on a case. They read one trajectory: what fits is not thereby the cause."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=RuntimeWarning)  # ranks of constant columns, means of empty ones
        findings = tuple(check.look(case) for check in checks)
    return Explanation(
        split=case.split,
        verdict=case.verdict.label,
        happened=case.verdict.reason,
        findings=findings,
        missing=tuple(dict.fromkeys(chain.from_iterable(finding.missing for finding in findings))),
    )


def explain_by(case: Case, law: DelayLaw | None = None) -> Explanation:
    """Run the checks, and where the delay law was calibrated on other runs the one that it makes possible."""
    return explain(case, CHECKS if law is None else (*CHECKS, Delay(law)))
