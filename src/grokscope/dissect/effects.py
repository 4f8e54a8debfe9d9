"""Effects of an edit on the decisions: four effects, their intervals over groups, and many edits measured at once.

Shapes: n examples, d features, k classes, e environments, D edits, U independent units (groups, or single examples),
B resamples.

- ``accuracy_drop``: right answers lost (negative when the edit helps), the published effect.
- ``flips``: share of examples whose decision changed.
- ``margin_shift``: mean absolute change of the margin (right logit minus the largest other one).
- ``env_gap_drop``: how much less the logits depend on the environment at a given class (`env_gap`); the only one of
  the four that speaks of the environment, and so the one on which verdicts rest. NaN on a set of one environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import numpy as np

from grokscope.dissect.controls import Sidedness, null
from grokscope.dissect.head import LinearHead
from grokscope.results.scores import ByEffect, Effect, EffectName, Null, SceneRecord

EFFECTS: tuple[EffectName, ...] = get_args(EffectName)
SIDES: dict[EffectName, Sidedness] = {
    "accuracy_drop": "two-sided",
    "flips": "two-sided",
    "margin_shift": "two-sided",
    "env_gap_drop": "greater",
}
"""``env_gap_drop`` is a claim with a direction (the edit takes dependence on the environment away): one-sided."""
LEVEL = 0.95
RESAMPLE_CELLS = 32_000_000
"""Resamples x units that are held in memory; sets of more units get fewer resamples, but not fewer than 199."""


def margins(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Right logit minus the largest other one: (..., n, k), (n,) -> (..., n)."""
    if logits.shape[-1] == 2:
        sign = 2 * labels - 1
        return (logits[..., 1] - logits[..., 0]) * sign
    right = np.take_along_axis(logits, np.broadcast_to(labels[:, None], (*logits.shape[:-1], 1)), -1)[..., 0]
    others = np.where(np.arange(logits.shape[-1]) == labels[:, None], -np.inf, logits)
    return right - others.max(axis=-1)


@dataclass(frozen=True)
class Scene:
    """A set of examples on which effects are measured: its features, labels, environments and independent units."""

    name: str
    h: np.ndarray
    logits: np.ndarray
    labels: np.ndarray
    environments: np.ndarray
    units: np.ndarray
    grouped: bool
    resamples: np.ndarray
    """(B, U): how often each unit is drawn in each resample."""

    @property
    def n(self) -> int:
        return len(self.labels)

    @property
    def n_units(self) -> int:
        return self.resamples.shape[1]

    @cached_property
    def adjusted(self) -> np.ndarray | None:
        """See `env_gap`."""
        return _adjusted(self.environments, self.labels)


