"""Outcome of testing an explanation by removing its cause."""

from dataclasses import dataclass
from typing import Literal

from grokscope.results.record import Record
from grokscope.results.seed_tests import with_open_ends

Fate = Literal["survived", "refuted", "open"]


@dataclass(frozen=True, kw_only=True)
class Trial(Record):
    """One explanation, and the paired runs with and without its cause."""

    check: str
    """The check that made the claim."""
    arm: str
    """The arm without the cause."""
    claim: str
    """What was claimed."""
    fate: Fate
    """``survived``: held-out moved as the explanation says in every pair, by more than its noise; ``refuted``: in none;
    ``open``: in some, or too few pairs are finished."""
    by: Literal["end", "T_gen"] = "end"
    """What was compared: held-out at the end, or how soon it came."""
    n: int
    """Finished pairs. [seeds]"""
    differences: tuple[float, ...]
    """Held-out at the end, arm minus run as it was, by seed; or how much sooner it came in the arm. [share, or R2; by
    T_gen, doublings of time]"""
    noise: float
    """Differences up to this are what evaluation alone makes. [as `differences`]"""
    interval: tuple[float, float] | None
    """Of the mean difference, infinite where so few pairs bound nothing. [as `differences`]"""
    p: float | None
    """Sign-flip test of the paired differences, exact, two-sided. [probability]"""
    smallest_p: float | None
    """The smallest p that so many pairs allow. [probability]"""
    verdicts: tuple[tuple[str, str], ...]
    """(as it was, in the arm), by seed."""
    sentence: str
    """All of it in words."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "interval", with_open_ends(self.interval))
