"""What a check is, and what it finds."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from grokscope.mechanism.case import Case, Outcome

Word = Literal["supports", "against", "cannot tell"]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A regime that differs from the run's in what an explanation blames, so that training it puts it to the test."""

    name: str
    changes: Mapping[str, Any]
    """Dotted keys of a config and their values."""
    expects: str
    """What should be seen if the explanation is true."""
    raises: bool = True
    """Whether held-out should then end higher than in the run as it was, or lower."""

    @property
    def options(self) -> str:
        """The changes as a command line has them."""
        return " ".join(f"--{key} {value}" for key, value in self.changes.items())


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check says of one run."""

    check: str
    claim: str
    """A sentence about the run that is true or false."""
    word: Word
    """``supports``: the trajectory is as the claim would have it; ``against``: it is not."""
    evidence: str
    """The numbers, in a sentence."""
    numbers: Mapping[str, float | None]
    explains: bool
    """Whether the claim, if true, is a reason for this run's verdict."""
    applies: bool
    """Whether the run has what the claim is about at all (a filter, a softmax)."""
    missing: tuple[str, ...] = ()
    """Columns and settings without which the check is silent."""
    arm: Arm | None = None
    misleads: str
    source: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Answer:
    """The part of a finding that a check works out."""

    word: Word
    evidence: str
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    arm: Arm | None = None
    applies: bool = True


def word_of(*, supports: bool, against: bool) -> Word:
    """The word of two opposite conditions of which neither need hold."""
    if supports:
        return "supports"
    return "against" if against else "cannot tell"


def lacking(*missing: str) -> Answer:
    """The answer of a check that lacks what it reads."""
    return Answer("cannot tell", f"not recorded: {', '.join(missing)}", missing=missing)


def not_applicable(why: str) -> Answer:
    """The answer of a check whose prerequisite does not hold: what it claims cannot be the reason."""
    return Answer("against", why, applies=False)


def without_start(what: str) -> Answer:
    """The answer where a growth is asked for and there was nothing to grow from."""
    return Answer("cannot tell", f"the {what} is 0 where it would be compared, so it has no factor of growth")


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
        answer = self.read(case)
        return Finding(
            check=self.title(),
            claim=self.claim_for(case),
            word=answer.word,
            evidence=answer.evidence,
            numbers=answer.numbers,
            explains=case.outcome in self.explains,
            applies=answer.applies,
            missing=answer.missing,
            arm=answer.arm if answer.word != "against" else None,
            misleads=self.misleads,
            source=self.source,
        )

    def title(self) -> str:
        """The check's name; one that can look at several groups says which."""
        return self.name

    def claim_for(self, case: Case) -> str:
        """The claim in words; a check that explains success and failure says each in its own."""
        return self.claim
