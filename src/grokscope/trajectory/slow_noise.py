"""How often a flat curve drops as far as this one: slow noise creates apparent peaks and declines.

Neighboring evaluations of a run err together. A flat curve of 61 evaluations whose noise is correlated by .8 between
neighbors is called `ungrokked` in about a quarter of all runs. So that verdict carries how slow the noise is and how
often chance alone gives such a drop.

Noise model. From its lasting peak on the curve is a course, which declines somehow, plus first-order autoregressive
noise; `ar_noise` says how its correlation is estimated without mistaking the decline for it, and by how much it may be
missed.

Null. A flat curve with the same number of evaluations and this noise; statistic, the drop from the highest running
median of three to the mean of the end, over the noise's standard deviation; simulated once for each length. A short
curve of slow noise looks like one of quick noise, so `p` is not the mean over what is compatible with the curve but its
upper end: 95 % of the weight lies at noises that give a smaller one.

Measured by `benchmarks/slow_noise.py` for rho 0, .5, .8, .95; share of 200 flat curves called `ungrokked`, and so
robustly. On a log-spaced grid (three decades) the noise is correlated from evaluation to evaluation or over time; the
table has the former, and with the latter at most .005 are robust:

| grid | evaluations | noise | called | robust |
|---|---|---|---|---|
| even | 30 | .01 | .01, .09, .14, .04 | 0, 0, 0, .01 |
| even | 30 | .03 | .01, .11, .26, .37 | 0, 0, .01, .05 |
| even | 61 | .01 | .03, .10, .14, .14 | 0, 0, 0, 0 |
| even | 61 | .03 | .03, .12, .26, .40 | 0, 0, 0, .01 |
| even | 200 | .01 | .02, .03, .07, .14 | 0, 0, 0, 0 |
| even | 200 | .03 | .02, .03, .09, .20 | 0, 0, 0, 0 |
| log | 30 | .01 | .02, .07, .16, .04 | 0, 0, 0, .01 |
| log | 30 | .03 | .02, .08, .27, .33 | 0, 0, 0, .02 |
| log | 61 | .01 | .01, .09, .20, .18 | 0, 0, 0, .03 |
| log | 61 | .03 | .01, .09, .27, .34 | 0, 0, .01, .04 |
| log | 200 | .01 | .03, .09, .11, .18 | 0, 0, 0, .01 |
| log | 200 | .03 | .03, .10, .13, .25 | 0, 0, 0, .01 |

Grokked curves that hover in noise of up to .2 around a level near the threshold drop by more than half of the way, and
are called `ungrokked` in up to .42 of cases; at most .005 are robust. Of 1,440 true falls from .75 to .60 with noise
.01 (straight, exponential or sudden; 30, 61 or 200 evaluations; rho 0 to .95) all but one are robust; of slow decays by
only .05, at 61 evaluations, .88, .38, .18, .75.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from grokscope.trajectory.ar_noise import DRAWS, FEWEST, averaged, flat_drops, noise_after
from grokscope.trajectory.curves import running_median
from grokscope.trajectory.milestones import Milestones
from grokscope.trajectory.peak_bias import ROUNDING, resolution
from grokscope.trajectory.series import Trajectory
from grokscope.vocabulary.text import p_equation, percent

LIKELY = 0.05
"""A drop that a flat curve makes more often than this can be luck."""


@dataclass(frozen=True, kw_only=True)
class DropLuck:
    """What chance does to the drop of one curve."""

    evaluations: int
    """On which it was judged: neighbors are averaged in a long curve."""
    drop: float
    """From the highest running median of three to the mean of the end."""
    sigma: float | None = None
    """Standard deviation of the noise between evaluations."""
    rho: float | None = None
    """Its correlation between neighbors."""
    rho_high: float | None = None
    """The slowest noise compatible with the curve: 95 % of the weight lies at a smaller correlation."""
    p: float | None = None
    """Share of flat curves that drop as far, at the upper end of what the curve is compatible with; None with fewer
    than `FEWEST` evaluations."""

    @property
    def likely(self) -> bool:
        """A flat curve does this too often to rule it out, or one cannot tell."""
        return self.p is None or self.p > LIKELY

    @property
    def doubt(self) -> tuple[str, ...]:
        """What makes a verdict that rests on this drop fragile, if anything does."""
        if self.p is None:
            return (self.words,)
        if self.likely:
            return (f"slow noise can make such a drop ({p_equation(self.p)})",)
        return ()

    @property
    def words(self) -> str:
        """The clause of a verdict's sentence."""
        if self.p is None:
            return f"{self.evaluations:,} evaluations are too few to tell it from slow noise"
        bound = "at most " if self.p <= 1 / (1 + DRAWS) else "up to "
        return (
            f"flat noise as slow (correlation {self.rho:.2g} between evaluations, at most {self.rho_high:.2g}) "
            f"drops as far in {bound}{percent(self.p, 1)} of runs"
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def drop_luck(values: np.ndarray, end_rows: int, n: int | None = None) -> DropLuck:
    """The luck in the drop of a curve (t,) of finite scores from n examples, whose end is the mean of `end_rows`.

    Rows at the end that only repeat the last value say nothing of the noise. Misleads where the noise changes along the
    curve. Time is counted in evaluations, on any grid (see `grokscope.trajectory.ar_noise`).
    """
    curve = averaged(values)
    t = len(curve)
    rows = max(round(end_rows / len(values) * t), 1)
    smooth = running_median(curve)
    top = int(np.argmax(smooth))
    drop = float(smooth[top] - curve[-rows:].mean())
    if t < FEWEST:
        return DropLuck(evaluations=t, drop=drop)
    rounding = ROUNDING * resolution(values, n) * np.sqrt(t / len(values))
    noise = noise_after(curve, smooth, top, drop, float(rounding))
    rho, rho_high = noise.rho
    return DropLuck(
        evaluations=t,
        drop=drop,
        sigma=float((noise.weight * noise.sigma).sum()),
        rho=rho,
        rho_high=rho_high,
        p=noise.p(drop, flat_drops(t, rows)),
    )


def drop_luck_of(trajectory: Trajectory, split: str, marks: Milestones) -> DropLuck:
    """The luck in the drop of one held-out split."""
    return drop_luck(trajectory.curve(split).value, marks.end_rows, trajectory.n.get(split))
