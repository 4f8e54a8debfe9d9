"""Records of effective training-set sizes."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from grokscope.results.record import Record, Stored
from grokscope.vocabulary.text import whole

Conclusion = Literal["larger", "smaller", "not told apart", "cannot tell", "open"]
Sign = Literal["", "<", ">"]


@dataclass(frozen=True, kw_only=True)
class SizeCell(Record):
    """One arm at one size."""

    n: int
    """Size of the training set. [examples]"""
    seeds: tuple[int, ...]
    """Runs that count: of the seeds that are finished at every size. [as numbered]"""
    values: tuple[float, ...]
    """The quantity of each. [as the quantity]"""
    mean: float
    """Over seeds. [as the quantity]"""
    fit: float | None
    """Of the plain arm, the monotone fit of the means; None for the other. [as the quantity]"""


@dataclass(frozen=True, kw_only=True)
class EffectiveSize(Record):
    """The size at which the plain arm does what the other does at `n`."""

    n: int
    """Size at which the other arm was trained. [examples]"""
    value: float | None
    """What it does there, mean over seeds; None where nothing can be told. [as the quantity]"""
    size: float | None
    """Where the fit of the plain arm reaches that, by straight lines in log n; None outside the sizes that were run.
    [examples]"""
    sign: Sign
    """``>``: beyond the largest size that was run; ``<``: below the smallest."""
    low: int | None
    """The largest size that is surely too small; None where no size is. [examples]"""
    high: int | None
    """The smallest size that is surely enough for more; None where no size is. [examples]"""
    level: float
    """Of the statement that the size lies between `low` and `high`. [share]"""
    seeds: int
    """Seeds it rests on, in the arm that has fewer. [seeds]"""
    paired: bool
    """Whether runs of one seed were compared with each other."""
    method: str
    """The test at each size."""
    conclusion: Conclusion
    """Whether the other arm behaves as if it had a larger training set, or a smaller one."""
    says: str
    """The answer in a sentence."""

    @property
    def between(self) -> str:
        """``between 200 and 800``, ``above 400``, ``anywhere``."""
        if self.low is None and self.high is None:
            return "anywhere"
        if self.high is None:
            return f"above {whole(self.low or 0)}"
        if self.low is None:
            return f"below {whole(self.high)}"
        return f"between {whole(self.low)} and {whole(self.high)}"


@dataclass(frozen=True, kw_only=True)
class SizeComparison(Record):
    """One ``[[effective_size]]`` block and its answers."""

    quantity: str
    """What was compared."""
    larger_is_better: bool
    """False for times."""
    plain: str
    """The arm whose sizes are read off."""
    other: str
    """The arm that is asked about."""
    plain_cells: tuple[SizeCell, ...]
    """By size; empty where nothing can be told."""
    other_cells: tuple[SizeCell, ...]
    """By size."""
    answers: tuple[EffectiveSize, ...]
    """By size of the other arm."""
    notes: tuple[str, ...]
    """Why nothing is told, or what a reader should know."""
    name: str = ""
    """Of the block, where the study file gives one."""

    @property
    def word(self) -> Literal["held", "refuted", "open", "cannot tell"]:
        """Of the claim that few examples act like more: ``held`` if the other arm behaves so at every size asked,
        ``refuted`` if it behaves as with fewer at one of them."""
        conclusions = {answer.conclusion for answer in self.answers}
        if "open" in conclusions:
            return "open"
        if "smaller" in conclusions:
            return "refuted"
        if conclusions == {"larger"}:
            return "held"
        return "cannot tell"

    @property
    def unfinished(self) -> bool:
        return any(a.conclusion == "open" for a in self.answers)


@dataclass(frozen=True, kw_only=True)
class EffectiveSizes(Stored):
    """Every comparison of sizes of a study."""

    SCHEMA: ClassVar[int] = 1
    schema: int = SCHEMA
    """Version of the layout."""
    study: str
    """Name of the study."""
    comparisons: tuple[SizeComparison, ...]
    """In the order of the study file."""
