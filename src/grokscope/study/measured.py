"""Expectations about what a run recorded, beside its verdict: norms that grow, gaps between splits, spikes and norms.

[[expect]]
where = { arm = "standard" }
measure = "norm_head"                # a column of the metrics, or the difference of two: "id_val_acc - ood_test_acc"
statistic = "growth after fit"       # final, first, minimum, maximum, growth after fit
between = [1, 10]
share = 0.8                          # of the runs; 1 unless said otherwise

[[expect]]
measure = "spike and norm"           # rank correlation of loss spike and norm at the spike next to the transition
between = [-1, -0.9]
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grokscope.config import require
from grokscope.registry import nearest
from grokscope.store import Run

SPIKES = "spike and norm"
GROWTH = "growth after fit"

_STATISTICS: dict[str, Callable[[np.ndarray], float]] = {
    "final": lambda v: float(v[-1]),
    "first": lambda v: float(v[0]),
    "minimum": lambda v: float(v.min()),
    "maximum": lambda v: float(v.max()),
}
STATISTICS = (*_STATISTICS, GROWTH)


@dataclass(frozen=True, kw_only=True)
class MeasuredExpectation:
    """One ``[[expect]]`` block with `measure`. A run without the number (no spike, never fitted) does not show it."""

    where: Mapping[str, Any]
    measure: str
    statistic: str
    between: tuple[float, float]
    split: str | None = None
    share: float = 1.0
    note: str = ""

    def expected(self) -> str:
        low, high = self.between
        what = self.measure if self.measure == SPIKES else f"{self.statistic} of {self.measure}"
        return f"{what} in [{low:g}, {high:g}]{f' in {self.share:.0%} of the runs' if self.share < 1 else ''}"

    def value(self, run: Run) -> float:
        """The number of one run; NaN where there is none. Raises ValueError for a column that the run does not have."""
        if self.measure == SPIKES:
            return spike_correlation(run, self.split)
        metrics = run.metrics()
        column = self._column(metrics, run)
        known = np.flatnonzero(~np.isnan(column))
        if len(known) == 0:
            return math.nan
        if self.statistic != GROWTH:
            return _STATISTICS[self.statistic](column[known])
        fitted = _fit_row(run)
        after = known[known >= fitted] if fitted is not None else known[:0]
        return float(column[after[-1]] / column[after[0]]) if len(after) else math.nan

    def _column(self, metrics: Mapping[str, np.ndarray], run: Run) -> np.ndarray:
        names = self.measure.split(" - ")
        for name in names:
            require(name in metrics, f"{run.id} has no column {name!r}{nearest(name, list(metrics))}")
        return metrics[names[0]] if len(names) == 1 else metrics[names[0]] - metrics[names[1]]

    def met(self, value: float) -> bool:
        return self.between[0] <= value <= self.between[1]

    def describe(self, values: Sequence[float]) -> str:
        """``5 of 5: 1.21 to 1.34``; runs without the number are counted, never dropped."""
        known = sorted(v for v in values if not math.isnan(v))
        spread = "" if not known else f"{known[0]:.3g}" + (f" to {known[-1]:.3g}" if len(known) > 1 else "")
        missing = f"; none in {len(values) - len(known)}" if len(known) < len(values) else ""
        return f"{sum(self.met(v) for v in values)} of {len(values)}: {spread}{missing}".replace(": ;", ":")


def _fit_row(run: Run) -> int | None:
    """Row of the evaluation at which train first reached the fit threshold."""
    from grokscope.trajectory import from_run
    from grokscope.trajectory.milestones import milestones

    trajectory = from_run(run)
    fit = milestones(trajectory, trajectory.splits[0]).T_fit
    return None if fit.censored else int(np.searchsorted(run.metrics()["step"], fit.at))


def spike_correlation(run: Run, split: str | None = None) -> float:
    """Spearman's rho of train loss and weight norm at the loss spike nearest to the transition.

    -1 is the prediction: every rise of the loss goes with a fall of the norm. NaN without a spike near a transition.
    """
    from grokscope.trajectory import from_run, spike_links

    trajectory = from_run(run)
    near = [s for s in spike_links(trajectory, split or trajectory.splits[0]) if s.near and s.rho is not None]
    if not near:
        return math.nan
    closest = min(near, key=lambda s: abs(s.lag or 0.0))
    return float(closest.rho if closest.rho is not None else math.nan)


def read_measured(
    block: Mapping[str, Any], place: str, where: Mapping[str, Any], between: tuple[float, float], **common: Any
) -> MeasuredExpectation:
    """The block as an expectation; the shared keys were read by the caller."""
    measure, statistic = block["measure"], block.get("statistic", "final")
    require(isinstance(measure, str), f"{place}.measure: expected a column of the metrics, got {measure!r}")
    require(
        statistic in STATISTICS,
        f"{place}.statistic: unknown statistic {statistic!r}{nearest(str(statistic), list(STATISTICS))}",
    )
    return MeasuredExpectation(where=where, measure=measure, statistic=statistic, between=between, **common)
