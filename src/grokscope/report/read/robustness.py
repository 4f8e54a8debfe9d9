"""Sensitivity of verdicts to their thresholds, computed once per run and cached for the next report."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from grokscope.report.read.subjects import Subject
from grokscope.store import kept_verdicts
from grokscope.store.run import Run
from grokscope.verdicts import run_verdicts

if TYPE_CHECKING:
    from grokscope.trajectory import Criteria, Verdict


def tested(subject: Subject, quick: "Verdict", criteria: "Criteria") -> "Verdict":
    """`quick`, a verdict without neighbors, with what moving each threshold does to it.

    Moving them takes thirty times as long as the verdict itself, so the answer is kept in the run's folder. What is
    kept counts only if it says the same as `quick`: a run that still trains may have gained rows in between.
    """
    from grokscope.trajectory import verdict

    kept = _kept(subject, criteria).get(quick.split)
    if kept is not None and (kept.verdict, kept.reason) == (quick.verdict, quick.reason):
        return replace(quick, robust=kept.robust, fragile=kept.fragile, neighbors=kept.neighbors)
    assert subject.trajectory is not None
    return verdict(subject.trajectory, quick.split, criteria)


def _kept(subject: Subject, criteria: "Criteria") -> kept_verdicts.Splits:
    """Nothing for a log without a folder, nor where a split of the run cannot be judged."""
    if subject.path is None:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the page says itself which split could not be judged, and why
        try:
            return run_verdicts(Run(Path(subject.path)), criteria, state=subject.state, trajectory=subject.trajectory)
        except ValueError:
            return {}
