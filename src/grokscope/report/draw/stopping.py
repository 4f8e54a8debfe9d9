"""Missed share, compute used and cost of early-stopping rules."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from grokscope.figures.axes import axes_rows, heading, ruled
from grokscope.figures.style import SMALL, color, group_color, group_dash
from grokscope.results.milestones import Step
from grokscope.results.stopping import RuleResult
from grokscope.vocabulary.text import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

SIZE = WIDTH, HEIGHT = 358.0, 240.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 16.0, 22.0, 54.0
APART = 0.1
"""Between the columns at one patience, as a share of the distance to the next patience."""
Of = Literal["missed", "spent", "regret"]
TITLES: dict[Of, str] = {
    "missed": "share of grokking missed, with its 95 % interval",
    "spent": "share of each run's steps that is used, mean over runs",
    "regret": "held-out score at the end minus that at the stop, mean",
}


def draw_stopping(figure: "FigureBase", rules: Sequence[RuleResult], columns: Sequence[str], of: Of) -> None:
    """A line for each column through its patiences; at the right, diamonds for the threshold of the train score."""
    (axes,) = axes_rows(figure, [HEIGHT - TOP - BOTTOM], left=LEFT, right=RIGHT, top=TOP)
    ruled(axes)
    waits = sorted({r.rule.patience for r in rules if r.rule.patience is not None})
    after = sorted({r.rule.then for r in rules if r.rule.kind == "threshold"})
    if of == "regret":
        axes.axhline(0, color=color("muted"), linewidth=1.0, linestyle=(0, (5, 3)))
        axes.margins(y=0.12)
    else:
        axes.set_ylim(-0.04, 1.06)
    for i, column in enumerate(columns):
        of_column = {r.rule.patience: r for r in rules if r.rule.kind == "patience" and r.rule.on == column}
        shift = APART * (i - (len(columns) - 1) / 2)
        places = [place + shift for place in range(len(waits))]
        shade = group_color(i)
        _draw(axes, places, [of_column.get(w) for w in waits], of, shade, marker="o", linestyle=group_dash(i))
    of_threshold = {r.rule.then: r for r in rules if r.rule.kind == "threshold"}
    places = [float(len(waits) + i) for i in range(len(after))]
    _draw(axes, places, [of_threshold[a] for a in after], of, color("ink"), marker="D", linestyle="none")
    _dress(axes, waits, after)
    heading(axes, TITLES[of], role="ink")


def _draw(
    axes: "Axes", places: Sequence[float], rules: Sequence[RuleResult | None], of: Of, shade: str, **look: Any
) -> None:
    known = [
        (x, r, y) for x, r in zip(places, rules, strict=True) if r is not None and (y := height(r, of)) is not None
    ]
    axes.plot([x for x, _, _ in known], [y for _, _, y in known], color=shade, linewidth=1.6, markersize=4.5, **look)
    for x, r, _ in known:
        if of == "missed" and r.interval is not None:
            axes.plot([x, x], r.interval, color=shade, linewidth=1.2, alpha=0.5)


def _dress(axes: "Axes", waits: Sequence[Step], after: Sequence[Step]) -> None:
    axes.set_xlim(-0.5, len(waits) + len(after) - 0.5)
    axes.axvline(len(waits) - 0.5, color=color("line"), linewidth=1.0)
    names = [*(short(w) for w in waits), *(f"+{short(a)}" for a in after)]
    axes.set_xticks(range(len(names)), names)
    words = "evaluations without\nan improvement"
    ends = ((len(waits) / 2 - 0.5, words), (len(waits) + len(after) / 2 - 0.5, "steps after\nthe fit"))
    for place, text in ends:
        axes.annotate(
            text, (place, 0), xycoords=axes.get_xaxis_transform(), xytext=(0, -22), textcoords="offset points",
            color=color("muted"), fontsize=SMALL, ha="center", va="top", annotation_clip=False,
        )  # fmt: skip


def height(r: RuleResult, of: Of) -> float | None:
    """What stands on the upright axis."""
    if of == "missed":
        return r.share_missed
    if of == "spent":
        return r.spent
    return None if r.regret is None else r.regret.end
