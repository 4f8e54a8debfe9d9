"""Differences between the sides before training: data first, then settings."""

from typing import Any

from grokscope.comparison.words import setting_words
from grokscope.report.sections.blocks import Block, Code, Group, Mark, Row, Section, Table, Value, Words
from grokscope.results.comparison import Comparison, Data
from grokscope.vocabulary.text import capitalized

MARKS: dict[Data, tuple[str, str]] = {"same": ("=", "grokked"), "other": ("≠", "ungrokked"), "unknown": ("?", "none")}
"""Sign and color of whether the data are the same."""


def section(compared: Comparison) -> Section:
    blocks: list[Block] = [Words(compared.says[0], "plain")]
    if compared.data:
        rows = [Row(d.split, [_mark(d.word), Value(d.says, number=False)]) for d in compared.data]
        blocks.append(Table("Examples of each split", ["Split", "Examples", ""], [Group("", rows)], compact=True))
    blocks.append(Words("Settings", "h3"))
    if compared.settings:
        rows = [Row(Code(s.key), [_values(s.a), _values(s.b)]) for s in compared.settings]
        heads = ["Setting", compared.a.name, compared.b.name]
        blocks.append(Table("Settings that differ", heads, [Group("", rows)]))
    else:
        blocks.append(Words("No difference." if not compared.settings_note else "No known differences."))
    if compared.settings_note:
        blocks.append(Words(f"{capitalized(compared.settings_note)}."))
    return Section("differs", "What differs", "Differences in data and settings", blocks)


def _mark(word: Data) -> Value:
    sign, role = MARKS[word]
    return Value(Mark(sign, word, role), number=False)


def _values(values: tuple[Any, ...] | None) -> Value:
    return Value(setting_words(values), number=False)
