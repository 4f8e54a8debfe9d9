"""Maps of probe accuracy by layer and checkpoint, one for the environment and one for the task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from grokscope.figures.axes import margin_labels
from grokscope.figures.checkpoint_view import CheckpointView, finite, median
from grokscope.figures.dissection_panels import TARGETS, panel_axes, short_site
from grokscope.figures.style import SMALL, color
from grokscope.results.probes import Target

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

Along = Mapping[str, Sequence[CheckpointView]]
"""Run -> its dissected checkpoints, as `Found.along`."""
MOST_NUMBERS = 7
"""Checkpoints up to which each cell also says its number."""


@dataclass(frozen=True)
class LayerMap:
    """Balanced held-out accuracy (sites, steps) of the probes for one target, NaN where no probe could be judged."""

    target: Target
    sites: list[str]
    steps: list[int]
    values: np.ndarray
    chance: float | None


def layer_map(along: Along, target: Target) -> LayerMap:
    """The median over runs at each site and checkpoint."""
    every = [d for d in chain.from_iterable(along.values()) if d.step is not None]
    sites = list(dict.fromkeys(chain.from_iterable(d.sites for d in every)))
    steps = sorted({d.step for d in every if d.step is not None})
    values = np.full((len(sites), len(steps)), np.nan)
    chance: float | None = None
    for i, site in enumerate(sites):
        for j, step in enumerate(steps):
            scores = [s for d in every if d.step == step and (s := d.score(site, target)) is not None]
            values[i, j] = median(s.balanced for s in scores)
            chance = next(iter(finite([chance, *(s.chance for s in scores)])), None)
    return LayerMap(target, sites, steps, values, chance)


def layers_in_words(along: Along) -> list[str]:
    """Per target, in words: chance, and where and when the probe reads most."""
    words = []
    for target, _, _ in TARGETS:
        layers = layer_map(along, target)
        if not np.isfinite(layers.values).any() or layers.chance is None:
            words.append(f"{target}: not known")
            continue
        i, j = np.unravel_index(int(np.nanargmax(layers.values)), layers.values.shape)
        most = f"most at {layers.sites[i]}, step {layers.steps[j]:,} ({layers.values[i, j]:.2f})"
        words.append(f"{target}: {most}, chance {layers.chance:.2f}")
    return words


def draw_layers(figure: "FigureBase", along: Along) -> None:
    maps = [layer_map(along, target) for target, _, _ in TARGETS]
    chances = ["chance not known" if m.chance is None else f"chance {m.chance:.2f}" for m in maps]
    titles = [f"probe for the {m.target}; {chance}" for m, chance in zip(maps, chances, strict=True)]
    rows = panel_axes(figure, titles)
    for axes, layers, (_, role, _) in zip(rows, maps, TARGETS, strict=True):
        axes.grid(False)
        _cells(axes, layers, role)
        _scale(axes, layers, role)
    rows[-1].set_xlabel("step", labelpad=2)


def _cells(axes: "Axes", layers: LayerMap, role: str) -> None:
    from matplotlib.patches import Rectangle

    floor = layers.chance or 0.0
    for i, row in enumerate(layers.values):
        for j, value in enumerate(row):
            if np.isnan(value):
                axes.plot([j - 0.2, j + 0.2], [i, i], color=color("muted"), linewidth=0.9)
                continue
            share = float(np.clip((value - floor) / max(1 - floor, 1e-9), 0, 1))
            axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=color(role), alpha=0.85 * share, linewidth=0))
            if len(layers.steps) <= MOST_NUMBERS:
                axes.annotate(f"{value:.2f}", (j, i), ha="center", va="center", fontsize=9, color=color("ink"))
    axes.set_xlim(-0.5, len(layers.steps) - 0.5)
    axes.set_ylim(len(layers.sites) - 0.5, -0.5)
    axes.set_yticks(range(len(layers.sites)), [short_site(s) for s in layers.sites], fontsize=SMALL)
    shown = np.unique(np.linspace(0, len(layers.steps) - 1, min(4, len(layers.steps))).round().astype(int))
    axes.set_xticks(shown, [f"{layers.steps[j]:,}" for j in shown], fontsize=SMALL)


def _scale(axes: "Axes", layers: LayerMap, role: str) -> None:
    """The range that was seen, at the margin."""
    known = layers.values[np.isfinite(layers.values)]
    if known.size:
        middle = (len(layers.sites) - 1) / 2
        margin_labels(axes, [(middle, f"{known.min():.2f} to {known.max():.2f}", role)])
