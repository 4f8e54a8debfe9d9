"""Positions of labels next to points that cover neither a point nor another label."""

from typing import TYPE_CHECKING

import numpy as np

from grokscope.figures.axes import POINTS
from grokscope.figures.style import SMALL, color

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Box = tuple[float, float, float, float]
"""Left, bottom, right, top, in points from the axes' lower left corner."""
LETTER = 0.62
"""Width of a letter of DejaVu Sans as a share of its size, rounded up: the page's own letters are narrower."""
LINE = 1.15
"""Height of a line of text as a share of its size."""
MARK, APART = 4.5, 8.0
"""Half of a point's marker, and from its middle to its name."""


class Spots:
    """What is taken on one axes. Points and names are placed once the limits are set, on axes that keep their place."""

    def __init__(self, axes: "Axes", points: list[tuple[float, float]]) -> None:
        self.axes = axes
        box = axes.get_window_extent()
        self.size = self._points(box.width), self._points(box.height)
        self.taken: list[Box] = [self._around(*self._at(x, y)) for x, y in points]

    def find(self, x: float, y: float, words: str) -> tuple[float, float] | None:
        """The lower left corner of the words, in one line or several, beside a point: to its right, its left, above or
        below; None where all of these are taken or outside."""
        left, bottom = self._at(x, y)
        lines = words.split("\n")
        width, height = LETTER * SMALL * max(map(len, lines)), LINE * SMALL * len(lines)
        corners = [
            (left + APART, bottom - height / 2), (left - APART - width, bottom - height / 2),
            (left - width / 2, bottom + APART), (left - width / 2, bottom - APART - height),
            (left + APART, bottom + APART), (left + APART, bottom - APART - height),
            (left - APART - width, bottom + APART), (left - APART - width, bottom - APART - height),
        ]  # fmt: skip
        for corner in corners:
            box = (*corner, corner[0] + width, corner[1] + height)
            if self._inside(box) and not any(_overlap(box, other) for other in self.taken):
                self.taken.append(box)
                return corner
        return None

    def write(self, corner: tuple[float, float], words: str, role: str) -> None:
        self.axes.annotate(
            words, (0, 0), xycoords="axes fraction", xytext=corner, textcoords="offset points", fontsize=SMALL,
            color=color(role), va="bottom", ha="left", annotation_clip=False, linespacing=1.0,
        )  # fmt: skip

    def _at(self, x: float, y: float) -> tuple[float, float]:
        corner = self.axes.transAxes.transform((0, 0))
        place = self.axes.transData.transform((x, y)) - corner
        return self._points(float(place[0])), self._points(float(place[1]))

    def _points(self, pixels: float) -> float:
        return pixels * POINTS / self.axes.figure.dpi

    def _around(self, x: float, y: float) -> Box:
        return x - MARK, y - MARK, x + MARK, y + MARK

    def _inside(self, box: Box) -> bool:
        return box[0] >= 0 and box[1] >= 0 and box[2] <= self.size[0] and box[3] <= self.size[1]


def _overlap(a: Box, b: Box) -> bool:
    return bool(np.all([a[0] < b[2], b[0] < a[2], a[1] < b[3], b[1] < a[3]]))
