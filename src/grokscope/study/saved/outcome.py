"""The outcome of a study as plain records, identical for equal runs."""

from pathlib import Path
from typing import TYPE_CHECKING

from grokscope.progress import watched
from grokscope.results.hypothesis import Hypotheses
from grokscope.results.saved import SavedExpectation, SavedOutcome, SavedVerdict
from grokscope.results.verdict import VerdictRecord
from grokscope.study.seen import STEPS, route, seen
from grokscope.verdicts import run_verdicts

if TYPE_CHECKING:
    from grokscope.study.check import CheckRow
    from grokscope.study.study import Study

    Answered = tuple[list[CheckRow], str, Hypotheses]

LEVELS = ("peak", "end", "final")
"""Of a verdict, beside its milestones."""


def outcome_of(study: "Study", root: str | Path, answered: "Answered | None" = None) -> SavedOutcome:
    """Verdicts of the finished runs in a root, expectations, hypotheses and the count of runs. `answered` spares asking
    `Study.answered` again.

    Raises:
        ValueError: as `Study.check` and `Study.test`.
    """
    rows, standing, tested = study.answered(root) if answered is None else answered
    verdicts = {}
    for s in watched(study.status(root), "judged"):
        if s.finished:
            judged = run_verdicts(s.run, study.criteria)
            verdicts[s.entry.config.run_id()] = {split: short_verdict(v) for split, v in judged.items()}
    expectations = [
        SavedExpectation(where=row.where, expected=row.expected, seen=_anywhere(row.seen, root), word=row.word)
        for row in rows
    ]
    return SavedOutcome(
        standing=standing, verdicts=verdicts, expectations=tuple(expectations), hypotheses=_elsewhere(tested, root)
    )


def short_verdict(verdict: VerdictRecord) -> SavedVerdict:
    """Its class and its numbers."""
    read = {name: seen(verdict, name) for name in (*STEPS, *LEVELS)}
    return SavedVerdict(
        verdict=verdict.verdict,
        label=verdict.label,
        robust=bool(verdict.robust),
        route=route(verdict),
        quantities={name: [_plain(s.value), s.censored, s.before] for name, s in read.items()},
    )


def _plain(value: float) -> float | None:
    """To six digits: a mean over rows that were written as text is not the same to the last bit."""
    if value != value or abs(value) == float("inf"):
        return None
    return float(f"{value:.6g}")


def _anywhere(words: str, root: str | Path) -> str:
    """Words that name no folder of this machine: commands to be run speak of ``runs``."""
    return words.replace(str(root), "runs")


def _elsewhere(tested: Hypotheses, root: str | Path) -> Hypotheses:
    """Through text, in which numbers have ten digits and paths say ``runs``."""
    import json

    from grokscope.files import to_json

    text = _anywhere(to_json(_rounded(tested.to_dict())), root)
    return Hypotheses.from_dict(json.loads(text))


def _rounded(value: object) -> object:
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return value
