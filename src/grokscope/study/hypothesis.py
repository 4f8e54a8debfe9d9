"""Preregistered hypotheses of a study, tested over its seeds.

    [[hypothesis]]
    name = "more decay groks sooner"
    quantity = "T_gen"                       # a milestone, or end, final, peak ... of a verdict
    of = { "regime.weight_decay" = 0.5 }     # or arms = ["decay 0.5", "decay 0.1"]
    to = { "regime.weight_decay" = 0.1 }
    direction = "earlier"                    # later, larger, smaller, differs; or within = 1.25

In place of `quantity`: ``verdict = "grokked"`` (the share of such runs), ``measure`` with ``statistic`` or
``dissection`` (a number that an expectation can name too, see `grokscope.study.measured`); in place of two groups
``axis = "regime.weight_decay"`` (the slope over it, of all runs or those of ``where``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from grokscope.results.hypothesis import Sidedness
from grokscope.study.measured import Measure
from grokscope.study.seen import PEAKS
from grokscope.study.words import describe_where, number, on, stamped

MILESTONES = ("T_fit", "T_gen", "T_gen_lasting", "T_gen_stable", "delay")
TIME_WORDS: dict[str, Sidedness] = {"earlier": "less", "later": "greater", "differs": "two-sided"}
VALUE_WORDS: dict[str, Sidedness] = {"larger": "greater", "smaller": "less", "differs": "two-sided"}
ALPHA = 0.05
FAMILY = "hypotheses"

Kind = Literal["times", "shares", "values", "slope"]
Effect = Literal["ratio", "difference", "restricted mean"]
"""Of times: of their medians, or of their means up to the shorter arm's end."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One number of each run: exactly one of the three is set."""

    name: str = ""
    """A milestone, or a level of the verdict."""
    verdicts: tuple[str, ...] = ()
    measure: Measure | None = None
    split: str | None = None

    def __str__(self) -> str:
        if self.measure is not None:
            return self.measure.called
        if self.verdicts:
            return f"{on(self.split)}share {' or '.join(self.verdicts)}"
        return on(self.split) + stamped(self.name, self.split, self.name in PEAKS, ",")

    @property
    def is_time(self) -> bool:
        return self.name in MILESTONES


def kind_of(quantity: Quantity, axis: str | None) -> Kind:
    if axis is not None:
        return "slope"
    if quantity.is_time:
        return "times"
    return "shares" if quantity.verdicts else "values"


def called(where: Mapping[str, Any]) -> str:
    """A group's name: that of its arm or regime where it is given by that alone, else its conditions."""
    if len(where) == 1 and where.keys() <= {"arm", "regime"} and isinstance(next(iter(where.values())), str):
        return next(iter(where.values()))
    return describe_where(where)


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One ``[[hypothesis]]`` block."""

    name: str
    quantity: Quantity
    groups: tuple[Mapping[str, Any], ...]
    """Conditions of the two arms, or for a slope of all its runs."""
    axis: str | None = None
    log: bool = False
    """Whether the axis enters by its logarithm."""
    sidedness: Sidedness
    margin: float | None = None
    effect: Effect = "ratio"
    test: str
    paired: bool | None = None
    """None: where the arms share all their seeds."""
    looks: tuple[int, ...] = ()
    family: str = FAMILY
    note: str = ""
    planned: tuple[tuple[str, ...], ...] = ()
    """Ids of the runs of each group in the whole study, which a part of it does not change."""
    digest: str = ""
    """Hash of the block, and of the settings and budgets of its runs."""
    seeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Name of a group -> the seeds planned for it."""

    @property
    def kind(self) -> Kind:
        return kind_of(self.quantity, self.axis)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(called(where) for where in self.groups)

    def asked(self) -> str:
        """``T_gen of weight_decay=0.5 is earlier than that of weight_decay=0.1``."""
        if self.axis is not None:
            of = "" if not self.groups[0] else f", {self.names[0]}"
            over = f"slope of {self.quantity} over {'log ' if self.log else ''}{self.axis}{of}"
            return f"{over} {_SLOPE[self.sidedness]}" + (f" {number(self.margin or 0)}" if self.margin else "")
        first, second = self.names
        if self.margin is not None:
            unit = ""
            if self.effect == "ratio" and self.kind == "times":
                unit = "a factor of "
            return f"{self.quantity} of {first} equals that of {second} within {unit}{number(self.margin)}"
        words = TIME_WORDS if self.kind == "times" else VALUE_WORDS
        said = next(word for word, side in words.items() if side == self.sidedness)
        verb = "differs from" if said == "differs" else f"is {said} than"
        return f"{self.quantity} of {first} {verb} that of {second}"


_SLOPE: dict[Sidedness, str] = {
    "greater": "is positive", "less": "is negative", "two-sided": "is not zero", "within": "is zero within",
}  # fmt: skip
