"""The data that a comparison passes to its page."""

from dataclasses import dataclass

from grokscope.comparison.curves import PairedCurve
from grokscope.results.comparison import Comparison


@dataclass(frozen=True)
class Compared:
    """The comparison, and the curves that its page draws."""

    record: Comparison
    curves: tuple[PairedCurve, ...]
