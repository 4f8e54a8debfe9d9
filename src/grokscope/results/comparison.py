"""Record of a comparison of two sides: runs, arms of studies, whole studies or logs.

Every difference is the first side's number less the second's, every ratio the first's over the second's.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from grokscope.results.hypothesis import HypothesisResult
from grokscope.results.milestones import MilestonesRecord, Step
from grokscope.results.record import Record, Stored

Data = Literal["same", "other", "unknown"]
Kind = Literal["runs", "study", "logs"]


@dataclass(frozen=True, kw_only=True)
class ComparedRun(Record):
    """One run, or one log, of a side."""

    run: str
    """Folder of the run, or the log as it was named."""
    arm: str
    """Which of the side's configurations it has."""
    seed: int | None
    """Its seed; None where none is known. [as numbered]"""
    state: str
    """``done``, ``diverged``, ``running``, ``failed``, ...; ``damaged`` where it cannot be judged."""
    step: Step
    """How far it came. [steps]"""
    total: Step
    """How far it is to go. [steps]"""
    verdict: str | None
    """With its qualifier, on the leading split; of a run that goes on it is the verdict so far. None where there is
    none."""
    reason: str
    """The sentence of the verdict, or why there is none."""
    milestones: MilestonesRecord | None
    """On the leading split."""


@dataclass(frozen=True, kw_only=True)
class ComparisonSide(Record):
    """One of the two sides."""

    name: str
    """What it is called in tables and sentences."""
    source: str
    """What was named."""
    kind: Kind
    """Where its numbers come from."""
    unit: str
    """What its step axis counts."""
    arms: tuple[str, ...]
    """Its configurations, by name."""
    finished: int
    """Runs that ended, diverged ones and logs included. [count]"""
    failed: int
    """Runs that failed, or whose files are damaged. [count]"""
    waiting: int
    """Runs that are not finished yet. [count]"""
    runs: tuple[ComparedRun, ...]
    """All of them: finished, failed and waiting add up to their number."""
    notes: tuple[str, ...]
    """What was left out of it, and why."""


@dataclass(frozen=True, kw_only=True)
class SplitData(Record):
    """Whether both sides used the same examples of one split."""

    split: str
    """The split, train included."""
    word: Data
    """``same``: every pair of runs with one seed, or all runs of both sides, recorded the same digest."""
    says: str
    """What was compared, in words."""


@dataclass(frozen=True, kw_only=True)
class Setting(Record):
    """One setting in which the sides differ, with the values that each of them has."""

    key: str
    """Dotted name in a config; ``facts.`` and ``made.`` for what a run records of itself."""
    a: tuple[Any, ...] | None
    """Each value of the first side once; empty where it has no such setting, None where it is not known."""
    b: tuple[Any, ...] | None
    """The same of the second side."""


@dataclass(frozen=True, kw_only=True)
class SideNumber(Record):
    """One number of one side: of a single run as it is, of several their median and range."""

    n: int
    """Runs that have such a number. [count]"""
    reached: int
    """Of these, runs in which it was reached; all of them for what is no milestone. [count]"""
    middle: float | None
    """The number, or the median over runs; None where it was not reached, or there is none. [as the row]"""
    low: float | None
    """Of a single run: the least that the evaluation grid allows; of several: the smallest. None where there is no
    number. [as the row]"""
    high: float | None
    """Of a single run: the most that the grid allows; of several: the largest. None where nothing bounds it. [as the
    row]"""


@dataclass(frozen=True, kw_only=True)
class NumberRow(Record):
    """One number of both sides, with the difference."""

    name: str
    """``T_gen``, ``end``, ``steer.gain.ood_test``, ..."""
    unit: str
    """What it counts."""
    a: SideNumber
    """Of the first side."""
    b: SideNumber
    """Of the second side."""
    difference: float | None
    """First less second; None where one of them is not known. [as the row]"""
    low: float | None
    """The least that the difference can be, from the evaluation grids and from runs that did not reach it; None where
    nothing bounds it. Chance is no part of it. [as the row]"""
    high: float | None
    """The most. [as the row]"""
    note: str
    """Why there is no difference, or how the number was chosen; empty where there is nothing to say."""


