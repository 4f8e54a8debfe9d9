"""Selection optimism of a curve's maximum: the best of many noisy evaluations exceeds the true score.

Noise model. The curve is a slow course (running median over `WINDOW` evaluations) plus first-order autoregressive noise
with standard deviation sigma and correlation rho between neighbors, plus single evaluations that jut out (spikes). A
running median follows part of slow noise and eats part of the variance, so neither is read off the residuals directly:
rho is the one whose simulated residuals have the observed correlation, sigma the one whose simulated residuals have the
observed spread (indirect inference, Gourieroux, Monfort & Renault 1993, doi:10.1002/jae.3950080507). Evaluations beside
the maximum are left out of both, so that a real peak is not taken for noise; so are those more than `JUMP` robust
standard deviations away and what is beside them, because no running median follows the rise before the fit, an early
dip or a collapse. Spikes are drawn again as they were seen.

Null of the test: the run has no peak, it is flat with this noise. Statistic: (maximum before the last evaluations -
mean of the last evaluations) / spread of the residuals, recomputed on each simulated curve, so that not knowing sigma
is allowed for. A curve that only rises, or rises to a plateau, is a null, too. Noise slower than a third of the window
hides in the running median, so `p` is the larger of this share and of that by `ar_noise`, whose noise may be as slow as
the curve admits.

Measured by `benchmarks/peak_bias.py` with sigma .015, rho 0, .5, .8, .95: share of p <= .05 in 200 flat curves (of p <=
.01, at most .03), and in 50 curves of each other kind; shares of those of which nothing can be told:

| course | evaluations | p <= .05 | cannot tell |
|---|---|---|---|
| flat | 30 | 0, 0, .01, .04 | .01, .33, .54, .55 |
| flat | 61 | 0, 0, .01, .01 | 0, .11, .52, .54 |
| flat | 300 | 0, .01, 0, .01 | 0, 0, .35, .45 |
| straight fall by .15 | 30 | .98, .80, .90, 1 | 0, .12, .08, 0 |
| straight fall by .15 | 61 | 1, .92, .72, .90 | 0, .04, .26, .10 |
| straight fall by .15 | 300 | 1, 1, .74, .66 | 0, 0, .26, .34 |
| early peak, decay by .08 | 30 | .34, .04, .06, .40 | 0, .30, .52, .52 |
| early peak, decay by .08 | 61 | .80, .26, .10, .26 | 0, .06, .36, .44 |
| early peak, decay by .08 | 300 | .96, .92, .16, .06 | 0, 0, .28, .40 |
| hump of five evaluations | 61 | .56, .10, .02, .16 | 0, .16, .58, .60 |

Without `ar_noise`, flat curves of 61 evaluations were taken for peaked in 15 of 100 at rho .8. The luck itself, on 100
curves of 61 evaluations with sigma .015, for rho 0 and rho .5; "left" is the mean of the corrected peak minus the true
course at the chosen evaluation, and its standard deviation over curves; "first share" is that of p <= .05 by the
running median alone:

| course | luck | left | first share | cannot tell |
|---|---|---|---|---|
| flat | .036, .034 | +.003 (.008), +.003 (.010) | .05, .04 | 0, .13 |
| rising all the way | .019, .017 | +.001 (.012), +.003 (.013) | 0, 0 | 0, .04 |
| rise to a plateau | .033, .032 | +.002 (.007), +.005 (.009) | .03, .09 | 0, .10 |
| early dip | .035, .033 | +.002 (.008), +.002 (.010) | .05, .06 | 0, .13 |
| step in the middle | .031, .029 | -.001 (.008), .000 (.009) | .01, .01 | 0, .13 |
| early peak, slow decay | .023, .021 | -.006 (.012), -.007 (.018) | .89, .60 | 0, .11 |
| hump of five evaluations | .016, .011 | -.017 (.013), -.020 (.015) | .75, .35 | 0, .28 |
| flat, heavy tails (t, 3 degrees) | .045 | +.009 (.014) | .07 | .01 |

So single curves are corrected to about one percentage point; under a narrow real peak the correction takes too much,
and with heavy tails too little. With rho .8 half of the flat curves cannot be told, and the others keep a third of
their luck: noise as slow as the window looks like a course.

Few examples. An accuracy on n examples moves in steps of 1/n, and noise smaller than that is mostly invisible: a curve
that stays where it was has residuals of exactly 0, beside which one example is a peak. The noise is therefore never
taken to be less than that of rounding, step / sqrt(12); where n is unknown the step is the smallest distance between
two scores. First share on 150 flat curves of 61 evaluations, n = 60, true noise in steps (without the floor .93 to .99
up to half a step):

| rho | .1 | .2 | .3 | .5 | 1 | 2 |
|---|---|---|---|---|---|---|
| 0 | 0 | .02 | .07 | 0 | .03 | .01 |
| .5 | 0 | .01 | .05 | .01 | .05 | .01 |
"""

