"""Verdicts, milestones, phases and levels of both sides, split by split."""

from collections.abc import Sequence

from grokscope.comparison.sentences import difference_words, range_words, side_words
from grokscope.comparison.words import tally
from grokscope.report.sections.blocks import Block, Chip, Fold, Group, Head, Row, Section, Table, Value, Words
from grokscope.results.comparison import Comparison, NumberRow, SplitComparison, WordRow
from grokscope.vocabulary.text import NONE

NOTE = (
    "For a single run, the small numbers show the uncertainty of its evaluation grid, and the brackets of a "
    "difference that of both grids; neither includes chance. For several runs, the number is the median (with the "
    "number of runs that reached it, if not all did), and the small numbers are the smallest and the largest value; "
    "runs that did not reach a milestone count as later than their last evaluation. Fitting lasts until T_fit, the "
    "delay from T_fit to T_gen, and settling from T_gen to T_gen_stable, after which the threshold is held permanently."
)
PARTS = (("Milestones", "milestones"), ("Phases", "phases"), ("Held-out scores", "levels"))


def section(compared: Comparison) -> Section:
    several = len({s.arms for s in compared.splits}) > 1
    lead = [s for s in compared.splits if s.split == compared.split]
    blocks: list[Block] = []
    for s in lead:
        front = f"{s.arms[0]}, " if several else ""
        blocks += [Words(f"{front}{s.split}", "h3"), table(compared, s)]
    others = [s for s in compared.splits if s.split != compared.split]
    for s in others:
        front = f"{s.arms[0]}, " if several else ""
        blocks.append(
            Fold([f"{front}{s.split}", *_chips(s.verdicts.a), "and", *_chips(s.verdicts.b)], [table(compared, s)])
        )
    if compared.unpaired_arms:
        blocks.append(Words(f"Without an arm of the same name on the other side: {'; '.join(compared.unpaired_arms)}."))
    return Section("numbers", "Milestones", "Verdicts, milestones and phases", [*blocks, Words(NOTE)])


def table(compared: Comparison, s: SplitComparison) -> Table:
    """All numbers of one split; those that neither side has are left out."""
    verdict = Row("verdict", [Value(_chips(s.verdicts.a)), Value(_chips(s.verdicts.b)), Value("")])
    groups = [Group("", [verdict])]
    for title, name in PARTS:
        rows = [number_row(row) for row in getattr(s, name) if row.a.n or row.b.n]
        groups.append(Group(title, rows))
    heads = [f"On {s.split}", *(Head(side.name) for side in compared.sides), Head("Difference", "first minus second")]
    return Table(f"Numbers on {s.split}", heads, groups)


def number_row(row: NumberRow) -> Row:
    """One number of both sides."""
    stamp = row.note if row.note.startswith("oracle") else ""
    unit = f"{row.unit}, {stamp}" if stamp else row.unit
    difference = difference_words(row)
    return Row(
        f"{row.name} [{unit}]" if unit else row.name,
        [
            Value(_typeset(side_words(row.a)), _typeset(range_words(row.a))),
            Value(_typeset(side_words(row.b)), _typeset(range_words(row.b))),
            Value(_typeset(difference) or NONE, "" if difference or stamp == row.note else row.note),
        ],
    )


def _typeset(words: str) -> str:
    """With the page's minus sign."""
    return words.replace("-", "−")


def word_rows(rows: Sequence[WordRow]) -> list[Row]:
    """Words of both sides with how many runs each is said of."""
    return [Row(row.name, [Value(tally(row.a), number=False), Value(tally(row.b), number=False)]) for row in rows]


def _chips(words: dict[str, int]) -> list[Chip]:
    """Each verdict with its pictogram; the qualifier stands beside it."""
    out = []
    for word, count in words.items():
        name, _, more = word.partition(" ")
        out.append(Chip(name, more.strip("()"), count if sum(words.values()) > 1 else None))
    return out
