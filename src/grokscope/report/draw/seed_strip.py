"""One row per seed: open circle at T_fit, line over the delay, marker at T_gen, open arrow if it was not reached."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope.figures.axes import heading
from grokscope.figures.style import SMALL, color
from grokscope.report.draw.curve_frame import Frame
from grokscope.report.read.curves import Panel
from grokscope.report.read.glossary import word
from grokscope.report.read.judged_run import Reading

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from grokscope.trajectory import Milestone

Look = tuple[tuple[str, Any], ...]
"""Keywords of matplotlib's ``plot``, hashable."""


ROWS = 400
"""So many seeds fit into the strip's height: more than three to a point are one smear, and megabytes of it."""


@dataclass
class Marks:
    """Lines and points of a strip by their look. Each look becomes one artist: a strip of a hundred seeds has ten of
    them, and not the five hundred that take longer than everything else on the page."""

    lines: dict[Look, list[tuple[float, float, float]]] = field(default_factory=dict)
    """Look -> (start, stop, row)."""
    points: dict[Look, list[tuple[float, float]]] = field(default_factory=dict)
    """Look -> (step, row)."""

    def line(self, start: float, stop: float, row: float, **look: Any) -> None:
        self.lines.setdefault(tuple(look.items()), []).append((start, stop, row))

    def point(self, step: float, row: float, **look: Any) -> None:
        self.points.setdefault(tuple(look.items()), []).append((step, row))

    def draw(self, axes: "Axes") -> None:
        """Points over lines; within each, looks in the order in which they were first used."""
        for look, spans in self.lines.items():
            ends = np.array([(start, stop, np.nan) for start, stop, _ in spans])  # a gap after each line
            rows = np.repeat([row for _, _, row in spans], 3)
            axes.plot(ends.ravel(), rows, **dict(look))
        for look, places in self.points.items():
            steps, rows = zip(*places, strict=True)
            axes.plot(steps, rows, linestyle="none", **dict(look))


def draw_strip(axes: "Axes", panel: Panel, frame: Frame) -> None:
    """All seeds of a panel, the first on top; of more than ROWS every so many-th, evenly."""
    readings = _shown(panel.readings)
    axes.set_ylim(max(len(readings), 1) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    pitch = frame.strip / max(len(readings), 1)
    if pitch >= 10:
        seeds = ["" if r.subject.seed is None else str(r.subject.seed) for r in readings]
        axes.set_yticks(range(len(readings)), seeds)
        axes.tick_params(axis="y", labelsize=SMALL)
    else:
        axes.set_yticks([])
    size = float(np.clip(pitch * 0.55, 1.6, 6))
    marks = Marks()
    for row, reading in enumerate(readings):
        if reading.last is None:
            _say_nothing_was_evaluated(axes, row, reading)
        else:
            _add_row(marks, row, reading, reading.last if reading.end is None else reading.end, size)
    marks.draw(axes)
    every = len(panel.readings)
    front = "each seed" if len(readings) == every else f"{len(readings):,} of {every:,} seeds, evenly chosen"
    heading(axes, f"{front}: from fit to generalization")


def _shown(readings: Sequence[Reading]) -> Sequence[Reading]:
    if len(readings) <= ROWS:
        return readings
    return [readings[i] for i in np.linspace(0, len(readings) - 1, ROWS).astype(int)]


def _say_nothing_was_evaluated(axes: "Axes", row: int, reading: Reading) -> None:
    shade = color(word(reading.outcome).role)
    axes.text(0.5, row, f"{reading.outcome}: no evaluations", transform=axes.get_yaxis_transform(), fontsize=SMALL,
              ha="center", va="center", color=shade)  # fmt: skip


def _add_row(marks: Marks, row: int, reading: Reading, end: float, size: float) -> None:
    look = word(reading.outcome)
    shade = color(look.role)
    if reading.fit is not None and not reading.fit.censored:
        _add_delay(marks, row, reading, end, size)
    if reading.gen is not None and not reading.gen.censored:
        _add_uncertainty(marks, row, reading.gen, shade)
        marks.point(reading.gen.at, row, marker=look.marker, markersize=size, color=shade)
    elif reading.outcome == "diverged":
        marks.point(end, row, marker="x", markersize=size, color=shade, markeredgewidth=1.6)
    else:
        marks.point(end, row, marker=">", markersize=size, color=shade, markerfacecolor=color("paper"),
                    markeredgewidth=1.1, clip_on=False)  # fmt: skip


def _add_delay(marks: Marks, row: int, reading: Reading, end: float, size: float) -> None:
    """From the open circle where train fitted to generalization, or to the end."""
    assert reading.fit is not None
    gen = reading.gen
    stop = end if gen is None or gen.censored else gen.at
    dash = (0, (3, 1.5)) if reading.provisional else "solid"
    shade = color(word(reading.outcome).role)
    marks.line(reading.fit.at, stop, row, color=shade, linewidth=max(size * 0.4, 0.8), alpha=0.75, linestyle=dash)
    _add_uncertainty(marks, row, reading.fit, color("train"))
    marks.point(reading.fit.at, row, marker="o", markersize=size * 0.8, color=color("train"),
                markerfacecolor=color("paper"), markeredgewidth=1.2)  # fmt: skip


def _add_uncertainty(marks: Marks, row: int, moment: "Milestone", shade: str) -> None:
    """The evaluation interval (before, at] in which the milestone lies."""
    if moment.previous is not None:
        marks.line(moment.previous, moment.at, row, color=shade, linewidth=3.2, alpha=0.3, solid_capstyle="butt")
