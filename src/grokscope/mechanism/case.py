"""Input of a check: one trajectory, its verdict on one held-out split, and its training settings."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from grokscope.mechanism.setup import Setup, setup_of_config
from grokscope.store import Run
from grokscope.store.intervened import interventions_of
from grokscope.trajectory import Criteria, Trajectory, Verdict, verdict
from grokscope.trajectory.curves import roughness
from grokscope.trajectory.series import from_run
from grokscope.vocabulary.splits import speaking
from grokscope.vocabulary.time_units import STEPS, time_unit_of
from grokscope.vocabulary.verdicts import KINDS, Outcome

IMPORTED_LOG = "log"
"""Kind of lineage of a run that was made from a log."""
OUTCOMES: Mapping[str | None, Outcome] = {None: "not judged", **{kind.name: kind.outcome for kind in KINDS}}


FEWEST_FOR_NOISE = 5
"""Values from which a course can be told from noise."""
NORM_DEVIATIONS = 2.0
"""Of the noise of single records by which a norm may be off: a norm is recorded exactly, and what looks like noise is
mostly the bend of a course with few rows."""
MAD_TO_SD = 1.4826
"""Standard deviation of a normal distribution over its median distance from 0."""


@dataclass(frozen=True)
class Series:
    """One recorded column where it was recorded. step (t,), value (t,) finite."""

    step: np.ndarray
    value: np.ndarray

    def __len__(self) -> int:
        return len(self.step)

    def at(self, step: float) -> float:
        """The last value recorded at or before `step`; the first one if there is none."""
        return float(self.value[max(int(np.searchsorted(self.step, step, side="right")) - 1, 0)])

    def growth(self) -> float:
        """Last value over first."""
        return float(self.value[-1] / self.value[0])

    def log_noise(self) -> float:
        """How far one value lies off a smooth course, as a standard deviation of its logarithm
        (`grokscope.trajectory.curves.roughness`). Infinite where there are too few values above 0 to say."""
        logs = np.log(self.value[self.value > 0])
        if len(logs) < FEWEST_FOR_NOISE:
            return math.inf
        return roughness(logs) or 0.0  # None of a course that soon came to rest

    def factor(self, deviations: float = 3.0) -> tuple[float, float]:
        """Range of the last value over the first, as sure as two single values are: so many standard deviations of
        their noise each way."""
        wide = deviations * math.sqrt(2) * self.log_noise()
        ratio = self.growth()
        return ratio * math.exp(-wide), ratio * math.exp(wide)

    def mean_range(self) -> tuple[float, float]:
        """The mean, two standard errors each way: by the differences of neighbors, so that a trend is no noise."""
        mean = float(self.value.mean())
        steps = np.abs(np.diff(self.value))
        wide = math.inf
        if len(steps):
            wide = 2 * float(np.median(steps)) * MAD_TO_SD / math.sqrt(2 * len(self))
        return mean - wide, mean + wide

    def time_at(self, share: float) -> float:
        """The step at which this share of the recorded time has passed."""
        return float(self.step[0] + share * (self.step[-1] - self.step[0]))

    def since(self, step: float) -> "Series":
        """From the last value recorded at or before `step` on."""
        first = max(int(np.searchsorted(self.step, step, side="right")) - 1, 0)
        return Series(self.step[first:], self.value[first:])

    def until(self, step: float) -> "Series":
        return Series(self.step[self.step <= step], self.value[self.step <= step])


@dataclass(frozen=True)
class Case:
    """One trajectory to be explained, for one held-out split."""

    trajectory: Trajectory
    verdict: Verdict
    setup: Setup
    can_be_trained: bool = False
    """Whether grokscope could train an arm of it: not of a log, nor of a loop that it only recorded."""

    @property
    def split(self) -> str:
        return self.verdict.split

    @cached_property
    def outcome(self) -> Outcome:
        return OUTCOMES[self.verdict.verdict]

    @cached_property
    def fitted_at(self) -> float | None:
        """Step of the fit; None where train never fitted."""
        T_fit = self.verdict.milestones.T_fit
        return None if T_fit.censored else float(T_fit.at)

    @property
    def labels_are_noise(self) -> bool:
        """Whether every training label is known to be random: then nothing that was seen is a reason to fail."""
        return self.setup.label_noise is not None and self.setup.label_noise >= 1

    @cached_property
    def until(self) -> float:
        """Where what is to be explained is over: T_gen of a run that generalized, else the last evaluation."""
        T_gen = self.verdict.milestones.T_gen
        return float(self.trajectory.last_step if T_gen.censored else T_gen.at)

    def series(self, name: str) -> Series | None:
        """A recorded column by the name that grokscope gives it (``norm_total``, ``rank_effective``); None where it was
        not recorded, or fewer than two values of it are finite."""
        values = self._values(name)
        if values is None:
            return None
        finite = np.isfinite(values)
        if finite.sum() < 2:
            return None
        return Series(self.trajectory.step[finite].astype(np.float64), values[finite])

    def _values(self, name: str) -> np.ndarray | None:
        t = self.trajectory
        if name == "norm_total":
            return t.norm
        if name == "train_loss":
            return t.train_loss
        if name.startswith("norm_"):
            return t.norm_groups.get(name.removeprefix("norm_"))
        return t.measured.get(name)

    def lr(self) -> Series | None:
        """The learning rate over time: as recorded, else the constant one of the setup."""
        if (recorded := self.series("lr")) is not None:
            return recorded
        if self.setup.lr is None:
            return None
        ends = np.array([0.0, float(self.trajectory.last_step)])
        return Series(ends, np.full(2, self.setup.lr))

    @property
    def steps_per_unit(self) -> float | None:
        """Optimizer steps in one unit of the trajectory's time; None where nobody said how many an epoch has."""
        if self.setup.steps_per_unit is not None:
            return self.setup.steps_per_unit
        if self.trajectory.time_unit == STEPS:
            return 1.0
        return None

    def steps(self, start: float, end: float) -> float | None:
        """Optimizer steps between two times of the trajectory; None where it is not known how many one unit is."""
        if self.steps_per_unit is None:
            return None
        return (end - start) * self.steps_per_unit


