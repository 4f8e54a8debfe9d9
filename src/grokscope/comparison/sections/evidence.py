"""Dissections and mechanism checks side by side; items that agree are collapsed."""

from grokscope.comparison.sections.numbers import number_row, word_rows
from grokscope.comparison.sentences import agrees
from grokscope.report.sections.blocks import Block, Fold, Group, Head, Row, Section, Table, Words
from grokscope.results.comparison import Comparison, NumberRow, WordRow
from grokscope.vocabulary.text import capitalized, plural


def dissection(compared: Comparison) -> Section | None:
    """None where no run is dissected."""
    if not (compared.dissection or compared.dissection_words or compared.dissection_note):
        return None
    blocks: list[Block] = []
    if compared.dissection or compared.dissection_words:
        blocks.append(Words("Final checkpoints; for several runs, the median and the range."))
    blocks += _words(compared, compared.dissection_words, "conclusion")
    blocks += _numbers(compared, compared.dissection)
    if compared.dissection_note:
        blocks.append(Words(f"{compared.dissection_note}."))
    return Section("dissection", "Dissection", "Dissection", blocks)


def mechanism(compared: Comparison) -> Section | None:
    """None where the checks were not asked and nothing is said on it."""
    if not (compared.mechanisms or compared.mechanisms_note):
        return None
    blocks: list[Block] = []
    if compared.mechanisms:
        blocks.append(
            Words(
                "Result of each check: the trajectory supports its claim, contradicts it, or leaves it undecided. A "
                "check that fits only one side is a possible cause of the difference, not an established one."
            )
        )
    blocks += _words(compared, compared.mechanisms, "check")
    if compared.mechanisms_note:
        blocks.append(Words(f"{capitalized(compared.mechanisms_note)}."))
    return Section("mechanisms", "Mechanisms", "Mechanism checks", blocks)


def _heads(compared: Comparison, first: str) -> list[str | Head]:
    return [first, Head(compared.a.name, number=False), Head(compared.b.name, number=False)]


def _words(compared: Comparison, rows: tuple[WordRow, ...], noun: str) -> list[Block]:
    other, alike = [r for r in rows if r.differs], [r for r in rows if not r.differs]
    heads = _heads(compared, noun.capitalize())
    blocks: list[Block] = []
    if other:
        blocks.append(Table(f"{noun.capitalize()}s that differ", heads, [Group("", word_rows(other))]))
    if alike:
        same = Table(f"{noun.capitalize()}s that agree", heads, [Group("", word_rows(alike))])
        blocks.append(Fold(f"No difference in {plural(len(alike), noun)}", [same], small=True))
    return blocks


def _numbers(compared: Comparison, rows: tuple[NumberRow, ...]) -> list[Block]:
    other = [number_row(r) for r in rows if not agrees(r)]
    alike = [number_row(r) for r in rows if agrees(r)]
    blocks: list[Block] = []
    if other:
        blocks.append(_table(compared, "Numbers that differ", other))
    if alike:
        same = _table(compared, "Numbers that agree", alike)
        blocks.append(Fold(f"No difference in {plural(len(alike), 'number')}", [same], small=True))
    return blocks


def _table(compared: Comparison, label: str, rows: list[Row]) -> Table:
    heads = ["Number", Head(compared.a.name), Head(compared.b.name), Head("Difference", "first minus second")]
    return Table(label, heads, [Group("", rows)])
