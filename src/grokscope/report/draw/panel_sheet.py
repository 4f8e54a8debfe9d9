"""Panels side by side on one sheet, with a key beneath: the figures as files, for papers and slides."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.report.draw.style import PROBE_DASH, colour, group_colour, group_dash
from grokscope.report.draw.svg import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARGIN, TITLE, LINE, SWATCH = 14.0, 36.0, 16.0, 26.0


@dataclass(frozen=True)
class Cell:
    """One panel, drawn at (left, top) in points, under its title and a smaller line."""

    draw: "Callable[[Figure, float, float], None]"
    title: str = ""
    words: str = ""


@dataclass(frozen=True)
class Key:
    """One entry of the key: how its line or marker looks (arguments of matplotlib's Line2D), and its words."""

    words: str
    look: dict[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> float:
        """Points it takes, by the average width of a character."""
        return SWATCH + 8 + 6.1 * len(self.words) + 16


def curve_keys(splits: Sequence[str], probed: bool = False) -> list[Key]:
    held = [
        Key(f"{name}, held out", {"color": colour(f"held-{i % 4 + 1}"), "linewidth": 2.2})
        for i, name in enumerate(splits)
    ]
    muted, paper = colour("muted"), colour("paper")
    probe = Key("linear probe of the last hidden layer", {"color": colour("held-1"), "linestyle": PROBE_DASH})
    return [
        Key("train", {"color": colour("train"), "linewidth": 1.7}),
        *held,
        *([probe] if probed else []),
        Key("goal", {"color": muted, "linestyle": (0, (5, 3)), "linewidth": 1.0}),
        Key("trivial predictor", {"color": muted, "linestyle": (0, (1, 2)), "linewidth": 1.2}),
        Key("train fitted", _marker("o", colour("train"), paper)),
        Key("generalized", _marker("D", colour("ink"), colour("ink"))),
        Key("not by the last evaluation (censored)", _marker(">", colour("ink"), paper)),
    ]


def group_keys(groups: Sequence[str], most: int) -> list[Key]:
    looks = [{"color": group_colour(i), "linestyle": group_dash(i), "linewidth": 2.0} for i in range(len(groups))]
    return [Key(name, look) for name, look in zip(groups, looks, strict=True)][:most]


def censored_key() -> Key:
    return Key("censored: run ended before", _marker("|", colour("ink"), colour("ink")) | {"markersize": 9})


def _marker(marker: str, edge: str, face: str) -> dict[str, Any]:
    return {"marker": marker, "color": edge, "markerfacecolor": face, "linestyle": "none", "markersize": 5.5}


def save_sheet(
    cells: Sequence[Cell],
    size: tuple[float, float],
    path: Path,
    formats: tuple[str, ...],
    columns: int,
    keys: Sequence[Key] = (),
) -> list[Path]:
    """Panels of one size (points) in a grid of at most so many columns, the key beneath; returns the files."""
    width, height = size
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    head = TITLE if any(c.title for c in cells) else 8.0
    whole = columns * (width + MARGIN) + MARGIN
    lines = _flow(keys, whole - 2 * MARGIN)
    grid = rows * (height + head) + 2 * MARGIN

    def draw(figure: "Figure") -> None:
        for i, cell in enumerate(cells):
            left, top = MARGIN + (i % columns) * (width + MARGIN), MARGIN + (i // columns) * (height + head)
            _write(figure, left + 4, top + 12, cell.title, "ink", fontsize=12, fontweight="bold")
            _write(figure, left + 4, top + 26, cell.words, "muted", fontsize=9.5)
            cell.draw(figure, left, top + head)
        for i, line in enumerate(lines):
            _draw_keys(figure, line, grid + LINE * i)

    return save(draw, whole, grid + LINE * len(lines) + (MARGIN / 2 if lines else 0), path, formats)


def _flow(keys: Sequence[Key], width: float) -> list[list[Key]]:
    """Entries in lines that fit the width."""
    lines: list[list[Key]] = []
    for key in keys:
        if not lines or sum(k.width for k in lines[-1]) + key.width > width:
            lines.append([])
        lines[-1].append(key)
    return lines


def _draw_keys(figure: "Figure", keys: Sequence[Key], top: float) -> None:
    from matplotlib.lines import Line2D

    w, h = (72 * float(v) for v in figure.get_size_inches())
    left, y = MARGIN + 4, 1 - top / h
    for key in keys:
        middle = [left + SWATCH / 2] if "marker" in key.look else [left, left + SWATCH]
        figure.add_artist(Line2D([x / w for x in middle], [y] * len(middle), **key.look))
        _write(figure, left + SWATCH + 6, top, key.words, "ink", fontsize=9.5, va="center")
        left += key.width


def _write(figure: "Figure", left: float, top: float, text: str, role: str, **more: Any) -> None:
    w, h = (72 * float(v) for v in figure.get_size_inches())
    figure.text(left / w, 1 - top / h, text, **{"color": colour(role), "va": "baseline", **more})
