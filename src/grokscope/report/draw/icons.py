"""Small inline drawings: a pictogram per verdict, and a run's curve as a sparkline."""

import numpy as np
from markupsafe import Markup

from grokscope.report.draw.axis import StepAxis
from grokscope.report.read.glossary import word
from grokscope.report.read.judged_run import Reading

SPARK_WIDTH, SPARK_HEIGHT = 112, 30


def pictogram(verdict: str | None) -> Markup:
    """The typical curve of a verdict: train in gray, held-out in the verdict's color. Decoration beside the word."""
    shown = word(verdict)
    held = f'<path class="p-held" d="{shown.held}"/>' if shown.held else ""
    return Markup(
        f'<svg class="pict v-{shown.role}" viewBox="0 0 28 18" aria-hidden="true" focusable="false">'
        f'<path class="p-train" d="{shown.train}"/>{held}</svg>'
    )


def sparkline(reading: Reading, axis: StepAxis, limits: tuple[float, float]) -> Markup:
    """Train and held-out curve of one run on the hero figure's axes; empty for a run without evaluations."""
    paths = []
    for name, kind in (("train", "p-train"), (reading.split, "p-held")):
        curve = reading.curve(name)
        if curve is not None and np.isfinite(curve[1]).sum() > 1:
            paths.append(f'<path class="{kind}" d="{_path(*curve, axis, limits)}"/>')
    role = word(reading.outcome).role
    return Markup(
        f'<svg class="spark v-{role}" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" aria-hidden="true" focusable="false">'
        f"{''.join(paths)}</svg>"
    )


def _path(step: np.ndarray, y: np.ndarray, axis: StepAxis, limits: tuple[float, float]) -> str:
    step, y = axis.thin(step, y, columns=SPARK_WIDTH // 2)
    left, right = (float(axis.place(end)) for end in axis.limits)
    low, high = limits
    px = (axis.place(step) - left) / (right - left) * SPARK_WIDTH
    py = (SPARK_HEIGHT - 2) - (np.clip(y, low, high) - low) / (high - low) * (SPARK_HEIGHT - 4)
    return "M" + " ".join(f"{a:.1f} {b:.1f}" for a, b in zip(px, py, strict=True))