def make_scene(
    name: str,
    h: np.ndarray,
    head: LinearHead,
    labels: np.ndarray,
    environments: np.ndarray,
    groups: np.ndarray | None,
    resamples: int,
    seed: int,
) -> Scene:
    """A scene from features (n, d) and codes (n,)."""
    h = h.astype(np.float64)
    ids = np.arange(len(h)) if groups is None else groups
    units = np.unique(ids, return_inverse=True)[1]
    count = int(units.max()) + 1
    # Fewer draws of very many units, or their table would not fit into memory; of fewer than 199 an end of the interval
    # would rest on a handful.
    resamples = max(min(resamples, 199), min(resamples, RESAMPLE_CELLS // count))
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    return Scene(name, h, head.logits(h), labels, environments, units, groups is not None, drawn.astype(np.float64))


def describe(scene: Scene) -> SceneRecord:
    right = int((scene.logits.argmax(axis=-1) == scene.labels).sum())
    return SceneRecord(
        name=scene.name,
        n=scene.n,
        n_units=scene.n_units,
        unit="group" if scene.grouped else "example",
        environments=len(np.unique(scene.environments)),
        correct=right,
        accuracy=right / scene.n,
        env_gap=float(env_gap(scene, scene.logits)),
    )


def env_gap(scene: Scene, logits: np.ndarray) -> np.ndarray:
    """How far the logits move with the environment at a given class: (..., n, k) -> (...); NaN with one environment.

    Least squares of the centered logits on class and environment together; the root mean square over environments of
    the environment's part, in units of the difference of two logits. Noise adds to it: logits that ignore the
    environment still have a gap near their spread divided by the root of the examples (or groups) of an environment.
    """
    if scene.adjusted is None:
        return np.full(logits.shape[:-2], np.nan)
    parts = scene.adjusted @ (logits - logits.mean(axis=-1, keepdims=True))
    return np.sqrt(2 * (parts**2).sum(axis=-1).mean(axis=-1))


def class_gap(scene: Scene) -> float:
    """The same for the class at a given environment: how far the logits move with the right answer."""
    rows = _adjusted(scene.labels, scene.environments)
    if rows is None:
        return float("nan")
    return float(
        np.sqrt(2 * ((rows @ (scene.logits - scene.logits.mean(axis=1, keepdims=True))) ** 2).sum(axis=1).mean())
    )


def gap_interval(scene: Scene) -> tuple[float, float] | None:
    """Bootstrap interval of the unedited network's `env_gap`; its square is shifted by the noise that resampling
    adds."""
    if scene.n_units < 2 or scene.adjusted is None:
        return None
    # The gap is the root of a sum of squares, and noise adds its variance to each: the shift is one of the squares.
    squares = gap_draws(scene, scene.logits) ** 2
    bounds = interval(squares)
    shift = max(0.0, float(np.nanmean(squares)) - float(env_gap(scene, scene.logits)) ** 2)
    if bounds is None:
        return None
    return (max(0.0, bounds[0] - shift) ** 0.5, max(0.0, bounds[1] - shift) ** 0.5)


def _adjusted(environments: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
    """Rows (e, n) that turn any outcome (n,) into its environment effects adjusted for class, centered over
    environments."""
    one_hot = lambda z: (z[:, None] == np.unique(z)).astype(float)  # noqa: E731
    e, y = one_hot(environments), one_hot(labels)
    if e.shape[1] < 2:
        return None
    # Frisch-Waugh: environments less what the class explains of them. They sum to what the classes span too, so that
    # the system is singular by one.
    rest = e - y @ (y.T @ e / y.sum(axis=0)[:, None])
    rows = np.linalg.pinv(rest.T @ rest, rcond=1e-9, hermitian=True) @ rest.T
    return rows - rows.mean(axis=0)


def measure(scene: Scene, edited: np.ndarray) -> dict[str, np.ndarray]:
    """All four effects of D edits at once: logits (D, n, k) -> (D,) each."""
    before, after = margins(scene.logits, scene.labels), margins(edited, scene.labels)
    guess, new = scene.logits.argmax(axis=-1), edited.argmax(axis=-1)
    right, still = (guess == scene.labels).sum(), (new == scene.labels).sum(axis=-1)
    return {
        "accuracy_drop": (right - still) / scene.n,
        "flips": (new != guess).sum(axis=-1) / scene.n,
        "margin_shift": np.abs(after - before).mean(axis=-1),
        "env_gap_drop": env_gap(scene, scene.logits) - env_gap(scene, edited),
    }


def intervals(scene: Scene, edited: np.ndarray) -> dict[str, tuple[float, float] | None]:
    """Percentile bootstrap intervals of the four effects of one edit, logits (n, k), resampling units, never patches.

    None with fewer than two units. With a handful of groups such an interval is too narrow: look at their number.
    """
    if scene.n_units < 2:
        return dict.fromkeys(EFFECTS)
    before, after = margins(scene.logits, scene.labels), margins(edited, scene.labels)
    guess, new = scene.logits.argmax(axis=-1), edited.argmax(axis=-1)
    lost = (guess == scene.labels).astype(float) - (new == scene.labels)
    # Units differ in size, so a resample differs in examples: the column of ones counts them, for the ratios below.
    rates = np.stack([lost, new != guess, np.abs(after - before), np.ones(scene.n)], axis=1)
    sums = scene.resamples @ _by_unit(scene, rates)
    draws = dict(zip(EFFECTS, (sums[:, :3] / sums[:, 3:]).T, strict=False))
    draws["env_gap_drop"] = gap_draws(scene, scene.logits) - gap_draws(scene, edited)
    return {name: interval(values) for name, values in draws.items()}


def unit_interval(scene: Scene, values: np.ndarray) -> tuple[float, float] | None:
    """Bootstrap interval over units of the mean of values (n,); None with fewer than two units."""
    if scene.n_units < 2:
        return None
    sums = scene.resamples @ _by_unit(scene, np.stack([values, np.ones(scene.n)], axis=1))
    return interval(sums[:, 0] / sums[:, 1])


def interval(draws: np.ndarray, level: float = LEVEL) -> tuple[float, float] | None:
    """Percentile interval of finite draws; None when fewer than half are finite."""
    draws = draws[np.isfinite(draws)] if np.isfinite(draws).sum() * 2 >= len(draws) else draws[:0]
    if len(draws) == 0:
        return None
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _by_unit(scene: Scene, values: np.ndarray) -> np.ndarray:
    out = np.zeros((scene.n_units, values.shape[1]))
    np.add.at(out, scene.units, values)
    return out


def gap_draws(scene: Scene, logits: np.ndarray) -> np.ndarray:
    """`env_gap` of every resample (B,), without fitting a regression in each.

    Least squares needs only the cross-products of its columns, and these are sums over examples. So they are summed
    once within each unit; a resample of units is then a weighted sum of such tables, one matrix product for all B.
    """
    if scene.adjusted is None:
        return np.full(len(scene.resamples), np.nan)
    e, y = (np.unique(z, return_inverse=True)[1] for z in (scene.environments, scene.labels))
    hot_e, hot_y = np.eye(e.max() + 1)[e], np.eye(y.max() + 1)[y]
    z = logits - logits.mean(axis=-1, keepdims=True)  # only differences of logits decide
    ey, ee, yy = (_resampled_products(scene, a, b) for a, b in ((hot_e, hot_y), (hot_e, hot_e), (hot_y, hot_y)))
    ez, yz = _resampled_products(scene, hot_e, z), _resampled_products(scene, hot_y, z)
    # Frisch-Waugh: what the class explains is taken out of environments and logits before one is regressed on the
    # other. Classes do not overlap, so y'y is diagonal and its inverse a division; a class that a resample lost has a
    # zero there, and zeros above it.
    within = ey / np.maximum(yy.diagonal(axis1=1, axis2=2), 1e-12)[:, None, :]
    rest, moved = ee - within @ ey.transpose(0, 2, 1), ez - within @ yz
    # environments sum to a constant, which the classes span too: the system is singular by one, always
    effects = np.linalg.pinv(rest, rcond=1e-9, hermitian=True) @ moved
    # an environment that a resample lost has no effect to speak of; it must not count as one of zero
    seen = ee.diagonal(axis1=1, axis2=2) > 0
    effects = effects - _mean_over(effects, seen)[:, None]
    gap = np.sqrt(2 * _mean_over((effects**2).sum(axis=-1, keepdims=True), seen)[:, 0])
    return np.where(seen.sum(axis=1) >= 2, gap, np.nan)


def _resampled_products(scene: Scene, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a'b of every resample: (n, p), (n, q) -> (B, p, q)."""
    each = (a[:, :, None] * b[:, None, :]).reshape(scene.n, -1)
    return (scene.resamples @ _by_unit(scene, each)).reshape(-1, a.shape[1], b.shape[1])


def _mean_over(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Mean over the seen environments: (B, e, k), (B, e) -> (B, k)."""
    return (values * seen[:, :, None]).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)[:, None]


def effect_records(
    scene: Scene, edited: np.ndarray, controls: Mapping[str, np.ndarray], floors: Mapping[str, float]
) -> ByEffect[Effect]:
    """The four effects of one edit, logits (n, k), each against every control's draws (D, n, k). `floors`: as `null`
    takes them, for the controls that have one."""
    values, bounds = measure(scene, edited[None]), intervals(scene, edited)
    draws = {name: measure(scene, logits) for name, logits in controls.items()}

    def record(name: EffectName) -> Effect:
        value = float(values[name][0])
        nulls: dict[str, Null] = {c: null(c, value, d[name], SIDES[name], floors.get(c, 0.0)) for c, d in draws.items()}
        return Effect(
            name=name,
            on=scene.name,
            value=value,
            interval=bounds[name],
            level=LEVEL,
            unit="group" if scene.grouped else "example",
            n=scene.n,
            n_units=scene.n_units,
            controls=nulls,
        )

    return ByEffect(**{name: record(name) for name in EFFECTS})
