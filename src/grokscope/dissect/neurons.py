"""M6: switch off the neurons that tell environments apart best, against random ones and against the task's.

Neurons are ranked on `fit` and ablated on `test`. The control draws are nested orders of all neurons, so each draw
has a whole curve over K, and the one summary over K declared beforehand (mean over K > 0 of the gap to the mean
random order) has an exact null. Choosing the K at which the gap is largest does not.

Shapes: n examples, d neurons, k classes, D draws.
"""

from dataclasses import dataclass

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
from grokscope.dissect.intervention import Ablate
from grokscope.dissect.probes import Probe
from grokscope.dissect.records import Null, Record
from grokscope.dissect.subspaces import class_means

SUMMARY = "mean over K > 0 of (effect - mean effect of random neurons)"
ABLATIONS = ("zero", "mean")


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


@dataclass(frozen=True, kw_only=True)
class Arm(Record):
    """One set of neurons, growing with K, ablated on one set of examples: each effect's curve over K."""

    neurons: str
    """``environment``, ``task``, ``random``, or ``random_variance`` (drawn to hold as much variance)."""
    curves: dict[str, tuple[float, ...]]
    """Effect -> value at each K; the mean over the draws for the random arms."""
    low: dict[str, tuple[float, ...]] | None = None
    high: dict[str, tuple[float, ...]] | None = None
    """2.5 and 97.5 % of the draws (random arms), or of a bootstrap over units (the others)."""


@dataclass(frozen=True, kw_only=True)
class Ablations(Record):
    """All arms on one set of examples under one ablation, with the summary over K."""

    on: str
    ablation: str
    arms: dict[str, Arm]
    summary: dict[str, dict[str, Null]]
    """Arm (environment, task) -> ``effect / control`` -> its null over the draws' own summaries."""
    summary_values: dict[str, dict[str, float]]
    outside_range: tuple[float, ...]
    """Share of all activations outside the fit part's range, after ablating the environment's neurons, at each K."""
    half_k: float | None
    """Number of the environment's neurons whose ablation halves the environment gap of the margin (interpolated in K);
    None when no K up to the largest does, or when the gap itself is no more than noise (its interval reaches 0)."""
    half_k_interval: tuple[float, float | None] | None
    """95 % bootstrap interval over units; an upper end of None means beyond the largest K. None where the gap cannot be
    resampled."""
    summary_interval: tuple[float, float] | None
    """95 % bootstrap interval of the environment's summary of `env_gap_drop`, the random orders held fixed."""


@dataclass(frozen=True, kw_only=True)
class M6(Record):
    ranking: str | None = None
    summary_rule: str = SUMMARY
    ks: tuple[int, ...] = ()
    skipped_ks: tuple[int, ...] = ()
    """K that exceed the number of neurons."""
    d: int = 0
    top: dict[str, tuple[int, ...]] | None = None
    """The first neurons of each ranking, up to the largest K."""
    overlap: tuple[float, ...] = ()
    """Share of the environment's first K neurons that are among the task's, at each K > 0."""
    holds_true: tuple[float, ...] = ()
    """K / d for each K: the chance that K random neurons hold a given one. Where a single channel carries everything,
    random sets are as good as the true one this often."""
    ablations: tuple[Ablations, ...] = ()
    causal: bool | None = None
    """Whether the summary of `env_gap_drop` on the test part has an interval above 0 and beats both random arms,
    one-sided; None: cannot tell."""
    cannot_tell: str | None = None

    def on(self, scene: str = "test", ablation: str = "mean") -> Ablations:
        return next(a for a in self.ablations if (a.on, a.ablation) == (scene, ablation))


