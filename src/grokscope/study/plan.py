"""The plan of a study before anything trains."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from grokscope.configio import dump
from grokscope.execute.processes import default_workers
from grokscope.execute.protocol import longest_first
from grokscope.execute.stacks import Unit, Way, arrange
from grokscope.study.estimate import Cost, kind_of, makespan, probe_all
from grokscope.study.run_state import StudyRun


@dataclass(frozen=True)
class PlannedRun:
    """One run: where it stands, and what is still to be paid for it (None without a probe)."""

    study_run: StudyRun
    seconds: float | None
    bytes: int | None

    @property
    def decay_budget(self) -> float | None:
        """Sum of lr x decay over all steps: how often decay alone would divide the weights by e. Far below 1 the norm
        cannot shrink, whatever else happens. None where the optimizer adds decay to the gradient, and where other
        settings were in force for a part of the run: by an intervention, or before a fork."""
        from grokscope.mechanism.in_force import put_by
        from grokscope.mechanism.setup import setup_of_config

        config = self.study_run.entry.config
        rates = [put_by(dump(i)).keys() & {"lr", "schedule"} for i in config.regime.interventions]
        if any(rates) or (config.start is not None and config.start.exact):
            return None
        setup = setup_of_config(dump(config), {})
        if not setup.decoupled or setup.weight_decay is None:
            return None
        total = self.study_run.total
        return setup.weight_decay * mean_rate(config.regime.schedule.build(config.regime.lr, total), total) * total

    def to_dict(self) -> dict[str, Any]:
        s = self.study_run
        return {
            "run": s.run.id, "regime": s.entry.label, "seed": s.entry.config.seed, "state": s.state,
            "step": s.step, "total_steps": s.total, "seconds": self.seconds, "bytes": self.bytes,
            "error": s.message or None, "decay_budget": self.decay_budget, "forked_at": s.forked_at,
        }  # fmt: skip


SAMPLED = 10_000
"""Steps at which a schedule is read to know its mean: all of a shorter run."""


def mean_rate(rate: Callable[[int], float], total: int) -> float:
    """Mean learning rate over steps 1 to `total`, of many from an even sample of them."""
    count = min(total, SAMPLED)
    width = total / count
    return fmean(rate(round(0.5 + (i + 0.5) * width)) for i in range(count))


@dataclass(frozen=True)
class StudyPlan:
    """All runs of a study, finished ones included."""

    runs: tuple[PlannedRun, ...]
    workers: int
    units: tuple[Unit, ...] = ()
    """What is trained together, where runs were to be stacked; else empty."""

    @property
    def todo(self) -> list[PlannedRun]:
        return [r for r in self.runs if not r.study_run.finished]

    @property
    def states(self) -> dict[str, int]:
        return dict(Counter(r.study_run.state for r in self.runs))

    @property
    def seconds(self) -> float | None:
        """Wall-clock seconds on this plan's workers; None without a probe."""
        known = {r.study_run.run.path: r.seconds for r in self.todo}
        if None in known.values():
            return None
        alone = {path: s for path, s in known.items() if s is not None}
        if not self.units:
            return makespan(list(alone.values()), self.workers)
        return makespan([_together(unit, alone) for unit in self.units], self.workers)

    @property
    def forks(self) -> list[PlannedRun]:
        """Runs that begin inside another one."""
        return [r for r in self.runs if (start := r.study_run.entry.config.start) is not None and start.planned]

    @property
    def steps_saved(self) -> int:
        """Steps that forks take over from their parents, as far as it is known where they leave them."""
        return sum(r.study_run.forked_at or 0 for r in self.forks)

    @property
    def stacks(self) -> list[dict[str, Any]]:
        """Each stack and each kind of run that is trained alone although stacks were asked for, with the reason."""
        rows = [
            {"runs": len(u.jobs), "regimes": sorted({job.config.regime.name for job in u.jobs}),
             "speedup": u.speedup, "reason": u.reason}
            for u in self.units
        ]  # fmt: skip
        counted: dict[str, dict[str, Any]] = {}
        for row in rows:
            same = counted.setdefault(json.dumps(row), {**row, "count": 0})
            same["count"] += 1
        return list(counted.values())

    @property
    def bytes(self) -> int | None:
        """Disk that the study will have taken in all when it is done; None without a probe."""
        known = [r.bytes for r in self.runs]
        if None in known:
            return None
        return sum(b for b in known if b is not None)

    def to_dict(self) -> dict[str, Any]:
        return {
            "workers": self.workers, "states": self.states, "seconds": self.seconds, "bytes": self.bytes,
            "runs": [r.to_dict() for r in self.runs], "stacks": self.stacks, "steps_saved": self.steps_saved,
        }  # fmt: skip


def _together(unit: Unit, alone: Mapping[Path, float]) -> float:
    """Seconds of a unit: a stack takes its share of what its runs would take one after the other."""
    return sum(alone.get(job.run, 0.0) for job in unit.jobs) / (unit.speedup if unit.stacked and unit.speedup else 1.0)


def make_study_plan(
    runs: Sequence[StudyRun], workers: int | None, probe: bool, engine: Way = "one", stack: int | None = None
) -> StudyPlan:
    """Lay out a study; with `probe`, each kind of run is trained in memory for up to a second to learn its speed, and
    once more as a stack where `engine` asks for stacks."""
    todo = [s for s in runs if not s.finished]
    costs = probe_all(runs, 1.0) if probe and todo else {}
    workers = max(default_workers(len(todo)) if workers is None else workers, 1)
    jobs = longest_first([s.job() for s in todo if s.ready])
    units = ()
    if engine != "one":
        units = tuple(arrange(jobs, engine, stack, workers, measure=probe))
    return StudyPlan(tuple(_planned(s, costs.get(kind_of(s.entry.config))) for s in runs), workers, units)


def _planned(study_run: StudyRun, cost: Cost | None) -> PlannedRun:
    if cost is None:
        if study_run.finished:
            return PlannedRun(study_run, 0.0, _used(study_run))
        return PlannedRun(study_run, None, None)
    seconds = 0.0
    if not study_run.finished:
        seconds = cost.seconds(study_run.plan, min(study_run.step, study_run.total))
    return PlannedRun(study_run, seconds, cost.bytes(study_run.plan))


def _used(study_run: StudyRun) -> int:
    """Bytes that a run's folder takes now."""
    return sum(p.stat().st_size for p in study_run.run.path.rglob("*") if p.is_file())
