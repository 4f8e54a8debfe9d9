"""Interface of a check, and the base of all checks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from grokscope.mechanism.case import Case, Outcome
from grokscope.mechanism.in_force import beside
from grokscope.mechanism.own_loop import in_own_loop
from grokscope.results.mechanisms import Arm, Finding, Word


@dataclass(frozen=True)
class Answer:
    """The part of a finding that a check works out."""

    word: Word
    evidence: str
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    arm: Arm | None = None
    applies: bool = True
    is_reason: bool = True
    """Whether the claim could be a reason for the verdict here; where it holds trivially it is none."""


def word_of(*, supports: bool, against: bool) -> Word:
    """The word of two opposite conditions of which neither need hold."""
    if supports:
        return "supports"
    return "against" if against else "cannot tell"


STEPS_PER_UNIT = "optimizer steps in one unit of the log's time (steps_per_unit)"


def lacking(*missing: str) -> Answer:
    """The answer of a check that lacks what it reads."""
    return Answer("cannot tell", f"not known: {', '.join(missing)}", missing=missing)


def absent(needed: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of what is needed and None."""
    return tuple(name for name, value in needed.items() if value is None)


def never_fitted(why: str, numbers: Mapping[str, float | None] | None = None) -> Answer:
    """The answer of a check whose claim is about a network that has memorized, where none has."""
    return Answer("cannot tell", f"train never fitted, {why}", numbers or {})


def not_applicable(why: str) -> Answer:
    """The answer of a check whose prerequisite does not hold: what it claims cannot be the reason."""
    return Answer("against", why, applies=False)


def without_start(what: str) -> Answer:
    """The answer where a growth is asked for and there was nothing to grow from."""
    return Answer("cannot tell", f"the {what} is 0 where it would be compared, so it has no factor of growth")


DIVERGED = Answer("cannot tell", "training diverged: what was recorded on the way there shows no mechanism")


def _for_case(arm: Arm, case: Case) -> Arm:
    """The arm, complete; in words where grokscope cannot train it."""
    if case.can_be_trained:
        return replace(arm, changes=beside(arm.changes, case.setup.had), in_own_loop="")
    return replace(arm, in_own_loop=arm.in_own_loop or in_own_loop(arm.changes, case.fitted_at))


class Check(ABC):
    """One mechanism: what it claims, how it is read off a trajectory, and when that misleads.

    Thresholds are fields, each with its reason; the class attributes are what a reader is told.
    """

    name: ClassVar[str]
    claim: ClassVar[str]
    source: ClassVar[str]
    misleads: ClassVar[str]
    explains: ClassVar[frozenset[Outcome]] = frozenset({"failed"})
    """Outcomes of which the claim would be a reason."""

    @abstractmethod
    def read(self, case: Case) -> Answer:
        """Read the trajectory. Never raises for what a log may lack: the answer names it."""

    def look(self, case: Case) -> Finding:
        """What the check says of a case."""
        answer = DIVERGED if case.verdict.verdict == "diverged" else self.read(case)
        arm = answer.arm if answer.word != "against" else None
        if arm is not None:
            arm = _for_case(arm, case)
        return Finding(
            check=self.title(),
            claim=self.claim_for(case),
            word=answer.word,
            evidence=answer.evidence,
            numbers=dict(answer.numbers),
            explains=self.is_reason(case, answer),
            applies=answer.applies,
            missing=answer.missing,
            arm=arm,
            misleads=self.misleads,
            source=self.source,
        )

    def is_reason(self, case: Case, answer: Answer) -> bool:
        """Whether the claim, if true, would be a reason for what happened."""
        return case.outcome in self.explains and answer.is_reason and not case.labels_are_noise

    def title(self) -> str:
        """The check's name; one that can look at several groups says which."""
        return self.name

    def claim_for(self, case: Case) -> str:
        """The claim in words; a check that explains success and failure says each in its own."""
        return self.claim
