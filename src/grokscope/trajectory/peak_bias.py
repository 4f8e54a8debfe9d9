"""How much of a curve's maximum is luck: the best of many noisy evaluations lies above what the network does there.

Noise model. The curve is a slow course (running median over `WINDOW` evaluations) plus first-order autoregressive noise
with standard deviation sigma and correlation rho between neighbours. A running median follows part of slow noise and
eats part of the variance, so neither is read off the residuals directly: rho is the one whose simulated residuals have
the observed correlation, sigma the one whose simulated residuals have the observed spread (indirect inference,
Gourieroux, Monfort & Renault 1993, doi:10.1002/jae.3950080507). Evaluations beside the maximum are left out of both, so
that a real peak is not taken for noise.

Null of the test: the run has no peak, it is flat with this noise. Statistic: (maximum - mean of the last evaluations) /
spread of the residuals, recomputed on each simulated curve, so that not knowing sigma is allowed for. A curve that rises
to a plateau is a null, too, for which the test is conservative.

Measured, share of curves without a peak with p <= .05: 3 to 7 in 100 for white noise, 4 to 9 for rho .5, about 10 for
rho .8: noise as slow as the window looks like a course, so take p with care where rho is above .6.
"""

from dataclasses import asdict, dataclass
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
    """Share of flat curves whose maximum lies as far above their end, (1 + #) / (1 + draws); one-sided."""
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

    Misleads where the curve is still rising at its end: its peak is then its end, and p says nothing of what would
    follow. Time is counted in evaluations, so a log-spaced grid treats early and late ones alike.
    """
    t = len(values)
    if t < SHORTEST:
        return None
    rng = np.random.default_rng(seed)
    window = min(WINDOW, t // 2 | 1)
    tail = min(5, t // 4)
    course = running_median(values[None], window)[0]
    spread, correlation = (float(s[0]) for s in residuals(values[None], window))
    rho = _rho(correlation, t, window, rng)
    noise = ar1(rng, rho, draws, t)
    own_spread, _ = residuals(noise, window)
    sigma = spread / float(own_spread.mean())
    peak, final = float(values.max()), float(values[-tail:].mean())
    gap = noise.max(axis=1) - noise[:, -tail:].mean(axis=1)
    ratio = _ratio(gap, own_spread)
    observed = (peak - final) / spread if spread > 0 else (np.inf if peak > final else 0.0)
    binomial = float(np.sqrt(max(peak * (1 - peak), 0.0) / n)) if n else None
    p_new = None
    if n:
        level = min(max(final, 0.0), 1.0)
        sampling = np.sqrt(level * (1 - level) / n + (binomial or 0.0) ** 2) * rng.standard_normal(draws)
        p_new = _p(ratio * spread + sampling, peak - final)
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
        p=_p(ratio, observed),
        binomial=binomial,
        p_new=p_new,
        draws=draws,
    )


def running_median(curves: np.ndarray, window: int) -> np.ndarray:
    """Running median over an odd `window`, mirrored at the ends: (m, t) -> (m, t)."""
    half = window // 2
    padded = np.pad(curves, ((0, 0), (half, half)), mode="reflect")
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


def _rho(correlation: float, t: int, window: int, rng: np.random.Generator) -> float:
    """The rho whose residuals have this correlation on average; at most 0.9."""
    m = max(20_000 // t, 20)
    seen = [float(residuals(ar1(rng, float(r), m, t), window)[1].mean()) for r in _RHO]
    return float(np.interp(correlation, np.maximum.accumulate(seen), _RHO))


def _ratio(gap: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return gap / np.maximum(spread, 1e-300)


def _p(null: np.ndarray, observed: float) -> float:
    return (1 + int((null >= observed).sum())) / (1 + len(null))
