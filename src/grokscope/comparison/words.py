"""Settings and counts as text, shared by terminal and page."""

from collections.abc import Mapping
from typing import Any

from grokscope.vocabulary.text import first_of

FEW = 5
"""Values that are spelled out."""


def setting_words(values: tuple[Any, ...] | None) -> str:
    """All values of one side: ``0.1, 0.5``; ``unknown``; ``-`` where it has no such setting."""
    if values is None:
        return "unknown"
    return first_of([_value(v) for v in values], FEW) or "-"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def tally(words: Mapping[str, int]) -> str:
    """``3 grokked, 1 memorized``; of one run the word alone."""
    if sum(words.values()) == 1:
        return next(iter(words))
    return ", ".join(f"{count:,} {word}" for word, count in words.items()) or "-"
