"""m1.json: what a linear probe can read, at each site, for the environment and for the task."""

from dataclasses import dataclass
from typing import Literal

from grokscope.results.record import Record
from grokscope.results.scores import Score

Target = Literal["environment", "task"]


@dataclass(frozen=True, kw_only=True)
class Control(Record):
    """The same probe on random labels (Hewitt & Liang 2019, arXiv:1909.03368): what its capacity alone achieves."""

    labels: str
    """``per example``: every example has a random label, scored on the test part; ``per group``: every group has one,
    scored on unseen examples of seen groups, where recognizing the patient is enough."""
    draws: int
    """Random labelings. [count]"""
    real: float
    """Balanced accuracy for the real labels, on the same kind of held-out examples. [share]"""
    random: float
    """The same for random labels, mean over the draws. [share]"""
    fit_accuracy: float
    """Accuracy on the random labels that it was fitted to. [share]"""
    selectivity: float
    """real - random. [share]"""


@dataclass(frozen=True, kw_only=True)
class ProbeResult(Record):
    """One probe at one site."""

    site: str
    """Where it reads."""
    target: Target
    """What it reads."""
    verdict: str
    """``decodable``, ``not decodable`` or ``cannot tell``."""
    reason: str
    """Why that verdict."""
    n_fit: int
    """What it was fitted to. [examples]"""
    d: int
    """Width of the site. [features]"""
    n_over_d: float
    """`n_fit` / `d`. [examples per feature]"""
    regularization: float | None = None
    """Inverse L2 strength C that the select part chose. [1, features standardized]"""
    converged: bool | None = None
    """Whether the fit converged."""
    fit_accuracy: float | None = None
    """On what it was fitted to. [share]"""
    majority: float | None = None
    """Accuracy on the test part of the majority target of the fit part: chance for `test.accuracy`. [share]"""
    test: Score | None = None
    """On the test part; None where nothing could be fitted."""
    controls: tuple[Control, ...] = ()
    """The same on random labels."""


@dataclass(frozen=True, kw_only=True)
class M1(Record):
    """Layer-wise probes, and the color-only baseline as the site ``mean_rgb`` where the inputs are RGB images."""

    probes: tuple[ProbeResult, ...]
    """By site, and for the environment before the task."""
    cannot_tell: str | None = None
    """Why there are none; None where there are."""

    def at(self, site: str, target: Target) -> ProbeResult:
        """Raises StopIteration where none was fitted there."""
        return next(p for p in self.probes if (p.site, p.target) == (site, target))
