"""How much of a curve's maximum is luck: the best of many noisy evaluations lies above what the network does there.

Noise model. The curve is a slow course (running median over `WINDOW` evaluations) plus first-order autoregressive noise
with standard deviation sigma and correlation rho between neighbours. A running median follows part of slow noise and
eats part of the variance, so neither is read off the residuals directly: rho is the one whose simulated residuals have
the observed correlation, sigma the one whose simulated residuals have the observed spread (indirect inference,
Gourieroux, Monfort & Renault 1993, doi:10.1002/jae.3950080507). Evaluations beside the maximum are left out of both, so
that a real peak is not taken for noise.

Null of the test: the run has no peak, it is flat with this noise. Statistic: (maximum before the last evaluations -
mean of the last evaluations) / spread of the residuals, recomputed on each simulated curve, so that not knowing sigma
is allowed for. A curve that only rises, or rises to a plateau, is a null, too.

Measured with 20 to 150 evaluations, curves without a peak that get p <= .05: 3 to 5 in 100 for white noise, 6 to 9 for
rho .5, 7 to 15 for rho .8. Noise as slow as the window looks like a course: take p with care where rho is above .6.
"""

from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np

WINDOW = 15
"""Evaluations in the running median: long enough to see noise with a memory of a few evaluations; a peak narrower than
this is protected by leaving its neighbours out."""
SHORTEST = 12
"""Evaluations below which roughness, correlation and a peak cannot be told apart."""
_CELLS = 2_000_000
"""Values of simulated windows in memory at once."""
_RHO = np.arange(10) / 10


@dataclass(frozen=True, kw_only=True)
class PeakBias:
    """What chance does to the maximum of one curve. Scores are in the curve's own unit (accuracy or R2)."""

    peak: float
    final: float
    """Mean of the last evaluations, with which the peak is compared."""
    evaluations: int
    sigma: float
    """Standard deviation of the noise between evaluations."""
    rho: float
    """Its correlation between neighbouring evaluations."""
    excess: float
    """How far the maximum of a flat curve with this noise lies above its level, on average."""
    optimism: float
    """How far this curve's maximum is expected to lie above its own course at the chosen evaluation."""
    p: float
    """Share of flat curves that lie as far above their end somewhere before it, (1 + #) / (1 + draws); one-sided.
    Near 1 where the peak is at the end."""
    binomial: float | None
    """Standard error of the peak from n examples; None where n is unknown or the score is no accuracy."""
    p_new: float | None
    """`p` for other examples of the same kind: the null may also differ by the binomial errors of both levels, taken as
    independent. Evaluations of one run share their examples, so this is an upper bound."""
    draws: int

    @property
    def corrected(self) -> float:
        """The peak without its optimism: an estimate of what the network at the chosen evaluation does."""
        return self.peak - self.optimism

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"corrected": self.corrected}


def peak_bias(values: np.ndarray, n: int | None = None, *, draws: int = 999, seed: int = 0) -> PeakBias | None:
    """The bias of the maximum of a curve (t,) of finite scores, from n examples; None below `SHORTEST` evaluations.
    Evaluations at the end that only repeat the last value do not count: a network at rest says nothing of the noise
    before.

    Misleads where the run was cut off: a peak at the end may be one on the way down, or on the way up. Time
    is counted in evaluations, so a log-spaced grid treats early and late ones alike.
    """
    peak, final = float(values.max()), float(values[-max(min(5, len(values) // 4), 1) :].mean())
    values = _moving(values)
    t = len(values)
    if t < SHORTEST:
        return None
    rng = np.random.default_rng(seed)
    window = min(WINDOW, t // 2 | 1)
    tail = min(5, t // 4)
    course = running_median(values[None], window)[0]
    spread, correlation = (float(s[0]) for s in residuals(values[None], window))
    rho = float(np.interp(correlation, _binding(t, window), _RHO))
    noise = ar1(rng, rho, draws, t)
    own_spread, _ = residuals(noise, window)
    sigma = spread / float(own_spread.mean())
    gap = noise[:, :-tail].max(axis=1) - noise[:, -tail:].mean(axis=1)
    ratio = gap / np.maximum(own_spread, 1e-300)
    drop = float(values[:-tail].max() - values[-tail:].mean())
    observed = drop / spread if spread > 0 else np.copysign(np.inf, drop)
    p, binomial, p_new = _p(ratio, observed), None, None
    if n:
        binomial, end = _binomial(peak, n), _binomial(final, n)
        sampling = np.hypot(binomial, end) * rng.standard_normal(draws)
        p_new = max(_p(ratio * spread + sampling, drop), p)
    copies = course + sigma * noise
    chosen = copies.argmax(axis=1)
    return PeakBias(
        peak=peak,
        final=final,
        evaluations=t,
        sigma=sigma,
        rho=rho,
        excess=sigma * float(noise.max(axis=1).mean()),
        optimism=float((copies.max(axis=1) - course[chosen]).mean()),
        p=p,
        binomial=binomial,
        p_new=p_new,
        draws=draws,
    )


def running_median(curves: np.ndarray, window: int) -> np.ndarray:
    """Running median over an odd `window`, continued in a straight line at the ends: (m, t) -> (m, t)."""
    half = window // 2
    padded = np.pad(curves, ((0, 0), (half, half)), mode="reflect", reflect_type="odd")
    rows = max(_CELLS // (curves.shape[1] * window), 1)
    parts = [padded[i : i + rows] for i in range(0, len(padded), rows)]
    views = (np.lib.stride_tricks.sliding_window_view(part, window, axis=1) for part in parts)
    return np.concatenate([np.median(view, axis=2) for view in views])


def residuals(curves: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Spread and neighbour correlation (m,) each of curves (m, t) around their running medians, without the evaluations
    beside each maximum."""
    around = np.abs(np.arange(curves.shape[1]) - curves.argmax(axis=1)[:, None])
    keep = around > max(window // 4, 1)
    rest = np.where(keep, curves - running_median(curves, window), 0.0)
    square = (rest**2).sum(axis=1) / keep.sum(axis=1)
    pairs = (keep[:, 1:] & keep[:, :-1]).sum(axis=1)
    product = (rest[:, 1:] * rest[:, :-1]).sum(axis=1) / np.maximum(pairs, 1)
    return np.sqrt(square), np.divide(product, square, out=np.zeros_like(product), where=square > 0)


def ar1(rng: np.random.Generator, rho: float, m: int, t: int) -> np.ndarray:
    """m stationary first-order autoregressive series of variance 1: (m, t)."""
    noise = rng.standard_normal((m, t))
    scale = np.sqrt(1 - rho**2)
    for i in range(1, t):
        noise[:, i] = rho * noise[:, i - 1] + scale * noise[:, i]
    return noise


@cache
def _binding(t: int, window: int) -> np.ndarray:
    """Mean correlation of the residuals for each of `_RHO`, made increasing."""
    rng = np.random.default_rng(t)
    m = max(20_000 // t, 20)
    seen = [float(residuals(ar1(rng, float(r), m, t), window)[1].mean()) for r in _RHO]
    return np.maximum.accumulate(seen)


def _moving(values: np.ndarray) -> np.ndarray:
    """The curve without the repetitions of its last value at the end."""
    moving = np.flatnonzero(values != values[-1])
    return values[: moving[-1] + 2] if moving.size else values[:1]


def _binomial(level: float, n: int) -> float:
    level = min(max(level, 0.0), 1.0)
    return float(np.sqrt(level * (1 - level) / n))


def _p(null: np.ndarray, observed: float) -> float:
    return (1 + int((null >= observed).sum())) / (1 + len(null))
