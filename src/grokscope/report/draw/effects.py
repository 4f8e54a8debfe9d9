"""Effects of factors on one response, with intervals and the values of single seeds."""

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from grokscope.figures.axes import fitted_axes, heading
from grokscope.figures.style import color
from grokscope.results.factorial import FactorEffect, Response
from grokscope.vocabulary.text import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

HAZARD = "hazard ratio"
WIDTH, TOP, ROW, BOTTOM = 358.0, 22.0, 22.0, 52.0


def effects_size(response: Response) -> tuple[float, float]:
    """Width and height in points."""
    return WIDTH, TOP + ROW * len(response.effects) + BOTTOM


def draw_effects(figure: "FigureBase", response: Response) -> None:
    """Main effects first, from above; the line of no effect is dashed. Ratios stand on a logarithmic axis."""
    axes = fitted_axes(figure)
    if response.null == 1.0:
        axes.set_xscale("log")
    axes.axvline(response.null, color=color("muted"), linewidth=1.0, linestyle=(0, (5, 3)))
    axes.set_ylim(len(response.effects) - 0.5, -0.5)
    axes.set_xlim(*_limits(response))
    for place, effect in enumerate(response.effects):
        _draw_effect(axes, place, effect, response)
    axes.set_yticks(range(len(response.effects)), [e.name for e in response.effects])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"{response.effect_name}\n{_marks(response)}", labelpad=2)
    heading(axes, f"effects on {response.response}", role="ink")


def _marks(response: Response) -> str:
    """``line: 93.75 % interval; ticks: 5 seeds``."""
    levels = sorted({e.level for e in response.effects if e.interval is not None})
    words = [f"line: {' and '.join(f'{100 * level:.4g}' for level in levels)} % interval"] if levels else []
    seeds = plural(response.seeds, "seed")
    return "; ".join([*words, seeds if response.effect_name == HAZARD else f"ticks: {seeds}"])


def _limits(response: Response) -> tuple[float, float]:
    """All that is bounded, with a margin; intervals that are open run out of the axes."""
    ends = list(chain.from_iterable(e.interval for e in response.effects if e.interval is not None))
    known = [response.null, *ends, *(e.effect for e in response.effects if e.effect is not None)]
    shown = np.array([v for v in known if np.isfinite(v) and (response.null == 0.0 or v > 0)])
    if response.null == 1.0:
        low, high = np.log(shown.min()), np.log(shown.max())
        edge = 0.1 * max(high - low, 0.1)
        return float(np.exp(low - edge)), float(np.exp(high + edge))
    edge = 0.1 * max(float(np.ptp(shown)), 1e-9)
    return float(shown.min()) - edge, float(shown.max()) + edge


def _draw_effect(axes: "Axes", place: int, effect: FactorEffect, response: Response) -> None:
    if effect.interval is not None:
        low, high = np.clip(effect.interval, *axes.get_xlim())
        axes.plot([low, high], [place, place], color=color("group-1"), linewidth=2.0, solid_capstyle="butt")
    if effect.effect is not None:
        axes.plot([effect.effect], [place], "o", color=color("group-1"), markersize=6)
    if response.effect_name == HAZARD:  # of single seeds there are scores only, on another scale
        return
    seeds = np.exp(effect.by_seed) if response.null == 1.0 else np.array(effect.by_seed)
    axes.plot(seeds, np.full(len(seeds), place + 0.22), "|", color=color("muted"), markersize=6)
