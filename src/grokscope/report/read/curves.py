"""Data of a panel of learning curves: a group's runs and the bands of their curves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grokscope.report.read.bands import Band, group_band
from grokscope.report.read.judged_run import Reading
from grokscope.vocabulary.column_table import PARAMETER_GROUPS

NORM_GROUPS = {f"norm_{name}": words for name, words in PARAMETER_GROUPS.items()}
VISIBLE = 0.1
"""A parameter group is drawn when its norm reaches this share of the total somewhere in the group's runs."""


@dataclass(frozen=True)
class Panel:
    """What one panel shows: a group's readings, and bands of its curves by name (``train``, each split, ``probe``,
    ``norm_*``)."""

    group: str
    readings: list[Reading]
    splits: list[str]
    bands: dict[str, Band]

    @property
    def lead(self) -> str:
        """The split on which these runs are judged; all panels of a figure have its splits in one order."""
        return self.readings[0].split if self.readings else self.splits[0]

    @property
    def norms(self) -> list[str]:
        total = self.bands.get("norm_total")
        if total is None:
            return []
        return [
            k
            for k in NORM_GROUPS
            if k in self.bands and np.nanmax(self.bands[k].median) >= VISIBLE * total.median.max()
        ]


def make_panel(group: str, readings: Sequence[Reading], splits: list[str]) -> Panel:
    with_curve = [r for r in readings if r.subject.brief is not None]
    bands: dict[str, Band] = {}
    for name in ("train", *splits, "probe", "norm_total", *NORM_GROUPS):
        if (band := group_band([c for r in with_curve if (c := r.curve(name)) is not None])) is not None:
            bands[name] = band
    return Panel(group, list(readings), splits, bands)
