"""Comparison of two sides: runs, arms of a study, whole studies, or external logs.

`compare` reads both sides into `grokscope.results.comparison.Comparison`: whether they used the same data, in what
their configurations differ, curves, milestones, verdicts, dissections and mechanisms side by side, and the tests that
their seeds allow. Terminal, page and JSON show this one record.
"""

from grokscope.comparison.compare import compare, compare_sides
from grokscope.comparison.compared import Compared
from grokscope.comparison.sides import Options, Side, two_sides

__all__ = ["Compared", "Options", "Side", "compare", "compare_sides", "two_sides"]
