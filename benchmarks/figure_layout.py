"""What matplotlib's constrained layout costs beside margins that are given: milliseconds per figure, and whether panels
that are read against each other keep equal frames.

python benchmarks/figure_layout.py            # writes benchmarks/results/figure_layout.json with --save
"""

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from common import write_result

from grokscope.figures.axes import axes_rows, fitted_axes, heading, margin_labels, ruled
from grokscope.figures.canvas import drawn, to_svg
from grokscope.report.draw.axis import step_axis

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

SIZE = 358.0, 190.0
TIMES = 40
STEPS = np.unique(np.geomspace(1, 10_000, 200).round())
LABELS = {"short": "a", "long": "threshold 0.95"}


def panel(place: "Callable[[FigureBase], object]", label: str) -> "Callable[[FigureBase], None]":
    """A panel of the usual kind: four curves on a step axis, a heading, and a label in the right margin."""
    axis = step_axis("log", [STEPS])

    def draw(figure: "FigureBase") -> None:
        axes = place(figure)
        for i in range(4):
            axes.plot(STEPS, np.tanh(STEPS / 10 ** (i + 1)))  # pyright: ignore[reportAttributeAccessIssue]
        ruled(axes)  # pyright: ignore[reportArgumentType]
        axis.dress(axes)  # pyright: ignore[reportArgumentType]
        axes.set_xlabel(axis.label)  # pyright: ignore[reportAttributeAccessIssue]
        heading(axes, "accuracy, median of 3 runs")  # pyright: ignore[reportArgumentType]
        margin_labels(axes, [(0.95, label, "muted")])  # pyright: ignore[reportArgumentType]

    return draw


def given(figure: "FigureBase") -> object:
    return axes_rows(figure, [128.0], left=46, right=88, top=22)[0]


KINDS: dict[str, Callable[..., object]] = {"given margins": given, "constrained layout": fitted_axes}


def milliseconds(draw: Callable[..., None]) -> float:
    """Median CPU time of one SVG of the page, the first left out."""
    spent = []
    for _ in range(TIMES + 1):
        begin = time.process_time()
        to_svg(draw, *SIZE, "k")
        spent.append(1000 * (time.process_time() - begin))
    return median(spent[1:])


def width(draw: Callable[..., None]) -> float:
    """Of the axes once the figure is written, in points."""
    figure = drawn(draw, *SIZE)
    figure.canvas.draw()
    return 72 * figure.axes[0].get_window_extent().width / figure.dpi


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--save", action="store_true")
    out: dict[str, dict[str, float]] = {}
    save = parser.parse_args().save
    for name, place in KINDS.items():
        widths = {
            f"width of the axes, {kind} label": round(width(panel(place, label)), 1) for kind, label in LABELS.items()
        }
        out[name] = {"ms per figure": round(milliseconds(panel(place, LABELS["long"])), 1), **widths}
        print(f"{name}: {out[name]}")
    if save:
        write_result("figure_layout", out)


if __name__ == "__main__":
    main()
