"""The main figure: learning curves of every run, one panel per group, on one shared step axis.

A panel stacks three things: accuracy (train gray, held-out colored, thin per seed, thick for the median), the way of
each seed from fitting (open circle) to generalizing (its verdict's marker), and the weight norm.
"""

from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope.figures.axes import axes_rows, heading, margin_labels, ruled
from grokscope.figures.style import PROBE_DASH, color, held_dash
from grokscope.report.draw.curve_frame import COMPACT, GAP, LEFT, MANY_SEEDS, NORM, RIGHT, SCORE, TOP, Frame
from grokscope.report.draw.seed_strip import draw_strip
from grokscope.report.read.bands import Band
from grokscope.report.read.curves import NORM_GROUPS, Panel
from grokscope.report.read.judged_run import Reading
from grokscope.vocabulary.text import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase


def draw_panel(figure: "FigureBase", panel: Panel, frame: Frame) -> None:
    """A group's scores, its seeds, and its weight norm where it was measured."""
    heights = [SCORE, frame.strip] + ([] if frame.norm is None else [NORM])
    rows = axes_rows(figure, heights, left=LEFT, right=RIGHT, top=TOP, gap=GAP)
    _draw_score(rows[0], panel, frame)
    draw_strip(rows[1], panel, frame)
    if frame.norm is not None:
        _draw_norm(rows[2], panel, frame)
    for axes in rows:
        frame.axis.dress(axes, labels=axes is rows[-1])
    rows[-1].set_xlabel(frame.axis.label, labelpad=2)


def draw_compact(figure: "FigureBase", panel: Panel, frame: Frame) -> None:
    """Medians and band only, for the small panels of many groups."""
    height = COMPACT[1]
    (axes,) = axes_rows(figure, [height - 28], left=22, right=8, top=6)
    axes.set_ylim(*frame.score)
    ticks = _score_ticks(frame.score[0])
    axes.set_yticks([ticks[0], ticks[-1]], [f"{t:g}".replace("-", "−") for t in (ticks[0], ticks[-1])])
    _references(axes, panel)
    held = [(s, f"held-{i % 4 + 1}", 1.9 if s == panel.lead else 1.4) for i, s in enumerate(panel.splits)]
    for name, role, thick in (("train", "train", 1.3), *held):
        band = panel.bands.get(name)
        if band is None:
            continue
        if name != "train" and band.kind != "none":
            axes.fill_between(band.step, band.low, band.high, color=color(role), alpha=0.18, linewidth=0)
        dash = "solid" if name == "train" else held_dash(panel.splits.index(name))
        axes.plot(*frame.axis.thin(band.step, band.median, 150), color=color(role), linewidth=thick, linestyle=dash)
    frame.axis.dress(axes)


def _draw_score(axes: "Axes", panel: Panel, frame: Frame) -> None:
    axes.set_ylim(*frame.score)
    ticks = _score_ticks(frame.score[0])
    axes.set_yticks(ticks, [f"{t:.2f}".rstrip("0").rstrip(".").replace("-", "−") for t in ticks])
    ruled(axes)
    labels = _references(axes, panel)
    _lines(axes, panel, frame, "train", "train", 1.7)
    _probe(axes, panel, frame)
    for i, split in reversed(list(enumerate(panel.splits))):
        _lines(axes, panel, frame, split, f"held-{i % 4 + 1}", 2.2 if split == panel.lead else 1.5, held_dash(i))
    _milestones_on_curve(axes, panel)
    _spikes(axes, panel, frame)
    margin_labels(axes, labels)
    what = "accuracy" if frame.kind == "classification" else "R² (0 = trivial predictor)"
    heading(axes, f"{what}, {_curves_in(panel)}")


def _score_ticks(low: float) -> list[float]:
    if low < -0.3:
        return [t for t in (-2.0, -1.0, 0.0, 0.5, 1.0) if t >= low]
    return [0, 0.25, 0.5, 0.75, 1] if low <= 0 else [t / 10 for t in range(int(np.ceil(low * 10)), 11)]


def _curves_in(panel: Panel) -> str:
    """What the thick line is and how many runs it stands for."""
    band = panel.bands.get(panel.lead)
    if band is None:
        return "no evaluations"
    return "1 run" if band.n == 1 else f"median of {band.n:,} runs"


def _references(axes: "Axes", panel: Panel) -> list[tuple[float, str, str]]:
    """Threshold and trivial predictor as lines; returns their labels for the margin."""
    labels = []
    thresholds = {r.threshold for r in panel.readings if r.threshold is not None}
    trivials = {round(r.trivial, 4) for r in panel.readings if r.trivial is not None}
    for value in sorted(thresholds):
        axes.axhline(value, color=color("muted"), linewidth=1.0, linestyle=(0, (5, 3)))
        labels.append((value, f"threshold {value:.2f}", "muted"))
    for value in sorted(trivials):
        axes.axhline(value, color=color("muted"), linewidth=1.2, linestyle=(0, (1, 2)))
    if trivials:
        middle = float(np.median(sorted(trivials)))  # seeds differ a little where their data do: one label is enough
        labels.append((middle, f"trivial {middle:.2f}", "muted"))
    return labels


