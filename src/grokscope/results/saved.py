"""Saved results of a study: its runs with their hardware, and their outcome. Small enough for a repository, and
sufficient to judge every run again (`grokscope.study.saved`)."""

from dataclasses import dataclass
from typing import Any, ClassVar

from grokscope.results.hypothesis import Hypotheses
from grokscope.results.record import Record, Stored

MANIFEST, ROWS, OUTCOME, DECLARED = "manifest.json", "rows.csv", "outcome.json", "declared.json"
"""Files of a saved study. `DECLARED` only where it has hypotheses that were declared."""


@dataclass(frozen=True, kw_only=True)
class SavedRun(Record):
    """One planned run of the study, whatever became of it."""

    run: str
    """Its folder's name."""
    identity: str
    """Hash of the settings that its numbers depend on, by which the study file's run is found."""
    label: str
    """The regime's name."""
    seed: int
    """Its seed."""
    state: str
    """``done``, ``diverged``, ``partial``, ``running``, ``failed``, ``damaged``, ``unreadable`` or ``new``."""
    step: int
    """How far it came. [steps]"""
    total: int
    """How far it was to go. [steps]"""
    message: str
    """Why it failed, or cannot be read."""
    facts: int | None
    """Which of `SavedStudy.facts` are its own; None where it has no rows. [position]"""
    machine: int | None
    """Which of `SavedStudy.machines` trained it. [position]"""
    ended: str
    """Date of its last sign of life (UTC)."""
    steps_per_s: float | None
    """Speed of the training. [steps/s]"""
    evaluations: int
    """Rows that the run recorded. [count]"""
    kept: int
    """Rows that are kept of them. [count]"""
    constants: dict[str, float]
    """Columns that have one value in all its rows, and therefore no place among them. [as the column]"""
    numbers: dict[str, float]
    """Numbers of the final checkpoint's dissection that the study names. [as named]"""


@dataclass(frozen=True, kw_only=True)
class SavedStudy(Stored):
    """The manifest of a saved study."""

    SCHEMA: ClassVar[int] = 1
    schema: int = SCHEMA
    """Version of the layout."""
    study: str
    """Name of the study."""
    saved: str
    """When (UTC)."""
    grokscope: str
    """Version that saved it."""
    digests: dict[str, str]
    """File beside this one -> its SHA-256."""
    runs: tuple[SavedRun, ...]
    """Every run of the study file, in its order."""
    facts: tuple[dict[str, Any], ...]
    """What runs recorded of their data and network, each once."""
    machines: tuple[dict[str, Any], ...]
    """On what, with which versions and from which commit they were trained, each once."""


@dataclass(frozen=True, kw_only=True)
class SavedVerdict(Record):
    """The verdict of one run on one split, without its sentence."""

    verdict: str | None
    """None where it cannot be judged."""
    label: str
    """The verdict with its qualifier."""
    robust: bool
    """Whether no neighboring threshold says otherwise."""
    route: str | None
    """By which route held-out rose late."""
    quantities: dict[str, Any]
    """Milestone or level -> [value, whether it was not reached, evaluation before]."""


@dataclass(frozen=True, kw_only=True)
class SavedExpectation(Record):
    """One expectation and what was seen."""

    where: str
    """Which runs."""
    expected: str
    """What was expected of them."""
    seen: str
    """What was seen."""
    word: str
    """``held``, ``refuted``, ``open`` or ``cannot tell``."""


@dataclass(frozen=True, kw_only=True)
class SavedOutcome(Stored):
    """What came of a study, as its own rows say it."""

    SCHEMA: ClassVar[int] = 1
    schema: int = SCHEMA
    """Version of the layout."""
    standing: str
    """How many runs are finished, and how many verdicts are fragile."""
    verdicts: dict[str, dict[str, SavedVerdict]]
    """Run -> held-out split -> verdict."""
    expectations: tuple[SavedExpectation, ...]
    """In the order of the study file."""
    hypotheses: Hypotheses
    """Its hypotheses, and the effects of a designed study."""
