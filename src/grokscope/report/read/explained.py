"""Results of the mechanism checks of a run for the page."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.report.read.judged_run import Reading
from grokscope.store import Run
from grokscope.store.intervened import interventions_of

if TYPE_CHECKING:
    from grokscope.results.mechanisms import Arm, Explanation, Word


@dataclass(frozen=True)
class Told:
    """What is counted of an explanation. Most runs of a group say the same, which is then in memory once."""

    words: "tuple[tuple[str, Word], ...]" = ()
    """(claim, word) of each check whose prerequisite holds."""
    arms: tuple[str, ...] = ()
    """Names of what to train to test the claims that fit."""


def told_of(reading: Reading) -> Told:
    """Of a run without a verdict nothing is told. Read while its curves are in memory, where it was `noted`."""
    return reading.notes["told"] if "told" in reading.notes else _told(explanation_of(reading))


def note_told(reading: Reading) -> None:
    """Explain a run now, and keep only what is counted of it: the explanations of thousands would fill the memory."""
    reading.notes["told"] = _shared(_told(explain_run(reading)))


@lru_cache(maxsize=1024)
def _shared(told: Told) -> Told:
    """The first of its equals."""
    return told


def _told(explanation: "Explanation | None") -> Told:
    if explanation is None:
        return Told()
    applying = [finding for finding in explanation.findings if finding.applies]
    return Told(tuple((finding.claim, finding.word) for finding in applying), tuple(arms_of(explanation)))


def arms_of(explanation: "Explanation") -> "dict[str, Arm]":
    """Name -> arm that can be trained or made in one's own loop, of the claims that fit."""
    arms: dict[str, Arm] = {}
    for finding in explanation.fitting:
        if finding.arm is not None and (finding.arm.changes or finding.arm.in_own_loop):
            arms.setdefault(finding.arm.name, finding.arm)
    return arms


def explanation_of(reading: Reading) -> "Explanation | None":
    """None for a run that has no verdict at all. Made once for each reading, as two sections show it."""
    kept: dict[str, Any] = reading.notes
    if "explanation" not in kept:
        kept["explanation"] = explain_run(reading)
    return kept["explanation"]


def explain_run(reading: Reading) -> "Explanation | None":
    """The same, made anew and not kept."""
    from grokscope.mechanism import Case, explain
    from grokscope.mechanism.case import can_be_trained
    from grokscope.mechanism.setup import setup_of_config

    trajectory = reading.trajectory if reading.verdict is not None else None
    if reading.verdict is None or trajectory is None:
        return None
    facts = reading.subject.record.get("facts") or {}
    path = reading.subject.path
    setup = setup_of_config(reading.subject.config or {}, facts, _intervened(path), Path(path) if path else None)
    trained_here = path is not None and can_be_trained(reading.subject.record)
    return explain(Case(trajectory, reading.verdict, setup, trained_here))


def _intervened(path: str | None) -> dict[str, Any]:
    """The record of a run's interventions; nothing for a log, and for a damaged one, whose decay is then unknown."""
    if path is None:
        return {}
    try:
        return interventions_of(Run(Path(path)))
    except ValueError:
        return {}
