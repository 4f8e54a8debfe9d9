"""M5: move the features along the dominant direction between environments and measure the decisions.

h + alpha * step * v. Under a linear head every margin moves by exactly alpha * step * (w_right - w_other) . v, the
same for all examples of a class: the whole curve is known from one number, `slope`, and the labels. Accuracy along a
direction is often monotone by chance, so it is reported against random directions of the same length.

Shapes: n examples, d features, k classes, A strengths alpha, D random directions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from grokscope.dissect.controls import null, outside_range, variance_matched_frames
from grokscope.dissect.direction import Direction, dominant_direction, reliability
from grokscope.dissect.effects import EFFECTS, Scene, margins, measure, unit_interval
from grokscope.dissect.erasure import Bench
from grokscope.dissect.head import LinearHead
from grokscope.dissect.labeling import exchanged, smallest_p
from grokscope.results.scores import ByEffect
from grokscope.results.steering import M5, Curve, Reliability, Scaling, Signs, SlopeControls


def steered(logits: np.ndarray, head: LinearHead, directions: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The analytic curve: logits (n, k) along directions (D, d), at steps (A,) in the features' units -> (D, A, n,
    k)."""
    slope = directions @ head.weight.T
    return logits + (steps[None, :, None] * slope[:, None, :])[:, :, None, :]


def monotone(curve: np.ndarray) -> np.ndarray:
    """Whether curves (..., A) rise or fall throughout, weakly, and are not constant: the published statistic.

    Misleads: it says how far the head's threshold is off on this set, not what lies along the direction. In a
    simulation (1,000 balanced examples, margins 1.5 +- 1) 3 % of random directions are monotone when the head is
    unbiased, 44 % when all margins are off by 0.5, and 99 % when by 2, as on an unseen hospital.
    """
    change = np.diff(curve, axis=-1)
    return ((change >= 0).all(axis=-1) | (change <= 0).all(axis=-1)) & (change != 0).any(axis=-1)


