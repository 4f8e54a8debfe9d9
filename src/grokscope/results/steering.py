"""m5.json: effect on the decisions of moving the features along the dominant direction between environments."""

from dataclasses import dataclass
from typing import Literal

from grokscope.results.record import Keyed, Record
from grokscope.results.sample import Id
from grokscope.results.scores import ByEffect, Interval, Null

SIGN_RULE = "towards the training environment whose mean lies farthest out along it"
Scaling = Literal["relative", "fixed", "norm"]
Quantiles = tuple[float, float, float, float, float]
"""5, 25, 50, 75 and 95 %."""


@dataclass(frozen=True, kw_only=True)
class Reliability(Record):
    """How well the direction is determined by the data: cosines between directions fitted to two disjoint halves."""

    halves: int
    """Random halvings. [count]"""
    mean: float
    """Mean absolute cosine. [1]"""
    low: float
    """2.5 % quantile of the cosines. [1]"""
    high: float
    """97.5 % quantile of the cosines. [1]"""
    cosine_with_truth: float
    """sqrt(2 r / (1 + r)): the expected cosine of the full fit with the direction that endless data would give, if
    halves differ by independent noise only. r is the root mean square cosine, less the 1 / d that noise alone gives.
    [1]"""
    split_by: str
    """``groups`` or ``examples``."""


@dataclass(frozen=True, kw_only=True)
class Signs(Record):
    """What one unit of steering toward the environment v points to does, and what one against it does: declared
    beforehand, so no step is chosen. On an unseen environment, a gain against the direction means that the shortcut
    stood in the way there."""

    helps: str
    """``towards``, ``against``, ``both`` or ``neither``: which sign gains right answers, its interval above 0."""
    towards: float  # this spelling stays: the name is part of the stored schema
    """Accuracy gained by one unit along v. [share]"""
    towards_interval: Interval | None
    """95 % bootstrap interval of `towards`. [share]"""
    against: float
    """Accuracy gained by one unit against v. [share]"""
    against_interval: Interval | None
    """95 % bootstrap interval of `against`. [share]"""
    mended: float
    """Examples whose wrong answer becomes right, under the better sign. [share of all]"""
    broken: float
    """Examples whose right answer becomes wrong, under the better sign. [share of all]"""
    shift: Quantiles
    """Change of the margin by one unit along v, example by example: 5, 25, 50, 75 and 95 % quantiles. [logits]"""
    reversed: float
    """Examples whose margin moves against the mean change (arXiv:2505.22637). With a linear head and two classes these
    are the examples of one class: steering helps one class by what it takes from the other. [share]"""


@dataclass(frozen=True, kw_only=True)
class Curve(Record):
    """Steering on one set of examples in one scaling, beside random directions of the same length."""

    on: str
    """The set of examples: ``test``, or the name of an unseen one."""
    scaling: Scaling
    """``relative``: one unit is the spread along v; ``fixed``: a constant; ``norm``: a share of the mean feature
    length."""
    unit: float
    """Length of one unit. [units of the features]"""
    steps: tuple[float, ...]
    """Strengths. [`unit`]"""
    accuracy: tuple[float, ...]
    """At each step. [share]"""
    margin: tuple[float, ...]
    """Mean margin at each step. [logits]"""
    outside_range: tuple[float, ...]
    """Activations outside the range of the fit part, at each step. [share]"""
    random_accuracy_low: tuple[float, ...]
    """2.5 % quantile over random directions, at each step. [share]"""
    random_accuracy_high: tuple[float, ...]
    """97.5 % quantile over random directions, at each step. [share]"""
    monotone: bool
    """Whether accuracy is monotone in the strength: the published statistic."""
    monotone_random: float
    """Random directions that are monotone too. [share]"""
    trend: float
    """Rank correlation of accuracy with the strength. [1]"""
    trend_random: Null
    """The size of the trend against random directions of the same length."""
    best_gain: float
    """Highest accuracy along the curve minus the unsteered one; the step was chosen on these examples, so it is
    optimistic. [share]"""
    signs: Signs
    """One unit along and one against."""
    effects: ByEffect[Null]
    """Mean over the two outermost steps of each effect, against random directions."""
    effect_values: ByEffect[float]
    """The same for v itself. [as `ByEffect` says]"""


@dataclass(frozen=True, kw_only=True)
class SiteCurve(Record):
    """Steering at one site along the dominant direction of its averaged features, added at every position."""

    site: str
    """Where."""
    n: int
    """Test images that were run. [examples]"""
    unit: float
    """Length of one step: the spread of the averaged features along v on the fit part. [units of the features]"""
    steps: tuple[float, ...]
    """Strengths. [`unit`]"""
    accuracy: tuple[float, ...]
    """At each step. [share]"""
    margin: tuple[float, ...]
    """Mean margin at each step. [logits]"""
    random_accuracy: tuple[tuple[float, ...], ...]
    """Per random direction of the same length, per step. [share]"""
    shift: Null
    """Mean absolute change of the margin at the two outermost steps, against the random directions, one-sided."""
    shift_value: float
    """The same for v itself. [logits]"""
    effects: Quantiles
    """Change of the logits by one step along v, example by example, along its mean change over examples: 5, 25, 50, 75
    and 95 % quantiles. [logits]"""
    reversed: float
    """Examples that one step moves against the mean (arXiv:2505.22637): steering is no common push there. [share]"""


@dataclass(frozen=True, kw_only=True)
class SlopeControls(Keyed[Null]):
    """Length of the slope against that of other directions, one-sided. Uniform directions miss the few in which real
    features vary, and hit neurons of small scale hard: only `labels` keeps its level in both cases."""

    norm: Null
    """Uniform directions, of the same step."""
    variance: Null
    """Directions matched in spread along them, of the same step."""
    labels: Null
    """Directions fitted to environments that were dealt anew to the same groups, each with a step in proportion to how
    far apart its environments lie: an exact test of whether the environments matter to the head. No p lies below one
    in the number of ways to deal them, see `smallest_p`."""


@dataclass(frozen=True, kw_only=True)
class M5(Record):
    """Steering at the head's input, on every set of examples, in three scalings."""

    towards: Id | None = None
    """The environment that v points to."""
    sign_rule: str = SIGN_RULE
    """How the sign of v was chosen."""
    share: float | None = None
    """Of the between-environment variance along v. [share]"""
    sigma: float | None = None
    """Spread of the features along v. [units of the features]"""
    sigma_on: str | None = None
    """The part on which it was measured."""
    reliability: Reliability | None = None
    """How well v is determined; None with fewer than two groups of an environment."""
    slope: tuple[float, ...] = ()
    """Change of each centered logit for one relative unit: the whole effect of v under a linear head. [logits]"""
    slope_size: float | None = None
    """Length of the slope. [logits]"""
    slope_controls: SlopeControls | None = None
    """The same for other directions."""
    linearity_error: float | None = None
    """Largest difference of the analytic logits from the head run on edited features. [logits]"""
    curves: tuple[Curve, ...] = ()
    """By set of examples, then by scaling."""
    sites: tuple[SiteCurve, ...] = ()
    """Steering at earlier sites, where it was asked for."""
    causal: bool | None = None
    """Whether the slope beats ``labels`` at level alpha; None: cannot tell. False does not clear the other directions
    between three or more environments: v is one of them."""
    cannot_tell: str | None = None
    """Why there is nothing; None where there is."""

    def curve(self, on: str = "test", scaling: Scaling = "relative") -> Curve:
        """Raises StopIteration where it was not measured."""
        return next(c for c in self.curves if (c.on, c.scaling) == (on, scaling))
