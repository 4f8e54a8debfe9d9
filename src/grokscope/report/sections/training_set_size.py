"""Peak and end score on unseen environments against the size of the training set."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope.report.draw.axis import heading, margin_labels, place_axes
from grokscope.report.draw.style import colour, group_colour, group_dash
from grokscope.report.read.shortcut import SizeCurve
from grokscope.report.sections.blocks import Block, Entry, Panel, Plots, Words
from grokscope.trajectory.selection import ORACLE, REPORTED
from grokscope.vocabulary.text import plural, score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 380.0, 230.0, 40.0, 74.0, 22.0, 40.0


def size_blocks(found: Mapping[str, Sequence[SizeCurve]]) -> list[Block]:
    """One panel per split, one colour per regime; empty where the size does not vary."""
    found = {split: curves for split, curves in found.items() if curves}
    if not found:
        return []
    names = list(dict.fromkeys(c.name for curves in found.values() for c in curves))
    key = [Entry(f"{name}: mean peak", f"group-{i % 8 + 1}", (1.2, 1.6)) for i, name in enumerate(names)]
    key += [Entry(f"{name}: mean end", f"group-{i % 8 + 1}") for i, name in enumerate(names)]
    panels = [_panel(split, curves, names) for split, curves in found.items()]
    said = [Words(sentence(split, c)) for split, curves in found.items() for c in curves]
    oracle = [Words(f"On {REPORTED} a peak is an {ORACLE}: no procedure could have reported it.", "warning")]
    return [
        Words("How much data it would take", "h3"),
        Words("Runs that differ in task.n_train and the seed only. Open circles are peaks, each run's best of many "
              "evaluations and so partly luck; filled ones are ends, each the mean of the last evaluations. The lines "
              "are means over runs."),
        Plots("sizes", panels, key, "wide" if len(panels) in (1, 2, 4) else ""),
        *(oracle if REPORTED in found else []),
        *said,
    ]  # fmt: skip


def sentence(split: str, curve: SizeCurve) -> str:
    """The critical size, or that there is none up to the largest one tried."""
    seeds = sorted({len(curve.at(n, 2)) for n in curve.sizes})
    runs = plural(seeds[0], "run") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} runs"
    front = f"{curve.name}, {split} ({runs} for each size, n_train {curve.sizes[0]:,} to {curve.sizes[-1]:,})"
    if curve.threshold is None:
        return f"{front}: no threshold is known, and so no critical size."
    goal = f"the threshold {score(curve.threshold)}"
    if curve.critical is None:
        last = curve.sizes[-1]
        return f"{front}: no critical size up to {last:,}; at the largest, fewer than half of the runs end at {goal}."
    where = f"at most {curve.critical:,}, the smallest tried" if curve.critical == curve.sizes[0] else (
        f"in ({max(n for n in curve.sizes if n < curve.critical):,}, {curve.critical:,}]"
    )  # fmt: skip
    return f"{front}: the critical size, from which at least half of the runs end at {goal}, is {where}."


def _panel(split: str, curves: Sequence[SizeCurve], names: Sequence[str]) -> Panel:
    def draw(figure: "Figure", left: float, top: float, _: Any) -> None:
        draw_sizes(figure, left, top, split, curves, names)

    told = "; ".join(
        f"{c.name} at n_train {n:,}: {_peak_word(split)} {score(float(np.mean(c.at(n, 1))))}, end "
        f"{score(float(np.mean(c.at(n, 2))))}"
        for c in curves
        for n in c.sizes
    )
    return Panel(draw, (WIDTH, HEIGHT), f"Accuracy on {split} against the number of training examples, mean over "
                                        f"runs: {told}.",
                 steps=False)  # fmt: skip


def _peak_word(split: str) -> str:
    return "oracle peak" if split == REPORTED else "peak"


def draw_sizes(
    figure: "Figure", left: float, top: float, split: str, curves: Sequence[SizeCurve], names: Sequence[str]
) -> None:
    axes = place_axes(figure, left + LEFT, top + TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM)
    axes.set_xscale("log")
    sizes = sorted({n for c in curves for n in c.sizes})
    axes.set_xlim(sizes[0] / 1.15, sizes[-1] * 1.15)
    lowest = min([v for c in curves for p in c.points for v in p[1:]] + [c.trivial for c in curves if c.trivial])
    axes.set_ylim(min(0.0, lowest) if lowest < 0.3 else np.floor(lowest * 10) / 10 - 0.02, 1.02)
    axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
    axes.minorticks_off()
    axes.grid(axis="y", color=colour("line"), linewidth=0.7)
    axes.set_axisbelow(True)
    labels = []
    for goal in sorted({c.threshold for c in curves if c.threshold is not None}):
        axes.axhline(goal, color=colour("muted"), linewidth=1.0, linestyle=(0, (5, 3)))
        labels.append((goal, f"goal {goal:.2f}", "muted"))
    for base in sorted({c.trivial for c in curves if c.trivial is not None}):
        axes.axhline(base, color=colour("muted"), linewidth=1.2, linestyle=(0, (1, 2)))
        labels.append((base, f"trivial {base:.2f}", "muted"))
    for curve in curves:
        _draw_curve(axes, curve, names.index(curve.name), len(names))
    margin_labels(axes, labels, size=9.5)
    axes.set_xlabel("n_train, examples (log scale)", labelpad=2)
    stamp = f"; peaks: {ORACLE}" if split == REPORTED else ""
    heading(axes, f"accuracy on {split}{stamp}", role="ink", size=11)


def _draw_curve(axes: "Axes", curve: SizeCurve, index: int, of: int) -> None:
    shade = group_colour(index)
    apart = 1 + 0.02 * (index - (of - 1) / 2)
    for which, dash, face in ((1, (0, (1.2, 1.6)), colour("paper")), (2, group_dash(0), shade)):
        x = [p[0] * apart for p in curve.points]
        axes.plot(x, [p[which] for p in curve.points], "o", color=shade, markerfacecolor=face, markersize=4, alpha=0.75)
        means = [float(np.mean(curve.at(n, which))) for n in curve.sizes]
        axes.plot([n * apart for n in curve.sizes], means, color=shade, linestyle=dash, linewidth=1.8)
