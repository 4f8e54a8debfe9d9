"""M6: ablate the neurons that separate environments best, compared with random neurons and those of the task.

Neurons are ranked on `fit` and ablated on `test`. The control draws are nested orders of all neurons, so each draw
has a whole curve over K, and the one summary over K declared beforehand (mean over K > 0 of the gap to the mean
random order) has an exact null. Choosing the K at which the gap is largest does not.

Shapes: n examples, d neurons, k classes, D draws.
"""

from dataclasses import dataclass
from typing import get_args

import numpy as np

from grokscope.dissect.controls import null, outside_range
from grokscope.dissect.effects import (
    EFFECTS,
    SIDES,
    Scene,
    describe,
    gap_draws,
    gap_interval,
    interval,
    intervals,
    measure,
)
from grokscope.dissect.erasure import Bench
from grokscope.dissect.probes import Probe
from grokscope.dissect.subspaces import class_means
from grokscope.results.neurons import M6, Ablation, Ablations, Arm, Arms, OverK, RandomArm, summary_key
from grokscope.results.probes import Target
from grokscope.results.scores import ByEffect, ByTarget, Interval, Null

ABLATIONS: tuple[Ablation, ...] = get_args(Ablation)


def standardized_gap(h: np.ndarray, z: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Score (d,): largest difference between two class means, in within-class standard deviations. Dead neurons score
    0."""
    means, _, _ = class_means(h, z, weights)
    codes = np.unique(z, return_inverse=True)[1]
    w = np.ones(len(h)) if weights is None else weights
    spread = np.sqrt(w @ (h - means[codes]) ** 2 / w.sum())
    gap = means.max(axis=0) - means.min(axis=0)
    floor = 1e-9 * np.maximum(np.abs(h).max(axis=0), 1e-300)
    return np.where(gap > floor, gap / np.maximum(spread, floor), 0.0)


def ranking(score: np.ndarray) -> np.ndarray:
    """Neurons from the highest score to the lowest; of equals the first."""
    return np.argsort(-score, kind="stable")


def run_m6(bench: Bench, probes: dict[str, Probe]) -> M6:
    """Neuron ablation at the head's input; `probes` (environment, task) are needed for the ranking ``max_abs_coef``."""
    settings, fit = bench.settings, bench.fit
    d = fit.shape[1]
    ks = tuple(sorted({k for k in settings.ks if k <= d}))
    skipped = tuple(sorted({k for k in settings.ks if k > d}))
    if not any(ks):
        return M6(d=d, skipped_ks=skipped, cannot_tell=f"all K exceed the {d} neurons of the site")
    targets: tuple[Target, ...] = get_args(Target)
    orders: dict[Target, np.ndarray] = {target: ranking(_score(bench, target, probes[target])) for target in targets}
    rng = settings.rng("neurons")
    uniform = np.stack([rng.permutation(d) for _ in range(settings.draws)])
    spread = within_variance(fit, bench.sample.target("environment", "fit"))
    matched = variance_matched_orders(
        settings.rng("neurons", "variance"), spread, orders["environment"], ks, settings.draws
    )
    draws: dict[RandomArm, np.ndarray] = {"random": uniform, "random_variance": matched}
    scenes: list[tuple[Scene, Ablation]] = [
        (scene, ablation) for scene in bench.scenes.values() for ablation in ABLATIONS
    ]
    done = tuple(_ablate(bench, scene, ablation, orders, draws, ks) for scene, ablation in scenes)
    main = next(a for a in done if (a.on, a.ablation) == ("test", settings.ablation))
    most = max(ks)
    return M6(
        ranking=settings.ranking,
        ks=ks,
        skipped_ks=skipped,
        d=d,
        top=ByTarget(**{target: tuple(order[:most].tolist()) for target, order in orders.items()}),
        overlap=tuple(len(np.intersect1d(orders["environment"][:k], orders["task"][:k])) / k for k in ks if k),
        holds_true=tuple(k / d for k in ks),
        ablations=done,
        causal=_causal(main, settings.alpha),
    )


def _score(bench: Bench, target: str, probe: Probe) -> np.ndarray:
    if bench.settings.ranking == "max_abs_coef":
        return np.abs(probe.coef).max(axis=0)
    return standardized_gap(bench.fit, bench.sample.target(target, "fit"), bench.sample.weights["fit"])


def within_variance(h: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Variance (d,) within environments: what a neuron varies by for other reasons than the environment."""
    return (h - class_means(h, z)[0][np.unique(z, return_inverse=True)[1]]).var(axis=0)


def variance_matched_orders(
    rng: np.random.Generator, variance: np.ndarray, top: np.ndarray, ks: tuple[int, ...], draws: int
) -> np.ndarray:
    """Random orders (D, d) that lean toward neurons of large (or small) variance, so that on average over K > 0 the
    first K hold the share of the variance that the first K of `top` hold.

    Drawn one after another with probability proportional to variance ** t (Gumbel keys), t found by bisection. Neurons
    that vary much matter more whatever they code for; this control knows that, the uniform one does not. Give the
    variance within environments: by the total variance the environment's neurons would be compared with themselves.
    """
    logs = np.log(np.maximum(variance, 1e-12 * max(float(variance.max()), 1e-300)))
    logs -= logs.max()  # a factor common to all neurons changes no order
    keys = rng.gumbel(size=(draws, len(variance)))  # once for all t: only then does what is held grow with t
    used = np.array([k for k in ks if k]) - 1

    def orders(t: float) -> np.ndarray:
        return np.argsort(-(t * logs + keys), axis=1, kind="stable")

    def held(order: np.ndarray) -> float:
        return float((np.cumsum(variance[order], axis=-1)[..., used] / max(variance.sum(), 1e-300)).mean())

    low, high, target = -8.0, 8.0, held(top)
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if held(orders(middle)) < target else (low, middle)
    return orders((low + high) / 2)


def ablated(scene: Scene, weight: np.ndarray, values: np.ndarray, orders: np.ndarray, k: int) -> np.ndarray:
    """Logits (D, n, c) after setting the first k neurons of each order (D, d) to values (d,); weight (c, d).

    One matrix product for each class: logits are linear in which neurons are switched off.
    """
    mask = np.zeros((orders.shape[1], len(orders)))
    mask[orders[:, :k], np.arange(len(orders))[:, None]] = 1
    change = scene.h - values
    lost = [(change * row) @ mask for row in weight]
    return scene.logits - np.stack(lost, axis=-1).transpose(1, 0, 2)


def _ablate(
    bench: Bench,
    scene: Scene,
    ablation: Ablation,
    orders: dict[Target, np.ndarray],
    draws: dict[RandomArm, np.ndarray],
    ks: tuple[int, ...],
) -> Ablations:
    """All arms on one scene: orders (d,) of the ranked ones, draws (D, d) of the random ones."""
    fit, weight = bench.fit, bench.head.weight
    values = np.zeros(fit.shape[1]) if ablation == "zero" else fit.mean(axis=0)
    ranked: dict[Target, _Tables] = {
        name: _ranked_tables(scene, weight, values, order, ks) for name, order in orders.items()
    }
    random: dict[RandomArm, _Tables] = {
        name: _random_tables(scene, weight, values, drawn, ks) for name, drawn in draws.items()
    }
    # a random order that begins with the one neuron that matters is as good as the true one, however many are drawn
    floor = min(k for k in ks if k) / fit.shape[1]
    positive = np.array(ks) > 0
    against = {name: _against_random(tables.values, random, positive, floor) for name, tables in ranked.items()}
    halved, halved_bounds, summary_bounds = _with_intervals(scene, weight, values, orders, ranked, random, ks)
    return Ablations(
        on=scene.name,
        ablation=ablation,
        arms=Arms(**{name: tables.arm(name) for name, tables in {**ranked, **random}.items()}),
        summary=ByTarget(**{name: nulls for name, (nulls, _) in against.items()}),
        summary_values=ByTarget(**{name: numbers for name, (_, numbers) in against.items()}),
        outside_range=_outside(scene, fit, values, orders["environment"], ks),
        half_k=halved,
        half_k_interval=halved_bounds,
        summary_interval=summary_bounds,
    )


@dataclass(frozen=True)
class _Tables:
    """What one arm does: for each effect its values (K, 1), or (K, D) of a random arm's draws, and the curves over K
    that are reported of them."""

    values: dict[str, np.ndarray]
    curves: dict[str, OverK]
    low: dict[str, OverK]
    high: dict[str, OverK]

    def arm(self, name: str) -> Arm:
        return Arm(neurons=name, curves=ByEffect(**self.curves), low=ByEffect(**self.low), high=ByEffect(**self.high))


def _ranked_tables(
    scene: Scene, weight: np.ndarray, values: np.ndarray, order: np.ndarray, ks: tuple[int, ...]
) -> _Tables:
    """The first K neurons of one order (d,): there is one edit for each K, so the band is not over draws, as a random
    arm's is, but over resampled units. A set that cannot be resampled has a band of NaN."""
    edits = [ablated(scene, weight, values, order[None], k) for k in ks]  # (1, n, c) each, as `measure` takes them
    table = {effect: np.stack([measure(scene, logits)[effect] for logits in edits]) for effect in EFFECTS}
    bounds = [intervals(scene, logits[0]) for logits in edits]
    unknown = (float("nan"), float("nan"))
    low = {effect: tuple((b[effect] or unknown)[0] for b in bounds) for effect in EFFECTS}
    high = {effect: tuple((b[effect] or unknown)[1] for b in bounds) for effect in EFFECTS}
    curves = {effect: tuple(t[:, 0].tolist()) for effect, t in table.items()}
    return _Tables(table, curves, low, high)


def _random_tables(
    scene: Scene, weight: np.ndarray, values: np.ndarray, draws: np.ndarray, ks: tuple[int, ...]
) -> _Tables:
    """The first K neurons of each drawn order (D, d): means over the draws, inside the range of 95 % of them."""
    measured = [measure(scene, ablated(scene, weight, values, draws, k)) for k in ks]
    table = {effect: np.stack([m[effect] for m in measured]) for effect in EFFECTS}

    def over_draws(share: float) -> dict[str, OverK]:
        return {effect: tuple(np.quantile(t, share, axis=1).tolist()) for effect, t in table.items()}

    curves = {effect: tuple(t.mean(axis=1).tolist()) for effect, t in table.items()}
    return _Tables(table, curves, over_draws(0.025), over_draws(0.975))


def _against_random(
    ranked: dict[str, np.ndarray], random: dict[RandomArm, _Tables], positive: np.ndarray, floor: float
) -> tuple[dict[str, Null], dict[str, float]]:
    """By `summary_key`: the null of an arm's summary over K, and the summary itself."""
    nulls, numbers = {}, {}
    for effect in EFFECTS:
        for control, tables in random.items():
            key = summary_key(effect, control)
            value, others = _summary(ranked[effect], tables.values[effect], positive)
            nulls[key] = null(control, value, others, SIDES[effect], floor)
            numbers[key] = value
    return nulls, numbers


def _summary(ranked: np.ndarray, random: np.ndarray, positive: np.ndarray) -> tuple[float, np.ndarray]:
    """Summary of the ranked neurons, and of every random order, from values (K, 1) and (K, D)."""
    center = random[positive].mean(axis=1, keepdims=True)
    return float((ranked[positive] - center).mean()), (random[positive] - center).mean(axis=0)


HalfBounds = tuple[float, float | None] | None


def _with_intervals(
    scene: Scene,
    weight: np.ndarray,
    values: np.ndarray,
    orders: dict[Target, np.ndarray],
    ranked: dict[Target, _Tables],
    random: dict[RandomArm, _Tables],
    ks: tuple[int, ...],
) -> tuple[float | None, HalfBounds, Interval | None]:
    """`half_k`, its interval, and that of the environment's summary of `env_gap_drop`."""
    half_bounds, drop_bounds = _resampled(scene, weight, values, orders["environment"], ks)
    positive = np.array(ks) > 0
    center = random["random"].values["env_gap_drop"][positive].mean()
    summary_bounds = None
    if drop_bounds is not None:
        summary_bounds = (drop_bounds[0] - center, drop_bounds[1] - center)
    gap = gap_interval(scene)
    if gap is not None and not gap[0] > 0:
        return None, None, summary_bounds  # half of what is no more than noise is reached by chance
    drop = ranked["environment"].values["env_gap_drop"][:, 0]
    return half_point(ks, drop, describe(scene).env_gap), half_bounds, summary_bounds


def _resampled(
    scene: Scene, weight: np.ndarray, values: np.ndarray, order: np.ndarray, ks: tuple[int, ...]
) -> tuple[HalfBounds, Interval | None]:
    """Bootstrap intervals over units of `half_k` and of the mean drop over K > 0."""
    if scene.n_units < 2 or scene.adjusted is None:
        return None, None
    gap = gap_draws(scene, scene.logits)
    drops = np.stack([gap - gap_draws(scene, ablated(scene, weight, values, order[None], k)[0]) for k in ks], axis=1)
    kept = np.isfinite(drops).all(axis=1)
    halves = [half_point(ks, drop, g) for drop, g in zip(drops[kept], gap[kept], strict=True)]
    if not halves:
        return None, None
    # a resample whose gap is never halved lies beyond the largest K, not nowhere: it counts as infinite
    low, high = np.quantile([np.inf if h is None else h for h in halves], [0.025, 0.975], method="nearest")
    over_k = interval(drops[:, np.array(ks) > 0].mean(axis=1))
    if not np.isfinite(low):
        return None, over_k
    return (float(low), float(high) if np.isfinite(high) else None), over_k


def _outside(
    scene: Scene, fit: np.ndarray, values: np.ndarray, order: np.ndarray, ks: tuple[int, ...]
) -> tuple[float, ...]:
    low, high = fit.min(axis=0), fit.max(axis=0)
    out = []
    for k in ks:
        h = scene.h.copy()
        h[:, order[:k]] = values[order[:k]]
        out.append(outside_range(h, low, high))
    return tuple(out)


def half_point(ks: tuple[int, ...], drop: np.ndarray, gap: float) -> float | None:
    """First K at which a curve of drops reaches half of `gap`, interpolated linearly between the K that were tried."""
    half = gap / 2
    i = next((i for i, value in enumerate(drop) if value >= half), None)
    if i is None:
        return None
    if i == 0:
        return float(ks[0])
    share = (half - drop[i - 1]) / (drop[i] - drop[i - 1])
    return float(ks[i - 1] + share * (ks[i] - ks[i - 1]))


def _causal(main: Ablations, alpha: float) -> bool | None:
    arms: tuple[RandomArm, ...] = get_args(RandomArm)
    nulls = [main.summary.environment[summary_key("env_gap_drop", arm)] for arm in arms]
    bounds = main.summary_interval
    if bounds is None or bounds[0] == bounds[1]:
        return None
    if any(not np.isfinite(n.p) or n.smallest_p > alpha for n in nulls):
        return None
    return bool(max(max(n.p, n.smallest_p) for n in nulls) <= alpha and bounds[0] > 0)
