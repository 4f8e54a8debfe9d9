"""M6 as it is shown: what switching off neurons does."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np

from grokscope.figures.axes import dress_y
from grokscope.figures.checkpoint_view import CheckpointView
from grokscope.figures.dissection_limits import ablation_limits
from grokscope.figures.dissection_panels import (
    ENVIRONMENT,
    RANDOM,
    TASK,
    TASK_DASH,
    Groups,
    Seen,
    draw_runs,
    panel_axes,
)
from grokscope.figures.keys import Entry
from grokscope.figures.picture import Picture, Rows
from grokscope.figures.style import SMALL, color
from grokscope.results.neurons import Ablations, Arms, OverK
from grokscope.results.scores import ByEffect
from grokscope.vocabulary.text import digits, p_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase


def draw_neurons(figure: "FigureBase", runs: Seen, groups: Groups = ()) -> None:
    """M6: what ablating K neurons takes: the environment's and the task's, beside the range of random ones."""
    on = runs[0].outside
    gap, lost = panel_axes(figure, ["environment gap lost (logits)", f"accuracy lost on {on}"])
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


def _neurons_key(runs: Seen) -> tuple[Entry, ...]:
    arms = [a.arms for d in runs if d.m6 is not None for a in d.m6.ablations]
    random = [Entry("random neurons, 95 %", RANDOM, band=True)] if any(a.random.low is not None for a in arms) else []
    return (Entry("neurons of the environment", ENVIRONMENT), Entry("neurons of the task", TASK, TASK_DASH), *random)


def neurons_in_words(d: CheckpointView) -> str:
    value, null = d.beyond_random or (None, None)
    return f"environment gap lost beyond random neurons {digits(value)}, p {p_value(null.p if null else None)}"


def neuron_data(d: CheckpointView) -> Rows:
    rows: Rows = []
    for scene, what in (("test", "env_gap_drop"), (d.outside, "accuracy_drop")):
        ablation = d.ablation(scene)
        if ablation is not None and d.m6 is not None:
            rows += [{"on": scene, "effect": what, **row} for row in _over_k(ablation, what, d.m6.ks)]
    return rows


def _over_k(ablation: Ablations, what: str, ks: Sequence[int]) -> Rows:
    arms, curve = ablation.arms, attrgetter(what)
    columns: dict[str, Sequence[float]] = {
        "environment": curve(arms.environment.curves), "task": curve(arms.task.curves),
        "random": curve(arms.random.curves),
    }  # fmt: skip
    if arms.random.low is not None and arms.random.high is not None:
        columns |= {"random_low": curve(arms.random.low), "random_high": curve(arms.random.high)}
    return [{"neurons": k, **{name: values[i] for name, values in columns.items()}} for i, k in enumerate(ks)]


PICTURE = Picture(
    name="m6",
    title="M6. Ablating neurons",
    brief="M6, neurons",
    words="Ablation of the K neurons that separate the environments most, compared with the K neurons of the task and "
    "K random ones.",
    part=lambda d: d.m6,
    draw=draw_neurons,
    axes=lambda _: 2,
    key=_neurons_key,
    in_words=neurons_in_words,
    data=neuron_data,
)
