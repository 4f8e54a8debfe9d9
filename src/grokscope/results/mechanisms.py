"""Results of the mechanism checks on one trajectory, and the arms that would test them."""

import json
import shlex
from dataclasses import dataclass
from typing import Any, Literal

from grokscope.results.record import Record, Stored

Word = Literal["supports", "against", "cannot tell"]


@dataclass(frozen=True, kw_only=True)
class Arm(Record):
    """A regime that differs from the run's in what an explanation blames, so that training it puts it to the test."""

    name: str
    """What a study calls it."""
    changes: dict[str, Any]
    """Dotted keys of a config and their values, complete: a list of interventions is all of them, those of the run
    included. Empty where no setting states the arm."""
    expects: str
    """What should be seen if the explanation is true."""
    raises: bool = True
    """Whether held-out should then end higher than in the run as it was, or lower; judged by T_gen, whether it should
    come sooner or later."""
    by: Literal["end", "T_gen"] = "end"
    """What is compared: held-out at the end, or, where the run generalized, when it did."""
    in_own_loop: str = ""
    """For a run that grokscope did not train and cannot train (a recording, a log): what to change in the loop that
    did, in words. `changes` then only names it as a config of grokscope's would. Empty for runs that it can train."""

    @property
    def options(self) -> str:
        """The changes as a command line has them."""
        return " ".join(f"--{key} {_in_shell(value)}" for key, value in self.changes.items())


def _in_shell(value: Any) -> str:
    if isinstance(value, list | dict):
        return shlex.quote(json.dumps(value))
    return str(value)


@dataclass(frozen=True, kw_only=True)
class Finding(Record):
    """What one check says of one run."""

    check: str
    """Its name."""
    claim: str
    """A sentence about the run that is true or false."""
    word: Word
    """``supports``: the trajectory is as the claim would have it; ``against``: it is not."""
    evidence: str
    """The numbers, in a sentence."""
    numbers: dict[str, float | None]
    """The same by name; None where there is none. [as the docstring of the check says]"""
    explains: bool
    """Whether the claim, if true, is a reason for this run's verdict."""
    applies: bool
    """Whether the run has what the claim is about at all (a filter, a softmax)."""
    missing: tuple[str, ...] = ()
    """Columns and settings without which the check is silent."""
    arm: Arm | None = None
    """What to train to put the claim to the test; None where the trajectory speaks against it, or nothing would."""
    misleads: str
    """When the answer is wrong."""
    source: str
    """Where the mechanism was described."""


@dataclass(frozen=True, kw_only=True)
class Explanation(Stored):
    """What the checks say of one held-out split of one run."""

    schema: int = Stored.SCHEMA
    """Version of the layout."""
    split: str
    """The held-out split."""
    verdict: str
    """Its verdict, with the qualifier."""
    happened: str
    """The sentence of the verdict."""
    findings: tuple[Finding, ...]
    """In the order of the checks."""
    missing: tuple[str, ...]
    """Columns and settings that would let further checks speak, each once."""

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
        """Claims that the trajectory speaks against."""
        return tuple(f for f in self.findings if f.word == "against" and f.applies)

    @property
    def not_applicable(self) -> tuple[Finding, ...]:
        """Claims about something that the run does not have."""
        return tuple(f for f in self.findings if not f.applies)

    @property
    def open(self) -> tuple[Finding, ...]:
        """Claims of which the trajectory tells nothing."""
        return tuple(f for f in self.findings if f.word == "cannot tell")

    @property
    def needed_by(self) -> dict[str, tuple[str, ...]]:
        """Each missing column or setting -> the checks that are silent without it."""
        return {name: tuple(f.check for f in self.findings if name in f.missing) for name in self.missing}

    def next_arms(self) -> tuple[tuple[Finding, Arm], ...]:
        """What to train next, the arms of fitting claims first."""
        return tuple((f, f.arm) for f in (*self.fitting, *self.open) if f.arm is not None and f.explains)