from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from grokscope.trajectory.ar_noise import averaged, flat_drops, noise_after

WINDOW = 15
"""Evaluations in the running median: long enough to see noise with a memory of a few evaluations; a peak narrower than
this is protected by leaving its neighbors out."""
SHORTEST = 20
"""Evaluations below which roughness, correlation and a peak cannot be told apart: with 16 the correction is off by as
much as what it corrects."""
JUMP = 4.0
"""Robust standard deviations from the running median beyond which an evaluation does not belong to the noise's bulk."""
NEGLIGIBLE = 0.005
"""Luck that is told even where the noise is too slow to be known: it cannot matter."""
_CELLS = 2_000_000
"""Values of simulated windows in memory at once."""
_RHO = np.arange(10) / 10
ROUNDING = 12**-0.5
"""Standard deviation of a rounding error, in steps: the least noise that a score in steps can be said to have."""
_EQUAL = 1e-9
"""Scores this close differ in their last bits only."""
_NORMAL = 0.6745
"""Median of the absolute value of a standard normal variable."""
TOO_SLOW = "neighboring evaluations are so much alike that slow noise and a moving course cannot be told apart"


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
    """Its correlation between neighboring evaluations."""
    spikes: int
    """Single evaluations that jut out of it, up or down; they are drawn again at the rate at which they were seen."""
    excess: float | None
    """How far the maximum of a flat curve with this noise lies above its level, on average; None where
    `cannot_tell`."""
    optimism: float | None
    """How far this curve's maximum is expected to lie above its own course at the chosen evaluation; None where
    `cannot_tell`."""
    p: float | None
    """Share of flat curves that lie as far above their end somewhere before it, (1 + #) / (1 + draws); one-sided, and
    allowing for noise as slow as the curve admits. Near 1 where the peak is at the end; None where `cannot_tell`."""
    binomial: float | None
    """Standard error of the peak from n examples; None where n is unknown or the score is no accuracy."""
    p_new: float | None
    """`p` for other examples of the same kind: the null may also differ by the binomial errors of both levels, taken as
    independent. Evaluations of one run share their examples, so this is an upper bound."""
    draws: int
    cannot_tell: str | None = None
    """Why the optimism is not estimable; None where it is."""

    @property
    def corrected(self) -> float | None:
        """The peak without its optimism: an estimate of what the network at the chosen evaluation does."""
        if self.optimism is None:
            return None
        return self.peak - self.optimism

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"corrected": self.corrected}


