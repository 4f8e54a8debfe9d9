"""How often a flat curve drops as far as this one: slow noise makes peaks and declines where nothing happens.

Neighbouring evaluations of a run err together. A flat curve of 61 evaluations whose noise is correlated by .8 between
neighbours is called `ungrokked` in about a quarter of all runs. So that verdict carries how slow the noise is and how
often chance alone gives such a drop.

Noise model. From its lasting peak on the curve is a course, which declines somehow, plus first-order autoregressive
noise of correlation rho. The course is a straight line plus one of a family of shapes: a parabola, exponential decays,
kinks, a step at any evaluation. Each rho and shape gets its restricted likelihood (Patterson & Thompson 1971,
doi:10.1093/biomet/58.3.545), in which the curve's own mean and course cost no bias: the correlation of residuals would
be too small by about (1 + 4 rho) / t and by all that the course has swallowed. Weights are those likelihoods, with all
rho and all kinds of shape alike beforehand.

Null. A flat curve with the same number of evaluations and this noise; statistic, the drop from the highest running
median of three to the mean of the end, over the noise's standard deviation; simulated once for each length. A short
curve of slow noise looks like one of quick noise, so `p` is not the mean over what is compatible with the curve but its
upper end: 95 % of the weight lies at noises that give a smaller one.

Measured by `benchmarks/slow_noise.py`; flat curves called `ungrokked`, and robustly so:

TABLE
"""

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from grokscope.trajectory.curves import moving, running_median
from grokscope.trajectory.milestones import Milestones
from grokscope.trajectory.peak_bias import ROUNDING, resolution
from grokscope.trajectory.series import Trajectory

FEWEST = 12
"""Evaluations below which roughness, correlation and a decline cannot be told apart."""
MOST = 100
"""Evaluations kept, by averaging neighbours; more would show the same noise at a finer grain."""
LEAST_AFTER = 15
"""Evaluations at the end that are looked at however late the peak is (and at least half of the curve)."""
KEPT_AT_REST = 3
"""Rows kept of an end that only repeats the last value: enough to see that the curve stepped down to it."""
COMPATIBLE = 0.95
"""Share of the weight that lies at noises with a smaller p."""
LIKELY = 0.05
"""A drop that a flat curve makes more often than this can be luck."""
DRAWS = 999
RHO = np.r_[np.arange(18) * 0.05, 0.9, 0.925, 0.95, 0.97, 0.985]


