"""Records of published claims and their outcomes."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from grokscope.results.record import Record, Stored

ClaimOutcome = Literal["verified", "verified in part", "falsified", "toy", "inconclusive", "not run here"]


@dataclass(frozen=True, kw_only=True)
class ClaimEvidence(Record):
    """One expectation, hypothesis or recomputed number that puts a claim to the test."""

    name: str
    """What the study file calls it."""
    asked: str
    """What was expected, of which runs."""
    seen: str
    """What was seen, with its n, and with an interval where it is an effect."""
    word: str
    """``held``, ``refuted``, ``open``, ``cannot tell``, or the outcome of a hypothesis."""
    bearing: Literal["for", "not against", "against", "undecided"]
    """What that says of the claim."""
    finished: int
    """Runs that it rests on. [count]"""
    planned: int
    """Runs that it asks for. [count]"""
    share: tuple[float, float] | None
    """Clopper-Pearson interval (95 %) of the share of runs that show it; None where groups are compared. [share]"""
    note: str
    """What the study file says beside it."""


@dataclass(frozen=True, kw_only=True)
class ClaimResult(Record):
    """One claim and what became of it."""

    id: str
    """Its name, once among all."""
    quote: str
    """What is claimed, as it is said; empty where `claim` says it."""
    claim: str
    """The same in our words; empty where it is quoted."""
    source: str
    """Document or paper."""
    place: str
    """Where in it."""
    study: str
    """The study that tests it; empty where none does."""
    outcome: ClaimOutcome
    """By the rule of `grokscope.inference.claim_outcome`."""
    at_scale: str
    """Of a toy: what came out there; else empty."""
    why: str
    """How it is scaled down, why it was not run, or how its sources contradict each other."""
    note: str
    """What a reader should know beside it."""
    evidence: tuple[ClaimEvidence, ...]
    """In the order of the study file's names."""
    standing: str
    """How many runs of the study are finished."""
    origin: str
    """On what, with which versions, from which commit and when its runs were trained."""
    command: str
    """What repeats it."""

    @property
    def said(self) -> str:
        """The claim, in quotation marks where it is quoted."""
        if self.quote:
            return f"“{self.quote}”"
        return self.claim

    @property
    def words(self) -> str:
        """``toy (scaled down): verified there``."""
        if self.at_scale:
            return f"toy: {self.at_scale} there"
        return self.outcome


@dataclass(frozen=True, kw_only=True)
class Claims(Stored):
    """All claims: what ``grokscope claims --json`` prints."""

    SCHEMA: ClassVar[int] = 1
    schema: int = SCHEMA
    """Version of the layout."""
    grokscope: str
    """Version that judged them."""
    counts: dict[str, int]
    """Outcome -> claims. [count]"""
    claims: tuple[ClaimResult, ...]
    """In the order of sources and files."""
    problems: tuple[str, ...]
    """Files that could not be used, and why; the others are not touched by it."""


@dataclass(frozen=True, kw_only=True)
class ClaimCurve(Record):
    """One run's course in the figure of a claim."""

    group: str
    """Its arm."""
    seed: int
    """Its seed."""
    steps: tuple[float, ...]
    """[steps]"""
    values: tuple[float, ...]
    """[as the column]"""


@dataclass(frozen=True, kw_only=True)
class ClaimFigure(Record):
    """What the figure of a claim shows."""

    column: str
    """In words."""
    curves: tuple[ClaimCurve, ...]
    """Runs of the first thing that tests the claim."""
    left_out: int
    """Arms that the figure has no room for. [count]"""
