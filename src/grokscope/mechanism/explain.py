"""All checks on one case, and what they come to: what happened, what fits, what is excluded, what to try next."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grokscope.mechanism.case import Case
from grokscope.mechanism.check import Arm, Check, Finding
from grokscope.mechanism.data import Leakage, NothingMemorized, TooLittleData
from grokscope.mechanism.decay import DecayGrip, DecayTime, DecayTooStrong
from grokscope.mechanism.diffusion import MoreThanDiffusion
from grokscope.mechanism.features import RankCollapse, Readout
from grokscope.mechanism.head import FilterFeedsHead, HeadGrowth
from grokscope.mechanism.logits import LogitScale, PenaltyFollowsLoss, SoftmaxCollapse
from grokscope.mechanism.norms import InitScaleUndone, NormGrowth

CHECKS: tuple[Check, ...] = (
    NothingMemorized(),
    Leakage(),
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


@dataclass(frozen=True)
class Explanation:
    """What the checks say of one held-out split of one run."""

    split: str
    verdict: str
    happened: str
    findings: tuple[Finding, ...]

    @property
    def fitting(self) -> tuple[Finding, ...]:
        """Claims that the trajectory supports and that would be a reason for the verdict."""
        return tuple(f for f in self.findings if f.word == "supports" and f.explains)

    @property
    def also_seen(self) -> tuple[Finding, ...]:
        """Claims that hold, and are no reason for this verdict."""
        return tuple(f for f in self.findings if f.word == "supports" and not f.explains)

    @property
    def excluded(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.word == "against" and f.applies)

    @property
    def not_applicable(self) -> tuple[Finding, ...]:
        """Claims about something that the run does not have."""
        return tuple(f for f in self.findings if not f.applies)

    @property
    def open(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.word == "cannot tell")

    @property
    def missing(self) -> tuple[str, ...]:
        """Columns and settings that would let further checks speak."""
        return tuple(dict.fromkeys(name for f in self.findings for name in f.missing))

    def next_arms(self) -> tuple[tuple[Finding, Arm], ...]:
        """What to train next, the arms of fitting claims first."""
        return tuple((f, f.arm) for f in (*self.fitting, *self.open) if f.arm is not None and f.explains)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "split": self.split,
            "verdict": self.verdict,
            "happened": self.happened,
            "findings": [f.to_dict() for f in self.findings],
            "missing": list(self.missing),
        }


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
    )
