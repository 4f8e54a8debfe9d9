"""Which step does what: the cadences of a run laid over its length."""

from bisect import bisect_right
from dataclasses import dataclass

from grokscope.config import RunConfig


@dataclass(frozen=True)
class Plan:
    """Steps at which a run is evaluated, diagnosed and checkpointed. The last step is always evaluated and
    diagnosed."""

    total: int
    steps_per_epoch: int
    grid: frozenset[int]
    """Evaluations that the cadences ask for, whatever the length."""
    diagnose: frozenset[int]
    checkpoint: frozenset[int]
    checkpoint_unit: str
    stops: tuple[int, ...]

    @property
    def evaluate(self) -> frozenset[int]:
        """Steps with a row. An extended run drops the closing row of its shorter self where that lies off the grid: it
        must equal a run that was given the length from the start."""
        return self.grid | {self.total}

    def next_event(self, step: int) -> int:
        """The first step after `step` at which something is due."""
        return self.stops[bisect_right(self.stops, step)]

    def checkpoint_name(self, step: int) -> str:
        """``ep00200`` where checkpoints go by epochs, ``st00001000`` where they go by steps."""
        if self.checkpoint_unit == "epochs":
            return f"ep{step // self.steps_per_epoch:05d}"
        return f"st{step:08d}"


def make_plan(config: RunConfig, n_train: int) -> Plan:
    """Lay the cadences over the budget. Diagnosed steps are evaluated too."""
    batch = min(config.regime.batch_size, n_train) or n_train
    per_epoch = -(-n_train // batch)
    total = config.budget.in_steps(per_epoch)
    evaluate, diagnose, checkpoint = (
        frozenset(c.steps(total, per_epoch)) for c in (config.evaluate, config.diagnose, config.checkpoint)
    )
    return Plan(
        total=total,
        steps_per_epoch=per_epoch,
        grid=evaluate | diagnose,
        diagnose=diagnose | {total},
        checkpoint=checkpoint,
        checkpoint_unit=config.checkpoint.unit,
        stops=tuple(sorted(evaluate | diagnose | checkpoint | {total})),
    )