def run_m6(bench: Bench, probes: dict[str, Probe]) -> M6:
    """Neuron ablation at the head's input; `probes` (environment, task) are needed for the ranking ``max_abs_coef``."""
    settings, fit = bench.settings, bench.fit
    d = fit.shape[1]
    ks = tuple(sorted({k for k in settings.ks if k <= d}))
    skipped = tuple(sorted({k for k in settings.ks if k > d}))
    if not any(ks):
        return M6(d=d, skipped_ks=skipped, cannot_tell=f"all K exceed the {d} neurons of the site")
    orders = {t: ranking(_score(bench, t, probes[t])) for t in ("environment", "task")}
    rng = settings.rng("neurons")
    uniform = np.stack([rng.permutation(d) for _ in range(settings.draws)])
    spread = within_variance(fit, bench.sample.target("environment", "fit"))
    matched = variance_matched_orders(
        settings.rng("neurons", "variance"), spread, orders["environment"], ks, settings.draws
    )
    draws = {"random": uniform, "random_variance": matched}
    done = tuple(
        _ablate(bench, scene, ablation, orders, draws, ks) for scene in bench.scenes.values() for ablation in ABLATIONS
    )
    main = next(a for a in done if (a.on, a.ablation) == ("test", settings.ablation))
    most = max(ks)
    return M6(
        ranking=settings.ranking,
        ks=ks,
        skipped_ks=skipped,
        d=d,
        top={t: tuple(o[:most].tolist()) for t, o in orders.items()},
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
    """Random orders (D, d) that lean towards neurons of large (or small) variance, so that on average over K > 0 the
    first K hold the share of the variance that the first K of `top` hold.

    Drawn one after another with probability proportional to variance ** t (Gumbel keys), t found by bisection. Neurons
    that vary much matter more whatever they code for; this control knows that, the uniform one does not. Give the
    variance within environments: by the total variance the environment's neurons would be compared with themselves.
    """
    logs = np.log(np.maximum(variance, 1e-12 * max(float(variance.max()), 1e-300)))
    logs -= logs.max()
    keys = rng.gumbel(size=(draws, len(variance)))
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


def _ablate(bench: Bench, scene: Scene, ablation: str, orders, draws, ks: tuple[int, ...]) -> Ablations:
    fit, weight = bench.fit, bench.head.weight
    values = np.zeros(fit.shape[1]) if ablation == "zero" else fit.mean(axis=0)
    arms, curves = {}, {}
    for name, order in orders.items():
        arms[name], curves[name] = _own_arm(scene, weight, values, order, ks, name)
    for name, order in draws.items():
        arms[name], curves[name] = _random_arm(scene, weight, values, order, ks, name)
    positive = np.array(ks) > 0
    # a random order that begins with the one neuron that matters is as good as the true one, however many are drawn
    floor = min(k for k in ks if k) / fit.shape[1]
    summary, numbers = {}, {}
    for own in orders:
        pairs = {f"{e} / {c}": (e, c) for e in EFFECTS for c in draws}
        found = {key: _summary(curves[own][e], curves[c][e], positive) for key, (e, c) in pairs.items()}
        summary[own] = {
            key: null(pairs[key][1], value, other, SIDES[pairs[key][0]], floor) for key, (value, other) in found.items()
        }
        numbers[own] = {key: value for key, (value, _) in found.items()}
    half, beyond = _resampled(scene, weight, values, orders["environment"], ks)
    gap = gap_interval(scene)
    above_noise = gap is None or gap[0] > 0
    random = curves["random"]["env_gap_drop"][positive].mean()
    return Ablations(
        on=scene.name,
        ablation=ablation,
        arms=arms,
        summary=summary,
        summary_values=numbers,
        outside_range=_outside(scene, fit, values, orders["environment"], ks),
        half_k=half_point(ks, curves["environment"]["env_gap_drop"][:, 0], describe(scene).env_gap)
        if above_noise
        else None,
        half_k_interval=half if above_noise else None,
        summary_interval=None if beyond is None else (beyond[0] - random, beyond[1] - random),
    )


def _resampled(scene: Scene, weight, values, order, ks: tuple[int, ...]):
    """Bootstrap intervals over units of `half_k` and of the mean drop over K > 0."""
    if scene.n_units < 2 or scene.adjusted is None:
        return None, None
    gap = gap_draws(scene, scene.logits)
    drops = np.stack([gap - gap_draws(scene, ablated(scene, weight, values, order[None], k)[0]) for k in ks], axis=1)
    kept = np.isfinite(drops).all(axis=1)
    halves = [half_point(ks, drop, g) for drop, g in zip(drops[kept], gap[kept], strict=True)]
    if not halves:
        return None, None
    low, high = np.quantile([np.inf if h is None else h for h in halves], [0.025, 0.975], method="nearest")
    bounds = None if not np.isfinite(low) else (float(low), float(high) if np.isfinite(high) else None)
    return bounds, interval(drops[:, np.array(ks) > 0].mean(axis=1))


def _own_arm(scene, weight, values, order, ks, name: str):
    edits = [ablated(scene, weight, values, order[None], k) for k in ks]
    table = {e: np.stack([measure(scene, z)[e] for z in edits]) for e in EFFECTS}
    bounds = [intervals(scene, z[0]) for z in edits]
    side = [{e: tuple((b[e] or (float("nan"),) * 2)[i] for b in bounds) for e in EFFECTS} for i in (0, 1)]
    curves = {e: tuple(t[:, 0].tolist()) for e, t in table.items()}
    return Arm(neurons=name, curves=curves, low=side[0], high=side[1]), table


def _random_arm(scene, weight, values, orders, ks, name: str):
    measured = [measure(scene, ablated(scene, weight, values, orders, k)) for k in ks]
    table = {e: np.stack([m[e] for m in measured]) for e in EFFECTS}
    quantile = lambda q: {e: tuple(np.quantile(t, q, axis=1).tolist()) for e, t in table.items()}  # noqa: E731
    curves = {e: tuple(t.mean(axis=1).tolist()) for e, t in table.items()}
    return Arm(neurons=name, curves=curves, low=quantile(0.025), high=quantile(0.975)), table


def _summary(own: np.ndarray, random: np.ndarray, positive: np.ndarray) -> tuple[float, np.ndarray]:
    """Summary of the ranked neurons, and of every random order, from curves (K, 1) and (K, D)."""
    centre = random[positive].mean(axis=1, keepdims=True)
    return float((own[positive] - centre).mean()), (random[positive] - centre).mean(axis=0)


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
    goal = gap / 2
    for i, k in enumerate(ks):
        if drop[i] >= goal:
            if i == 0:
                return float(k)
            share = (goal - drop[i - 1]) / (drop[i] - drop[i - 1])
            return float(ks[i - 1] + share * (k - ks[i - 1]))
    return None


def _causal(main: Ablations, alpha: float) -> bool | None:
    nulls = [n for key, n in main.summary["environment"].items() if key.startswith("env_gap_drop / ")]
    bounds = main.summary_interval
    if bounds is None or bounds[0] == bounds[1] or any(not np.isfinite(n.p) or n.smallest_p > alpha for n in nulls):
        return None
    return bool(max(max(n.p, n.smallest_p) for n in nulls) <= alpha and bounds[0] > 0)


def ablation_intervention(site: str, neurons: np.ndarray, values: np.ndarray) -> Ablate:
    """The ablation of these neurons, set to these values, as storable data."""
    return Ablate(site=site, neurons=tuple(int(j) for j in neurons), values=tuple(float(v) for v in values))
