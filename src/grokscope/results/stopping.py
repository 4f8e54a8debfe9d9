"""Stopping rules, and their effects on runs that were trained to the end of their budget."""

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar, Literal

from grokscope.checks import names_checked
from grokscope.results.milestones import Step
from grokscope.results.record import Record, Stored
from grokscope.vocabulary.splits import SELECTING, oracle_label
from grokscope.vocabulary.text import whole

Unit = Literal["evaluations", "steps"]
"""Of a patience."""
ENDINGS = ("_loss", "_acc", "_r2")
"""Of columns that a rule can watch, after the name of a split."""


@names_checked
@dataclass(frozen=True, kw_only=True)
class StopRule(Record):
    """An early-stopping rule. ``patience``: stop when the column has not improved on its best value by more than
    `min_delta` for the given number of evaluations or steps. ``threshold``: stop `then` steps after the column first
    reached `level`. Both apply at the first evaluation that satisfies the condition.

    Raises ValueError for an invalid rule.
    """

    kind: Literal["patience", "threshold"]
    """Which of the two."""
    on: str
    """The column it watches: a split's name with _loss, _acc or _r2."""
    patience: Step | None = None
    """How long it waits for an improvement. [as `unit` says]"""
    unit: Unit = "evaluations"
    """Of the patience; evaluations are those of the column."""
    min_delta: float = 0.0
    """What is no more than this is no improvement. [as the column]"""
    level: float | None = None
    """What the column must reach: a score from below, a loss from above. [as the column]"""
    then: Step = 0
    """Steps after that. [steps]"""

    def __post_init__(self) -> None:
        _require(self.on.endswith(ENDINGS), f"cannot watch {self.on!r}: name a split with _loss, _acc or _r2")
        _require(isfinite(self.min_delta) and self.min_delta >= 0, f"min_delta must be >= 0, got {self.min_delta}")
        _require(isfinite(self.then) and self.then >= 0, f"then must be a number of steps >= 0, got {self.then}")
        if self.kind == "threshold":
            _require(self.patience is None, "a threshold rule has no patience")
            _require(self.level is not None and isfinite(self.level), "a threshold rule needs a level")
            return
        _require(self.level is None and not self.then, "a patience rule has no level and no steps after it")
        _require(self.patience is not None and 0 < self.patience < float("inf"), "patience must be above 0")
        countable = self.unit == "steps" or float(self.patience or 0).is_integer()
        _require(countable, f"patience of {self.patience} evaluations: expected a whole number")

    @property
    def split(self) -> str:
        """The split of the monitored column."""
        return next(self.on.removesuffix(end) for end in ENDINGS if self.on.endswith(end))

    @property
    def oracle(self) -> bool:
        """Whether it uses a split reserved for reporting."""
        return self.split not in SELECTING

    @property
    def name(self) -> str:
        """``no better id_val_loss for 10 evaluations``, ``500 steps after train_acc >= 0.99``."""
        if self.kind == "threshold":
            mark = f"{self.on} {'<=' if self.on.endswith('_loss') else '>='} {self.level:g}"
            if self.then:
                return f"{whole(self.then)} steps after {mark}"
            return f"at {mark}"
        unit = self.unit if self.patience != 1 else self.unit.removesuffix("s")
        by = f" by more than {self.min_delta:g}" if self.min_delta else ""
        return f"no better {self.on}{by} for {whole(self.patience or 0)} {unit}"

    @property
    def label(self) -> str:
        """The name, with the label of an oracle."""
        if self.oracle:
            return f"{self.name}; {oracle_label(self.split)}"
        return self.name


def _require(ok: bool, words: str) -> None:
    if not ok:
        raise ValueError(f"stopping rule: {words}")


