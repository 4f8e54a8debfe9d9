"""Statistical tests over seeds: effect, interval and p of each test, with its data."""

from grokscope.comparison.sentences import fewest, test_cells
from grokscope.report.sections.blocks import Block, Fold, Group, Row, Section, Table, Value, Words
from grokscope.report.sections.hypotheses import blocks_of
from grokscope.results.comparison import Comparison
from grokscope.results.hypothesis import HypothesisResult
from grokscope.vocabulary.text import capitalized, plural

SHOWN_APART = 20
"""Up to so many tests the numbers of each are on the page."""


def section(compared: Comparison) -> Section:
    if not compared.tests:
        note = compared.tests_note
        return Section("tests", "Tests", "Statistical tests over seeds", [Words(f"{capitalized(note)}.")])
    tests = plural(len(compared.tests), "test")
    blocks: list[Block] = [
        Words(
            f"{tests} of one family, as for [[hypothesis]] in a study file: exact, two-sided, with Holm's correction. "
            f"They were chosen after the runs were seen and are therefore exploratory: they suggest what to test "
            f"next, with how many seeds. Effects compare the first side with the second."
        ),
        *(Words(words, "warning") for words in fewest(compared.tests)),
        _table(compared),
    ]
    if len(compared.tests) <= SHOWN_APART:
        blocks += [Fold(f"What {t.name} rests on", _rest(t), small=True) for t in compared.tests]
    return Section("tests", "Tests", "Statistical tests over seeds", blocks)


def _table(compared: Comparison) -> Table:
    rows = []
    for t in compared.tests:
        effect, p, seeds = test_cells(t)
        rows.append(Row(t.name, [Value(effect, number=False), Value(p, number=False), Value(seeds or "–")]))
    return Table("Tests", ["Quantity", "Effect", "p", "Seeds needed"], [Group("", rows)])


def _rest(result: HypothesisResult) -> list[Block]:
    """The answer, every run's number and the test's details; that all are exploratory stands above, once."""
    return [block for block in blocks_of(result) if not (isinstance(block, Words) and block.style in ("h3", "warning"))]
