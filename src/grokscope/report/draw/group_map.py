"""Many groups at a glance: one row per group, colour for the median held-out score over steps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from grokscope.report.draw.axis import StepAxis, heading, place_axes
from grokscope.report.draw.style import colour
from grokscope.report.read.glossary import word
from grokscope.vocabulary.text import brief

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from grokscope.report.read.curves import Panel

LEFT, RIGHT, TOP, BOTTOM, WIDTH, COLUMNS = 150.0, 70.0, 24.0, 62.0, 640.0, 160


def overview_size(panels: Sequence["Panel"]) -> tuple[float, float]:
    return WIDTH, TOP + BOTTOM + _row(panels) * len(panels)


def _row(panels: Sequence["Panel"]) -> float:
    return 15.0 if len(panels) <= 60 else max(2.0, 900 / len(panels))


def overview_values(panels: Sequence["Panel"], axis: StepAxis) -> np.ndarray:
    """(groups, COLUMNS) median score at equally spaced places of the axis; NaN outside a group's own steps."""
    left, right = axis.limits
    places = np.linspace(left, right, COLUMNS)
    out = np.full((len(panels), COLUMNS), np.nan)
    for i, panel in enumerate(panels):
        band = panel.bands.get(panel.splits[0])
        if band is not None:
            out[i] = np.interp(places, axis.place(band.step), band.median, left=np.nan, right=np.nan)
    return out


def draw_overview(figure: "Figure", panels: Sequence["Panel"], axis: StepAxis) -> None:
    """Rows in the groups' order, with the share of seeds that generalized at the right."""
    values = overview_values(panels, axis)
    axes = place_axes(figure, LEFT, TOP, WIDTH - LEFT - RIGHT, _row(panels) * len(panels))
    low = min(0.0, float(np.nanmin(values, initial=0.0)))
    mesh = axes.pcolormesh(
        np.linspace(*axis.limits, COLUMNS + 1), np.arange(len(panels) + 1), np.ma.masked_invalid(values),
        cmap="cividis", vmin=max(low, -1.0), vmax=1.0, rasterized=True, shading="flat",
    )  # fmt: skip
    axes.set_ylim(len(panels), 0)
    small = _row(panels) >= 9
    axes.set_yticks(np.arange(len(panels)) + 0.5, [brief(p.group, 24) if small else "" for p in panels], fontsize=8.5)
    for i, panel in enumerate(panels if small else []):
        found = [r.gen for r in panel.readings if r.gen is not None]
        reached = sum(not m.censored for m in found)
        role = word(_most([r.outcome for r in panel.readings])).role
        axes.annotate(
            f"{reached} of {len(panel.readings)}", (1, i + 0.5), xycoords=axes.get_yaxis_transform(), xytext=(6, 0),
            textcoords="offset points", fontsize=8.5, va="center", color=colour(role), annotation_clip=False,
        )  # fmt: skip
    axis.dress(axes)
    axes.set_xlabel(axis.label)
    heading(axes, "median held-out score by group; at the right, runs that reached the threshold", role="ink", size=9.5)
    _scale(figure, mesh)


def _scale(figure: "Figure", mesh: object) -> None:
    height = 72 * float(figure.get_size_inches()[1])
    axes = place_axes(figure, WIDTH - RIGHT - 130, height - 20, 130, 7)
    bar = figure.colorbar(mesh, cax=axes, orientation="horizontal")  # pyright: ignore[reportArgumentType]
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7.5, length=0, pad=1)


def _most(outcomes: Sequence[str]) -> str:
    return max(dict.fromkeys(outcomes), key=list(outcomes).count)
