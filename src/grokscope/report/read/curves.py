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
    lowest: float | None = None
    """The lowest score in any run, of train or of the split that is judged."""

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
    lowest: list[float] = []
    for name in ("train", *splits, "probe", "norm_total", *NORM_GROUPS):
        curves = [c for r in with_curve if (c := r.subject.curve(name, r.split)) is not None]
        if (band := group_band(curves)) is not None:
            bands[name] = band
        if name in ("train", readings[0].split):
            lowest += [float(values.min()) for _, v in curves if (values := v[np.isfinite(v)]).size]
    return Panel(group, list(readings), splits, bands, min(lowest, default=None))
