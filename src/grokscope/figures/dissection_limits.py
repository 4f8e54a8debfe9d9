"""Vertical axis limits shared by all panels of a figure, so that groups can be compared visually."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import numpy as np

from grokscope.figures.checkpoint_view import finite, median
from grokscope.results.neurons import Arms, OverK
from grokscope.results.scores import ByEffect, Effect
from grokscope.results.steering import Curve

ROOM = 0.12
"""Above and below what is drawn, as a share of its range: letters stand over the bars of controls."""
Limits = tuple[float, float]


def around(values: Iterable[float | None], room: float = ROOM) -> Limits | None:
    """The range of the known values with room at both ends; None where none is known."""
    known = finite(values)
    if not known:
        return None
    low, high = min(known), max(known)
    spare = room * (high - low or abs(high) or 1.0)
    return low - spare, high + spare


def steering_limits(panels: Iterable[Sequence[Curve]]) -> Limits:
    """One axis of accuracy for every set of examples and scaling: the curves and the bands of random directions."""
    values: list[float] = []
    for curves in panels:
        values += chain.from_iterable(c.accuracy for c in curves)
        values += np.nanmedian([c.random_accuracy_low for c in curves], axis=0).tolist()
        values += np.nanmedian([c.random_accuracy_high for c in curves], axis=0).tolist()
    return around(values, 0.06) or (0.0, 1.0)


def effect_limits(effects_of_erasers: Iterable[Sequence[Effect]]) -> Limits:
    """Every run's effect with its interval, and the controls as they are drawn: medians over the runs of a group."""
    values: list[float | None] = [0.0]
    for effects in effects_of_erasers:
        for effect in effects:
            values += [effect.value, *(effect.interval or ())]
        for name in dict.fromkeys(chain.from_iterable(e.controls for e in effects)):
            nulls = [e.controls[name] for e in effects if name in e.controls]
            values += [median(n.low for n in nulls), median(n.high for n in nulls)]
    return around(values) or (0.0, 1.0)


def ablation_limits(groups: Iterable[Sequence[Arms]], curve_of: Callable[[ByEffect[OverK]], OverK]) -> Limits | None:
    """Every run's curves of both kinds of neurons, and the bands of random ones; None where no run has any."""
    values: list[float | None] = [0.0]
    measured = False
    for group in groups:
        for arms in group:
            measured = True
            values += [*curve_of(arms.environment.curves), *curve_of(arms.task.curves)]
        for bounds in ([a.random.low for a in group], [a.random.high for a in group]):
            curves = [curve_of(bound) for bound in bounds if bound is not None]
            values += np.nanmedian(curves, axis=0).tolist() if curves and np.isfinite(curves).any() else []
    return around(values, 0.06) if measured else None
