"""Regressions with groups: each group's loss relative to its own trivial predictor, and the table of arms."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope.files import plain_file
from grokscope.report.read.judged_run import Reading
from grokscope.results.predictions import PREDICTIONS, Predictions

if TYPE_CHECKING:
    from grokscope.trajectory import SpikeLink

_LOSS = re.compile(r"(\w+?)_group(\d+)_loss")
EQUAL = 1e-3
"""Relative difference up to which the mean of the groups is taken for the loss of the split: groups of equal size."""


@dataclass(frozen=True)
class Grouped:
    """One run of a regression whose metrics hold losses by group."""

    reading: Reading

    @property
    def split(self) -> str:
        return self.reading.split

    @property
    def facts(self) -> Mapping[str, Any]:
        return ((self.reading.subject.record.get("facts") or {}).get("splits") or {}).get(self.split) or {}

    @property
    def metrics(self) -> Mapping[str, np.ndarray]:
        return self.reading.subject.metrics

    @cached_property
    def clock(self) -> np.ndarray:
        """(t,) epochs, where they are logged; else steps."""
        return self.metrics.get("epoch", self.metrics["step"]).astype(float)

    def at(self, step: float) -> float:
        """A step on the clock."""
        return float(np.interp(step, self.metrics["step"], self.clock))

    @cached_property
    def groups(self) -> dict[int, np.ndarray]:
        """Group -> (t,) held-out loss."""
        losses = {int(m[2]): v for c, v in self.metrics.items() if (m := _LOSS.fullmatch(c)) and m[1] == self.split}
        return dict(sorted(losses.items()))

    @property
    def trivial(self) -> float | None:
        return self.facts.get("trivial_loss")

    def trivial_of(self, group: int) -> float | None:
        return self.facts.get(f"trivial_group{group}_loss")

    def relative(self, group: int) -> np.ndarray | None:
        """(t,) held-out loss of a group over that of its trivial predictor; None where either is not known."""
        trivial = self.trivial_of(group)
        if not trivial or group not in self.groups:
            return None
        return self.groups[group] / trivial

    @property
    def best_r2(self) -> float | None:
        """Highest held-out R2 during the run; None where there is none."""
        r2 = self.reading.trajectory.held_out.get(self.split) if self.reading.trajectory is not None else None
        if r2 is None or not np.isfinite(r2).any():
            return None
        return float(np.nanmax(r2))

    @cached_property
    def largest_m(self) -> set[int]:
        """The groups with m = n - k; empty for another task."""
        task = (self.reading.subject.config or {}).get("task") or {}
        codes = {g: code_of(g) for g in self.groups} if task.get("name") == "mheight" else {}
        return {g for g, (n, k, m) in codes.items() if m == n - k}

    @cached_property
    def without(self) -> tuple[np.ndarray, float] | None:
        """((t,) loss, trivial loss) over the groups with m < n - k; None where there are no such groups, or where the
        groups differ in size, which the metrics do not hold."""
        kept = [g for g in self.groups if g not in self.largest_m]
        trivial = [self.trivial_of(g) for g in kept]
        known = [t for t in trivial if t is not None]
        if not self.largest_m or not kept or len(known) < len(kept) or not self._equal:
            return None
        return np.mean([self.groups[g] for g in kept], axis=0), float(np.mean(known))

    @cached_property
    def _equal(self) -> bool:
        whole, mean = self.metrics[f"{self.split}_loss"], np.mean(list(self.groups.values()), axis=0)
        known = np.isfinite(whole) & np.isfinite(mean)
        return bool(known.any() and np.allclose(whole[known], mean[known], rtol=EQUAL))

    @cached_property
    def best(self) -> tuple[float, float, float] | None:
        """(lowest held-out loss, its place on the clock, last held-out loss)."""
        return lowest(self.clock, self.metrics.get(f"{self.split}_loss"))

    @cached_property
    def link(self) -> "SpikeLink | None":
        """The loss spike nearest to the transition (of several, and without a transition, the highest)."""
        from grokscope.trajectory import spike_links

        trajectory = self.reading.trajectory
        links = spike_links(trajectory, self.split) if trajectory is not None else []
        near = [s for s in links if s.near]
        if near:
            return min(near, key=lambda s: abs(s.lag or 0.0))
        return max(links, key=lambda s: s.spike.numbers["ratio"], default=None)


def lowest(clock: np.ndarray, loss: np.ndarray | None) -> tuple[float, float, float] | None:
    if loss is None or not np.isfinite(loss).any():
        return None
    known = np.flatnonzero(np.isfinite(loss))
    at = known[np.argmin(loss[known])]
    return float(loss[at]), float(clock[at]), float(loss[known[-1]])


def code_of(group: int) -> tuple[int, int, int]:
    """(n, k, m) of an m-height group's id: 942 -> (9, 4, 2), 1046 -> (10, 4, 6)."""
    return group // 100, group // 10 % 10, group % 10


def group_name(run: Grouped, group: int) -> str:
    """``(9,4) m 2`` for codes, else the task's own name or the id."""
    if ((run.reading.subject.config or {}).get("task") or {}).get("name") == "mheight":
        n, k, m = code_of(group)
        return f"[{n},{k}] m = {m}"
    meta = (run.reading.subject.record.get("facts") or {}).get("meta") or {}
    names = meta.get("groups")
    return str(names.get(str(group), group)) if isinstance(names, Mapping) else f"group {group}"


def grouped(groups: Mapping[str, Sequence[Reading]]) -> dict[str, list[Grouped]]:
    """Groups of runs that are regressions with losses by group."""
    out = {}
    for name, members in groups.items():
        regressions = [g for r in members if r.kind == "regression" and (g := Grouped(r)).metrics and g.groups]
        if regressions:
            out[name] = regressions
    return out


def predictions(reading: Reading) -> Predictions | None:
    """What a run kept of its predictions; None where it kept none.

    Raises:
        ValueError: the file is a link or damaged.
    """
    if reading.subject.path is None:
        return None
    file = plain_file(Path(reading.subject.path), PREDICTIONS)
    return Predictions.read(file) if file.exists() else None
