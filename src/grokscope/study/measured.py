"""Expectations about recorded numbers other than the verdict: norms, gaps between splits, spikes.

[[expect]]
where = { arm = "standard" }
measure = "norm_head"                # a column of the metrics, or the difference of two: "id_val_acc - ood_test_acc"
statistic = "growth after fit"       # end, final, first, minimum, maximum, growth after fit
between = [1, 10]
share = 0.8                          # of the runs; 1 unless said otherwise

[[expect]]
measure = "spike and norm"           # rank correlation of loss spike and norm at the spike next to the transition
between = [-1, -0.9]

[[expect]]
measure = "norm drop at spike"       # share of the run's stretches as long over which the norm fell at least as much
between = [0, 0.05]

[[expect]]
dissection = "steer.monotone.ood_test"   # a number of the final checkpoint's dissection (`grokscope.study.dissected`)
between = [1, 1]
share = 0.8

or the median of one group of runs over the median of another:

[[expect]]
measure = "norm_total"
statistic = "growth after fit"
of = { arm = "grokking-favorable" }
to = { arm = "standard" }
between = [1.0, 3.0]
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope.config import require
from grokscope.registry import nearest
from grokscope.store import Run
from grokscope.study import dissected
from grokscope.study.words import describe_where, on, stamped
from grokscope.vocabulary.splits import REPORTED
from grokscope.vocabulary.text import percent

if TYPE_CHECKING:
    from grokscope.trajectory import Criteria, Trajectory

SPIKES = ("spike and norm", "norm drop at spike")
GROWTH = "growth after fit"

_STATISTICS: dict[str, Callable[[np.ndarray], float]] = {
    "final": lambda v: float(v[-1]),
    "first": lambda v: float(v[0]),
    "minimum": lambda v: float(v.min()),
    "maximum": lambda v: float(v.max()),
}
AT_PEAK = "at peak"
"""The column where the accuracy on `split` is highest."""
END = "end"
"""The mean over the last `Criteria.end_share` of the steps, as in a verdict; ``final`` is the last evaluation alone."""
STATISTICS = (END, *_STATISTICS, GROWTH, AT_PEAK)


class Recorded:
    """A run whose metrics are read once, however many expectations look at them."""

    def __init__(self, run: Run, criteria: "Criteria | None" = None):
        self.run, self.id, self.facts, self.criteria = run, run.id, run.facts, criteria

    @property
    def status(self) -> dict[str, Any]:
        return self.run.status

    @cached_property
    def _metrics(self) -> dict[str, np.ndarray]:
        return self.run.metrics()

    def metrics(self) -> dict[str, np.ndarray]:
        return self._metrics

    @cached_property
    def trajectory(self) -> "Trajectory":
        from grokscope.trajectory import from_run

        return from_run(self)

    def end(self, rows: np.ndarray, values: np.ndarray) -> float:
        """Mean of a column's values (t,), known in these rows, over the last share of the steps that a verdict uses."""
        from grokscope.trajectory import Criteria
        from grokscope.trajectory.curves import time_weights

        step = self._metrics["step"][rows]
        share = (self.criteria or Criteria()).end_share
        return float(time_weights(step, float(step[-1] - share * (step[-1] - step[0]))) @ values)

    @cached_property
    def fit_row(self) -> int | None:
        """Row of the evaluation at which train first reached the fit threshold."""
        from grokscope.trajectory.milestones import milestones

        fit = milestones(self.trajectory, self.trajectory.splits[0], self.criteria).T_fit
        if fit.censored:
            return None
        return int(np.searchsorted(self._metrics["step"], fit.at))


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number of a run: a statistic of what it recorded."""

    measure: str = ""
    statistic: str = "final"
    split: str | None = None
    """For spikes: whose transition; for the statistic ``at peak``: whose peak."""
    dissection: str | None = None
    """In place of a measure: a number of the final checkpoint's dissection."""

    @property
    def called(self) -> str:
        """``maximum of ood_test_acc, oracle (chosen on ood_test),``."""
        if self.dissection is not None:
            return f"dissection {self.dissection}"
        if self.measure in SPIKES:
            return self.measure
        if self.statistic == AT_PEAK:
            return stamped(f"{self.measure} at the peak of {self.split}", self.split, True, ",")
        reported = next((s for s in REPORTED if any(name.startswith(f"{s}_") for name in self._columns)), None)
        extreme = self.statistic in ("minimum", "maximum")
        return stamped(f"{self.statistic} of {self.measure}", reported, extreme, ",")

    @property
    def _columns(self) -> list[str]:
        return self.measure.split(" - ")

    def value(self, run: Run | Recorded) -> float:
        """The number of one run; NaN where there is none. Raises ValueError for a column that the run does not have."""
        recorded = run if isinstance(run, Recorded) else Recorded(run)
        if self.dissection is not None:
            return dissected.value(recorded.run.path, dissected.parse(self.dissection, recorded.id))
        if self.measure in SPIKES:
            return spike_and_norm(recorded.trajectory, self.measure, self.split, recorded.criteria)
        column = self._column(recorded)
        known = np.flatnonzero(~np.isnan(column))
        if len(known) == 0:
            return math.nan
        if self.statistic == AT_PEAK:
            accuracy = self._recorded(recorded, f"{self.split}_acc")[known]
            if np.isnan(accuracy).all():
                return math.nan
            return float(column[known[np.nanargmax(accuracy)]])
        if self.statistic == END:
            return recorded.end(known, column[known])
        if self.statistic != GROWTH:
            return _STATISTICS[self.statistic](column[known])
        after = known[known >= recorded.fit_row] if recorded.fit_row is not None else known[:0]
        if len(after):
            return float(column[after[-1]] / column[after[0]])
        return math.nan

    def undone(self, runs: Sequence[Recorded]) -> str | None:
        """What must be done before the number can be read, with the command; None where it can."""
        if self.dissection is None:
            return None
        commands = [command for recorded in runs if (command := dissected.undone(recorded.run.path)) is not None]
        if not commands:
            return None
        more = ""
        if len(commands) > 1:
            more = f" (and {len(commands) - 1} more; all of a study: grokscope study dissect)"
        done = f"{len(runs) - len(commands)} of {len(runs):,} final checkpoints are dissected"
        return f"{done}; run: {commands[0]}{more}"

    def _column(self, recorded: Recorded) -> np.ndarray:
        first, *rest = (self._recorded(recorded, name) for name in self._columns)
        return first - rest[0] if rest else first

    def _recorded(self, recorded: Recorded, name: str) -> np.ndarray:
        metrics = recorded.metrics()
        require(name in metrics, f"{recorded.id} has no column {name!r}{nearest(name, list(metrics))}")
        return metrics[name]


