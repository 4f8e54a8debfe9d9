"""The schedule of a run: its cadences over its length."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from grokscope.config import Cadence, RunConfig

COUNTED = 20_000
"""Up to so many steps of a grid are counted one by one; beyond, an upper bound tells costs well enough."""


@dataclass(frozen=True)
class Grid:
    """The steps <= last that any of some cadences names, and those of `extra`. Never listed: a run may be long."""

    cadences: tuple[Cadence, ...]
    steps_per_epoch: int
    last: int
    extra: tuple[int, ...] = ()
    """Steps besides; they count whatever `last` is."""

    def __contains__(self, step: object) -> bool:
        if not isinstance(step, int) or step < 0:
            return False
        return step in self.extra or (step <= self.last and any(self._due(c, step) for c in self.cadences))

    def _due(self, cadence: Cadence, step: int) -> bool:
        epoch, rest = divmod(step, self._scale(cadence))
        return not rest and cadence.due(epoch)

    def _scale(self, cadence: Cadence) -> int:
        if cadence.unit != "epochs":
            return 1
        return self.steps_per_epoch

    def after(self, step: int) -> int | None:
        """The first of the steps greater than `step`; None after the last."""
        following = [s for s in self.extra if s > step]
        for cadence in self.cadences:
            scale = self._scale(cadence)
            point = cadence.after(step // scale)
            if point is not None and point * scale <= self.last:
                following.append(point * scale)
        return min(following, default=None)

    def __iter__(self) -> Iterator[int]:
        """All in order; stop in time, for there may be very many."""
        step = self.after(-1)
        while step is not None:
            yield step
            step = self.after(step)

    def about(self, first: int = 0) -> int:
        """How many steps are >= first: exact up to 20,000 in all, an upper bound beyond."""
        most = self._at_most(self.last)
        if most <= COUNTED:
            return sum(step >= first for step in self)
        return max(0, most - self._at_most(min(first, self.last + 1) - 1))

    def _at_most(self, last: int) -> int:
        listed = sum(c.at_most(last // self._scale(c)) for c in self.cadences) + sum(s <= last for s in self.extra)
        return max(0, min(listed, last + 1))


@dataclass(frozen=True)
class Plan:
    """Steps at which a run is evaluated, diagnosed and checkpointed. The last step is always evaluated and
    diagnosed."""

    total: int
    steps_per_epoch: int
    grid: Grid
    """Evaluations that the cadences ask for, whatever the length."""
    diagnose: Grid
    checkpoint: Grid
    checkpoint_unit: str
    stops: Grid
    """Where any of them is due."""
    kept_states: int = 0
    """How many full states are to be kept for ever, at most."""

    @property
    def evaluate(self) -> Grid:
        """Steps with a row. An extended run drops the closing row of its shorter self where that lies off the grid: it
        must equal a run that was given the length from the start."""
        return replace(self.grid, extra=(self.total,))

    def next_event(self, step: int) -> int:
        """The first step after `step` at which something is due. Raises ValueError at the end of the run."""
        following = self.stops.after(step)
        if following is None:
            raise ValueError(f"step {step:,} is the end of a run of {self.total:,} steps")
        return following

    def checkpoint_name(self, step: int) -> str:
        """``ep00200`` where checkpoints go by epochs, ``st00001000`` where they go by steps."""
        if self.checkpoint_unit == "epochs":
            return f"ep{step // self.steps_per_epoch:05d}"
        return f"st{step:08d}"


def make_plan(config: RunConfig, n_train: int) -> Plan:
    """Lay the cadences over the budget. Diagnosed steps are evaluated too. Raises ValueError for a budget of epochs
    that is more steps than a run can have."""
    batch = min(config.regime.batch_size, n_train) or n_train
    per_epoch = -(-n_train // batch)
    total = config.budget.in_steps(per_epoch)

    def lay(*cadences: Cadence, closing: bool = False) -> Grid:
        return Grid(cadences, per_epoch, total, (total,) if closing else ())

    return Plan(
        total=total,
        steps_per_epoch=per_epoch,
        grid=lay(config.evaluate, config.diagnose),
        diagnose=lay(config.diagnose, closing=True),
        checkpoint=lay(config.checkpoint),
        checkpoint_unit=config.checkpoint.unit,
        stops=lay(config.evaluate, config.diagnose, config.checkpoint, closing=True),
        kept_states=len(config.checkpoint.states),
    )