def _lines(axes: "Axes", panel: Panel, frame: Frame, name: str, role: str, width: float, dash: Any = "solid") -> None:
    """Thin seeds, band, median. Runs outside the median (unfinished ones) are dashed and always drawn."""
    band = panel.bands.get(name)
    if band is None:
        return
    shade = color(role)
    first = name in ("train", panel.lead)
    if band.kind != "none" and name != "train":
        at, low = frame.axis.thin(band.step, band.low)
        axes.fill_between(at, low, np.interp(at, band.step, band.high), color=shade, alpha=0.16, linewidth=0)
    few = len(panel.readings) <= MANY_SEEDS
    shown = first and (few or band.n < band.total)  # of many runs only those outside the median are drawn
    for reading in panel.readings if shown else []:
        _seed_line(axes, reading, name, frame, shade, band, few)
    axes.plot(*frame.axis.thin(band.step, band.median), color=shade, linewidth=width, linestyle=dash)


def _probe(axes: "Axes", panel: Panel, frame: Frame) -> None:
    """What a fresh readout of the last hidden layer would score: dashed in the color of the curve that it explains."""
    band = panel.bands.get("probe")
    if band is not None:
        x, y = frame.axis.thin(band.step, band.median)
        axes.plot(x, y, color=color("held-1"), linewidth=1.5, linestyle=PROBE_DASH, gid="probe")


def _seed_line(axes: "Axes", reading: Reading, name: str, frame: Frame, shade: str, band: Band, few: bool) -> None:
    curve = reading.curve(name)
    if curve is None or not np.isfinite(curve[1]).any():
        return
    steps, values = curve[0][np.isfinite(curve[1])], curve[1][np.isfinite(curve[1])]
    x, y = frame.axis.thin(steps, values)
    outside = steps[-1] < band.step[-1]
    if few or outside:
        dash = (0, (3, 2)) if outside else "solid"
        axes.plot(x, y, color=shade, linewidth=1.1 if outside else 0.8, alpha=0.9 if outside else 0.5, linestyle=dash,
                  gid=f"seed:{reading.subject.name}:{name}")  # fmt: skip
    if outside:
        marker = "x" if reading.outcome == "diverged" else "|"
        axes.plot(x[-1:], y[-1:], marker=marker, color=shade, markersize=6, markeredgewidth=1.6, linestyle="none")


def _milestones_on_curve(axes: "Axes", panel: Panel) -> None:
    """Where the median run fits and generalizes: short ticks from the axis' top, over the curves."""
    for reading in panel.readings if len(panel.readings) <= MANY_SEEDS else []:
        for span, name, role, marker in (
            (reading.fit, "train", "train", "o"),
            (reading.gen, reading.split, "held-1", "D"),
        ):
            curve = reading.curve(name)
            if span is None or span.censored or curve is None:
                continue
            y = float(np.interp(span.at, *curve))
            axes.plot(span.at, y, marker=marker, markersize=4.2, color=color(role),
                      markerfacecolor=color("paper"), markeredgewidth=1.2, linestyle="none", zorder=5)  # fmt: skip


def _spikes(axes: "Axes", panel: Panel, frame: Frame) -> None:
    steps = sorted(set(chain.from_iterable(r.spikes for r in panel.readings)))
    if steps:
        tops = np.full(len(steps), frame.score[1])
        axes.plot(steps, tops, "v", color=color("ungrokked"), markersize=4, clip_on=False, alpha=0.8)


def _draw_norm(axes: "Axes", panel: Panel, frame: Frame) -> None:
    assert frame.norm is not None
    axes.set_yscale("log")
    axes.set_ylim(*frame.norm)
    _norm_ticks(axes, frame.norm)
    ruled(axes)
    labels = []
    for i, name in enumerate(panel.norms):
        band = panel.bands[name]
        positive = band.median > 0
        dash = ((0, (4, 1.5)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.2, 1.5)), (0, (2.5, 1.2)), (0, (8, 2)))[i % 5]
        x, y = frame.axis.thin(band.step[positive], band.median[positive])
        axes.plot(x, y, color=color("muted"), linewidth=1.1, linestyle=dash)
        labels.append((float(band.median[positive][-1]), NORM_GROUPS[name], "muted"))
    if "norm_total" in panel.bands:
        total = panel.bands["norm_total"]
        _lines(axes, panel, frame, "norm_total", "ink", 1.8)
        labels.append((float(total.median[-1]), "all", "ink"))
    margin_labels(axes, labels)
    heading(axes, "weight norm, L2 (log scale)")


def _norm_ticks(axes: "Axes", limits: tuple[float, float]) -> None:
    from matplotlib.ticker import NullLocator

    decades = range(int(np.floor(np.log10(limits[0]))), int(np.ceil(np.log10(limits[1]))) + 1)
    many = limits[1] / limits[0] > 300
    ticks = [m * 10.0**d for d in decades for m in ((1,) if many else (1, 3)) if limits[0] <= m * 10.0**d <= limits[1]]
    if len(ticks) < 2:
        ticks = [m * 10.0**d for d in decades for m in (1, 2, 5) if limits[0] <= m * 10.0**d <= limits[1]]
    axes.set_yticks(ticks, [short(t) for t in ticks])
    axes.yaxis.set_minor_locator(NullLocator())
