"""What an edit did to the decisions: four effects, their intervals over groups, and many edits measured at once.

Shapes: n examples, d features, k classes, e environments, D edits, U independent units (groups, or single examples),
B resamples.

- ``accuracy_drop``: right answers lost (negative when the edit helps), the published effect.
- ``flips``: share of examples whose decision changed.
- ``margin_shift``: mean absolute change of the margin (right logit minus the largest other one).
- ``env_gap_drop``: how much less the margin depends on the environment among examples of one class; the only one of the
  four that speaks of the environment, and so the one on which verdicts rest. NaN on a set of one environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from grokscope.dissect.controls import null
from grokscope.dissect.head import LinearHead
from grokscope.dissect.records import Effect, Null, Record

EFFECTS = ("accuracy_drop", "flips", "margin_shift", "env_gap_drop")
LEVEL = 0.95


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

    @property
    def cells(self) -> np.ndarray:
        """Class x environment of each example, as one number."""
        return self.labels * (int(self.environments.max()) + 1) + self.environments

    @property
    def cell_shape(self) -> tuple[int, int]:
        return int(self.labels.max()) + 1, int(self.environments.max()) + 1

    @property
    def accuracy(self) -> float:
        return int((self.logits.argmax(axis=-1) == self.labels).sum()) / self.n


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
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    return Scene(name, h, head.logits(h), labels, environments, units, groups is not None, drawn.astype(np.float64))


@dataclass(frozen=True, kw_only=True)
class SceneRecord(Record):
    """What the unedited network does on a set: size, accuracy, and how its margin depends on the environment."""

    name: str
    n: int
    n_units: int
    unit: str
    environments: int
    correct: int
    accuracy: float
    env_gap: float


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
        env_gap=float(env_gap(scene, margins(scene.logits, scene.labels))),
    )


def env_gap(scene: Scene, margin: np.ndarray) -> np.ndarray:
    """Spread of the mean margin over environments, within each class, averaged over classes: margins (..., n) -> (...).

    Noise adds to it: with m examples in a cell a margin that ignores the environment still has a gap near its spread
    divided by sqrt(m).
    """
    classes, environments = scene.cell_shape
    one_hot = np.zeros((scene.n, classes * environments))
    one_hot[np.arange(scene.n), scene.cells] = 1
    return gap_of_sums(margin @ one_hot, one_hot.sum(axis=0), scene.cell_shape)


def gap_of_sums(sums: np.ndarray, counts: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """`env_gap` from sums of the margin and counts in each class x environment cell (..., classes * environments).

    Empty cells are left out, and so are classes seen in one environment only; NaN when no class is left.
    """
    sums, counts = (np.broadcast_to(v, np.broadcast_shapes(sums.shape, counts.shape)) for v in (sums, counts))
    sums, counts = (v.reshape(*v.shape[:-1], *shape) for v in (sums, counts))
    seen = counts > 0
    mean = np.where(seen, sums, 0) / np.where(seen, counts, 1)
    size = seen.sum(axis=-1)
    centre = mean.sum(axis=-1) / np.maximum(size, 1)
    spread = np.sqrt((np.where(seen, mean - centre[..., None], 0) ** 2).sum(axis=-1) / np.maximum(size, 1))
    usable = size >= 2
    number = usable.sum(axis=-1)
    total = np.where(usable, spread, 0).sum(axis=-1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def measure(scene: Scene, edited: np.ndarray) -> dict[str, np.ndarray]:
    """All four effects of D edits at once: logits (D, n, k) -> (D,) each."""
    before, after = margins(scene.logits, scene.labels), margins(edited, scene.labels)
    guess, new = scene.logits.argmax(axis=-1), edited.argmax(axis=-1)
    right, still = (guess == scene.labels).sum(), (new == scene.labels).sum(axis=-1)
    return {
        "accuracy_drop": (right - still) / scene.n,
        "flips": (new != guess).sum(axis=-1) / scene.n,
        "margin_shift": np.abs(after - before).mean(axis=-1),
        "env_gap_drop": env_gap(scene, before) - env_gap(scene, after),
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
    rates = np.stack([lost, new != guess, np.abs(after - before), np.ones(scene.n)], axis=1)
    sums = scene.resamples @ _by_unit(scene, rates)
    draws = dict(zip(EFFECTS, (sums[:, :3] / sums[:, 3:]).T, strict=False))
    draws["env_gap_drop"] = _gap_draws(scene, before) - _gap_draws(scene, after)
    return {name: interval(values) for name, values in draws.items()}


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


def _gap_draws(scene: Scene, margin: np.ndarray) -> np.ndarray:
    shape = scene.cell_shape
    size = shape[0] * shape[1]
    place = scene.units * size + scene.cells
    sums, counts = (
        np.bincount(place, weights, scene.n_units * size).reshape(scene.n_units, size)
        for weights in (margin, np.ones(scene.n))
    )
    return gap_of_sums(scene.resamples @ sums, scene.resamples @ counts, shape)


def effect_records(
    scene: Scene, edited: np.ndarray, controls: Mapping[str, np.ndarray], level: float = LEVEL
) -> dict[str, Effect]:
    """The four effects of one edit, logits (n, k), each against every control's draws (D, n, k)."""
    values, bounds = measure(scene, edited[None]), intervals(scene, edited)
    draws = {name: measure(scene, logits) for name, logits in controls.items()}

    def record(name: str) -> Effect:
        value = float(values[name][0])
        nulls: dict[str, Null] = {c: null(c, value, d[name]) for c, d in draws.items()}
        return Effect(
            name=name,
            on=scene.name,
            value=value,
            interval=bounds[name],
            level=level,
            unit="group" if scene.grouped else "example",
            n=scene.n,
            n_units=scene.n_units,
            controls=nulls,
        )

    return {name: record(name) for name in EFFECTS}
