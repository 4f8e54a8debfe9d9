"""Dissections and checks of mechanisms, side by side; what agrees is folded away."""

from grokscope.comparison.sections.numbers import number_row, word_rows
from grokscope.comparison.sentences import agrees
from grokscope.report.sections.blocks import Block, Fold, Group, Head, Row, Section, Table, Words
from grokscope.results.comparison import Comparison, NumberRow, WordRow
from grokscope.vocabulary.text import plural


def dissection(found: Comparison) -> Section | None:
    """None where no run is dissected."""
    if not (found.dissection or found.dissection_words or found.dissection_note):
        return None
    blocks: list[Block] = []
    if found.dissection or found.dissection_words:
        blocks.append(Words("Of the final checkpoints; of several runs the median and the range."))
    blocks += _words(found, found.dissection_words, "conclusion")
    blocks += _numbers(found, found.dissection)
    if found.dissection_note:
        blocks.append(Words(f"{found.dissection_note}."))
    return Section("dissection", "Dissection", "Dissection", blocks)


def mechanism(found: Comparison) -> Section | None:
    """None where the checks were not asked and nothing is said on it."""
    if not (found.mechanisms or found.mechanisms_note):
        return None
    blocks: list[Block] = []
    if found.mechanisms:
        blocks.append(
            Words(
                "What each check says of the runs: that the trajectory supports its claim, speaks against it, or "
                "cannot tell. What fits one side and not the other is a candidate for the difference, not its cause."
            )
        )
    blocks += _words(found, found.mechanisms, "check")
    if found.mechanisms_note:
        blocks.append(Words(f"{found.mechanisms_note[0].upper()}{found.mechanisms_note[1:]}."))
    return Section("mechanisms", "Mechanisms", "Checks of mechanisms", blocks)


def _heads(found: Comparison, first: str) -> list[str | Head]:
    return [first, Head(found.a.name, number=False), Head(found.b.name, number=False)]


def _words(found: Comparison, rows: tuple[WordRow, ...], noun: str) -> list[Block]:
    other, alike = [r for r in rows if r.differs], [r for r in rows if not r.differs]
    heads = _heads(found, noun.capitalize())
    blocks: list[Block] = []
    if other:
        blocks.append(Table(f"{noun.capitalize()}s that differ", heads, [Group("", word_rows(other))]))
    if alike:
        same = Table(f"{noun.capitalize()}s that agree", heads, [Group("", word_rows(alike))])
        blocks.append(Fold(f"No difference in {plural(len(alike), noun)}", [same], small=True))
    return blocks


def _numbers(found: Comparison, rows: tuple[NumberRow, ...]) -> list[Block]:
    other = [number_row(r) for r in rows if not agrees(r)]
    alike = [number_row(r) for r in rows if agrees(r)]
    blocks: list[Block] = []
    if other:
        blocks.append(_table(found, "Numbers that differ", other))
    if alike:
        same = _table(found, "Numbers that agree", alike)
        blocks.append(Fold(f"No difference in {plural(len(alike), 'number')}", [same], small=True))
    return blocks


def _table(found: Comparison, label: str, rows: list[Row]) -> Table:
    heads = ["Number", Head(found.a.name), Head(found.b.name), Head("Difference", "first less second")]
    return Table(label, heads, [Group("", rows)])