def trend(curve: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Rank correlation (Spearman) of curves (..., A) with the steps; 0 for a constant curve."""
    from scipy.stats import rankdata

    x, y = rankdata(steps), rankdata(curve, axis=-1)
    x, y = x - x.mean(), y - y.mean(axis=-1, keepdims=True)
    size = np.sqrt((x**2).sum() * (y**2).sum(axis=-1))
    return (y @ x) / np.where(size > 0, size, 1)


@dataclass(frozen=True)
class _Steering:
    """What every curve steers along: the direction v (d,) between environments, how far one step goes in each scaling,
    and random directions (D, d) of length 1 to compare with."""

    direction: Direction
    sigma: float
    """Standard deviation of the features along v: the step of the scaling ``relative``."""
    units: dict[Scaling, float]
    random: np.ndarray

    @property
    def v(self) -> np.ndarray:
        return self.direction.v


def _steering(bench: Bench) -> _Steering:
    """Raises ValueError where there is no direction between environments."""
    settings, fit = bench.settings, bench.fit
    direction = dominant_direction(fit, bench.sample.target("environment", "fit"), bench.sample.weights["fit"])
    sigma = float((bench.h[bench.sample.parts[settings.sigma_on]] @ direction.v).std())
    length = float(np.linalg.norm(fit, axis=1).mean())
    units: dict[Scaling, float] = {
        "relative": sigma,
        "fixed": settings.fixed_step,
        "norm": settings.norm_share * length,
    }
    random = settings.rng("steering").standard_normal((settings.draws, fit.shape[1]))
    return _Steering(direction, sigma, units, random / np.linalg.norm(random, axis=1, keepdims=True))


def run_m5(bench: Bench, environments: Sequence[str | int | float]) -> M5:
    """Steering at the head's input, on every set of examples, in the three scalings; `environments` names the codes."""
    settings = bench.settings
    try:
        steering = _steering(bench)
    except ValueError as error:
        return M5(cannot_tell=str(error))
    direction, sigma = steering.direction, steering.sigma
    slope = sigma * bench.head.centered @ direction.v
    controls = _slope_controls(bench, steering)
    places = product(bench.scenes.values(), steering.units)
    return M5(
        towards=environments[direction.towards],
        share=direction.share,
        sigma=sigma,
        sigma_on=settings.sigma_on,
        reliability=_reliability(bench),
        slope=tuple(slope.tolist()),
        slope_size=float(np.linalg.norm(slope)),
        slope_controls=controls,
        linearity_error=_linearity(bench, direction.v, sigma),
        curves=tuple(_curve(bench, scene, steering, scaling) for scene, scaling in places),
        causal=_causal(controls, settings.alpha),
    )


def _reliability(bench: Bench) -> Reliability | None:
    sample, settings = bench.sample, bench.settings
    z, y, groups = sample.target("environment", "fit"), sample.target("task", "fit"), sample.group("fit")
    balanced = sample.weights["fit"] is not None
    return reliability(bench.fit, z, y, groups, settings.rng("halves"), settings.halves, balanced)


def _causal(controls: SlopeControls, alpha: float) -> bool | None:
    labels = controls.labels
    if labels.smallest_p > alpha or not np.isfinite(labels.p):
        return None
    return labels.p <= alpha


def _slope_controls(bench: Bench, steering: _Steering) -> SlopeControls:
    """One-sided: the question is whether the head reads along v more than along others.

    The labelings that `labels` compares with are fitted to the features as they are. Had each environment first been
    moved to the common mean, the real direction would be compared with what nine patients less three means vary by:
    with three patients per environment 13 % of directions between nothing passed the level of 5 %. And a direction is
    weighed by how far it moves its environments apart: of length one, what a strong shortcut leaves in a wrong labeling
    points as well along the shortcut as the real direction does.
    """
    settings, fit, v = bench.settings, bench.fit, steering.v
    held = float(np.var(fit @ v))
    matched, _ = variance_matched_frames(
        settings.rng("steering", "variance"), bench.spectrum, v[:, None], 1, held, settings.draws
    )
    dealt = [_reach(fit, z, weights) / steering.direction.spread for z, weights in exchanged(bench.sample, settings)]
    labels = np.stack(dealt) if dealt else np.zeros((0, len(v)))

    def size(directions: np.ndarray) -> np.ndarray:
        """How far one step along directions (..., d) moves the logits, less what moves all of them alike."""
        return np.linalg.norm(steering.sigma * directions @ bench.head.centered.T, axis=-1)

    slope = float(size(v))
    return SlopeControls(
        norm=null("norm", slope, size(steering.random), "greater"),
        variance=null("variance", slope, size(matched[:, :, 0]), "greater"),
        labels=null("labels", slope, size(labels), "greater", smallest_p(bench.sample)),
    )


def _reach(h: np.ndarray, z: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """The dominant direction (d,), as long as environments lie apart along it; zeros where they do not."""
    try:
        direction = dominant_direction(h, z, weights)
    except ValueError:
        return np.zeros(h.shape[1])
    return direction.spread * direction.v


def _linearity(bench: Bench, v: np.ndarray, sigma: float) -> float:
    scene, steps = bench.scenes["test"], np.asarray(bench.settings.steps) * sigma
    analytic = steered(scene.logits, bench.head, v[None], steps)[0]
    measured = np.stack([bench.head.logits(scene.h + step * v) for step in steps])
    return float(np.abs(analytic - measured).max())


def _curve(bench: Bench, scene: Scene, steering: _Steering, scaling: Scaling) -> Curve:
    settings, fit, v, unit = bench.settings, bench.fit, steering.v, steering.units[scaling]
    steps = np.array(sorted(settings.steps))
    edited = steered(scene.logits, bench.head, v[None], steps * unit)[0]
    accuracy = (edited.argmax(axis=-1) == scene.labels).mean(axis=-1)
    random = np.stack([_accuracies(scene, bench.head, u, steps * unit) for u in steering.random])
    outer = np.array([steps[0], steps[-1]])
    along_v = _outer_effects(scene, steered(scene.logits, bench.head, v[None], outer * unit))
    along_random = _outer_effects(scene, steered(scene.logits, bench.head, steering.random, outer * unit))
    low, high = np.quantile(random, [0.025, 0.975], axis=0)
    trends = trend(np.concatenate([accuracy[None], random]), steps)
    bounds = fit.min(axis=0), fit.max(axis=0)
    return Curve(
        on=scene.name,
        scaling=scaling,
        unit=unit,
        steps=tuple(steps.tolist()),
        accuracy=tuple(accuracy.tolist()),
        margin=tuple(margins(edited, scene.labels).mean(axis=-1).tolist()),
        outside_range=tuple(outside_range(scene.h + s * unit * v, *bounds) for s in steps),
        random_accuracy_low=tuple(low.tolist()),
        random_accuracy_high=tuple(high.tolist()),
        monotone=bool(monotone(accuracy)),
        monotone_random=float(monotone(random).mean()),
        trend=float(trends[0]),
        trend_random=null("norm", abs(float(trends[0])), np.abs(trends[1:]), "greater"),
        best_gain=float(accuracy.max() - accuracy[steps == 0][0]),
        signs=_signs(scene, bench.head, v * unit),
        effects=ByEffect(**{name: null("norm", float(along_v[name][0]), along_random[name]) for name in EFFECTS}),
        effect_values=ByEffect(**{name: float(along_v[name][0]) for name in EFFECTS}),
    )


def _signs(scene: Scene, head: LinearHead, push: np.ndarray) -> Signs:
    """push (d,): one unit along the direction."""
    towards, against = steered(scene.logits, head, push[None], np.array([1.0, -1.0]))[0]
    right = scene.logits.argmax(axis=-1) == scene.labels
    after = {"towards": towards.argmax(-1) == scene.labels, "against": against.argmax(-1) == scene.labels}
    gains = {name: now.astype(float) - right for name, now in after.items()}
    bounds = {name: unit_interval(scene, gain) for name, gain in gains.items()}
    helping = [name for name, b in bounds.items() if b is not None and b[0] > 0]
    better = after[max(gains, key=lambda name: gains[name].mean())]
    shift = margins(towards, scene.labels) - margins(scene.logits, scene.labels)
    low, lower, middle, upper, high = np.quantile(shift, [0.05, 0.25, 0.5, 0.75, 0.95])
    return Signs(
        helps=_helping(helping),
        towards=float(gains["towards"].mean()),
        towards_interval=bounds["towards"],
        against=float(gains["against"].mean()),
        against_interval=bounds["against"],
        mended=float((better & ~right).mean()),
        broken=float((~better & right).mean()),
        shift=(float(low), float(lower), float(middle), float(upper), float(high)),
        reversed=float((np.sign(shift) == -np.sign(shift.mean())).mean()),
    )


def _helping(signs: list[str]) -> str:
    if len(signs) == 2:
        return "both"
    return signs[0] if signs else "neither"


def _accuracies(scene: Scene, head: LinearHead, u: np.ndarray, steps: np.ndarray) -> np.ndarray:
    return (steered(scene.logits, head, u[None], steps)[0].argmax(axis=-1) == scene.labels).mean(axis=-1)


def _outer_effects(scene: Scene, logits: np.ndarray) -> dict[str, np.ndarray]:
    """Each effect averaged over the two outermost steps: logits (D, 2, n, k) -> (D,) each."""
    flat = measure(scene, logits.reshape(-1, *logits.shape[2:]))
    return {name: values.reshape(len(logits), -1).mean(axis=1) for name, values in flat.items()}
