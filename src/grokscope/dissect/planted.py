"""Planted shortcuts: features, labels, environments, groups and a linear head whose geometry is known exactly.

h = scale * (mean + task + shortcut + group + noise), with noise of standard deviation 1 in every neuron, so that
separations are in noise standard deviations. The head reads the task's direction, orthogonal to the shortcut unless
they share some, and the shortcut's first direction as strongly as `reliance` says. A calibration shows what a method
does on data of this kind, not on all data: real features are correlated, rectified and curved.

Shapes: n examples, d neurons, r dimensions of the shortcut, e environments.
"""

from dataclasses import dataclass

import numpy as np

from grokscope.config import require
from grokscope.dissect.head import LinearHead, make_head


@dataclass(frozen=True, kw_only=True)
class Planting:
    """What to plant. Defaults: a strong shortcut, readable and used, in eight of 64 neurons."""

    n: int = 800
    d: int = 64
    environments: int = 3
    groups_per_environment: int = 16
    """Patients; 0 plants none, and examples are independent."""
    rank: int = 1
    separation: float = 3.0
    """Distance between the outermost environments along each direction of the shortcut, in noise SD; 0 plants none."""
    neurons: int = 8
    """How many neurons carry it: few is concentrated, d is smeared."""
    used: bool = True
    reliance: float = 1.0
    """Weight of the shortcut relative to the task in the head (per noise SD), where it is used."""
    task_separation: float = 3.0
    """Distance between the two classes, in noise SD."""
    correlation: float = 0.0
    """0: classes equally frequent everywhere; 1: outermost environments hold one class each."""
    shared: float = 0.0
    """Cosine of the task's direction with the shortcut's first one: the head then reads the shortcut by reading the
    task."""
    small_share: float | None = None
    """Share of the patients (or examples) that come from the last environment; None gives all the same."""
    group_sd: float = 0.3
    """Spread of patients in every neuron: what makes patients, not images, the unit."""
    scale_spread: float = 0.0
    """SD of the log of the neurons' scales; the head reads scaled features so that the function is the same."""

    def __post_init__(self) -> None:
        require(self.environments >= 2, f"environments must be at least 2, got {self.environments}")
        require(
            1 <= self.rank <= self.environments - 1,
            f"rank must lie in 1..{self.environments - 1} for {self.environments} environments, got {self.rank}",
        )
        require(self.rank <= self.neurons <= self.d, f"neurons must lie in {self.rank}..{self.d}, got {self.neurons}")
        require(0 <= self.correlation <= 1, f"correlation must lie in [0, 1], got {self.correlation}")
        require(0 <= self.shared < 1, f"shared must lie in [0, 1), got {self.shared}")
        require(
            self.small_share is None or 0 < self.small_share < 1,
            f"small_share must lie in (0, 1), got {self.small_share}",
        )
        for key in ("separation", "reliance", "task_separation", "group_sd", "scale_spread"):
            require(getattr(self, key) >= 0, f"{key} must not be negative, got {getattr(self, key)}")


@dataclass(frozen=True)
class Planted:
    """Data and truth. In the features' own units: `basis` (d, r) spans the shortcut, `direction` (d,) is its first."""

    features: np.ndarray
    labels: np.ndarray
    environments: np.ndarray
    groups: np.ndarray | None
    head: LinearHead
    basis: np.ndarray
    direction: np.ndarray
    neurons: np.ndarray


def plant(what: Planting, seed: int) -> Planted:
    """Draw one data set."""
    rng = np.random.default_rng(seed)
    neurons = np.sort(rng.permutation(what.d)[: what.neurons])
    basis = _directions(rng, what, neurons)
    task = rng.standard_normal(what.d)
    task -= basis @ (basis.T @ task)
    task *= np.sqrt(1 - what.shared**2) / np.linalg.norm(task)
    task += what.shared * basis[:, 0]
    e, g = _places(what)
    y = _labels(rng, what, e)
    z = _noise(rng, what, g) + np.outer((y - 0.5) * what.task_separation, task) + _levels(what)[e] @ basis.T
    scale = np.exp(what.scale_spread * rng.standard_normal(what.d))
    margin = task + (what.reliance * basis[:, 0] if what.used else 0)
    features = (scale * z).astype(np.float32)
    along = np.linalg.qr(scale[:, None] * basis)[0]
    first = scale * basis[:, 0]
    head = make_head(np.stack([-margin / scale / 2, margin / scale / 2]))
    groups = None if what.groups_per_environment == 0 else g
    return Planted(features, y, e, groups, head, along, first / np.linalg.norm(first), neurons)


def _directions(rng: np.random.Generator, what: Planting, neurons: np.ndarray) -> np.ndarray:
    """Orthonormal (d, r), supported on the neurons, no neuron much weaker than the others."""
    signs = rng.choice([-1.0, 1.0], size=(what.neurons, what.rank)) * rng.uniform(0.8, 1.2, (what.neurons, what.rank))
    basis = np.zeros((what.d, what.rank))
    basis[neurons] = np.linalg.qr(signs)[0]
    return basis


def _levels(what: Planting) -> np.ndarray:
    """Where each environment lies along each direction (e, r): centered, orthogonal columns, range = separation."""
    powers = np.vander(np.linspace(-1, 1, what.environments), what.rank + 1, increasing=True)
    levels = np.linalg.qr(powers)[0][:, 1:]
    levels = levels * np.sign(levels[-1])
    return what.separation * levels / np.ptp(levels, axis=0)


def _places(what: Planting) -> tuple[np.ndarray, np.ndarray]:
    units = what.environments * what.groups_per_environment or what.n
    home = _homes(what, units)
    g = np.arange(what.n) % units
    return home[g], g


def _homes(what: Planting, units: int) -> np.ndarray:
    """The environment of each unit: in turn, or the last one small and the others equal."""
    home = np.arange(units) % what.environments
    if what.small_share is None:
        return home
    small = np.arange(units) < round(what.small_share * units)
    return np.where(small, what.environments - 1, np.arange(units) % (what.environments - 1))


def _labels(rng: np.random.Generator, what: Planting, e: np.ndarray) -> np.ndarray:
    lean = np.linspace(-1, 1, what.environments)[e]
    return (rng.random(what.n) < 0.5 * (1 + what.correlation * lean)).astype(np.int64)


def _noise(rng: np.random.Generator, what: Planting, g: np.ndarray) -> np.ndarray:
    offsets = what.group_sd * rng.standard_normal((g.max() + 1, what.d))
    return rng.standard_normal((what.n, what.d)) + (offsets[g] if what.groups_per_environment else 0)
