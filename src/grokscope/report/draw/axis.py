"""The step axis (log with an untrained 0, or linear), and thinning of long curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from grokscope.figures.style import color
from grokscope.report.read.judged_run import Reading, unit_of
from grokscope.vocabulary.text import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Scale = Literal["log", "linear"]
TICKDOWN = 3
"""matplotlib.markers.TICKDOWN, without importing it here."""
ZERO_GAP = 0.3
"""Decades between the untrained network's place and the first positive step on a log axis."""


@dataclass(frozen=True)
class StepAxis:
    """Where steps go, as one of matplotlib's function scales: curves are plotted at their steps.

    The log scale is logarithmic from the first positive step on and linear below it, so that step 0 stands `ZERO_GAP`
    decades to its left, marked ``0``.
    """

    scale: Scale
    first: float
    """Smallest positive step of all curves."""
    last: float
    zero: bool
    """Whether any curve has a step 0."""
    unit: str = "step"

    def place(self, steps: "np.ndarray | float") -> np.ndarray:
        """Decades (or steps, on the linear scale) at which `steps` stand."""
        steps = np.asarray(steps, float)
        if self.scale == "linear":
            return steps
        below = np.log10(self.first) - ZERO_GAP * (1 - steps / self.first)
        return np.where(steps >= self.first, np.log10(np.maximum(steps, self.first)), below)

    def value(self, places: "np.ndarray | float") -> np.ndarray:
        """The steps at places: the inverse of `place`."""
        places = np.asarray(places, float)
        if self.scale == "linear":
            return places
        low = np.log10(self.first)
        below = self.first * (1 - (low - places) / ZERO_GAP)
        return np.where(places >= low, 10.0 ** np.maximum(places, low), below)

    @property
    def limits(self) -> tuple[float, float]:
        """The first and the last step of the axis, with a little room at both ends."""
        left = float(self.place(0.0 if self.zero or self.scale == "linear" else self.first))
        right = float(self.place(self.last))
        width = max(right - left, 1e-9)
        return float(self.value(left - 0.01 * width)), float(self.value(right + 0.025 * width))

    def spread(self, columns: int) -> np.ndarray:
        """Steps at `columns` equally spaced places from end to end."""
        left, right = (float(self.place(end)) for end in self.limits)
        return self.value(np.linspace(left, right, columns))

    def ticks(self) -> tuple[list[float], list[str], list[float]]:
        """Steps of the ticks, their labels, and the steps of the minor ticks."""
        if self.scale == "linear":
            at = _nice_ticks(self.last)
            return at, [short(v) for v in at], []
        decades = range(int(np.floor(np.log10(self.first))), int(np.ceil(np.log10(self.last))) + 1)
        inside = [10.0**d for d in decades if self.first <= 10.0**d * 1.0001 and 10.0**d <= self.last * 1.0001]
        minor = [m * 10.0**d for d in decades for m in range(1, 10) if self.first <= m * 10.0**d <= self.last]
        for finer in ([v for v in minor if str(v)[0] in "125"], minor, [self.first, self.last]):
            inside = inside if len(inside) >= 2 else finer
        values = ([0.0] if self.zero else []) + inside
        return values, [short(v) for v in values], minor

    @property
    def label(self) -> str:
        if self.scale == "linear":
            return self.unit
        return f"{self.unit} (log scale; 0 = untrained)" if self.zero else f"{self.unit} (log scale)"

    def thin(self, steps: np.ndarray, values: np.ndarray, columns: int = 400) -> tuple[np.ndarray, np.ndarray]:
        """A curve with as few points as this axis needs, see `thin`."""
        index = thin(self.place(steps), values, columns)
        return np.asarray(steps)[index], np.asarray(values)[index]

    def dress(self, axes: "Axes", labels: bool = True) -> None:
        """Scale, limits, ticks and, where asked for, tick labels."""
        steps, words, minor = self.ticks()
        if self.scale == "log":
            axes.set_xscale("function", functions=(self.place, self.value))
        axes.set_xlim(*self.limits)
        axes.set_xticks(steps, words if labels else [""] * len(steps))
        axes.plot(  # minor ticks as one line of markers: a tenth of the time and size of matplotlib's own
            minor, np.zeros(len(minor)), linestyle="none", marker=TICKDOWN, markersize=2.2, markeredgewidth=0.8,
            color=color("line"), transform=axes.get_xaxis_transform(), clip_on=False,
        )  # fmt: skip


def step_axis(scale: Scale, curves: "list[np.ndarray]", unit: str = "step") -> StepAxis:
    """One axis for all curves of a figure, so that panels can be compared by eye."""
    steps = np.concatenate(curves) if curves else np.array([1.0])
    positive = steps[steps > 0]
    first, last = (float(positive.min()), float(positive.max())) if len(positive) else (1.0, 10.0)
    return StepAxis(scale, first if first < last else last / 10, last, bool((steps <= 0).any()), unit)


def curve_axis(readings: Sequence[Reading], scale: Scale) -> StepAxis:
    """The step axis that learning curves and losses share."""
    ends = [np.array(brief.ends) for r in readings if (brief := r.subject.brief) is not None]
    return step_axis(scale, ends, unit_of(readings))


def _nice_ticks(last: float) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    return [float(v) for v in MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(0, last) if 0 <= v <= last * 1.0001]


def thin(places: np.ndarray, values: np.ndarray, columns: int = 400) -> np.ndarray:
    """Indices of at most four points in each of `columns` columns of the drawing: first, lowest, highest and last
    (Jugel et al. 2014, doi:10.14778/2732951.2732953). At that many pixels the drawing is the same; the data is
    untouched. What is not finite is left out."""
    known = np.flatnonzero(np.isfinite(places) & np.isfinite(values))
    x, y = places[known], values[known]
    if len(x) <= 2 * columns:
        return known
    column = np.minimum(((x - x[0]) / (x[-1] - x[0]) * columns).astype(int), columns - 1)
    starts = np.flatnonzero(np.r_[True, np.diff(column) != 0])
    chosen: set[int] = set()
    for a, b in zip(starts, np.r_[starts[1:], len(x)], strict=True):
        chosen |= {int(a), int(a + y[a:b].argmin()), int(a + y[a:b].argmax()), int(b - 1)}
    return known[sorted(chosen)]
