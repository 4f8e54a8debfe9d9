"""Titles of panels, broken into lines that fit their panel."""

from collections.abc import Sequence

from grokscope.vocabulary.text import briefs

SIZE = 12.0
"""Of the text, which is bold. [points]"""
LINES = 2
HINTED = 1.05


def title_lines(title: str, width: float) -> list[str]:
    """The title in at most `LINES` lines of at most `width` points, as it is drawn; cut in the middle where that is not
    enough."""
    for length in range(len(title), 1, -1):
        lines = _wrapped(briefs([title], length)[0].split(), width)
        if len(lines) <= LINES and all(_width(line) <= width for line in lines):
            return lines
    return [title] if title else []


def _wrapped(words: Sequence[str], width: float) -> list[str]:
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _width(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _width(text: str) -> float:
    """In points, in the font of the figures; in a PNG, whose letters stand on whole pixels, they take a little more."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(family="DejaVu Sans", weight="bold")
    return HINTED * float(TextPath((0, 0), text, size=SIZE, prop=font).get_extents().x1)
