"""The step axis (log with an untrained 0, or linear), and drawing long curves without drawing every point."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from grokscope.report.draw.style import colour
from grokscope.vocabulary.text import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Scale = Literal["log", "linear"]
TICKDOWN = 3
"""matplotlib.markers.TICKDOWN, without importing it here."""
ZERO_GAP = 0.3
"""Decades between the untrained network's place and the first positive step on a log axis."""


@dataclass(frozen=True)
class StepAxis:
    """Where steps go. On the log scale step 0 has no place of its own: it is put left of the first one and marked
    ``0``."""

    scale: Scale
    first: float
    """Smallest positive step of all curves."""
    last: float
    zero: bool
    """Whether any curve has a step 0."""
    unit: str = "step"

    def place(self, steps: "np.ndarray | float") -> np.ndarray:
        steps = np.asarray(steps, float)
        if self.scale == "linear":
            return steps
        low = np.log10(self.first) - ZERO_GAP
        return np.where(steps > 0, np.log10(np.maximum(steps, 1e-300)), low)

    def value(self, place: float) -> float:
        """The step at a place: the inverse of `place` for positive steps."""
        return place if self.scale == "linear" else 10.0**place

    @property
    def limits(self) -> tuple[float, float]:
        left = float(self.place(0.0 if self.zero or self.scale == "linear" else self.first))
        right = float(self.place(self.last))
        width = max(right - left, 1e-9)
        return left - 0.01 * width, right + 0.025 * width

    def ticks(self) -> tuple[list[float], list[str], list[float]]:
        """Places, their labels, and places of the minor ticks."""
        if self.scale == "linear":
            at = _nice_ticks(self.last)
            return at, [short(v) for v in at], []
        decades = range(int(np.floor(np.log10(self.first))), int(np.ceil(np.log10(self.last))) + 1)
        inside = [10.0**d for d in decades if self.first <= 10.0**d * 1.0001 and 10.0**d <= self.last * 1.0001]
        minor = [m * 10.0**d for d in decades for m in range(1, 10) if self.first <= m * 10.0**d <= self.last]
        for finer in ([v for v in minor if str(v)[0] in "125"], minor, [self.first, self.last]):
            inside = inside if len(inside) >= 2 else finer
        values = ([0.0] if self.zero else []) + inside
        return [float(self.place(v)) for v in values], [short(v) for v in values], [float(np.log10(v)) for v in minor]

    @property
    def label(self) -> str:
        if self.scale == "linear":
            return self.unit
        return f"{self.unit} (log scale; 0 = untrained)" if self.zero else f"{self.unit} (log scale)"

    def dress(self, axes: "Axes", labels: bool = True) -> None:
        """Limits, ticks and, where asked for, tick labels."""
        places, words, minor = self.ticks()
        axes.set_xlim(*self.limits)
        axes.set_xticks(places, words if labels else [""] * len(places))
        axes.plot(  # minor ticks as one line of markers: a tenth of the time and size of matplotlib's own
            minor, np.zeros(len(minor)), linestyle="none", marker=TICKDOWN, markersize=2.2, markeredgewidth=0.8,
            color=colour("line"), transform=axes.get_xaxis_transform(), clip_on=False,
        )  # fmt: skip


def step_axis(scale: Scale, curves: "list[np.ndarray]", unit: str = "step") -> StepAxis:
    """One axis for all curves of a figure, so that panels can be compared by eye."""
    steps = np.concatenate(curves) if curves else np.array([1.0])
    positive = steps[steps > 0]
    first, last = (float(positive.min()), float(positive.max())) if len(positive) else (1.0, 10.0)
    return StepAxis(scale, first if first < last else last / 10, last, bool((steps <= 0).any()), unit)


def _nice_ticks(last: float) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    return [float(v) for v in MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(0, last) if 0 <= v <= last * 1.0001]


def thin(x: np.ndarray, y: np.ndarray, columns: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """A curve with at most four points in each of `columns` columns: first, lowest, highest and last (Jugel et al.
    2014, doi:10.14778/2732951.2732953). At that many pixels the drawing is the same; the data is untouched."""
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    if len(x) <= 2 * columns:
        return x, y
    column = np.minimum(((x - x[0]) / (x[-1] - x[0]) * columns).astype(int), columns - 1)
    starts = np.flatnonzero(np.r_[True, np.diff(column) != 0])
    chosen: set[int] = set()
    for a, b in zip(starts, np.r_[starts[1:], len(x)], strict=True):
        chosen |= {int(a), int(a + y[a:b].argmin()), int(a + y[a:b].argmax()), int(b - 1)}
    index = np.array(sorted(chosen))
    return x[index], y[index]


def place_axes(figure: "Figure", left: float, top: float, width: float, height: float) -> "Axes":
    """Axes at a place in points from the figure's top left corner."""
    w, h = (72 * v for v in figure.get_size_inches())
    return figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))


def heading(
    axes: "Axes", text: str, above: float = 6.0, role: str = "muted", size: float = 10.5, weight: str = "normal"
) -> None:
    """A small title over the left end of the axes, in place of a rotated label."""
    axes.annotate(
        text, (0, 1), xycoords="axes fraction", xytext=(0, above), textcoords="offset points",
        color=colour(role), fontsize=size, fontweight=weight, va="bottom", ha="left", annotation_clip=False,
    )  # fmt: skip


def margin_labels(axes: "Axes", labels: "list[tuple[float, str, str]]", gap: float = 12.0, size: float = 10.0) -> None:
    """(y in data units, text, palette role) at the right end of the axes, moved apart where they would touch."""
    if not labels:
        return
    bottom, top = axes.get_ylim()
    height = axes.get_window_extent().height * 72 / axes.figure.dpi
    to_points = (lambda y: np.log(y / bottom) / np.log(top / bottom) * height) if axes.get_yscale() == "log" else (
        lambda y: (y - bottom) / (top - bottom) * height
    )  # fmt: skip
    wanted = sorted((float(np.clip(to_points(y), 0, height)), text, role) for y, text, role in labels)
    places = _apart([w[0] for w in wanted], gap, height)
    for place, (_, text, role) in zip(places, wanted, strict=True):
        axes.annotate(
            text, (1, 0), xycoords="axes fraction", xytext=(4, place), textcoords="offset points",
            color=colour(role), fontsize=size, va="center", ha="left", annotation_clip=False,
        )  # fmt: skip


def _apart(places: list[float], gap: float, height: float) -> list[float]:
    """Sorted places pushed up to keep `gap`, then pushed down again where that leaves the axes."""
    up: list[float] = []
    for place in places:
        up.append(max(place, up[-1] + gap) if up else place)
    limit, down = height + gap / 2, []
    for place in reversed(up):
        down.append(min(place, limit))
        limit = down[-1] - gap
    return down[::-1]
