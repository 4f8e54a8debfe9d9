"""calibration.json: performance of the dissection on planted shortcuts, shipped with this version and stored with each
dissection."""

from dataclasses import dataclass
from pathlib import Path

from grokscope.results.record import Record, Stored

CALIBRATION = "calibration.json"
SHIPPED = Path(__file__).with_name(CALIBRATION)
"""Written by benchmarks/calibration.py."""
RateOf = tuple[float, float, float, int]
"""How often the answer was yes, the ends of its 95 % Wilson interval [shares], and how many answers were "cannot tell"
[data sets]."""


@dataclass(frozen=True, kw_only=True)
class Condition(Record):
    """All data sets planted in one way."""

    seeds: int
    """Planted data sets. [count]"""
    rules: int
    """Version of the rules under which they were measured, as `grokscope.results.dissection.RULES`."""
    nothing_used: bool
    """Whether every finding of use is false here."""
    rates: dict[str, RateOf]
    """Answer -> how often it was yes. [as `RateOf` says]"""
    cosine: float
    """Of the steering direction with the planted first direction, mean. [1]"""
    predicted_cosine: float | None
    """What split-half reliability predicts for it, mean. [1]"""
    precision: float
    """Planted neurons found among as many top-ranked ones, mean. [share]"""
    angle: dict[str, float]
    """Subspace -> largest principal angle between it and the planted shortcut, mean. [degrees]"""
    half_k: float | None
    """Neurons that must go to halve the environment gap, median over the data sets that have one. [neurons]"""
    form: dict[str, int]
    """Form of the answer -> how often. [data sets]"""
    cell: dict[str, int]
    """Cell of the answer -> how often. [data sets]"""
    erased: dict[str, dict[str, int]]
    """Eraser -> verdict -> how often. [data sets]"""
    monotone: float
    """Data sets whose accuracy is monotone along the steering direction. [share]"""
    monotone_random: float
    """Random directions that are monotone too, mean. [share]"""


@dataclass(frozen=True, kw_only=True)
class Calibration(Stored):
    """Answers of the battery on planted shortcuts of known geometry."""

    schema: int
    """Version of the layout of the file."""
    seeds: int
    """Data sets of each condition, where the condition does not say another number. [count]"""
    base: dict[str, bool | int | float | None]
    """Parameters of the planting that the conditions vary. [as `grokscope.dissect.planted.Planting` says]"""
    conditions: dict[str, Condition]
    """Name of a condition -> what came out."""
    concentrated_told_from_smeared: float
    """Probability that a concentrated shortcut has a smaller half_k than a smeared one. [probability]"""
    processor_seconds: float
    """What it cost. [s]"""
    packages: dict[str, str]
    """Package -> version."""


def shipped() -> Calibration:
    """The calibration that comes with this version."""
    return Calibration.read(SHIPPED)
