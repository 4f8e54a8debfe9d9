"""Axes stacked over one step axis: several measurements of one group of runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from grokscope.figures.axes import axes_rows, dress_y, heading, margin_labels, ruled
from grokscope.figures.style import color
from grokscope.report.draw.axis import StepAxis
from grokscope.report.read.bands import Band

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

WIDTH, LEFT, RIGHT, TOP, GAP, BOTTOM = 358.0, 46.0, 84.0, 22.0, 28.0, 40.0
RANGE = 1e7
"""Of each group a log axis shows at most this ratio of highest to lowest value: what is smaller lies at its edge."""


@dataclass(frozen=True)
class Line:
    """A curve with its band; `label` stands in the margin at its end."""

    band: Band
    role: str
    dash: tuple[float, ...] = ()
    width: float = 1.7
    label: str = ""
    shaded: bool = True


@dataclass(frozen=True)
class Part:
    """One of the stacked axes."""

    title: str
    lines: Sequence[Line]
    height: float = 96.0
    log: bool = True
    levels: Sequence[tuple[float, str]] = ()
    """Horizontal reference lines with their words."""
    marks: Sequence[float] = field(default=())
    """Steps marked by a triangle on top: spikes of the train loss."""
    limits: tuple[float, float] | None = None
    """Of the upright axis; by default what its own curves take."""


def alike(stacks: Mapping[str, Sequence[Part]]) -> dict[str, list[Part]]:
    """The stacks of several groups with one upright axis for each thing that is measured: parts of one title are read
    against each other."""
    every = list(chain.from_iterable(stacks.values()))
    limits = {title: _around([p for p in every if p.title == title]) for title in {p.title for p in every}}
    return {name: [replace(part, limits=limits[part.title]) for part in parts] for name, parts in stacks.items()}


def _around(parts: Sequence[Part]) -> tuple[float, float]:
    """Each part's limits are cut by its own highest value: by that of all, one group that diverges would hide the
    curves of the others."""
    limits = [_limits(part) for part in parts]
    return min(low for low, _ in limits), max(high for _, high in limits)


def stack_height(parts: Sequence[Part]) -> float:
    return TOP + sum(p.height for p in parts) + GAP * (len(parts) - 1) + BOTTOM


def draw_stack(figure: "FigureBase", parts: Sequence[Part], axis: StepAxis) -> None:
    rows = axes_rows(figure, [p.height for p in parts], left=LEFT, right=RIGHT, top=TOP, gap=GAP)
    for axes, part in zip(rows, parts, strict=True):
        _draw_part(axes, part, axis)
        axis.dress(axes, labels=axes is rows[-1])
    rows[-1].set_xlabel(axis.label, labelpad=2)


def _draw_part(axes: "Axes", part: Part, axis: StepAxis) -> None:
    limits = part.limits or _limits(part)
    if part.log:
        axes.set_yscale("log")
    axes.set_ylim(*limits)
    ruled(axes)
    labels = []
    for value, words in part.levels:
        axes.axhline(value, color=color("muted"), linewidth=1.2, linestyle=(0, (1, 2)))
        labels.append((value, words, "muted"))
    for line in part.lines:
        _draw_line(axes, line, axis, limits)
        if line.label:
            labels.append((float(line.band.median[np.isfinite(line.band.median)][-1]), line.label, line.role))
    if part.marks:
        tops = np.full(len(part.marks), limits[1])
        axes.plot(part.marks, tops, "v", color=color("ungrokked"), markersize=4, clip_on=False, alpha=0.8)
    dress_y(axes, part.log)
    margin_labels(axes, [(float(np.clip(v, *limits)), w, role) for v, w, role in labels if w])
    heading(axes, part.title + (", log scale" if part.log else ""), role="ink")


def _draw_line(axes: "Axes", line: Line, axis: StepAxis, limits: tuple[float, float]) -> None:
    b, shade = line.band, color(line.role)
    if line.shaded and b.kind != "none":
        low, high = np.clip(b.low, *limits), np.clip(b.high, *limits)
        axes.fill_between(b.step, low, high, color=shade, alpha=0.14, linewidth=0)
    style = (0, line.dash) if line.dash else "solid"
    axes.plot(*axis.thin(b.step, np.clip(b.median, *limits)), color=shade, linewidth=line.width, linestyle=style)


def _limits(part: Part) -> tuple[float, float]:
    values = np.concatenate([np.r_[line.band.low, line.band.high] for line in part.lines] or [np.ones(1)])
    values = np.r_[values, [v for v, _ in part.levels]]
    values = values[np.isfinite(values)]
    if not part.log:
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
        spare = 0.06 * max(high - low, 1e-9)
        return low - spare, high + spare
    positive = values[values > 0]
    high = float(positive.max()) if len(positive) else 1.0
    low = max(float(positive.min()) if len(positive) else 0.1, high / RANGE)
    spare = max(1.15, (4 / (high / low)) ** 0.5)
    return low / spare, high * spare
