"""Numbers with their references: scores of predictions, effects of edits, and their controls."""

from dataclasses import dataclass
from typing import Literal

from grokscope.results.record import Keyed, Record, T

Interval = tuple[float, float]
"""Lower and upper end of a 95 % interval, in the units of what it is of."""
Unit = Literal["group", "example"]
"""What was resampled for an interval: groups where the data has them, else examples."""
EffectName = Literal["accuracy_drop", "flips", "margin_shift", "env_gap_drop"]


@dataclass(frozen=True, kw_only=True)
class ByEffect(Keyed[T]):
    """A value for each of the four effects of an edit; their definitions are in `grokscope.dissect.effects`."""

    accuracy_drop: T
    """Right answers lost; negative where the edit helps. [share of the examples]"""
    flips: T
    """Decisions that changed. [share of the examples]"""
    margin_shift: T
    """Mean absolute change of the margin. [logits]"""
    env_gap_drop: T
    """How much less the logits depend on the environment. [logits]"""


@dataclass(frozen=True, kw_only=True)
class ByTarget(Keyed[T]):
    """A value for each of the two things that a probe may read."""

    environment: T
    """The environment (hospital). [as the value]"""
    task: T
    """The class. [as the value]"""


@dataclass(frozen=True, kw_only=True)
class Score(Record):
    """A set of guesses against the labels."""

    accuracy: float
    """Right guesses. [share]"""
    correct: int
    """Right guesses. [examples]"""
    n: int
    """Guesses. [examples]"""
    balanced: float
    """Recall averaged over the targets within each stratum, then over strata. [share]"""
    interval: Interval | None
    """95 % bootstrap interval of `balanced` over units; None with fewer than two. [share]"""
    chance: float
    """Balanced accuracy of a blind guess. [share]"""
    p: float
    """One-sided: share of label permutations with an `excess` at least as large. [probability]"""
    sidedness: str
    """Of `p`: ``greater``."""
    smallest_p: float
    """The smallest p that so many distinct permutations allow. [probability]"""
    constant: bool
    """Whether every guess was the same: nothing is known then, neither presence nor absence."""
    fewest_units: int
    """Units of the rarest target: with one or two patients an interval over patients is too narrow to show absence.
    [units]"""
    permuted: str
    """``groups``: labels moved between whole groups; ``within groups``; or ``examples``, within strata."""
    n_units: int
    """What was resampled. [units]"""


@dataclass(frozen=True, kw_only=True)
class Null(Record):
    """What a control gave for one effect, and where the observed value lies in it."""

    control: str
    """Its name: ``dimension``, ``variance``, ``norm``, ``labels``, ``random``, ``random_variance``."""
    draws: int
    """Random edits. [count]"""
    mean: float
    """Mean of the draws. [as the effect]"""
    sd: float
    """Standard deviation of the draws. [as the effect]"""
    low: float
    """2.5 % quantile of the draws. [as the effect]"""
    high: float
    """97.5 % quantile of the draws. [as the effect]"""
    p: float
    """(1 + #) / (1 + N): never 0, and exact when the observed value is exchangeable with the draws. [probability]"""
    sidedness: str
    """``two-sided``, ``greater`` or ``less``."""
    smallest_p: float
    """The smallest p that so many draws allow. [probability]"""


@dataclass(frozen=True, kw_only=True)
class Effect(Record):
    """One number on one set of examples, with an interval over its independent units and its controls."""

    name: str
    """One of `EffectName`."""
    on: str
    """The set of examples: ``test``, or the name of an unseen one."""
    value: float
    """The effect. [as `ByEffect` says]"""
    interval: Interval | None
    """Bootstrap interval over units; None with fewer than two. [as the value]"""
    level: float
    """Of the interval. [share]"""
    unit: Unit
    """What was resampled."""
    n: int
    """Size of the set. [examples]"""
    n_units: int
    """What was resampled. [units]"""
    controls: dict[str, Null]
    """Control -> what it gave."""


@dataclass(frozen=True, kw_only=True)
class SplitAccuracy(Record):
    """The unedited network on one set of examples."""

    name: str
    """The split."""
    n: int
    """Size of the set. [examples]"""
    n_units: int
    """What was resampled. [units]"""
    unit: Unit
    """What was resampled for the intervals."""
    correct: int
    """Right answers. [examples]"""
    accuracy: float
    """Right answers. [share]"""
    interval: Interval | None
    """95 % bootstrap interval of the accuracy. [share]"""
    trivial: float
    """Accuracy of always guessing the most frequent class. [share]"""
    balanced: float
    """Mean recall over the classes that are present. [share]"""
    balanced_interval: Interval | None
    """95 % bootstrap interval of `balanced`. [share]"""
    chance: float
    """Balanced accuracy of any guess that ignores the image. [share]"""
    verdict: str
    """``above chance``, ``at chance`` or ``below chance``: where the interval of the balanced accuracy lies, which a
    rare class cannot hide in; ``cannot tell`` for one class or one unit."""


@dataclass(frozen=True, kw_only=True)
class SceneRecord(Record):
    """What the unedited network does on a set: size, accuracy, and how its logits depend on the environment."""

    name: str
    """The set of examples: ``test``, or the name of an unseen one."""
    n: int
    """Size of the set. [examples]"""
    n_units: int
    """What is resampled. [units]"""
    unit: Unit
    """What is resampled."""
    environments: int
    """Environments that the set holds. [count]"""
    correct: int
    """Right answers. [examples]"""
    accuracy: float
    """Right answers. [share]"""
    env_gap: float
    """How far the logits move with the environment at a given class; NaN with one environment. [logits]"""
