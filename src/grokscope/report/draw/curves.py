"""Drawing the hero figure: what every run did, one panel per group, on one shared step axis.

A panel stacks three things: accuracy (train grey, held-out coloured, thin per seed, thick for the median), the way of
each seed from fitting (open circle) to generalizing (its verdict's marker), and the weight norm.
"""

from typing import TYPE_CHECKING

import numpy as np

from grokscope.report.draw.axis import heading, margin_labels, place_axes, thin
from grokscope.report.draw.curve_frame import COMPACT, GAP, LEFT, MANY_SEEDS, NORM, RIGHT, SCORE, TOP, WIDTH, Frame
from grokscope.report.draw.style import PROBE_DASH, colour
from grokscope.report.read.bands import Band
from grokscope.report.read.curves import NORM_GROUPS, Panel
from grokscope.report.read.glossary import word
from grokscope.report.read.judged_run import Reading
from grokscope.vocabulary.text import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from grokscope.trajectory import Milestone


def draw_panel(figure: "Figure", left: float, top: float, panel: Panel, frame: Frame) -> None:
    """Draw at a place in points from the figure's top left corner."""
    width, y = WIDTH - LEFT - RIGHT, top + TOP
    score = place_axes(figure, left + LEFT, y, width, SCORE)
    _draw_score(score, panel, frame)
    y += SCORE + GAP
    strip = place_axes(figure, left + LEFT, y, width, frame.strip)
    _draw_strip(strip, panel, frame)
    last = strip
    if frame.norm is not None:
        y += frame.strip + GAP
        last = place_axes(figure, left + LEFT, y, width, NORM)
        _draw_norm(last, panel, frame)
    for axes in (score, strip, last):
        frame.axis.dress(axes, labels=axes is last)
    last.set_xlabel(frame.axis.label, labelpad=2)


def draw_compact(figure: "Figure", left: float, top: float, panel: Panel, frame: Frame) -> None:
    """Medians and band only, for the small panels of many groups."""
    width, height = COMPACT
    axes = place_axes(figure, left + 22, top + 6, width - 30, height - 28)
    axes.set_ylim(*frame.score)
    ticks = _score_ticks(frame.score[0])
    axes.set_yticks([ticks[0], ticks[-1]], [f"{t:g}".replace("-", "−") for t in (ticks[0], ticks[-1])])
    _references(axes, panel)
    for name, role, thick in (
        ("train", "train", 1.3),
        *((s, f"held-{i % 4 + 1}", 1.9 - 0.5 * (i > 0)) for i, s in enumerate(panel.splits)),
    ):
        band = panel.bands.get(name)
        if band is not None:
            x = frame.axis.place(band.step)
            if name != "train" and band.kind != "none":
                axes.fill_between(x, band.low, band.high, color=colour(role), alpha=0.18, linewidth=0)
            axes.plot(*thin(x, band.median, 150), color=colour(role), linewidth=thick)
    frame.axis.dress(axes)


def _draw_score(axes: "Axes", panel: Panel, frame: Frame) -> None:
    axes.set_ylim(*frame.score)
    ticks = _score_ticks(frame.score[0])
    axes.set_yticks(ticks, [f"{t:.2f}".rstrip("0").rstrip(".").replace("-", "−") for t in ticks])
    axes.grid(axis="y", color=colour("line"), linewidth=0.7)
    axes.set_axisbelow(True)
    labels = _references(axes, panel)
    _lines(axes, panel, frame, "train", "train", 1.7)
    _probe(axes, panel, frame)
    for i, split in reversed(list(enumerate(panel.splits))):
        _lines(axes, panel, frame, split, f"held-{i % 4 + 1}", 2.2 if i == 0 else 1.5)
    _milestones_on_curve(axes, panel, frame)
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
    band = panel.bands.get(panel.splits[0])
    if band is None:
        return "no evaluations"
    return "1 run" if band.n == 1 else f"median of {band.n} runs"


