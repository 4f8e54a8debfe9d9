"""One part of a dissection as figures and tables show it, on the page and in files beside the records."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from grokscope.figures.checkpoint_view import CheckpointView, hardest
from grokscope.figures.dissection_panels import WIDTH, Groups, Seen, height
from grokscope.figures.keys import Entry
from grokscope.results.scores import Effect, Interval, Score

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

Rows = list[dict[str, Any]]
"""A table: each row has its values by column."""


class Part(Protocol):
    """The record of one part: `grokscope.results.probes.M1`, ..."""

    @property
    def cannot_tell(self) -> str | None: ...


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One part of a dissection as a panel, the same on the page and as a file beside the records."""

    name: str
    """Of the part, as in `grokscope.results.dissection.PARTS`."""
    title: str
    brief: str
    """The title in two words, for a line of text."""
    words: str
    """How to read the panel."""
    part: Callable[[CheckpointView], Part | None]
    """The records that are drawn."""
    draw: "Callable[[FigureBase, Seen, Groups], None]"
    """Draws some runs; on the axes of all groups of the figure, where those are given."""
    axes: Callable[[Seen], int]
    """How many axes the panel stacks; 0 where there is nothing to show."""
    key: Callable[[Seen], Sequence[Entry]]
    """What is drawn, and nothing else."""
    in_words: Callable[[CheckpointView], str]
    """One checkpoint in words, for who cannot see the panel."""
    data: Callable[[CheckpointView], Rows]
    """The numbers behind the panel, of one checkpoint: one row per value with its control."""

    def size(self, runs: Seen) -> tuple[float, float]:
        return WIDTH, height(self.axes(runs))


def score_columns(score: Score) -> dict[str, Any]:
    return {"value": score.balanced, **_ends(score.interval), "chance": score.chance, "p": score.p}


def effect_columns(effect: Effect) -> dict[str, Any]:
    """The effect beside the control that it beats least."""
    null = hardest(effect)
    against = {} if null is None else {
        "control": null.control, "control_low": null.low, "control_high": null.high, "p": null.p
    }  # fmt: skip
    return {"value": effect.value, **_ends(effect.interval), **against}


def effect_rows(effect: Effect) -> Rows:
    """The effect beside each of its controls."""
    front = {"value": effect.value, **_ends(effect.interval)}
    return [
        {**front, "control": null.control, "control_low": null.low, "control_high": null.high, "p": null.p}
        for null in effect.controls.values()
    ] or [front]


def _ends(interval: Interval | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {"low": low, "high": high}