def case_of_trajectory(
    trajectory: Trajectory,
    setup: Setup,
    split: str | None = None,
    criteria: Criteria | None = None,
    can_be_trained: bool = False,
) -> Case:
    """The case of one held-out split; by default of the one that speaks for the run (`grokscope.vocabulary.splits`)."""
    chosen = split or speaking(trajectory.splits)
    return Case(trajectory, verdict(trajectory, chosen, criteria, neighbors=False), setup, can_be_trained)


def case_of_run(run: Run, split: str | None = None, criteria: Criteria | None = None, **known: Any) -> Case:
    """The case of a run of grokscope's own. `known` adds to its setup what its record lacks (an imported run).

    Raises:
        ValueError: a run without evaluations, an unknown split, a setting that is not what the run recorded.
    """
    unit = time_unit_of_run(run)
    recorded = setup_of_config(run.config, run.facts, interventions_of(run), run.path)
    if unit == STEPS:
        recorded = replace(recorded, steps_per_unit=1.0)
    for key, value in known.items():
        there = getattr(recorded, key)
        if value is not None and there is not None and there != value:
            raise ValueError(
                f"{key} {value!r}: the run {run.id} was trained with {there!r} according to its record; omit it"
            )
    settings = vars(recorded) | {key: value for key, value in known.items() if value is not None}
    trajectory = replace(from_run(run), time_unit=unit)
    return case_of_trajectory(trajectory, Setup(**settings), split, criteria, can_be_trained(run.record))


def can_be_trained(record: Mapping[str, Any]) -> bool:
    """Whether a run's record holds a config that grokscope can train: not that of a recording or an imported log."""
    if (record.get("lineage") or {}).get("kind") == IMPORTED_LOG:
        return False
    return "own" not in (record.get("config") or {})


def time_unit_of_run(run: Run) -> str:
    """What the time of a run counts: steps, or for a log that was imported as a run what its column counted."""
    if (run.record.get("lineage") or {}).get("kind") != IMPORTED_LOG:
        return STEPS
    columns = (run.config.get("own") or {}).get("columns") or {}
    return time_unit_of(columns.get("step"))