def _references(axes: "Axes", panel: Panel) -> list[tuple[float, str, str]]:
    """Threshold and trivial predictor as lines; returns their labels for the margin."""
    labels = []
    thresholds = {r.threshold for r in panel.readings if r.threshold is not None}
    trivials = {round(r.trivial, 4) for r in panel.readings if r.trivial is not None}
    for value in sorted(thresholds):
        axes.axhline(value, color=colour("muted"), linewidth=1.0, linestyle=(0, (5, 3)))
        labels.append((value, f"goal {value:.2f}", "muted"))
    for value in sorted(trivials):
        axes.axhline(value, color=colour("muted"), linewidth=1.2, linestyle=(0, (1, 2)))
    if trivials:
        middle = float(np.median(sorted(trivials)))  # seeds differ a little where their data do: one label is enough
        labels.append((middle, f"trivial {middle:.2f}", "muted"))
    return labels


def _lines(axes: "Axes", panel: Panel, frame: Frame, name: str, role: str, width: float) -> None:
    """Thin seeds, band, median. Runs outside the median (unfinished ones) are dashed and always drawn."""
    band = panel.bands.get(name)
    if band is None:
        return
    shade = colour(role)
    first = name in ("train", panel.splits[0])
    if band.kind != "none" and name != "train":
        x, low = thin(frame.axis.place(band.step), band.low)
        _, high = (
            thin(frame.axis.place(band.step), band.high)
            if len(band.step) <= 800
            else (x, np.interp(x, frame.axis.place(band.step), band.high))
        )
        axes.fill_between(x, low, high, color=shade, alpha=0.16, linewidth=0)
    for reading in panel.readings if first else []:
        _seed_line(axes, reading, name, frame, shade, band, few=len(panel.readings) <= MANY_SEEDS)
    axes.plot(*thin(frame.axis.place(band.step), band.median), color=shade, linewidth=width)


def _probe(axes: "Axes", panel: Panel, frame: Frame) -> None:
    """What a fresh readout of the last hidden layer would score: dashed in the colour of the curve that it explains."""
    band = panel.bands.get("probe")
    if band is not None:
        x, y = thin(frame.axis.place(band.step), band.median)
        axes.plot(x, y, color=colour("held-1"), linewidth=1.5, linestyle=PROBE_DASH, gid="probe")


def _seed_line(axes: "Axes", reading: Reading, name: str, frame: Frame, shade: str, band: Band, few: bool) -> None:
    curve = reading.curve(name)
    if curve is None or not np.isfinite(curve[1]).any():
        return
    steps, values = curve[0][np.isfinite(curve[1])], curve[1][np.isfinite(curve[1])]
    x, y = thin(frame.axis.place(steps), values)
    outside = steps[-1] < band.step[-1]
    if few or outside:
        dash = (0, (3, 2)) if outside else "solid"
        axes.plot(x, y, color=shade, linewidth=1.1 if outside else 0.8, alpha=0.9 if outside else 0.5, linestyle=dash,
                  gid=f"seed:{reading.subject.name}:{name}")  # fmt: skip
    if outside:
        marker = "x" if reading.outcome == "diverged" else "|"
        axes.plot(x[-1:], y[-1:], marker=marker, color=shade, markersize=6, markeredgewidth=1.6, linestyle="none")


def _milestones_on_curve(axes: "Axes", panel: Panel, frame: Frame) -> None:
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
            axes.plot(frame.axis.place(span.at), y, marker=marker, markersize=4.2, color=colour(role),
                      markerfacecolor=colour("paper"), markeredgewidth=1.2, linestyle="none", zorder=5)  # fmt: skip


def _spikes(axes: "Axes", panel: Panel, frame: Frame) -> None:
    steps = sorted({step for r in panel.readings for step in r.spikes})
    if steps:
        x = frame.axis.place(np.array(steps, float))
        axes.plot(
            x, np.full(len(x), frame.score[1]), "v", color=colour("ungrokked"), markersize=4, clip_on=False, alpha=0.8
        )