@dataclass(frozen=True, kw_only=True)
class MeasuredExpectation(Measure):
    """One ``[[expect]]`` block with `measure`. A run without the number (no spike, never fitted) does not show it."""

    where: Mapping[str, Any]
    between: tuple[float, float]
    share: float = 1.0
    note: str = ""
    name: str = ""
    published: str = ""

    def expected(self) -> str:
        low, high = self.between
        share = f" in {percent(self.share)} of the runs" if self.share < 1 else ""
        return f"{on(self.split)}{self.called} in [{low:g}, {high:g}]{share}"

    def met(self, value: float) -> bool:
        return self.between[0] <= value <= self.between[1]

    def describe(self, values: Sequence[float]) -> str:
        """``5 of 5: 1.21 to 1.34``; runs without the number are counted, never dropped."""
        known = sorted(v for v in values if not math.isnan(v))
        parts: list[str] = []
        if known:
            parts.append(f"{known[0]:.3g} to {known[-1]:.3g}" if len(known) > 1 else f"{known[0]:.3g}")
        if len(known) < len(values):
            parts.append(f"none in {len(values) - len(known)}")
        return f"{sum(self.met(v) for v in values)} of {len(values):,}: {'; '.join(parts)}"


@dataclass(frozen=True, kw_only=True)
class MeasuredRatio(Measure):
    """An ``[[expect]]`` block with `measure`, `of` and `to`: the median of one group over the median of another.

    Says nothing while a run lacks the number (no fit, no growth after it): which median the others have would then
    depend on who dropped out. Nor where the lower median is not positive."""

    of: Mapping[str, Any]
    to: Mapping[str, Any]
    between: tuple[float, float]
    note: str = ""
    name: str = ""
    published: str = ""

    def expected(self) -> str:
        low, high = self.between
        return f"{on(self.split)}{self.called} / that of ({describe_where(self.to)}) in [{low:g}, {high:g}]"

    def ratio(self, above: Sequence[float], below: Sequence[float]) -> float:
        """NaN where it says nothing."""
        if any(math.isnan(v) for v in (*above, *below)) or not median(below) > 0:
            return math.nan
        return median(above) / median(below)

    def met(self, ratio: float) -> bool | None:
        if math.isnan(ratio):
            return None
        return self.between[0] <= ratio <= self.between[1]

    def describe(self, above: Sequence[float], below: Sequence[float]) -> str:
        """``1.31 (medians 2.1 of 5 and 1.6 of 5 runs)``."""
        missing = sum(math.isnan(v) for v in (*above, *below))
        if missing:
            return f"none: {missing} of {len(above) + len(below)} runs have no such number"
        ratio = self.ratio(above, below)
        shown = "none" if math.isnan(ratio) else f"{ratio:.3g}"
        return f"{shown} (medians {median(above):.3g} of {len(above):,} and {median(below):.3g} of {len(below):,} runs)"


