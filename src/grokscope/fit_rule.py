"""The rule for when a training set counts as fitted (`T_fit`), shared by training and verdicts.

Training needs it while a run goes on (interventions and kept states can wait for `T_fit`), a verdict when it is over;
both ask here, so that they cannot disagree.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

FIT_ACCURACY = 0.99
"""Train accuracy that counts as fitted: all but the odd ambiguous example."""
FIT_R2 = 0.9
"""Train R2 that counts as fitted: a tenth of the variance left."""

Kind = Literal["classification", "regression"]
USUAL_THRESHOLD: dict[Kind, float] = {"classification": 0.95, "regression": 0.9}
"""Held-out score from which a task counts as generalized, of logs and loops that state none. 0.95 is the usual mark of
the grokking literature; an R2 of 0.9 leaves a tenth of the variance."""

_SCORES: dict[str, tuple[str, float]] = {
    "classification": ("train_acc", FIT_ACCURACY),
    "regression": ("train_r2", FIT_R2),
}
"""Kind of a task -> the column of a row that is the train score, and its threshold."""


def reaches(scores: Sequence[float] | np.ndarray, level: float, slack: float = 0.0) -> np.ndarray:
    """(t,) bool: which scores are at least `level`. `slack` is how far below a score may lie and still count, for
    scores that are no exact counts."""
    return np.asarray(scores, dtype=np.float64) >= level - slack


def first_in_a_row(holds: np.ndarray, in_a_row: int = 1) -> int | None:
    """Index of the first of so many evaluations in a row that hold (t,); None where there are none."""
    if not holds.any():
        return None
    edges = np.flatnonzero(np.diff(np.r_[False, holds, False]))
    starts, stops = edges[::2], edges[1::2]
    lasting = starts[stops - starts >= in_a_row]
    return int(lasting[0]) if len(lasting) else None


def fit_step(rows: Sequence[Mapping[str, Any]], kind: str) -> int | None:
    """`T_fit` as training knows it: the step of the first of a run's rows that meets the rule at its usual thresholds,
    None where none does. A row without a train score, as a regression whose targets are all alike has, never does."""
    key, level = _SCORES[kind]
    scores = [_number(row.get(key)) for row in rows]
    index = first_in_a_row(reaches(scores, level))
    if index is None:
        return None
    return int(rows[index]["step"])


def fit_rule(kind: Kind | str) -> str:
    """The rule in words: ``train_acc >= 0.99``."""
    key, level = _SCORES[kind]
    return f"{key} >= {level:g}"


def _number(value: Any) -> float:
    if not isinstance(value, int | float):
        return float("nan")
    return float(value)