@dataclass(frozen=True, kw_only=True)
class WordRow(Record):
    """One thing that is said of runs in a word, and how many runs of each side it is said of."""

    name: str
    """A check of a mechanism, or a question of a dissection."""
    a: dict[str, int]
    """Word -> runs of the first side. [count]"""
    b: dict[str, int]
    """Word -> runs of the second side. [count]"""

    @property
    def differs(self) -> bool:
        """Whether the words have other shares on the two sides."""
        return _shares(self.a) != _shares(self.b)


@dataclass(frozen=True, kw_only=True)
class SplitComparison(Record):
    """Verdicts and what they rest on, on one held-out split, for one arm of each side."""

    arms: tuple[str, str]
    """The arm of the first side and that of the second."""
    split: str
    """The held-out split."""
    verdicts: WordRow
    """Verdicts with their qualifiers; for a run without one the word for its state."""
    milestones: tuple[NumberRow, ...]
    """When each was reached."""
    phases: tuple[NumberRow, ...]
    """How long each phase of training took."""
    levels: tuple[NumberRow, ...]
    """Held-out scores: peak, end, last evaluation."""


@dataclass(frozen=True, kw_only=True)
class CurveDifference(Record):
    """One curve of both sides on the evaluations that all runs share, for one arm of each side."""

    arms: tuple[str, str]
    """The arm of the first side and that of the second."""
    curve: str
    """``train``, a held-out split, or ``norm_total``."""
    paired: bool
    """Whether runs of one seed were subtracted from each other; else the medians were."""
    seeds: tuple[int, ...]
    """Of the pairs. [as numbered]"""
    step: tuple[float, ...]
    """Shared evaluations, at most 400 of them. [steps]"""
    a: tuple[float, ...]
    """Median over the first side's runs. [as the curve]"""
    b: tuple[float, ...]
    """Median over the second side's runs. [as the curve]"""
    difference: tuple[float, ...]
    """Median of the pairs' differences; without pairs the difference of the medians. [as the curve]"""
    low: tuple[float, ...]
    """Smallest difference of a pair; empty without pairs. [as the curve]"""
    high: tuple[float, ...]
    """Largest difference of a pair; empty without pairs. [as the curve]"""
    note: str
    """Where the shared evaluations end, and why."""


@dataclass(frozen=True, kw_only=True)
class Comparison(Stored):
    """Two sides, what they differ in, and what came of it."""

    SCHEMA: ClassVar[int] = 1
    schema: int = SCHEMA
    """Version of the layout."""
    a: ComparisonSide
    """The first side."""
    b: ComparisonSide
    """The second side."""
    split: str
    """The held-out split that leads."""
    same_data: Data
    """Whether both sides used the same examples, of all splits that are compared."""
    says: tuple[str, ...]
    """What a reader should know first: whether the comparison is fair, then what came of it."""
    data: tuple[SplitData, ...]
    """Split by split."""
    settings: tuple[Setting, ...]
    """In what the configurations differ, defaults included."""
    settings_note: str
    """Of which side the configuration is not known; empty where both are."""
    splits: tuple[SplitComparison, ...]
    """Of every pair of arms, the leading split first."""
    unpaired_arms: tuple[str, ...]
    """Arms that have no counterpart on the other side: not compared, and why."""
    tests: tuple[HypothesisResult, ...]
    """Over seeds; all of one family, and all exploratory."""
    tests_note: str
    """Why nothing is tested; empty where something is."""
    curves: tuple[CurveDifference, ...]
    """Empty where the curves were not read."""
    curves_note: str
    """Why not, or what is not in them."""
    dissection: tuple[NumberRow, ...]
    """Numbers of the final checkpoints' dissections."""
    dissection_words: tuple[WordRow, ...]
    """What the dissections conclude."""
    dissection_note: str
    """What is not dissected, with the command; empty where everything is."""
    mechanisms: tuple[WordRow, ...]
    """What each check of a mechanism says of the runs."""
    mechanisms_note: str
    """Why the checks were not asked; empty where they were."""

    @property
    def sides(self) -> tuple[ComparisonSide, ComparisonSide]:
        return self.a, self.b

    @property
    def single(self) -> bool:
        """Whether it is one run against one run."""
        return len(self.a.runs) == len(self.b.runs) == 1


def _shares(words: dict[str, int]) -> dict[str, float]:
    total = sum(words.values())
    return {word: count / total for word, count in words.items() if count}
