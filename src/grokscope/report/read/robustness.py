"""The verdict of a run on the page with its sensitivity to the thresholds, computed once per run and cached."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from grokscope.report.read.subjects import Subject
from grokscope.store import kept_verdicts
from grokscope.store.run import Run
from grokscope.verdicts import run_verdicts

if TYPE_CHECKING:
    from grokscope.trajectory import Criteria, Trajectory


def kept_of(subject: Subject, trajectory: "Trajectory", criteria: "Criteria") -> kept_verdicts.Splits:
    """Split -> what was kept of a run by the process that trained it, or is judged and kept now: moving each threshold
    takes thirty times as long as the verdict itself.

    Nothing for a log without a folder, for a run whose evaluations are not those of its file alone, and where no split
    can be judged.
    """
    if subject.path is None or subject.seen is None:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the page says itself which split could not be judged, and why
        try:
            return run_verdicts(
                Run(Path(subject.path)), criteria, state=subject.state, metrics=subject.seen, trajectory=trajectory
            )
        except ValueError:
            return {}
