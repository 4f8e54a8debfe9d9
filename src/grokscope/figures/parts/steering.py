"""M5 as it is shown: what steering along the direction between environments does."""

from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from grokscope.figures.axes import dress_y
from grokscope.figures.checkpoint_view import CheckpointView
from grokscope.figures.dissection_limits import steering_limits
from grokscope.figures.dissection_panels import ENVIRONMENT, RANDOM, Groups, Seen, draw_runs, panel_axes
from grokscope.figures.keys import Entry
from grokscope.figures.picture import Picture, Rows
from grokscope.figures.style import color
from grokscope.results.steering import Curve, Scaling
from grokscope.vocabulary.text import NONE, percent

if TYPE_CHECKING:
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
    words: dict[Scaling, str] = {"relative": "unit: spread along it", "fixed": "unit: one length for all runs"}
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
    parts[-1].set_xlabel("units along the direction", labelpad=2)


def _curves(runs: Seen, row: tuple[str, Scaling]) -> list[Curve]:
    """Of the runs that were steered by as many strengths as the first."""
    curves = [c for d in runs if (c := d.curve(*row)) is not None]
    return [c for c in curves if len(c.steps) == len(curves[0].steps)]


def _steering_key(_: Seen) -> tuple[Entry, ...]:
    return Entry("along the direction", ENVIRONMENT), Entry("random directions, 95 %", RANDOM, band=True)


def monotone_words(curve: Curve) -> str:
    word = "monotone" if curve.monotone else "not monotone"
    if not isfinite(curve.monotone_random):
        return word
    return f"{word} ({percent(curve.monotone_random)} of random ones are)"


def steering_in_words(d: CheckpointView) -> str:
    curve = d.main_curve
    return f"on {curve.on} {monotone_words(curve)}" if curve else NONE


def steering_data(d: CheckpointView) -> Rows:
    rows: Rows = []
    for curve in d.m5.curves if d.m5 else ():
        low, high = curve.random_accuracy_low, curve.random_accuracy_high
        points = zip(curve.steps, curve.accuracy, curve.margin, low, high, strict=True)
        rows += [
            {"on": curve.on, "scaling": curve.scaling, "strength": at, "accuracy": value, "margin": margin,
             "random_low": bottom, "random_high": top}
            for at, value, margin, bottom, top in points
        ]  # fmt: skip
    return rows


PICTURE = Picture(
    name="m5",
    title="M5. Steering",
    brief="M5, steering",
    words="Accuracy when features are moved along the dominant direction between environments; gray: random directions "
    "of the same length. Monotone curves are common for random directions too: see the table.",
    part=lambda d: d.m5,
    draw=draw_steering,
    axes=lambda runs: len(steering_rows(runs)),
    key=_steering_key,
    in_words=steering_in_words,
    data=steering_data,
)
