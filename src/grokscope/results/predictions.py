"""predictions.json: predictions of a regression at the end of training, and the targets."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from grokscope.results.record import Stored

PREDICTIONS = "results/predictions.json"
"""Of a run."""


@dataclass(frozen=True, kw_only=True)
class Predictions(Stored):
    """Of examples spread evenly over one held-out split."""

    schema: int = Stored.SCHEMA
    """Version of the layout; 0 for files of before there were versions, which do not name their split."""
    split: str | None
    """The split; None where the file does not say."""
    true: tuple[float, ...]
    """Targets. [as the task's target]"""
    predicted: tuple[float, ...]
    """What the network says. [as the task's target]"""
    group: tuple[int, ...] | None
    """Group of each example; None where the task has no groups. [number of the group]"""

    def __post_init__(self) -> None:
        counts = {len(self.true), len(self.predicted), len(self.true if self.group is None else self.group)}
        if len(counts) > 1 or not self.true:
            raise ValueError("true, predicted and group must be as long as each other, and not empty")

    @classmethod
    def parse(cls, raw: Any, path: str | Path) -> Self:
        """Raises as `Stored.parse`. What files of before there were versions leave out was not known to them."""
        if isinstance(raw, Mapping) and "schema" not in raw:
            raw = {"schema": 0, "split": None, "group": None, **raw}
        return super().parse(raw, path)

    @property
    def r2(self) -> float:
        """Share of the variance of the targets that is predicted; NaN where they are all alike."""
        mean = sum(self.true) / len(self.true)
        spread = sum((t - mean) ** 2 for t in self.true)
        if not spread > 0:
            return float("nan")
        return 1 - sum((t - p) ** 2 for t, p in zip(self.true, self.predicted, strict=True)) / spread
