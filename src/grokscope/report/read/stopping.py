"""Stopping rules on the runs of a page, replayed only if early stopping matters for them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grokscope.report.read.judged_run import Reading
from grokscope.results.stopping import Stopping
from grokscope.vocabulary.text import plural

if TYPE_CHECKING:
    from grokscope.trajectory import Criteria

DECIDED = ("grokked", "ungrokked")
"""Verdicts of runs in which it matters when training stops."""


def stopping_of(readings: Sequence[Reading], split: str, criteria: "Criteria") -> Stopping | None:
    """The default rules on all finished runs that were judged on the split; None where none grokked or ungrokked."""
    from grokscope.inference.stopping import FullRun, default_rules, replayed

    runs = [
        FullRun(r.subject.name, r.subject.group, r.subject.evaluations, r.verdict)
        for r in readings
        if r.split == split and r.final_verdict and r.subject.evaluations is not None and r.verdict is not None
    ]
    if not any(run.verdict.verdict in DECIDED for run in runs):
        return None
    here = sum(r.split == split for r in readings)
    notes = []
    if left := here - len(runs):
        notes.append(f"{left:,} of {here:,} runs are unfinished or have no verdict, and are excluded")
    if elsewhere := len(readings) - here:
        notes.append(f"{plural(elsewhere, 'run')} judged on another split than {split} are excluded")
    fit = criteria.thresholds(runs[0].trajectory)[0]
    return replayed(runs, split, default_rules(runs, split, fit), notes=notes)