def peak_bias(values: np.ndarray, n: int | None = None, *, draws: int = 999, seed: int = 0) -> PeakBias | None:
    """The bias of the maximum of a curve (t,) of finite scores, from n examples; None below `SHORTEST` evaluations.
    Evaluations at the end that only repeat the last value do not count: a network at rest says nothing of the noise
    before. Where the noise is as slow as can be simulated, the numbers are None and `cannot_tell` says why.

    Misleads where the run was cut off: a peak at the end may be one on the way down, or on the way up. Time
    is counted in evaluations, so a log-spaced grid treats early and late ones alike.
    """
    peak, final = float(values.max()), float(values[-max(min(5, len(values) // 4), 1) :].mean())
    values = _moving(values)
    t = len(values)
    if t < SHORTEST:
        return None
    window, tail, step = min(WINDOW, t // 2 | 1), min(5, t // 4), resolution(values, n)
    rng = np.random.default_rng(seed)
    noise = _fitted_noise(rng, values, window, step, draws)
    optimism = noise.optimism()
    untold = PeakBias(
        peak=peak,
        final=final,
        evaluations=t,
        sigma=noise.sigma,
        rho=noise.rho,
        spikes=noise.spikes,
        excess=None,
        optimism=None,
        p=None,
        binomial=_binomial(peak, n) if n else None,
        p_new=None,
        draws=draws,
        cannot_tell=TOO_SLOW,
    )
    # At the end of the scale of rho the noise may be slower than any that was simulated: the numbers would be too low.
    estimable = noise.rho < _RHO[-1] or optimism <= NEGLIGIBLE
    if not estimable:
        return untold
    p, p_new = _compared(rng, values, noise.curves, tail, window, step, n)
    p = max(p, _slowly(values, tail, step))  # the more careful of two models of the noise
    p_new = None if p_new is None else max(p_new, p)
    excess = float(noise.curves.max(axis=1).mean())
    return replace(untold, excess=excess, optimism=optimism, p=p, p_new=p_new, cannot_tell=None)


@dataclass(frozen=True)
class _Noise:
    """The noise fitted to a curve (t,), and m curves (m, t) of it."""

    course: np.ndarray
    sigma: float
    rho: float
    spikes: int
    curves: np.ndarray

    def optimism(self) -> float:
        """What the maximum of a copy promises beyond the course at that place, which is known of a copy; the mean."""
        copies = self.course + self.curves
        return float((copies.max(axis=1) - self.course[copies.argmax(axis=1)]).mean())


def _fitted_noise(rng: np.random.Generator, values: np.ndarray, window: int, step: float, draws: int) -> _Noise:
    t = len(values)
    course = running_median(values[None], window)[0]
    spread, correlation = (float(s[0]) for s in residuals(values[None], window, step))
    # The running median follows slow noise, so what is left of it is smaller and less correlated than the noise was:
    # both are read backwards from simulated noise that went through the same median.
    rho = float(np.interp(correlation, _binding(t, window), _RHO))
    bulk = ar1(rng, rho, draws, t)
    sigma = spread / float(residuals(bulk, window)[0].mean())
    # Spikes were left out of the spread: they are dealt out again, or the heavy tails of the noise would be missing.
    spikes = (values - course)[isolated(values[None], window, step)[0]]
    return _Noise(course, sigma, rho, len(spikes), sigma * bulk + _again(rng, spikes, draws, t))


def _compared(
    rng: np.random.Generator,
    values: np.ndarray,
    noise: np.ndarray,
    tail: int,
    window: int,
    step: float,
    n: int | None,
) -> tuple[float, float | None]:
    """(p, p_new): the drop from the maximum to the end against that of flat curves (m, t) of noise."""
    spread, spreads = (residuals(curves, window, step)[0] for curves in (values[None], noise))
    # Each drop in units of its own curve's spread, so that the error of the spread is in the comparison.
    ratio = (noise[:, :-tail].max(axis=1) - noise[:, -tail:].mean(axis=1)) / np.maximum(spreads, 1e-300)
    drop = float(values[:-tail].max() - values[-tail:].mean())
    p = _p(ratio, drop / spread[0] if spread[0] > 0 else np.copysign(np.inf, drop))
    if not n:
        return p, None
    # On new examples both ends would be counted anew: their binomial errors come on top.
    errors = np.hypot(_binomial(float(values.max()), n), _binomial(float(values[-tail:].mean()), n))
    return p, max(_p(ratio * spread[0] + errors * rng.standard_normal(len(noise)), drop), p)


def _slowly(values: np.ndarray, tail: int, step: float) -> float:
    """The same share by `ar_noise`, whose noise may be as slow as the curve admits."""
    curve = averaged(values)
    t = len(curve)
    rows = max(round(tail / len(values) * t), 1)
    top = int(np.argmax(curve[:-rows]))
    drop = float(curve[top] - curve[-rows:].mean())
    rounding = ROUNDING * step * np.sqrt(t / len(values))
    noise = noise_after(curve, curve, top, drop, float(rounding))
    return noise.p(drop, flat_drops(t, rows, lasting=False))


def _again(rng: np.random.Generator, spikes: np.ndarray, m: int, t: int) -> np.ndarray:
    """Spikes of the observed sizes at random places of m curves of t evaluations, as often as they were seen."""
    if not len(spikes):
        return np.zeros((m, t))
    return np.where(rng.random((m, t)) < len(spikes) / t, rng.choice(spikes, (m, t)), 0.0)


def running_median(curves: np.ndarray, window: int) -> np.ndarray:
    """Running median over an odd `window`, continued in a straight line at the ends: (m, t) -> (m, t)."""
    half = window // 2
    padded = np.pad(curves, ((0, 0), (half, half)), mode="reflect", reflect_type="odd")
    rows = max(_CELLS // (curves.shape[1] * window), 1)
    parts = [padded[i : i + rows] for i in range(0, len(padded), rows)]
    views = (np.lib.stride_tricks.sliding_window_view(part, window, axis=1) for part in parts)
    return np.concatenate([np.median(view, axis=2) for view in views])


def residuals(curves: np.ndarray, window: int, step: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Spread and neighbor correlation (m,) each of curves (m, t) around their running medians, without the evaluations
    beside each maximum and without jumps and what is beside them. A score that moves in steps hides what is smaller,
    so its spread is at least that of rounding."""
    rest = curves - running_median(curves, window)
    # The maximum was chosen for its noise, and a jump is no noise: either would make the spread too large.
    keep = _bulk(curves, rest, window) & ~_beside(jumps(curves, rest, window, step), _reach(window))
    rest = np.where(keep, rest, 0.0)
    square = (rest**2).sum(axis=1) / np.maximum(keep.sum(axis=1), 1)
    pairs = (keep[:, 1:] & keep[:, :-1]).sum(axis=1)
    product = (rest[:, 1:] * rest[:, :-1]).sum(axis=1) / np.maximum(pairs, 1)
    return np.maximum(np.sqrt(square), ROUNDING * step), np.divide(
        product, square, out=np.zeros_like(product), where=square > 0
    )


def isolated(curves: np.ndarray, window: int, step: float = 0.0) -> np.ndarray:
    """Spikes: jumps that come and go at once, with both neighbors less than half as far out on the same side, (m, t).
    The maximum may be one; what takes several evaluations (the rise before the fit, a collapse) is the course."""
    rest = curves - running_median(curves, window)
    half = np.abs(rest) > JUMP / 2 * _scale(curves, rest, window, step)
    side = np.pad(np.where(half, np.sign(rest), 0.0), ((0, 0), (1, 1)))
    beside = (np.stack([side[:, :-2], side[:, 2:]]) == side[:, 1:-1]).any(axis=0)
    return jumps(curves, rest, window, step) & ~beside


def jumps(curves: np.ndarray, rest: np.ndarray, window: int, step: float = 0.0) -> np.ndarray:
    """Evaluations whose residuals `rest` are beyond `JUMP` robust standard deviations."""
    return np.abs(rest) > JUMP * _scale(curves, rest, window, step)


def _scale(curves: np.ndarray, rest: np.ndarray, window: int, step: float) -> np.ndarray:
    """Standard deviation of the residuals away from the maximum by the median of their sizes, (m, 1); at least that of
    rounding to a `step`, or one example more or less would be a jump wherever most evaluations are equal."""
    keep = _bulk(curves, rest, window)
    ordered = np.sort(np.where(keep, np.abs(rest), np.inf), axis=1)
    middle = np.take_along_axis(ordered, (keep.sum(axis=1) // 2)[:, None], axis=1)
    return np.maximum(middle / _NORMAL, ROUNDING * step)


def _bulk(curves: np.ndarray, rest: np.ndarray, window: int) -> np.ndarray:
    """Evaluations that are not beside the maximum."""
    return np.abs(np.arange(rest.shape[1]) - curves.argmax(axis=1)[:, None]) > _reach(window)


def _reach(window: int) -> int:
    return max(window // 4, 1)


def _beside(marks: np.ndarray, reach: int) -> np.ndarray:
    """Marked evaluations and those within reach of one."""
    wide = np.pad(marks, ((0, 0), (reach, reach)))
    return np.any(np.lib.stride_tricks.sliding_window_view(wide, 2 * reach + 1, axis=1), axis=2)


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
    if moving.size:
        return values[: moving[-1] + 2]
    return values[:1]


def resolution(values: np.ndarray, n: int | None) -> float:
    """The step in which a score moves: one of n examples, or where n is unknown the smallest distance between two
    scores of the curve."""
    if n:
        return 1 / n
    moves = np.diff(np.sort(values))
    moves = moves[moves > _EQUAL]
    return float(moves.min()) if moves.size else 0.0


def _binomial(level: float, n: int) -> float:
    level = min(max(level, 0.0), 1.0)
    return float(np.sqrt(level * (1 - level) / n))


def _p(null: np.ndarray, observed: float) -> float:
    return (1 + int((null >= observed).sum())) / (1 + len(null))