def _draw_strip(axes: "Axes", panel: Panel, frame: Frame) -> None:
    """One row per seed: open circle at T_fit, line over the delay, marker at T_gen, open arrow where it was not
    reached."""
    rows = panel.readings
    axes.set_ylim(max(len(rows), 1) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    pitch = frame.strip / max(len(rows), 1)
    if pitch >= 8.5:
        axes.set_yticks(range(len(rows)), [("" if r.subject.seed is None else str(r.subject.seed)) for r in rows])
        axes.tick_params(axis="y", labelsize=9.5)
    else:
        axes.set_yticks([])
    size = float(np.clip(pitch * 0.55, 1.6, 6))
    for y, reading in enumerate(rows):
        _strip_row(axes, y, reading, frame, size)
    heading(axes, "each seed: from fit to generalization")


def _strip_row(axes: "Axes", y: int, reading: Reading, frame: Frame, size: float) -> None:
    shown = word(reading.outcome)
    shade, place = colour(shown.role), frame.axis.place
    if reading.last is None:
        axes.text(
            0.5,
            y,
            f"{reading.outcome}: no evaluations",
            transform=axes.get_yaxis_transform(),
            fontsize=9.5,
            ha="center",
            va="center",
            color=shade,
        )
        return
    end = float(place(reading.end if reading.end is not None else reading.last))
    if reading.fit is not None and not reading.fit.censored:
        start = float(place(reading.fit.at))
        stop = float(place(reading.gen.at)) if reading.gen is not None and not reading.gen.censored else end
        axes.plot(
            [start, stop],
            [y, y],
            color=shade,
            linewidth=max(size * 0.4, 0.8),
            alpha=0.75,
            linestyle=(0, (3, 1.5)) if reading.provisional else "solid",
        )
        _uncertainty(axes, y, reading.fit, frame, colour("train"))
        axes.plot(
            start,
            y,
            "o",
            markersize=size * 0.8,
            color=colour("train"),
            markerfacecolor=colour("paper"),
            markeredgewidth=1.2,
        )
    if reading.gen is not None and not reading.gen.censored:
        _uncertainty(axes, y, reading.gen, frame, shade)
        axes.plot(place(reading.gen.at), y, marker=shown.marker, markersize=size, color=shade)
    elif reading.outcome == "diverged":
        axes.plot(end, y, "x", markersize=size, color=shade, markeredgewidth=1.6)
    else:
        axes.plot(
            end,
            y,
            ">",
            markersize=size,
            color=shade,
            markerfacecolor=colour("paper"),
            markeredgewidth=1.1,
            clip_on=False,
        )


def _uncertainty(axes: "Axes", y: float, moment: "Milestone", frame: Frame, shade: str) -> None:
    """The evaluation interval (before, at] in which the milestone lies."""
    if moment.previous is not None:
        axes.plot(
            frame.axis.place(np.array([moment.previous, moment.at])),
            [y, y],
            color=shade,
            linewidth=3.2,
            alpha=0.3,
            solid_capstyle="butt",
        )


def _draw_norm(axes: "Axes", panel: Panel, frame: Frame) -> None:
    assert frame.norm is not None
    axes.set_yscale("log")
    axes.set_ylim(*frame.norm)
    _norm_ticks(axes, frame.norm)
    axes.grid(axis="y", color=colour("line"), linewidth=0.7)
    axes.set_axisbelow(True)
    labels = []
    for i, name in enumerate(panel.norms):
        band = panel.bands[name]
        positive = band.median > 0
        dash = ((0, (4, 1.5)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.2, 1.5)), (0, (2.5, 1.2)), (0, (8, 2)))[i % 5]
        x, y = thin(frame.axis.place(band.step[positive]), band.median[positive])
        axes.plot(x, y, color=colour("muted"), linewidth=1.1, linestyle=dash)
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
