"""measured/NAME.json: results of one measurement of a run's checkpoints."""

from dataclasses import dataclass

from grokscope.results.record import Record, Stored

FOLDER = "measured"
"""Of a run, where these files lie."""
RULES = 1
"""Version of how the built-in measurements measure. Raise it when one of them changes: what older versions measured is
then measured anew."""


@dataclass(frozen=True, kw_only=True)
class MeasuredCheckpoint(Record):
    """One checkpoint."""

    step: int
    """Of the weights. [steps]"""
    digest: str
    """Of the file of weights: other weights under the same name are measured anew."""
    values: dict[str, float]
    """Column -> value; NaN where it could not be computed. [as the column says]"""
    seconds: float
    """What it took. [s]"""


@dataclass(frozen=True, kw_only=True)
class Measured(Stored):
    """One measurement of any number of checkpoints, in order of step."""

    schema: int = 1
    """Version of the layout of the file."""
    rules: int = RULES
    """Version of how it was measured."""
    measurement: str
    """Its name."""
    parameters: str
    """Those of its parameters that differ from their defaults, as JSON."""
    reasons: dict[str, str]
    """What of it says nothing of this run -> why."""
    checkpoints: tuple[MeasuredCheckpoint, ...]
    """In order of step."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of any checkpoint, in the order in which they were first written."""
        seen: dict[str, None] = {}
        for checkpoint in self.checkpoints:
            seen |= dict.fromkeys(checkpoint.values)
        return tuple(seen)