@dataclass(frozen=True, kw_only=True)
class RunStop(Record):
    """One rule replayed on one run."""

    run: str
    """Name of the run or log."""
    group: str
    """Runs of one group differ by the seed alone."""
    stopped: bool
    """False: the rule never fired, and the run went on to its end (censored)."""
    step: Step
    """Where it stopped; the last evaluation where it did not. [steps]"""
    share: float
    """Of the run's own length that was spent by then. [share]"""
    value: float
    """Held-out score of the network there: at the last evaluation up to then; NaN before the first. [score]"""
    end_regret: float
    """Held-out score at the end of the full run, less `value`: below 0 where stopping saved some. [score]"""
    best_regret: float
    """Highest running median of three held-out scores of the full run, less `value`. [score]"""
    grokked: bool
    """Whether the full run grokked, whatever came afterward."""
    missed: bool
    """It grokked, and the stop came before the evaluation that showed T_gen."""


@dataclass(frozen=True, kw_only=True)
class Regret(Record):
    """What stopping cost some runs: means over them, since single runs stand in `RuleResult.stops`."""

    runs: int
    """How many these are. [runs]"""
    end: float
    """Mean of `RunStop.end_regret`. [score]"""
    lowest: float
    """Of `RunStop.end_regret`. [score]"""
    highest: float
    """Of `RunStop.end_regret`. [score]"""
    best: float
    """Mean of `RunStop.best_regret`. [score]"""


@dataclass(frozen=True, kw_only=True)
class RuleResult(Record):
    """One rule over runs."""

    rule: StopRule
    """What was replayed."""
    name: str
    """The rule in words."""
    oracle: bool
    """It looks at a split that nothing may be chosen on: no honest training could stop by it."""
    group: str
    """Whose runs these are; empty for all."""
    runs: int
    """Runs that have the column. [runs]"""
    stopped: int
    """Runs that it would have stopped; the others are censored: trained to their end. [runs]"""
    grokked: int
    """Runs that grokked when trained to their end. [runs]"""
    missed: int
    """Of these, runs stopped before T_gen. [runs]"""
    share_missed: float | None
    """None where no run grokked. [share]"""
    interval: tuple[float, float] | None
    """Of the share missed, 95 % exact (Clopper-Pearson), runs taken as independent. [share]"""
    spent: float
    """Mean share of a run's length that was spent. [share]"""
    steps: float
    """Mean steps that were spent. [steps]"""
    regret: Regret | None
    """Over all runs with a held-out score at the stop."""
    regret_after: Regret | None
    """Over runs that grokked and were stopped afterward: what going on would have brought or cost them."""
    stops: tuple[RunStop, ...]
    """Run by run."""


@dataclass(frozen=True, kw_only=True)
class PatienceNeeded(Record):
    """The shortest patience that would have missed no grokking: longer than any wait before T_gen."""

    on: str
    """The column that is watched."""
    min_delta: float
    """What is no more than this is no improvement. [as the column]"""
    oracle: bool
    """It looks at a split that nothing may be chosen on."""
    group: str
    """Whose runs these are; empty for all."""
    runs: int
    """Runs that grokked and have the column. [runs]"""
    evaluations: int
    """Evaluations of the column. [count]"""
    steps: Step
    """A patience in steps must be longer than this. [steps]"""
    of_T_gen: float
    """The longest wait of a run as a share of its T_gen, over runs. [share]"""
    slowest: str
    """The run with the longest wait, in steps."""


@dataclass(frozen=True, kw_only=True)
class Stopping(Stored):
    """Stopping rules replayed on recorded runs."""

    SCHEMA: ClassVar[int] = 1
    schema: int = SCHEMA
    """Version of the layout."""
    split: str
    """The held-out split by which runs are judged; a rule may watch others."""
    runs: int
    """Runs and logs that were replayed. [runs]"""
    rules: tuple[RuleResult, ...]
    """All runs first, then each group where there are several."""
    needed: tuple[PatienceNeeded, ...]
    """By column; empty where no run grokked."""
    errors: dict[str, str]
    """Source -> why it could not be read or judged."""
    notes: tuple[str, ...]
    """What was left out, and why."""

    def of(self, group: str = "") -> tuple[RuleResult, ...]:
        """The rules over one group, or over all runs."""
        return tuple(r for r in self.rules if r.group == group)

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups with rows of their own."""
        return tuple(dict.fromkeys(r.group for r in self.rules if r.group))
