"""Milestones of kept verdicts with the evaluations that they were read from, without judging any curve again.

Comparisons of times need each run's evaluation grid, which a verdict does not keep. The grid is read from the columns
that a run left (`grokscope.store.kept_columns`), else from the text of its metrics, in a third of the time that parsing
takes.
"""

import re
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from grokscope.files import plain_file
from grokscope.results.milestones import MilestonesRecord
from grokscope.store import kept_columns
from grokscope.store.run import METRICS, Run

if TYPE_CHECKING:
    from grokscope.trajectory import Criteria, Milestones

_STEP = re.compile(rb'^\{"step": ?(\d{1,18})[,}]', re.MULTILINE)


def kept_milestones(run: Run, record: MilestonesRecord, criteria: "Criteria | None") -> "Milestones | None":
    """What `grokscope.trajectory.milestones.milestones` would read off the run's curve, given what a verdict by these
    criteria recorded; None where the curve itself has to be looked at."""
    from grokscope.trajectory.milestones import Milestones

    if criteria is not None and (criteria.fit_loss is not None or criteria.generalize_loss is not None):
        return None  # the evaluations that decide are those of the losses
    grids = _from_columns(run, record.split)
    if grids is None and run.facts.get("kind") == "classification":
        grids = _from_text(run, record.split)
    if grids is None:
        return None
    held_out = grids["held_out"]
    if len(held_out) != record.evaluations or not len(grids["train"]) or held_out[-1] != record.last_step:
        return None
    return Milestones(**{f.name: getattr(record, f.name) for f in fields(MilestonesRecord)}, grids=grids)


def _from_columns(run: Run, split: str) -> dict[str, np.ndarray] | None:
    """The steps at which train and a split have a score; None where no columns were left, or none of these scores."""
    metrics = kept_columns.recall(run.path)
    if metrics is None:
        return None
    train, held_out = _scored(run, metrics, "train"), _scored(run, metrics, split)
    if train is None or held_out is None:
        return None
    return {"train": metrics["step"][train], "held_out": metrics["step"][held_out]}


def _scored(run: Run, metrics: kept_columns.Table, split: str) -> np.ndarray | None:
    """(t,) bool, the rows in which a split has a score."""
    from grokscope.trajectory.series import score_of

    correct, n = (metrics.get(f"{split}_{what}") for what in ("correct", "n"))
    if correct is not None and n is not None:  # no need to read the config, which takes as long as the columns
        return ~(np.isnan(correct) | np.isnan(n))
    if split not in run.facts.get("splits", {}):
        return None
    score = score_of(metrics, split, run.facts)
    return None if score is None else ~np.isnan(score)


def _from_text(run: Run, split: str) -> dict[str, np.ndarray] | None:
    """The steps of all rows, where each of them has an accuracy of train and of the split. None where that is not
    sure."""
    text = plain_file(run.path, METRICS).read_bytes()
    steps = _STEP.findall(text)
    columns = (b'"train_acc": ', f'"{split}_acc": '.encode())
    every = all(len(re.findall(re.escape(column) + rb"-?\d", text)) == len(steps) for column in columns)
    if not every or text.count(b"\n") != len(steps):
        return None
    return dict.fromkeys(("train", "held_out"), np.array(steps, dtype=np.int64))
