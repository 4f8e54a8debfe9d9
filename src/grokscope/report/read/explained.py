"""Results of the mechanism checks of a run for the page."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.report.read.judged_run import Reading
from grokscope.store import Run
from grokscope.store.intervened import interventions_of

if TYPE_CHECKING:
    from grokscope.results.mechanisms import Explanation


def explanation_of(reading: Reading) -> "Explanation | None":
    """None for a run that has no verdict at all. Made once for each reading, as two sections show it; see `explain_run`
    where there are many."""
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
