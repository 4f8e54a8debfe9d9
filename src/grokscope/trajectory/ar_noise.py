"""First-order autoregressive noise on a curve with an unknown trend: its correlation, and the drops it produces by
chance.

A course is a straight line plus one of a family of shapes: a parabola, exponential decays, kinks, a fall within one to
sixteen evaluations anywhere. Each correlation rho and shape gets its restricted likelihood (Patterson & Thompson 1971,
doi:10.1093/biomet/58.3.545), in which the curve's own mean and course cost no bias: the correlation of residuals would
be too small by about (1 + 4 rho) / t and by all that the course has swallowed. Weights are those likelihoods, with
all kinds of shape alike beforehand and `prior_of_rho` for rho.

Time is counted in evaluations, on any grid: what correlates neighbors is not known, and a course that is quick on a
log-spaced grid is a fall within a few of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from grokscope.trajectory.curves import moving

FEWEST = 12
"""Evaluations below which roughness, correlation and a decline cannot be told apart."""
MOST = 100
"""Evaluations kept, by averaging neighbors; more would show the same noise at a finer grain."""
LEAST_AFTER = 30
"""Evaluations at the end that are looked at however late the peak is (and at least half of the curve), but none from
before the curve was first at its peak, up to `RISEN` of the drop: the rise is no part of a decay, and what of it is
left in would pass for slow noise."""
RISEN = 1 / 8
WIDTHS = (1, 2, 4, 8, 16)
"""Evaluations that a sudden fall takes. Those of a log-spaced grid are spread over more of them than an even one's."""
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
        # Each noise has its own flat curves; they have variance 1, so the drop is measured in this noise's units.
        exceeding = [DRAWS - np.searchsorted(null[i], drop / self.sigma[i]) for i in range(len(RHO))]
        p = (1 + np.array(exceeding)) / (1 + DRAWS)
        return quantile(p.ravel(), self.weight.ravel(), COMPATIBLE)


def noise_after(curve: np.ndarray, smooth: np.ndarray, top: int, drop: float, rounding: float) -> Compatible:
    """The noise of a curve (t,), with its running median (t,), whose peak is in row `top` and lies this far above its
    end: judged from the peak on."""
    t = len(curve)
    risen = int(np.argmax(smooth >= smooth[top] - RISEN * drop))
    # From the peak on, or earlier where too few evaluations follow it; but never from before the rise was over, which
    # would pass for slow noise.
    since = max(min(top, t - max(LEAST_AFTER, t // 2)), min(risen, t - FEWEST))
    until = max(len(moving(curve)) + KEPT_AT_REST, since + FEWEST)
    return compatible(curve[since:until], rounding)


def compatible(values: np.ndarray, rounding: float = 0.0) -> Compatible:
    """How well each correlation and shape of the course fits a curve (t,), and the noise's standard deviation then, at
    least that of rounding."""
    # Generalized least squares for every correlation at once. A shape is fitted by what it adds to the straight line
    # alone, so that all shapes share one small system of equations.
    line, shapes, prior = _courses(len(values))
    curve = (values - values.mean())[:, None]
    lines = _products(line, line)
    shape_on_line, curve_on_line = np.linalg.solve(lines, _products(line, shapes)), _products(line, curve)
    beside_line = _products(shapes, curve) - shape_on_line.transpose(0, 2, 1) @ curve_on_line
    size = _squares(shapes) - (shape_on_line * _products(line, shapes)).sum(axis=1)
    rest = _squares(curve) - (curve_on_line * np.linalg.solve(lines, curve_on_line)).sum(axis=1)
    free = len(values) - 3
    left = np.maximum(rest - beside_line[..., 0] ** 2 / size, 0.0) / free
    stationary = (1 - RHO**2)[:, None]
    # A score that moves in steps hides noise below them; without a floor a curve at rest would be sure of everything.
    innovation = np.maximum(left, max(rounding**2, 1e-24) * stationary)
    logdet = np.linalg.slogdet(lines)[1][:, None]
    # The restricted likelihood: coefficients are integrated out, which pays for a shape that fits the noise.
    likelihood = -0.5 * (free * np.log(innovation) + logdet + np.log(size) - np.log(stationary))
    weight = np.exp(likelihood - likelihood.max()) * prior * prior_of_rho()[:, None]
    return Compatible(weight / weight.sum(), np.sqrt(innovation / stationary))


def prior_of_rho() -> np.ndarray:
    """Jeffreys' prior of a stationary first-order autoregression, 1 / sqrt(1 - rho^2), on the grid: what is slow is
    given more room than by an even one, under which few evaluations hardly ever say that noise is slow."""
    weight = np.gradient(RHO) / np.sqrt(1 - RHO**2)
    return weight / weight.sum()


@lru_cache(maxsize=64)
def _courses(t: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(line, shapes, prior): an orthonormal basis (t, 2) of straight lines, what each shape adds to them (t, s), of
    size 1, and how likely each is beforehand (s,): half for smooth ones, half for sudden ones."""
    x = np.arange(t) / (t - 1)
    decays, kinks = [np.exp(-rate * x) for rate in (5, 10, 20, 40)], [np.maximum(x - k, 0) for k in (0.25, 0.5, 0.75)]
    smooth, sudden = [x**2, *decays, *kinks], list(_falls(t))
    shapes = np.stack([*smooth, *sudden], axis=1)
    line = np.linalg.qr(np.stack([np.ones(t), x], axis=1))[0]
    shapes = shapes - line @ (line.T @ shapes)
    prior = np.r_[np.full(len(smooth), 0.5 / len(smooth)), np.full(len(sudden), 0.5 / len(sudden))]
    return line, shapes / np.linalg.norm(shapes, axis=0), prior


def _falls(t: int) -> Iterator[np.ndarray]:
    """Straight falls (t,) from one level to another within a few evaluations, anywhere."""
    row = np.arange(t)
    for width in WIDTHS:
        for begin in range(2, t - width):
            yield np.clip((row - begin + 1) / width, 0, 1)


def _products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Products (rho, k, m) of columns (t, k) and (t, m) in which noise of each rho is made white: its precision matrix,
    over the innovation's, has 1 + rho^2 on the diagonal, 1 at both ends of it, and -rho beside."""
    beside = left[:-1].T @ right[1:] + left[1:].T @ right[:-1]
    return _by_rho(left.T @ right, beside, left[1:-1].T @ right[1:-1])


def _squares(columns: np.ndarray) -> np.ndarray:
    """The products (rho, k) of columns (t, k) with themselves."""
    square, beside = columns**2, columns[:-1] * columns[1:]
    return _by_rho(square.sum(axis=0), 2 * beside.sum(axis=0), square[1:-1].sum(axis=0))


def _by_rho(whole: np.ndarray, beside: np.ndarray, inside: np.ndarray) -> np.ndarray:
    rho = RHO.reshape(-1, *(1,) * whole.ndim)
    return whole - rho * beside + rho**2 * inside


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
    """At most `MOST` values, each the mean of as many neighbors; the odd ones at the begin are left out."""
    block = -(-len(values) // MOST)
    return values[len(values) % block :].reshape(-1, block).mean(axis=1)


def quantile(values: np.ndarray, weight: np.ndarray, share: float) -> float:
    """The smallest value at or below which lies this share of the weight."""
    order = np.argsort(values)
    reached = np.searchsorted(np.cumsum(weight[order]), share)
    return float(values[order][min(int(reached), len(order) - 1)])
