"""Data for the figure of a claim: the column and the runs of its first test."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.results.claims import ClaimCurve, ClaimFigure
from grokscope.study.conditions import matches
from grokscope.study.effective_size import SizeQuestion
from grokscope.study.expect import AnyExpectation, ComparedExpectation
from grokscope.study.hypothesis import Hypothesis
from grokscope.study.measured import SPIKES, Measure
from grokscope.study.run_state import StudyRun
from grokscope.vocabulary.splits import HELD_OUT, speaking

MOST_ARMS = 6
"""More do not fit beside a figure of this size."""
POINTS = 150
"""Of a curve: the figure is some three hundred points wide."""

Block = AnyExpectation | Hypothesis | SizeQuestion


def figure_of(block: Block | None, groups: Sequence[Mapping[str, Any]], runs: Sequence[StudyRun]) -> ClaimFigure | None:
    """None where there is nothing to draw: no block, no rows, or a number of a dissection, which has no course."""
    if block is None:
        return None
    chosen = [s for s in runs if s.state != "new" and any(matches(s.entry, where) for where in groups)]
    arms = list(dict.fromkeys(s.entry.label for s in chosen))
    kept = [s for s in chosen if s.entry.label in arms[:MOST_ARMS]]
    read = [(s, s.run.metrics()) for s in kept]
    column = next((name for _, metrics in read if (name := _column(block, metrics)) is not None), None)
    curves = []
    if column is not None:
        curves = [_curve(s, metrics, column) for s, metrics in read]
    known = tuple(curve for curve in curves if curve is not None)
    if column is None or not known:
        return None
    return ClaimFigure(column=column, curves=known, left_out=max(0, len(arms) - MOST_ARMS))


def _column(block: Block, metrics: Mapping[str, np.ndarray]) -> str | None:
    """The measured column, else the score of the split that the block names or that speaks for a run."""
    measure = _measure(block)
    if measure is not None:
        if measure.dissection is not None:
            return None
        name = measure.measure.split(" - ")[0]
        if measure.measure in SPIKES:
            return "train_loss"
        return name
    splits = [name for name in HELD_OUT if any(f"{name}_{end}" in metrics for end in ("acc", "r2", "loss"))]
    split = _split(block) or (speaking(splits) if splits else None)
    ends = [f"{split}_{end}" for end in ("acc", "r2", "loss")]
    return next((name for name in ends if name in metrics), None)


def _measure(block: Block) -> Measure | None:
    if isinstance(block, Measure):
        return block
    hypothesis = _hypothesis(block)
    if hypothesis is None:
        return None
    return hypothesis.quantity.measure


def _split(block: Block) -> str | None:
    hypothesis = _hypothesis(block)
    if hypothesis is not None:
        return hypothesis.quantity.split
    if isinstance(block, SizeQuestion):
        return block.quantity.split
    return getattr(block, "split", None)


def _hypothesis(block: Block) -> Hypothesis | None:
    if isinstance(block, ComparedExpectation):
        return block.hypothesis
    return block if isinstance(block, Hypothesis) else None


def _curve(s: StudyRun, metrics: Mapping[str, np.ndarray], column: str) -> ClaimCurve | None:
    if column not in metrics:
        return None
    known = np.flatnonzero(np.isfinite(metrics[column]))
    if not len(known):
        return None
    if len(known) > POINTS:  # evenly in rows, which are dense where much happens
        known = known[np.unique(np.linspace(0, len(known) - 1, POINTS).round().astype(int))]
    steps, values = metrics["step"][known], metrics[column][known]
    return ClaimCurve(
        group=s.entry.label,
        seed=s.entry.config.seed,
        steps=tuple(float(v) for v in steps),
        values=tuple(float(f"{v:.4g}") for v in values),
    )
