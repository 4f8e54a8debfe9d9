"""Summary of a dissection: is the environment readable, does the network use it, and in how many neurons is it
stored?"""

from dataclasses import dataclass
from typing import Literal, get_args

from grokscope.results.record import Record
from grokscope.results.scores import Interval

Cell = Literal[
    "readable and used",
    "readable and used, negligibly",
    "readable but unused",
    "used but not readable",
    "used, negligibly, but not readable",
    "neither",
    "cannot tell",
]
CELLS: tuple[Cell, ...] = get_args(Cell)
"""In the order in which a table shows them."""
Use = Literal["used", "used, negligibly", "unused", "cannot tell"]


@dataclass(frozen=True, kw_only=True)
class Reliance(Record):
    """Whether the logits depend on the environment at a given class, with no edit at all.

    p: permutations of the environment as in the probes, one-sided. It sees any use of the environment, and anything
    else in which the hospitals' patients differ.
    """

    env_gap: float
    """How far the logits move with the environment at a given class. [logits]"""
    interval: Interval | None
    """95 % bootstrap interval over units. [logits]"""
    class_gap: float
    """The same measure for the right answer: what the environment's is compared with. [logits]"""
    p: float
    """Share of permuted environments that explain as much. [probability]"""
    sidedness: str
    """Of `p`: ``greater``."""
    smallest_p: float
    """The smallest p that so many distinct permutations allow. [probability]"""
    permuted: str
    """``groups``, ``within groups`` or ``examples``."""
    fewest_units: int
    """Units of the rarest environment. [units]"""


@dataclass(frozen=True, kw_only=True)
class Where(Record):
    """The answer in short."""

    cell: Cell
    """Readable (M1 at the pooled layer) x used."""
    decodable: bool | None
    """Whether a probe reads the environment at the pooled layer; None: cannot tell."""
    use: Use
    """``used``: the erasure with `eraser` takes away dependence on the environment, its interval lies above 0, it beats
    every control at level alpha, and `size` reaches ``negligible``; ``used, negligibly``: the same below it;
    ``unused``: the interval of the environment's gap in the unedited logits ends below ``negligible`` times the class's
    gap; ``cannot tell`` otherwise."""
    size: float | None
    """What the erasure takes of the environment's gap, in the gap between classes: how far the environment moves the
    decision, measured in what the right answer moves it. [share]"""
    size_interval: Interval | None
    """95 % bootstrap interval of `size`. [share]"""
    eraser: str
    """The one that speaks for the cell; ``none`` where none was run."""
    erased: str
    """Its verdict."""
    form: str
    """``few neurons``, ``many neurons``, ``smeared`` or ``cannot tell``: how many of the environment's neurons must go
    before the environment gap of the margin is halved."""
    half_k: float | None
    """That number. [neurons]"""
    half_share: float | None
    """half_k in all neurons; 0.5 is what random neurons give. [share]"""
    reason: str
    """The answer in words, or why there is none."""

    @property
    def used(self) -> bool | None:
        """Whether the environment is used at all, in whatever size; None: cannot tell."""
        if self.use == "cannot tell":
            return None
        return self.use != "unused"
