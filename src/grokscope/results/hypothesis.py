"""Hypotheses of a study and their results: declaration, every run's number, the effect with its interval, p with its
context, and the number of seeds needed."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from grokscope.results.factorial import DesignResult
from grokscope.results.record import Record, Stored
from grokscope.results.seed_tests import ENOUGH, Power, interval_words, with_open_ends
from grokscope.vocabulary.text import plural

Sidedness = Literal["two-sided", "greater", "less", "within"]
Outcome = Literal["shown", "opposite", "not shown", "open", "cannot tell"]
Standing = Literal["declared", "exploratory"]
Sign = Literal["", ">", "<"]


@dataclass(frozen=True, kw_only=True)
class RunNumber(Record):
    """The quantity of one run."""

    run: str
    """Folder of the run."""
    seed: int | None
    """Its seed; None for a log of which none is known."""
    value: float
    """The number, or the evaluation at which a milestone was seen; where it was not reached, the last one; NaN where
    the run has no such number. [as the quantity]"""
    before: float | None
    """The evaluation before, at which a milestone was not reached yet; None for other quantities, and where it held at
    the first one. [as the quantity]"""
    reached: bool
    """False: not by `value`."""
    x: float | None
    """Value of the axis, for a slope. [as the axis]"""


@dataclass(frozen=True, kw_only=True)
class HypothesisArm(Record):
    """One side of a comparison, and what became of each run that was planned for it."""

    name: str
    """Which runs."""
    planned: int
    """Runs that the study file asks for: finished, failed and waiting add up to it. [count]"""
    finished: int
    """Of these, runs that ended, diverged ones included. [count]"""
    failed: int
    """Runs that failed, or whose files are damaged. [count]"""
    waiting: int
    """Runs that are not finished yet. [count]"""
    middle: float | None
    """Median of a milestone, share, or mean of other numbers; None where a median was not reached or nothing is
    finished. [as the quantity]"""
    numbers: tuple[RunNumber, ...]
    """Of the finished runs."""

    def __post_init__(self) -> None:
        if self.finished + self.failed + self.waiting != self.planned:
            raise ValueError(f"{self.name}: finished, failed and waiting runs do not add up to {self.planned} planned")


@dataclass(frozen=True, kw_only=True)
class HypothesisTest(Record):
    """The test of one hypothesis."""

    test: str
    """Its name, and what was permuted."""
    method: str
    """How p was computed."""
    paired: bool
    """Whether runs of one seed were compared with each other."""
    n: tuple[int, ...]
    """In each arm; one number for pairs, and for a slope. [runs]"""
    effect: float
    """How far the arms differ. [as `effect_name` says]"""
    effect_sign: Sign
    """Where the effect is only bounded, since one median was not reached."""
    effect_name: str
    """What the effect is."""
    null: float
    """The effect where there is none: 1 for a ratio, else 0. [as the effect]"""
    interval: tuple[float, float] | None
    """Of the effect; infinite ends bound nothing. [as the effect]"""
    level: float
    """What the interval attains: that of the test beside it, or the nearest that so few runs allow. [share]"""
    p: float
    """Of what was asked. [probability]"""
    p_two_sided: float
    """Of a difference in either direction, for comparison. [probability]"""
    p_opposite: float
    """One-sided, of the opposite direction; for a margin: of an effect beyond it. [probability]"""
    smallest_p: float
    """The smallest p that these n and this sidedness allow. [probability]"""
    power: Power | None
    """Chance of p <= alpha at 1, 1.5 and 2 standard deviations; None beyond what is simulated, and for margins and
    slopes."""
    seeds_to_decide: int | None
    """Runs in each arm at which the effect seen would be found with a chance of .8, at the strictest step of the
    family's correction; None: no number of them up to 1,000, or not computed (a slope, a margin of shares). [count]"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "interval", with_open_ends(self.interval))

    @property
    def interval_words(self) -> str:
        """The interval for people."""
        if self.interval is None:
            return "no interval"
        return interval_words(*self.interval, self.level, self.null)

    @property
    def enough(self) -> bool:
        """Whether the word "significant" may be used at all."""
        return min(self.n) >= ENOUGH


