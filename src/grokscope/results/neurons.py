"""m6.json: effect of ablating neurons, of the environment compared with the task's and random ones."""

from dataclasses import dataclass
from typing import Literal

from grokscope.results.record import Keyed, Record
from grokscope.results.scores import ByEffect, ByTarget, EffectName, Interval, Null

SUMMARY = "mean over K > 0 of (effect - mean effect of random neurons)"
Ablation = Literal["zero", "mean"]
RandomArm = Literal["random", "random_variance"]
OverK = tuple[float, ...]
"""A value at each K of `M6.ks`."""


def summary_key(effect: EffectName, control: RandomArm) -> str:
    """Under which name `Ablations.summary` and `Ablations.summary_values` hold an effect against a control."""
    return f"{effect} / {control}"


@dataclass(frozen=True, kw_only=True)
class Arm(Record):
    """One set of neurons, growing with K, ablated on one set of examples: each effect's curve over K."""

    neurons: str
    """``environment``, ``task``, ``random``, or ``random_variance`` (drawn to hold as much variance)."""
    curves: ByEffect[OverK]
    """At each K; the mean over the draws for the random arms. [as `ByEffect` says]"""
    low: ByEffect[OverK] | None = None
    """2.5 % of the draws (random arms), or of a bootstrap over units (the others). [as `ByEffect` says]"""
    high: ByEffect[OverK] | None = None
    """97.5 % of the same. [as `ByEffect` says]"""


@dataclass(frozen=True, kw_only=True)
class Arms(Keyed[Arm]):
    """The sets of neurons that are compared."""

    environment: Arm
    """Those that tell environments apart best."""
    task: Arm
    """Those that tell classes apart best."""
    random: Arm
    """Random ones."""
    random_variance: Arm
    """Random ones that hold as much variance as the environment's."""


@dataclass(frozen=True, kw_only=True)
class Ablations(Record):
    """All arms on one set of examples under one ablation, with the summary over K."""

    on: str
    """The set of examples: ``test``, or the name of an unseen one."""
    ablation: Ablation
    """What neurons are set to: 0, or their mean on the fit part."""
    arms: Arms
    """The sets of neurons."""
    summary: ByTarget[dict[str, Null]]
    """Arm -> `summary_key` -> its null over the draws' own summaries."""
    summary_values: ByTarget[dict[str, float]]
    """Arm -> `summary_key` -> the arm's own summary. [as `ByEffect` says]"""
    outside_range: OverK
    """Activations outside the fit part's range, after ablating the environment's neurons, at each K. [share]"""
    half_k: float | None
    """How many of the environment's neurons must go before the environment gap of the margin is halved (interpolated in
    K); None when no K up to the largest does, or when the gap itself is no more than noise (its interval reaches 0).
    [neurons]"""
    half_k_interval: tuple[float, float | None] | None
    """95 % bootstrap interval over units; an upper end of None means beyond the largest K. None where the gap cannot be
    resampled. [neurons]"""
    summary_interval: Interval | None
    """95 % bootstrap interval of the environment's summary of `env_gap_drop`, the random orders held fixed. [logits]"""


@dataclass(frozen=True, kw_only=True)
class M6(Record):
    """Neuron ablation at the head's input."""

    ranking: str | None = None
    """The score by which neurons are ranked."""
    summary_rule: str = SUMMARY
    """What the summary over K is."""
    ks: tuple[int, ...] = ()
    """Numbers of neurons that are ablated, rising. [neurons]"""
    skipped_ks: tuple[int, ...] = ()
    """K that exceed the number of neurons. [neurons]"""
    d: int = 0
    """Width of the site. [neurons]"""
    top: ByTarget[tuple[int, ...]] | None = None
    """The first neurons of each ranking, up to the largest K. [position, from 0]"""
    overlap: tuple[float, ...] = ()
    """Of the environment's first K neurons those that are among the task's, at each K > 0. [share]"""
    holds_true: OverK = ()
    """K / d for each K: the chance that K random neurons hold a given one. Where a single channel carries everything,
    random sets are as good as the true one this often. [probability]"""
    ablations: tuple[Ablations, ...] = ()
    """By set of examples, then by ablation."""
    causal: bool | None = None
    """Whether the summary of `env_gap_drop` on the test part has an interval above 0 and beats both random arms,
    one-sided; None: cannot tell."""
    cannot_tell: str | None = None
    """Why there is nothing; None where there is."""

    def on(self, scene: str = "test", ablation: Ablation = "mean") -> Ablations:
        """Raises StopIteration where it was not measured."""
        return next(a for a in self.ablations if (a.on, a.ablation) == (scene, ablation))
