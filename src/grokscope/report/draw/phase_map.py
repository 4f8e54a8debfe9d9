"""A map of a study's cells: labeled and shaded by value; hatched where a median was not reached, dashed where runs are
missing."""

from typing import TYPE_CHECKING, Any

from grokscope.figures.axes import fitted_axes, heading
from grokscope.figures.style import LABEL, SMALL, color
from grokscope.report.read.phase import CellWords, Map, words_of
from grokscope.results.phase import PhaseDiagram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

RIGHT, TOP, BOTTOM = 8.0, 24.0, 40.0
CELL, ROW = 118.0, 62.0
"""Width and height in points of a cell with room for its words."""
WIDEST, TALLEST = 860.0, 1000.0
"""Of all columns, and of all rows together."""
LEAST = 26.0
ROOMY = 86.0
"""Width from which a cell carries words; below it a code, which the key explains."""
LOW = 50.0
"""Height below which a cell carries its main word alone."""
LETTER = 6.6
"""Points that a letter of a row's label takes."""


def cell_size(diagram: PhaseDiagram) -> tuple[float, float]:
    """Width and height of a cell in points."""
    columns, rows = len(diagram.x.labels), len(diagram.y.labels)
    return max(LEAST, min(CELL, WIDEST / columns)), max(LEAST / 2, min(ROW, TALLEST / rows))


def roomy(diagram: PhaseDiagram) -> bool:
    """Whether cells carry words, and not only codes."""
    return cell_size(diagram)[0] >= ROOMY


def _left(diagram: PhaseDiagram) -> float:
    return 14.0 + LETTER * max(max(map(len, diagram.y.labels)), 4)


def map_size(diagram: PhaseDiagram) -> tuple[float, float]:
    """Width and height of a map in points."""
    width, height = cell_size(diagram)
    columns, rows = len(diagram.x.labels), len(diagram.y.labels)
    return _left(diagram) + RIGHT + columns * width, TOP + BOTTOM + rows * height


def cell_id(what: Map, index: int) -> str:
    """Name of a cell's drawing, by which the page finds it under the pointer."""
    return f"{what}-cell-{index}"


def draw_map(figure: "FigureBase", diagram: PhaseDiagram, what: Map, panel: str | None) -> None:
    """The first value of each axis at the lower left, as on any axis."""
    columns, rows = len(diagram.x.labels), len(diagram.y.labels)
    axes = fitted_axes(figure)
    axes.set_xlim(0, columns)
    axes.set_ylim(0, rows)
    for index, words in enumerate(words_of(diagram, what, panel)):
        row, column = divmod(index, columns)
        _draw_cell(axes, column, row, words, cell_size(diagram), cell_id(what, index))
    axes.set_xticks([i + 0.5 for i in range(columns)], diagram.x.labels)
    axes.set_yticks([i + 0.5 for i in range(rows)], diagram.y.labels)
    axes.tick_params(length=0, pad=4)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel(diagram.x.title, labelpad=3)
    heading(axes, diagram.y.title)


def _draw_cell(axes: "Axes", column: int, row: int, words: CellWords, size: tuple[float, float], name: str) -> None:
    from matplotlib.patches import Rectangle

    gap_x, gap_y = 1.5 / size[0], 1.5 / size[1]
    box = (column + gap_x, row + gap_y), 1 - 2 * gap_x, 1 - 2 * gap_y
    if words.role:
        axes.add_patch(Rectangle(*box, facecolor=color(words.role), alpha=words.strength, linewidth=0))
    if words.hatched:
        axes.add_patch(Rectangle(*box, facecolor="none", edgecolor=color("line"), hatch="////", linewidth=0))
    _draw_shares(axes, column + gap_x, row + gap_y, 1 - 2 * gap_x, 3.5 / size[1], words)
    edge: dict[str, Any] = {"edgecolor": color("line"), "linewidth": 0.8}
    if words.mark:
        edge = {"edgecolor": color("ink"), "linewidth": 1.1, "linestyle": (0, (3, 2))}
    axes.add_patch(Rectangle(*box, facecolor="none", gid=name, **edge))
    _write(axes, column + 0.5, row + 0.5, words, size)


def _draw_shares(axes: "Axes", left: float, bottom: float, width: float, height: float, words: CellWords) -> None:
    """A bar along the lower edge: how the judged runs divide into verdicts."""
    from matplotlib.patches import Rectangle

    for role, share in words.shares:
        axes.add_patch(Rectangle((left, bottom), share * width, height, facecolor=color(role), linewidth=0))
        left += share * width


def _write(axes: "Axes", x: float, y: float, words: CellWords, size: tuple[float, float]) -> None:
    """The main word in the middle, counts and range beneath it, what is lacking above it."""
    width, height = size
    if width < ROOMY:
        axes.text(x, y, words.code, fontsize=SMALL, ha="center", va="center", color=color("ink"))
        return
    bare = height < LOW
    faint = not words.role and not words.hatched
    middle = 13 if words.sub.count("\n") > 1 else 6  # points above the cell's middle: three lines need more room
    axes.annotate(
        words.main, (x, y), (0, 0 if bare else middle), textcoords="offset points", ha="center", va="center",
        fontsize=LABEL, fontweight="normal" if faint else "bold", color=color("muted" if faint else "ink"),
    )  # fmt: skip
    if bare:
        return
    if words.sub:
        axes.annotate(
            words.sub, (x, y), (0, middle - 7), textcoords="offset points", ha="center", va="top", fontsize=SMALL,
            color=color("ink"), linespacing=1.1,
        )  # fmt: skip
    if words.mark:
        axes.annotate(
            f"▲ {words.mark}", (x, y), (0, height / 2 - 5), textcoords="offset points", ha="center", va="top",
            fontsize=SMALL, color=color("ink"),
        )  # fmt: skip
