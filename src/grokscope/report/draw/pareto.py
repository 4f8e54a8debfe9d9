"""Time against best score: one point per regime, small points for runs, and the Pareto set joined by a line."""

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from grokscope.figures.axes import axes_rows, heading, margin_labels, ruled
from grokscope.figures.spots import Spots
from grokscope.figures.style import color
from grokscope.report.draw.axis import StepAxis
from grokscope.results.phase import Pareto, ParetoPoint
from grokscope.vocabulary.splits import is_reported, oracle_label
from grokscope.vocabulary.text import briefs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

SIZE = WIDTH, HEIGHT = 640.0, 330.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 214.0, 24.0, 42.0
ROW = 14.0
"""Points from one name in the margin to the next."""
LEADER = 16.0
"""Length in points of the line from the edge to a name in the margin."""
ROOM = 1.25
"""Factor on the time axis beyond the first and the last point."""
MOST = 500
"""Above so many points of a kind their markers are a picture: the page would carry each of them as text."""
NAME = 28
"""Letters of a regime's name that are shown."""


def letters(pareto: Pareto) -> dict[str, str]:
    """Group in the Pareto set -> its letter in the figure, the soonest first."""
    return {p.name: chr(ord("a") + i) for i, p in enumerate(pareto.front()[:26])}


def draw_pareto(figure: "FigureBase", pareto: Pareto, unit: str) -> None:
    """Soonest is left, best is up; arrows point to where a censored point may lie."""
    (axes,) = axes_rows(figure, [HEIGHT - TOP - BOTTOM], left=LEFT, right=RIGHT, top=TOP)
    points = [*pareto.groups, *pareto.runs]
    axis = _axis(points, unit)
    axis.dress(axes)
    low, high = min(p.best for p in points), max(p.best for p in points)
    edge = 0.06 * max(high - low, 0.02)
    axes.set_ylim(low - edge, high + edge)
    ruled(axes)
    _draw(axes, pareto.runs, 3.0)
    _draw(axes, pareto.groups, 8.0)
    _join(axes, pareto)
    _name(axes, pareto)
    axes.set_xlabel(f"T_gen, {axis.label}", labelpad=2)
    stamp = f", {oracle_label(pareto.split)}" if is_reported(pareto.split) else ""
    heading(axes, f"best score on {pareto.split}{stamp}", role="ink")


def _axis(points: Sequence[ParetoPoint], unit: str) -> StepAxis:
    """All points with room at both ends; what held at step 0 stands at the left of the log axis."""
    times = np.array([p.at for p in points])
    positive = times[times > 0]
    first, last = (float(positive.min()), float(positive.max())) if len(positive) else (1.0, 10.0)
    return StepAxis("log", first / ROOM, last * ROOM, bool((times <= 0).any()), unit)


def _draw(axes: "Axes", points: Sequence[ParetoPoint], size: float) -> None:
    """A circle; of what was not reached an open arrowhead toward later times; full color in the Pareto set. All of one
    look are one line of markers, so that thousands are drawn at once, and as a picture inside the drawing."""
    alike: dict[tuple[str, str, str], list[ParetoPoint]] = {}
    for point in points:
        role = "group-1" if point.standing == "front" else "group-8"
        face = role if point.standing == "front" else "paper"  # what is censored is never in the set
        alike.setdefault((">" if point.censored else "o", role, face), []).append(point)
    for (marker, role, face), members in alike.items():
        axes.plot(
            [p.at for p in members], [p.best for p in members], marker, color=color(role), markersize=size, alpha=0.85,
            markerfacecolor=color(face), markeredgewidth=1.0, clip_on=False, rasterized=len(points) > MOST,
        )  # fmt: skip


def _join(axes: "Axes", pareto: Pareto) -> None:
    """The staircase of the Pareto set of groups: what is reached by a time at the best."""
    front = pareto.front()
    if len(front) > 1:
        axes.step([p.at for p in front], [p.best for p in front], where="post", color=color("group-1"), linewidth=1.2)


def _name(axes: "Axes", pareto: Pareto) -> None:
    """Regimes that generalized are named beside their points, those of the set first; the others in the margin, at the
    height of their score. A name that has no room is left to the table and to the pointer."""
    lettered = letters(pareto)
    reached = [p for p in pareto.groups if not p.censored]
    reached.sort(key=lambda p: (p.standing != "front", -p.best))
    spots = Spots(axes, [(p.at, p.best) for p in pareto.groups])
    for point in reached:
        for words in _forms(point.name, lettered.get(point.name, "")):
            place = spots.find(point.at, point.best, words)
            if place is not None:
                spots.write(place, words, "ink" if point.standing == "front" else "muted")
                break
    waiting = sorted((p for p in pareto.groups if p.censored), key=lambda p: -p.best)
    room = int((HEIGHT - TOP - BOTTOM) / ROW)
    named = waiting[: room if len(waiting) <= room else room - 1]
    cut = briefs([p.name for p in named], NAME)
    labels = [(p.best, name, "muted") for p, name in zip(named, cut, strict=True)]
    if len(waiting) > room:
        labels.append((axes.get_ylim()[0], f"and {len(waiting) - room + 1:,} more, in the table", "muted"))
    margin_labels(axes, labels, gap=ROW, leader=LEADER)


def _forms(name: str, letter: str) -> list[str]:
    """A name as it is written, from the longest: in one line, in two, and the letter of a member of the set alone."""
    whole = f"{letter}  {name}" if letter else name
    lines = wrap(whole, NAME // 2 + 4, max_lines=2, placeholder=" …")
    return [*([whole] if len(whole) <= NAME else []), "\n".join(lines), *([letter] if letter else [])]