@dataclass(frozen=True, kw_only=True)
class DropLuck:
    """What chance does to the drop of one curve."""

    evaluations: int
    """On which it was judged: neighbours are averaged in a long curve."""
    drop: float
    """From the highest running median of three to the mean of the end."""
    sigma: float | None = None
    """Standard deviation of the noise between evaluations."""
    rho: float | None = None
    """Its correlation between neighbours."""
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
    def words(self) -> str:
        """The clause of a verdict's sentence."""
        if self.p is None:
            return f"{self.evaluations} evaluations are too few to tell it from slow noise"
        bound = "at most " if self.p <= 1 / (1 + DRAWS) else "up to "
        return (
            f"flat noise as slow (correlation {self.rho:.2g} between evaluations, at most {self.rho_high:.2g}) "
            f"drops as far in {bound}{self.p:.1%} of runs"
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def drop_luck(values: np.ndarray, end_rows: int, n: int | None = None) -> DropLuck:
    """The luck in the drop of a curve (t,) of finite scores from n examples, whose end is the mean of `end_rows`.

    Rows at the end that only repeat the last value say nothing of the noise. Misleads where the noise changes along the curve, and
    on a log-spaced grid, on which late evaluations are less alike than early ones.
    """
    curve = _averaged(values)
    t = len(curve)
    rows = max(round(end_rows / len(values) * t), 1)
    smooth = running_median(curve)
    top = int(np.argmax(smooth))
    drop = float(smooth[top] - curve[-rows:].mean())
    if t < FEWEST:
        return DropLuck(evaluations=t, drop=drop)
    since = max(min(top, t - max(LEAST_AFTER, t // 2)), 0)
    until = max(len(moving(curve)) + KEPT_AT_REST, since + FEWEST)
    weight, sigma = compatible(curve[since:until], ROUNDING * resolution(values, n) * np.sqrt(t / len(values)))
    null = flat_drops(t, rows)
    exceeding = [DRAWS - np.searchsorted(null[i], drop / sigma[i]) for i in range(len(RHO))]
    p = (1 + np.array(exceeding)) / (1 + DRAWS)
    by_rho = weight.sum(axis=1)
    return DropLuck(
        evaluations=t,
        drop=drop,
        sigma=float((weight * sigma).sum()),
        rho=float(_quantile(RHO, by_rho, 0.5)),
        rho_high=float(_quantile(RHO, by_rho, COMPATIBLE)),
        p=float(_quantile(p.ravel(), weight.ravel(), COMPATIBLE)),
    )


def drop_luck_of(trajectory: Trajectory, split: str, found: Milestones) -> DropLuck:
    """The luck in the drop of one held-out split."""
    return drop_luck(trajectory.curve(split).value, found.end_rows, trajectory.n.get(split))


def compatible(values: np.ndarray, rounding: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(weight, sigma), each (rho, shape): how well each correlation and shape of the course fits a curve (t,), and the
    noise's standard deviation then, at least that of rounding."""
    t = len(values)
    line, shapes, prior = _courses(t)
    base, logdet = _whitened_line(line)
    bent, curve = _whitened(shapes), _whitened(values[:, None])
    bent = bent - base @ (base.transpose(0, 2, 1) @ bent)
    curve = curve - base @ (base.transpose(0, 2, 1) @ curve)
    size = (bent**2).sum(axis=1)
    explained = (bent.transpose(0, 2, 1) @ curve)[..., 0] ** 2 / size
    free = t - 3
    left = np.maximum((curve**2).sum(axis=1) - explained, 0.0) / free
    stationary = (1 - RHO**2)[:, None]
    innovation = np.maximum(left, max(rounding**2, 1e-24) * stationary)
    likelihood = -0.5 * (free * np.log(innovation) + logdet[:, None] + np.log(size) - np.log(stationary))
    weight = np.exp(likelihood - likelihood.max()) * prior * np.gradient(RHO)[:, None]
    return weight / weight.sum(), np.sqrt(innovation / stationary)


def _courses(t: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(line, shapes, prior): an orthonormal basis (t, 2) of straight lines, what each shape adds to them (t, s), of
    size 1, and how likely each is beforehand (s,): half for smooth ones, half for steps."""
    x = np.arange(t) / (t - 1)
    decays, kinks = [np.exp(-rate * x) for rate in (5, 10, 20, 40)], [np.maximum(x - k, 0) for k in (0.25, 0.5, 0.75)]
    smooth = [x**2, *decays, *kinks]
    places = np.arange(2, t - 1)
    shapes = np.stack([*smooth, *((np.arange(t) >= k).astype(float) for k in places)], axis=1)
    line = np.linalg.qr(np.stack([np.ones(t), x], axis=1))[0]
    shapes = shapes - line @ (line.T @ shapes)
    prior = np.r_[np.full(len(smooth), 0.5 / len(smooth)), np.full(len(places), 0.5 / len(places))]
    return line, shapes / np.linalg.norm(shapes, axis=0), prior


def _whitened(columns: np.ndarray) -> np.ndarray:
    """Columns (t, k) in which noise of each rho is white: (rho, t, k)."""
    rho = RHO[:, None, None]
    return np.concatenate([np.sqrt(1 - rho**2) * columns[:1], columns[1:] - rho * columns[:-1]], axis=1)


def _whitened_line(line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal basis (rho, t, 2) of the whitened lines, and the log determinant (rho,) of their squares."""
    base, triangle = np.linalg.qr(_whitened(line))
    return base, 2 * np.log(np.abs(np.diagonal(triangle, axis1=1, axis2=2))).sum(axis=1)


@lru_cache(maxsize=256)
def flat_drops(t: int, rows: int) -> np.ndarray:
    """Sorted drops (rho, draws) of flat curves of t evaluations with noise of variance 1, from the highest running
    median of three to the mean of the last `rows`."""
    white = np.random.default_rng(t).standard_normal((DRAWS, t))
    out = np.empty((len(RHO), DRAWS))
    for i, rho in enumerate(RHO):
        curve = white.copy()
        for k in range(1, t):
            curve[:, k] = rho * curve[:, k - 1] + np.sqrt(1 - rho**2) * white[:, k]
        a, b, c = curve[:, :-2], curve[:, 1:-1], curve[:, 2:]
        middle = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
        out[i] = np.sort(middle.max(axis=1) - curve[:, -rows:].mean(axis=1))
    return out


def _averaged(values: np.ndarray) -> np.ndarray:
    """At most `MOST` values, each the mean of as many neighbours; the odd ones at the begin are left out."""
    block = -(-len(values) // MOST)
    return values[len(values) % block :].reshape(-1, block).mean(axis=1)


def _quantile(values: np.ndarray, weight: np.ndarray, share: float) -> float:
    """The smallest value at or below which lies this share of the weight."""
    order = np.argsort(values)
    reached = np.searchsorted(np.cumsum(weight[order]), share)
    return values[order][min(int(reached), len(order) - 1)]
