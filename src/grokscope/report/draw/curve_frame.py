"""The frame shared by all panels of learning curves: sizes, and common limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from grokscope.report.draw.axis import StepAxis
from grokscope.report.read.bands import Band
from grokscope.report.read.curves import Panel
from grokscope.report.read.judged_run import Reading

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 358.0, 38.0, 88.0, 22.0, 40.0
SCORE, NORM, GAP = 166.0, 74.0, 27.0
COMPACT = (172.0, 112.0)
MANY_SEEDS = 12
"""Above this many runs in a group thin lines are left out; median and band stay."""
LOWEST_R2 = -2.5
"""An untrained network's R2 can be anything below 0; lower values leave the panel at its edge."""


@dataclass(frozen=True)
class Frame:
    """What all panels share, so that they can be compared by eye."""

    axis: StepAxis
    score: tuple[float, float]
    norm: tuple[float, float] | None
    kind: str
    rows: int
    """Seeds of the largest group: strips are equally high everywhere."""

    @property
    def strip(self) -> float:
        return max(22.0, min(14.0 * self.rows, 120.0))

    @property
    def height(self) -> float:
        return TOP + SCORE + GAP + self.strip + (GAP + NORM if self.norm else 0) + BOTTOM


def make_frame(panels: Sequence[Panel], axis: StepAxis) -> Frame:
    readings = [r for r in chain.from_iterable(p.readings for p in panels) if r.subject.brief is not None]
    kind = readings[0].kind if readings else "classification"
    scores = [p.lowest for p in panels if p.lowest is not None]
    norms = [band for p in panels for k in ("norm_total", *p.norms) if (band := p.bands.get(k)) is not None]
    limits = _norm_limits(norms) if norms else None
    return Frame(
        axis, _score_limits(scores, readings, kind), limits, kind, max((len(p.readings) for p in panels), default=1)
    )


def _score_limits(scores: list[float], readings: list[Reading], kind: str) -> tuple[float, float]:
    """From 0 for accuracy, unless everything (chance level included) happens in the upper half; R2 is cut at
    LOWEST_R2."""
    lowest = min([*scores, *(r.trivial for r in readings if r.trivial is not None)], default=0.0)
    if kind == "regression":
        return max(LOWEST_R2, min(0.0, lowest) - 0.1), 1.03
    return (0.0 if lowest < 0.35 else np.floor(lowest * 10 - 0.5) / 10), 1.03


def _norm_limits(bands: list[Band]) -> tuple[float, float]:
    low, high = min(b.low[b.low > 0].min() for b in bands if (b.low > 0).any()), max(b.high.max() for b in bands)
    spare = max(1.15, (4 / (high / low)) ** 0.5)  # at least a factor of four, so that a constant looks constant
    return float(low / spare), float(high * spare)
