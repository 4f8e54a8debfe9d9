"""What steering along a direction and switching off neurons do (M5 and M6)."""

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np

from grokscope.figures.axes import dress_y
from grokscope.figures.dissection_limits import ablation_limits, steering_limits
from grokscope.figures.dissection_panels import ENVIRONMENT, RANDOM, TASK, Groups, Seen, draw_runs, panel_axes
from grokscope.figures.style import SMALL, color
from grokscope.results.neurons import Arms, OverK
from grokscope.results.scores import ByEffect
from grokscope.results.steering import Curve, Scaling

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase


def steering_rows(runs: Seen) -> list[tuple[str, Scaling]]:
    """(scene, scaling) of the panel's axes: the spread's own scale on every scene, fixed norm beside the last."""
    scenes = [s for s in ("test", runs[0].outside) if any(d.curve(s, "relative") for d in runs)]
    scenes = list(dict.fromkeys(scenes))
    rows: list[tuple[str, Scaling]] = [(scene, "relative") for scene in scenes]
    return rows + [(s, "fixed") for s in scenes[-1:] if any(d.curve(s, "fixed") for d in runs)]


def draw_steering(figure: "FigureBase", runs: Seen, groups: Groups = ()) -> None:
    """M5: accuracy along the direction, inside the band of random directions of the same length. Accuracy has one axis
    in all panels."""
    words: dict[Scaling, str] = {"relative": "steps of its spread", "fixed": "the same length in all runs"}
    rows = steering_rows(runs)
    parts = panel_axes(figure, [f"accuracy on {scene}; {words[scaling]}" for scene, scaling in rows])
    limits = steering_limits([_curves(group, row) for group in (groups or [runs]) for row in steering_rows(group)])
    for axes, row in zip(parts, rows, strict=True):
        curves = _curves(runs, row)
        steps = np.array(curves[0].steps)
        low = np.nanmedian([c.random_accuracy_low for c in curves], axis=0)
        high = np.nanmedian([c.random_accuracy_high for c in curves], axis=0)
        axes.fill_between(steps, low, high, color=color(RANDOM), alpha=0.28, linewidth=0)
        draw_runs(axes, steps, [c.accuracy for c in curves], ENVIRONMENT)
        axes.axvline(0, color=color("muted"), linewidth=0.8)
        axes.set_ylim(limits)
        dress_y(axes, log=False)
    parts[-1].set_xlabel("steps along the direction", labelpad=2)


def _curves(runs: Seen, row: tuple[str, Scaling]) -> list[Curve]:
    """Of the runs that were steered by as many strengths as the first."""
    curves = [c for d in runs if (c := d.curve(*row)) is not None]
    return [c for c in curves if len(c.steps) == len(curves[0].steps)]


def draw_neurons(figure: "FigureBase", runs: Seen, groups: Groups = ()) -> None:
    """M6: what ablating K neurons takes: the environment's and the task's, beside the range of random ones."""
    on = runs[0].outside
    gap, lost = panel_axes(figure, ["environment gap lost", f"right answers lost on {on}"])
    for axes, scene, curve_of in ((gap, "test", GAP_OVER_K), (lost, on, ACCURACY_OVER_K)):
        _ablation(axes, runs, scene, curve_of)
        if (limits := ablation_limits([_arms(group, scene)[1] for group in (groups or [runs])], curve_of)) is not None:
            axes.set_ylim(limits)
            dress_y(axes, log=False)
    lost.set_xlabel("neurons ablated, K", labelpad=2)


GAP_OVER_K: Callable[[ByEffect[OverK]], OverK] = attrgetter("env_gap_drop")
ACCURACY_OVER_K: Callable[[ByEffect[OverK]], OverK] = attrgetter("accuracy_drop")


def _arms(runs: Seen, scene: str) -> tuple[list[int], list[Arms]]:
    """The numbers of neurons that the first run ablated, and what came of it in each run that ablated as many."""
    done = [(d.m6.ks, a.arms) for d in runs if d.m6 is not None and (a := d.ablation(scene)) is not None]
    if not done:
        return [], []
    ks = list(done[0][0])
    return ks, [arms for other, arms in done if len(other) == len(ks)]


def _ablation(axes: "Axes", runs: Seen, scene: str, curve_of: Callable[[ByEffect[OverK]], OverK]) -> None:
    ks, same = _arms(runs, scene)
    if not same:
        axes.set_xticks([])
        axes.annotate("not measured", (0.5, 0.5), xycoords="axes fraction", ha="center", color=color("muted"))
        return
    lows = [curve_of(arms.random.low) for arms in same if arms.random.low is not None]
    highs = [curve_of(arms.random.high) for arms in same if arms.random.high is not None]
    axes.set_xscale("symlog", base=2, linthresh=4)
    if lows and highs and np.isfinite(lows).any():
        low, high = np.nanmedian(lows, axis=0), np.nanmedian(highs, axis=0)
        axes.fill_between(ks, low, high, color=color(RANDOM), alpha=0.28, linewidth=0)
    draw_runs(axes, np.array(ks), [curve_of(arms.task.curves) for arms in same], TASK)
    draw_runs(axes, np.array(ks), [curve_of(arms.environment.curves) for arms in same], ENVIRONMENT)
    axes.set_xticks(ks, [f"{v:g}" for v in ks], fontsize=SMALL)
    axes.minorticks_off()
    axes.axhline(0, color=color("muted"), linewidth=0.8)
