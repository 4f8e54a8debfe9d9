"""The labelled sample that every method of the battery shares: codes, parts, weights, and the settings of the
battery."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from grokscope.config import require
from grokscope.dissect.parts import Parts, balancing_weights
from grokscope.dissect.records import Record
from grokscope.seeds import derive

ERASERS = ("mean_diff", "lda", "probe_rows", "leace", "splince")
RANKINGS = ("standardized_gap", "max_abs_coef")


@dataclass(frozen=True, kw_only=True)
class Settings(Record):
    """Every choice of the battery, with its reason. All of it is stored with the results."""

    seed: int = 0
    shares: tuple[float, float, float] = (0.5, 0.25, 0.25)
    """Fit, select, test."""
    draws: int = 99
    """Random draws of each control: the fewest with which a two-sided p can fall below .05 with room for a tie."""
    permutations: int = 999
    """Permutations of the labels behind a probe's p: no refit, so they cost nothing."""
    resamples: int = 999
    """Bootstrap resamples of the groups (fewer, down to 199, on sets of more than 32,000 units)."""
    alpha: float = 0.05
    """Level of every verdict."""
    tolerance: float = 0.10
    """A probe counts as at chance when its interval ends below chance plus this (balanced accuracy)."""
    negligible: float = 0.25
    """Share of what the class moves the logits by, below which the environment's part is negligible: it counts as
    unused when the interval of its gap ends below it (a test that found nothing does not show that there is nothing),
    and as used negligibly when what the edit takes is real and smaller than this."""
    balance: Literal["class", "none"] = "class"
    """``class`` weights the examples so that environment and class are independent; ``none`` is as published."""
    regularization: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    """Inverse L2 strengths C of the probes (features standardized), from which the select part chooses."""
    refit_regularization: tuple[float, ...] = (1e-3, 1e-2, 1e-1)
    """C of the probes refitted on edited features; the most successful one is reported, and its p pays for the
    choice."""
    probe_controls: int = 2
    """Random labellings behind each selectivity."""
    erasers: tuple[str, ...] = ERASERS
    lda_rounds: int = 1
    """Repeats of LDA on what the rounds before left: rank (environments - 1) x rounds."""
    steps: tuple[float, ...] = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
    """Steering strengths, the published range."""
    sigma_on: Literal["fit", "select", "test"] = "fit"
    """The set whose spread along the direction is one unit of relative steering."""
    fixed_step: float = 1.0
    """One unit of fixed-norm steering, in the units of the features: the same for every network that is compared."""
    norm_share: float = 0.1
    """One unit of norm-relative steering: this share of the mean length of a feature vector."""
    halves: int = 20
    """Random halvings of the fit part behind the reliability of the steering direction."""
    ks: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)
    """Numbers of neurons ablated: the published ones, and 1 and 2, for a shortcut may sit in a single channel."""
    ranking: str = "standardized_gap"
    ablation: Literal["zero", "mean"] = "mean"
    """The ablation that verdicts rest on (both are reported): zero leaves the data's range where neurons are rarely
    0."""

    def __post_init__(self) -> None:
        require(self.draws >= 1, f"draws must be at least 1, got {self.draws}")
        require(self.permutations >= 1, f"permutations must be at least 1, got {self.permutations}")
        require(self.resamples >= 1, f"resamples must be at least 1, got {self.resamples}")
        require(0 < self.alpha < 1, f"alpha must lie in (0, 1), got {self.alpha}")
        require(0 < self.negligible < 1, f"negligible must lie in (0, 1), got {self.negligible}")
        require(0 < self.tolerance < 1, f"tolerance must lie in (0, 1), got {self.tolerance}")
        for key in ("regularization", "refit_regularization"):
            values = getattr(self, key)
            require(len(values) > 0 and min(values, default=0) > 0, f"{key} must be positive numbers, got {values}")
        unknown = [e for e in self.erasers if e not in ERASERS]
        require(not unknown, f"erasers: unknown {unknown}; known: {', '.join(ERASERS)}")
        require(self.ranking in RANKINGS, f"ranking: unknown {self.ranking!r}; known: {', '.join(RANKINGS)}")
        require(all(k >= 0 for k in self.ks) and any(self.ks), f"ks must be counts, one above 0, got {self.ks}")
        require(0.0 in self.steps and len(self.steps) >= 3, "steps must hold 0 and at least two others")
        require(self.lda_rounds >= 1 and self.halves >= 1 and self.probe_controls >= 1, "counts must be at least 1")

    def rng(self, *purpose: str) -> np.random.Generator:
        """A generator of its own for each purpose, so that adding a control changes no other number."""
        return np.random.default_rng(derive(self.seed, "dissect", *purpose))


@dataclass(frozen=True)
class Sample:
    """Codes 0..k-1 of labels, environments and groups (n,), the parts, and weights (n_part,) within each part."""

    labels: np.ndarray
    environments: np.ndarray
    groups: np.ndarray | None
    parts: Parts
    weights: dict[str, np.ndarray | None]

    @property
    def classes(self) -> int:
        return int(self.labels.max()) + 1

    @property
    def n_environments(self) -> int:
        return int(self.environments.max()) + 1

    def target(self, name: str, part: str) -> np.ndarray:
        """Codes of ``environment`` or ``task`` in a part."""
        return (self.environments if name == "environment" else self.labels)[self.parts[part]]

    def strata(self, target: str, part: str) -> np.ndarray:
        """What must not help to read a target: the class for the environment, the environment for the task."""
        return self.target("task" if target == "environment" else "environment", part)

    def units(self, part: str) -> int:
        """Number of independent units of a part: groups, or examples without groups."""
        group = self.group(part)
        return len(self.parts[part]) if group is None else len(np.unique(group))

    def group(self, part: str) -> np.ndarray | None:
        return None if self.groups is None else self.groups[self.parts[part]]


def make_sample(
    labels: np.ndarray, environments: np.ndarray, groups: np.ndarray | None, parts: Parts, balance: str
) -> Sample:
    weights = {
        part: balancing_weights(environments[rows], labels[rows]) if balance == "class" else None
        for part, rows in (("fit", parts.fit), ("select", parts.select), ("test", parts.test))
    }
    return Sample(labels, environments, groups, parts, weights)