@dataclass(frozen=True, kw_only=True)
class HypothesisResult(Record):
    """One ``[[hypothesis]]`` and its answer."""

    name: str
    """What the study file calls it."""
    asked: str
    """What is claimed, in words."""
    quantity: str
    """The number that was compared."""
    family: str
    """Hypotheses of one family are corrected together."""
    sidedness: Sidedness
    """Which direction was asked for: ``greater`` is the first arm larger, ``within`` a difference inside the margin."""
    margin: float | None
    """Up to which effect the arms count as equal. [as the effect]"""
    alpha: float
    """What the corrected p is held against. [probability]"""
    looks: tuple[int, ...]
    """Seeds per arm at which it was declared to be tested; p is multiplied by their number. [count]"""
    standing: Standing
    """``declared``: before any of its runs had begun, and nothing was changed since."""
    declared: str
    """When (UTC); empty where never."""
    departures: tuple[str, ...]
    """Why it is exploratory."""
    arms: tuple[HypothesisArm, ...]
    """Two, or for a slope one."""
    test: HypothesisTest | None
    """None while runs are missing, or where nothing can be told."""
    p_adjusted: float | None
    """p times the looks, corrected for the family by Holm; untested members of it count. [probability]"""
    family_size: int
    """Hypotheses of the family. [count]"""
    outcome: Outcome
    """``shown``: the corrected p is at most alpha; ``opposite``: the opposite has a one-sided p that is."""
    answer: str
    """The result in one sentence."""
    notes: tuple[str, ...]
    """What a reader should know beside it: grids, budgets, failed runs."""

    @property
    def unfinished(self) -> bool:
        return self.outcome == "open"


@dataclass(frozen=True, kw_only=True)
class Hypotheses(Stored):
    """Every hypothesis of a study: the registry that lies beside a report."""

    SCHEMA: ClassVar[int] = 1
    schema: int = SCHEMA
    """Version of the layout."""
    study: str
    """Name of the study."""
    planned: int
    """Runs of the whole study. [count]"""
    finished: int
    """Of these, runs that ended, diverged ones included. [count]"""
    failed: int
    """Runs that failed, or whose files are damaged. [count]"""
    waiting: int
    """Runs that are not finished yet. [count]"""
    results: tuple[HypothesisResult, ...]
    """In the order of the study file."""
    design: DesignResult | None
    """Effects of a designed study's factors."""

    @property
    def unfinished(self) -> bool:
        """Whether something waits for runs."""
        responses = () if self.design is None else self.design.responses
        return any(h.unfinished for h in self.results) or any(r.outcome == "open" for r in responses)

    @property
    def lacking(self) -> str:
        """What to say of runs that failed, whose numbers no answer has; empty where there are none, or no answers."""
        if not self.failed or not (self.results or self.design):
            return ""
        return (
            f"{plural(self.failed, 'run')} failed, so the answers rest on the others alone, perhaps not a random part; "
            "grokscope study run tries failed runs again"
        )


@dataclass(frozen=True, kw_only=True)
class Declaration(Record):
    """What was known of a hypothesis when ``study run`` began."""

    hypothesis: str
    """Its name."""
    digest: str
    """Hash of the block, of the settings of its runs and of their budgets."""
    date: str
    """When (UTC)."""
    seeds: dict[str, tuple[int, ...]]
    """Arm -> the seeds planned for it. [as numbered]"""
    runs: tuple[str, ...]
    """Folders of its runs."""
    begun: int
    """Runs of it, or of an earlier form of it, that had begun by then. [count]"""


@dataclass(frozen=True, kw_only=True)
class Declarations(Stored):
    """Everything that was declared of a study, beside its runs; only added to, never changed."""

    SCHEMA: ClassVar[int] = 1
    schema: int = SCHEMA
    """Version of the layout."""
    study: str
    """Name of the study."""
    declared: tuple[Declaration, ...]
    """In order."""


def results_of(raw: Any) -> tuple[HypothesisResult, ...]:
    """The results in plain data, as a report is handed them. Raises ValueError naming the field that does not fit."""
    return tuple(HypothesisResult.from_dict(row, f"$.hypotheses[{i}]") for i, row in enumerate(raw or ()))
