"""m4.json: effect of removing the environment's subspace on probes, on the environment's part of the logits and on the
task."""

from dataclasses import dataclass

from grokscope.results.record import Record
from grokscope.results.scores import ByEffect, Effect, Score


@dataclass(frozen=True, kw_only=True)
class Erasure(Record):
    """What one eraser, fitted on `fit`, did to held-out examples."""

    eraser: str
    """Its name."""
    rank: int
    """What it removes. [dimensions]"""
    n_fit: int
    """What it was fitted to. [examples]"""
    units_fit: int
    """Independent units (groups, or examples without groups) of the fit part. [units]"""
    d: int
    """Width of the site. [features]"""
    guarantee: str
    """What is proved of it, and where."""
    verdict: str
    """``erased``, ``not erased`` or ``cannot tell``; from `refitted`."""
    reason: str
    """Why that verdict."""
    before: Score
    """Probes fitted on the unedited select part, scored on the test part."""
    old_probe: Score
    """The probe fitted on the unedited fit part, on edited test examples: at chance by construction for
    `probe_rows`."""
    refitted: Score
    """Probes fitted on the edited select part, scored on the edited test part."""
    refitted_on_fit: Score
    """The same, fitted on the edited fit part: blind to what the eraser itself could not see there."""
    task_before: Score
    """Probes of the task, fitted on the unedited select part."""
    task_refitted: Score
    """Whether the task can still be read after the edit."""
    removed_variance: float
    """Of the total variance of the fit part. [share]"""
    matched_variance: float
    """Mean variance removed by the variance-matched draws, in what this eraser removed; below 1 where the rest of the
    features does not hold so much. [share]"""
    outside_range: float
    """Edited test activations outside the fit part's range of their neuron. [share]"""
    outside_range_before: float
    """The same of unedited ones. [share]"""
    effects: dict[str, ByEffect[Effect]]
    """By set of examples, then by effect."""
    causal: bool | None
    """Whether the test part's `env_gap_drop` has an interval above 0 and beats every control, one-sided, at level
    alpha; None: cannot tell."""
    energy_distance: float
    """Of the edited test features to the fit part's natural ones. [standard deviations of the natural features]"""
    energy_distance_natural: float
    """The same for unedited test features: what other patients differ by anyway. [as `energy_distance`]"""


@dataclass(frozen=True, kw_only=True)
class M4(Record):
    """All erasers, and the angles between what they remove."""

    erasures: tuple[Erasure, ...]
    """In the order of the settings."""
    angles: dict[str, tuple[float, ...]]
    """Principal angles, the largest first, between erasers (``leace / lda``), and of each with the task's own subspace
    (``leace / task``). [degrees]"""
    cannot_tell: str | None = None
    """Why there are none; None where there are."""
    left_out: dict[str, str] | None = None
    """Erasers that could not be fitted, and why."""

    def by(self, eraser: str) -> Erasure:
        """Raises StopIteration where it was not fitted."""
        return next(e for e in self.erasures if e.eraser == eraser)