def spike_and_norm(
    trajectory: "Trajectory", measure: str, split: str | None = None, criteria: "Criteria | None" = None
) -> float:
    """What the weight norm does at the loss spike nearest to the transition; NaN without a spike near a transition.

    ``spike and norm``: Spearman's rho of train loss and norm; -1 is the prediction, every rise of the loss going with a
    fall of the norm. ``norm drop at spike``: the share of stretches as long over which the norm fell at least as much
    as across the spike; near 0 if the spike goes with a large drop, in whatever order the two come.
    """
    from grokscope.trajectory import spike_links

    near = [s for s in spike_links(trajectory, split or trajectory.splits[0], criteria) if s.near]
    values = [(s.lag or 0.0, s.rho if measure == SPIKES[0] else s.norm_drop_rank) for s in near]
    known = [(abs(lag), value) for lag, value in values if value is not None]
    if not known:
        return math.nan
    return float(min(known, key=lambda pair: pair[0])[1])


def read_measured(block: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The keys that say what is measured, checked.

    Raises:
        ValueError: a measure that is no text, an unknown statistic, a split where the columns already name theirs.
    """
    if "dissection" in block:
        for key in ("measure", "statistic", "split"):
            require(
                key not in block, f"{place}.{key}: not together with dissection, which already specifies one number"
            )
        dissected.parse(block["dissection"], f"{place}.dissection")
        return {"dissection": block["dissection"]}
    measure, statistic = block["measure"], block.get("statistic", "final")
    require(isinstance(measure, str), f"{place}.measure: expected a column of the metrics, got {measure!r}")
    require(measure.count(" - ") <= 1, f"{place}.measure: expected a column or the difference of two, got {measure!r}")
    require(
        statistic in STATISTICS,
        f"{place}.statistic: unknown statistic {statistic!r}{nearest(str(statistic), list(STATISTICS))}",
    )
    if statistic == AT_PEAK:
        require("split" in block, f"{place}.split: missing; give the split of the peak, for example 'ood_val'")
    require(
        "split" not in block or measure in SPIKES or statistic == AT_PEAK,
        f"{place}.split: a column determines its own split; omit it, and measure for example 'ood_test_acc'",
    )
    return {"measure": measure, "statistic": statistic}
