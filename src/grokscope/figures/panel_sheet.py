"""Panels side by side on one sheet with a key below: figure files for papers and slides."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.figures.axes import POINTS
from grokscope.figures.canvas import drawn, write
from grokscope.figures.keys import Entry, handle
from grokscope.figures.style import SMALL, color
from grokscope.figures.titles import SIZE, title_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure, FigureBase
    from matplotlib.legend import Legend

MARGIN, LINE = 14.0, 14.0
HANDLE = 4.2
"""Length of a line in the key, in sizes of its text: the longest of the dashes is seen whole."""


@dataclass(frozen=True)
class Cell:
    """One panel under its title and a smaller line."""

    draw: "Callable[[FigureBase], None]"
    title: str = ""
    words: str = ""


def save_sheet(
    cells: Sequence[Cell],
    size: tuple[float, float],
    path: Path,
    formats: tuple[str, ...],
    columns: int,
    key: Sequence[Entry] = (),
    foot: str = "",
) -> list[Path]:
    """Panels of one size (points) in a grid of at most so many columns, the key and a line of text beneath; returns the
    files."""
    width, height = size
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    titles = [title_lines(c.title, width) for c in cells]
    head = _head_height(titles, any(c.words for c in cells))
    whole = columns * (width + MARGIN) + MARGIN
    grid = rows * (height + head) + 2 * MARGIN
    words = 2 * LINE if foot else 0.0
    below = _key_height(key, whole)

    def draw(figure: "Figure") -> None:
        heights = [grid, max(words, 1e-6), max(below, 1e-6)]
        parts: Any = figure.subfigures(3, 1, height_ratios=heights, hspace=0)
        _draw_cells(parts[0], cells, titles, (rows, columns), (width, height), head)
        if foot:
            parts[1].text(MARGIN / whole, 0.6, foot, fontsize=SMALL, color=color("muted"), va="center")
        if key:
            _draw_key(parts[2], key, whole)

    return write(drawn(draw, whole, grid + words + below), path, formats)


def _head_height(titles: Sequence[Sequence[str]], words: bool) -> float:
    lines = max(map(len, titles), default=0)
    if not lines:
        return 8.0
    return LINE * (lines + words) + 8.0


def _draw_cells(
    figure: "FigureBase",
    cells: Sequence[Cell],
    titles: Sequence[Sequence[str]],
    shape: tuple[int, int],
    size: tuple[float, float],
    head: float,
) -> None:
    """Each cell a figure of its own inside the sheet, so that a panel is drawn here as it is on the page."""
    rows, columns = shape
    ratios = {"width_ratios": [MARGIN, *[size[0], MARGIN] * columns],
              "height_ratios": [MARGIN, *[head, size[1]] * rows, MARGIN]}  # fmt: skip
    places = figure.subfigures(2 * rows + 2, 2 * columns + 1, wspace=0, hspace=0, squeeze=False, **ratios)
    for i, cell in enumerate(cells):
        row, column = 1 + 2 * (i // columns), 1 + 2 * (i % columns)
        _draw_title(places[row, column], titles[i], cell.words, size[0], head)
        cell.draw(places[row + 1, column])


def _draw_title(figure: "FigureBase", lines: Sequence[str], words: str, width: float, head: float) -> None:
    left = 4 / width
    bold: Any = {"fontsize": SIZE, "fontweight": "bold", "color": color("ink"), "va": "baseline"}
    for i, line in enumerate(lines):
        figure.text(left, 1 - (12 + LINE * i) / head, line, **bold)
    below = 12 + LINE * len(lines)
    figure.text(left, 1 - below / head, words, fontsize=SMALL, color=color("muted"), va="baseline")


def _draw_key(figure: "FigureBase", key: Sequence[Entry], whole: float) -> "Legend":
    """The key in as many columns as its longest entry allows."""
    longest = max(len(e.words) for e in key)
    columns = max(1, min(len(key), int((whole - 2 * MARGIN) / (6.9 * longest + 70))))
    look: dict[str, Any] = {"fontsize": SMALL, "borderpad": 0, "borderaxespad": 0, "handlelength": HANDLE}
    return figure.legend(
        handles=[handle(e) for e in key], labels=[e.words for e in key], loc="upper left", ncols=columns,
        bbox_to_anchor=(MARGIN / whole, 1.0), **look,
    )  # fmt: skip


def _key_height(key: Sequence[Entry], whole: float) -> float:
    """Points that the key takes, measured by laying it out once."""
    if not key:
        return 0.0
    size = {}

    def measure(figure: "Figure") -> None:
        figure.canvas.draw()
        box = _draw_key(figure, key, whole).get_window_extent()
        size["height"] = POINTS * box.height / figure.dpi

    drawn(measure, whole, 200.0)
    return size["height"] + MARGIN
