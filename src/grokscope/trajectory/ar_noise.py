"""First-order autoregressive noise on a curve with an unknown course: how slow it is, and what it does by chance.

A course is a straight line plus one of a family of shapes: a parabola, exponential decays, kinks, a step at any
evaluation. Each correlation rho and shape gets its restricted likelihood (Patterson & Thompson 1971,
doi:10.1093/biomet/58.3.545), in which the curve's own mean and course cost no bias: the correlation of residuals would
be too small by about (1 + 4 rho) / t and by all that the course has swallowed. Weights are those likelihoods, with all
rho and all kinds of shape alike beforehand.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from grokscope.trajectory.curves import moving

FEWEST = 12
"""Evaluations below which roughness, correlation and a decline cannot be told apart."""
MOST = 100
"""Evaluations kept, by averaging neighbours; more would show the same noise at a finer grain."""
LEAST_AFTER = 30
"""Evaluations at the end that are looked at however late the peak is (and at least half of the curve), but none from
before the curve was first half-way from its end to its peak."""
KEPT_AT_REST = 3
"""Rows kept of an end that only repeats the last value: enough to see that the curve stepped down to it."""
COMPATIBLE = 0.95
"""Share of the weight that lies at noises with a smaller p."""
DRAWS = 999
RHO = np.r_[np.arange(18) * 0.05, 0.9, 0.925, 0.95, 0.97, 0.985]


@dataclass(frozen=True)
class Compatible:
    """Noises that a curve is compatible with, (rho, shape) each."""

    weight: np.ndarray
    sigma: np.ndarray
    """Standard deviation of the noise."""

    @property
    def rho(self) -> tuple[float, float]:
        """The median correlation, and the upper end of what is compatible."""
        by_rho = self.weight.sum(axis=1)
        return quantile(RHO, by_rho, 0.5), quantile(RHO, by_rho, COMPATIBLE)

    def p(self, drop: float, null: np.ndarray) -> float:
        """Share of flat curves that drop as far, (1 + #) / (1 + draws), at the upper end of what is compatible; `null`
        as of `flat_drops`."""
        exceeding = [DRAWS - np.searchsorted(null[i], drop / self.sigma[i]) for i in range(len(RHO))]
        p = (1 + np.array(exceeding)) / (1 + DRAWS)
        return quantile(p.ravel(), self.weight.ravel(), COMPATIBLE)


def noise_after(curve: np.ndarray, smooth: np.ndarray, top: int, drop: float, rounding: float) -> Compatible:
    """The noise of a curve (t,), with its running median (t,), whose peak is in row `top` and lies this far above its
    end: judged from the peak on."""
    t = len(curve)
    risen = int(np.argmax(smooth >= smooth[top] - drop / 2))
    since = max(min(top, t - max(LEAST_AFTER, t // 2)), min(risen, t - FEWEST))
    until = max(len(moving(curve)) + KEPT_AT_REST, since + FEWEST)
    return compatible(curve[since:until], rounding)


def compatible(values: np.ndarray, rounding: float = 0.0) -> Compatible:
    """How well each correlation and shape of the course fits a curve (t,), and the noise's standard deviation then, at
    least that of rounding."""
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
    return Compatible(weight / weight.sum(), np.sqrt(innovation / stationary))


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
def flat_drops(t: int, rows: int, *, lasting: bool = True) -> np.ndarray:
    """Sorted drops (rho, draws) of flat curves of t evaluations with noise of variance 1: from the highest running
    median of three, or from the highest single value before them, to the mean of the last `rows`."""
    white = np.random.default_rng(t).standard_normal((DRAWS, t))
    out = np.empty((len(RHO), DRAWS))
    for i, rho in enumerate(RHO):
        curve = white.copy()
        for k in range(1, t):
            curve[:, k] = rho * curve[:, k - 1] + np.sqrt(1 - rho**2) * white[:, k]
        top = _medians(curve) if lasting else curve[:, :-rows]
        out[i] = np.sort(top.max(axis=1) - curve[:, -rows:].mean(axis=1))
    return out


def _medians(curves: np.ndarray) -> np.ndarray:
    """Running medians of three (m, t) -> (m, t - 2)."""
    a, b, c = curves[:, :-2], curves[:, 1:-1], curves[:, 2:]
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def averaged(values: np.ndarray) -> np.ndarray:
    """At most `MOST` values, each the mean of as many neighbours; the odd ones at the begin are left out."""
    block = -(-len(values) // MOST)
    return values[len(values) % block :].reshape(-1, block).mean(axis=1)


def quantile(values: np.ndarray, weight: np.ndarray, share: float) -> float:
    """The smallest value at or below which lies this share of the weight."""
    order = np.argsort(values)
    reached = np.searchsorted(np.cumsum(weight[order]), share)
    return float(values[order][min(int(reached), len(order) - 1)])
