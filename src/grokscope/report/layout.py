"""Lay out blocks on the page: each figure is drawn by the same call as in `grokscope.report.figure_files`."""

import json
from typing import Any

import numpy as np
from markupsafe import Markup

from grokscope.figures.canvas import plain, to_svg
from grokscope.figures.keys import inline_svg
from grokscope.figures.style import NARROW
from grokscope.report.draw.axis import Scale
from grokscope.report.sections.blocks import Block, Fold, Hover, Panel, Plots, Section

HOVERED = 150
"""Columns of a panel for which a pointer finds values of their own."""


def laid_out(section: Section) -> dict[str, Any]:
    """The section as the template reads it."""
    blocks = [_block(section.key, block) for block in section.blocks]
    return {"key": section.key, "nav": section.nav, "title": section.title, "blocks": blocks}


def _block(front: str, block: Block) -> dict[str, Any]:
    out: dict[str, Any] = {"kind": type(block).__name__.lower(), "it": block}
    if isinstance(block, Plots):
        out["key"] = [(inline_svg(entry), entry.words) for entry in block.key]
        out["panels"] = [_shown(f"{front}-{block.slug}{i}", panel) for i, panel in enumerate(block.panels)]
    elif isinstance(block, Fold):
        out["blocks"] = [_block(front, inner) for inner in block.blocks]
    return out


def _shown(key: str, panel: Panel) -> dict[str, Any]:
    """A panel with its drawing on the log step axis, and on the linear one where it has one. One that is wider than a
    phone's screen keeps the width at which its text can be read, and scrolls inside its box."""

    def svg(scale: Scale) -> Markup:
        return Markup(to_svg(lambda f: panel.draw(f, scale), *panel.size, f"{key}-{scale[:3]}", panel.titles))

    width = panel.size[0]
    return {
        "it": panel, "log": svg("log"), "linear": svg("linear") if panel.steps else "",
        "least": round(width) if width > NARROW else 0,
        "hover": "" if panel.hover is None else _hover_data(panel.hover, panel.size[0]),
    }  # fmt: skip


def _hover_data(hover: Hover, width: float) -> str:
    """What the page's script needs to find a step under the pointer, and the values there, as JSON.

    Each point that is drawn stands at its share of the width on both axes, so the script knows nothing of scales.
    """
    axes = [hover.axis(scale) for scale in ("log", "linear")]
    curves = []
    for name, (steps, values) in hover.curves.items():
        at, value = axes[0].thin(np.asarray(steps, float), np.asarray(values, float), HOVERED)
        places = []
        for axis in axes:
            low, high = axis.place(np.array(axis.limits))
            share = (axis.place(at) - low) / (high - low)
            places.append([round(float(x), 4) for x in (hover.left + share * (hover.right - hover.left)) / width])
        curves.append([plain(name), _digits(at), _digits(value), *places])
    return json.dumps({"unit": axes[0].unit, "curves": curves}, separators=(",", ":"))


def _digits(values: np.ndarray) -> list[float]:
    """Four digits: more than a reader takes from a figure, and as many as tables show."""
    return [float(f"{v:.4g}") if abs(v) < 1e4 else float(v) for v in values]
