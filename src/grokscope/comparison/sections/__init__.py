"""Sections of a comparison page, built from the blocks of the report."""

from collections.abc import Sequence

from grokscope.comparison.curves import PairedCurve
from grokscope.comparison.sections import curves, differs, evidence, numbers, runs, tests
from grokscope.report.sections.blocks import Section
from grokscope.results.comparison import Comparison


def sections_of(compared: Comparison, drawn: Sequence[PairedCurve]) -> list[Section]:
    """All that the comparison holds something for, in the page's order."""
    sections = [
        differs.section(compared),
        tests.section(compared),
        curves.section(compared, drawn),
        numbers.section(compared),
        evidence.dissection(compared),
        evidence.mechanism(compared),
        runs.section(compared),
    ]
    return [section for section in sections if section is not None]
