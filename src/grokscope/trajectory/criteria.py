"""The thresholds of all verdicts, in one frozen object that is printed with them."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from grokscope.checks import is_whole, names_checked
from grokscope.fit_rule import FIT_ACCURACY, FIT_R2, Kind
from grokscope.trajectory.series import Trajectory


@names_checked
@dataclass(frozen=True, kw_only=True)
class Criteria:
    """Thresholds for milestones, verdicts and events. The chance-corrected range is the score range from the trivial
    predictor to the generalization threshold, so shares of it are comparable between chance 0.01 and 0.5.
    """

    fit: float = FIT_ACCURACY
    """Train accuracy that counts as fitted: all but the odd ambiguous example."""
    generalize: float | None = None
    """Held-out accuracy that counts as generalized; none means the task's own threshold (0.95 unless it states
    another)."""
    fit_r2: float = FIT_R2
    """Train R2 that counts as fitted: a tenth of the variance left. Hard regressions touch 0.93 when they memorize."""
    generalize_r2: float | None = None
    """Held-out R2 that counts as generalized; none means the task's own threshold (0.9 unless it states another)."""
    fit_loss: float | None = None
    """Train loss from which downward train counts as fitted, in the loss's own unit and in place of `fit` or `fit_r2`;
    none: the score decides. Theories of grokking often state their times so."""
    generalize_loss: float | None = None
    """Held-out loss from which downward held-out counts as generalized, in place of the score. Where the trivial
    predictor's loss is no higher, reaching it is no generalization: the split gets its milestones and no class."""
    delay_ratio: float = 2.0
    """T_gen / T_fit from which a delay is real: held-out lags train by some percent in any training."""
    plateau_level: float = 0.8
    """"Far below the threshold" means below this share of the chance-corrected range."""
    plateau_share: float = 0.5
    """"Most of the delay": the share of the time from T_fit to T_gen spent far below the threshold."""
    dwell: int = 3
    """A dip, a flicker or an end shorter than this many evaluations decides nothing: one or two can be chance."""
    in_a_row: int = 1
    """Evaluations in a row that must reach a threshold before T_fit or T_gen counts; the milestone is the first of
    them. Published milestones often ask for 3 or 5."""
    zero_loss: float = 0.01
    """Train loss that counts as near zero, for T_grok: in the loss's own unit, in regression as a share of the trivial
    predictor's loss."""
    end_share: float = 0.05
    """The end of a curve is its mean over this last share of the steps, however many evaluations lie in it."""
    noise_sigmas: float = 3.0
    """Two levels differ when they lie this many standard errors apart; 3 because the peak is the best of many
    evaluations."""
    drop_share: float = 0.05
    """A decay from the peak must be this share of the chance-corrected range, however small its standard error: large n
    makes trifles certain."""
    rise_share: float = 0.2
    """A late rise must be this share of the chance-corrected range to leave the plateau: memorizing networks creep by a
    tenth or so."""
    level_share: float = 0.1
    """A late rise has leveled off when the last quarter of the time since it began brought less than this share of
    it; a straight line gains a quarter there."""
    kept_rise: float = 0.75
    """A late rise that loses more than a quarter of itself again has peaked, not risen."""
    baseline_share: float = 0.1
    """Less than this share of the chance-corrected range above the trivial predictor counts as no better than it."""
    collapse_depth: float = 0.2
    """The train score collapses when it loses this share of its range from trivial to fitted."""
    collapses: int = 3
    """"Repeated" collapses: two can be a restart of the optimizer's averages or one rough stretch."""
    collapse_share: float = 0.05
    """And they must fill this share of the time since T_fit: brief slingshots are events, not instability."""
    lasting_share: float = 0.5
    """A train score that is collapsed for more than this share of the time since T_fit has collapsed for good."""
    kept_share: float = 0.9
    """Collapses are excused when held-out was at the threshold in this share of the time since T_gen, and still
    is."""
    spike_sigmas: float = 6.0
    """A loss spike lies above the trailing median of the train loss by more than this many robust standard deviations
    of its logarithm: spikes by a factor of 1.3 at a loss near 2 are as real as those by 100 at a loss near 0."""
    spike_rise: float = 1.2
    """And it is at least this many times that median: however quiet the curve, less is a trifle."""
    spike_window: int = 10
    """Evaluations in the trailing median; a row with fewer than half of them before it is not judged."""
    spike_scale: int = 50
    """Evaluations before and after a spike whose spread is the jitter that it must exceed, for full-batch Adam jitters
    by a factor of 2 to 3 for long stretches and is quiet in others. Within as many it must have lost half of its height
    again (in logarithms): what stays is no spike."""
    spike_floor: float = 1e-6
    """Losses below this count as this: under it a float32 loss is rounding error and any ratio means nothing."""
    slingshot_growth: float = 0.02
    """The head norm must grow by this share in the evaluations before a spike to open a slingshot."""
    slingshot_calm: float = 0.25
    """And afterward it may grow at most at this share of that rate: the plateau."""
    norm_drop: float = 0.1
    """A norm collapse loses this share of the norm ..."""
    norm_drop_speed: float = 3.0
    """... at this many times the trailing median speed of the norm, so that steady weight decay is none."""
    spike_reach: float = 1.0
    """A spike is near a transition when it lies within it, or outside by at most this many times the widths of both."""

    superseded: ClassVar[dict[str, str]] = {
        "final_rows": "is superseded by end_share: the end is the mean over the last share of the steps, of no number "
        "of rows",
        "spike_factor": "is superseded: spikes are judged on the logarithm of the loss, by spike_sigmas (robust "
        "standard deviations) and spike_rise (the least factor); to see only tenfold spikes, write spike_rise = 10",
    }

    def __post_init__(self) -> None:
        for key in ("fit", "generalize", "fit_r2", "generalize_r2"):
            value = getattr(self, key)
            _require(value is None or 0 < value <= 1, key, "lie in (0, 1]", value, _percent(value))
        for key in (
            "plateau_level",
            "plateau_share",
            "collapse_depth",
            "collapse_share",
            "end_share",
            "kept_share",
            "lasting_share",
            "kept_rise",
        ):
            _require(0 < getattr(self, key) <= 1, key, "be a share in (0, 1]", getattr(self, key))
        for key in ("drop_share", "rise_share", "level_share", "baseline_share", "slingshot_growth", "slingshot_calm"):
            _require(0 <= getattr(self, key) <= 1, key, "be a share in [0, 1]", getattr(self, key))
        for key in ("delay_ratio", "spike_rise", "norm_drop_speed"):
            _require(getattr(self, key) >= 1, key, "be at least 1", getattr(self, key))
        for key in ("dwell", "in_a_row", "collapses", "spike_window", "spike_scale"):
            value = getattr(self, key)
            _require(is_whole(value) and value >= 1, key, "be a whole number of at least 1", value)
            object.__setattr__(self, key, int(value))  # numpy's are none of JSON's
        for key in ("fit_loss", "generalize_loss"):
            value = getattr(self, key)
            _require(value is None or 0 < value < math.inf, key, "be positive and finite", value)
        for key in ("noise_sigmas", "zero_loss", "spike_sigmas", "spike_floor", "spike_reach"):
            _require(getattr(self, key) >= 0, key, "not be negative", getattr(self, key))
        _require(0 < self.norm_drop < 1, "norm_drop", "be a share in (0, 1)", self.norm_drop)

    def thresholds(self, trajectory: Trajectory) -> tuple[float, float]:
        """(fit, generalize) for this kind of trajectory, with its own threshold if it has one."""
        fit, gen = (
            (self.fit, self.generalize) if trajectory.kind == "classification" else (self.fit_r2, self.generalize_r2)
        )
        return fit, trajectory.threshold if gen is None else gen

    def neighbors(self, trajectory: Trajectory, split: str) -> Iterator[tuple[str, "Criteria"]]:
        """Each threshold that the verdict on this split uses, moved down and up one at a time: (``fit=0.985``,
        criteria).

        The generalization threshold moves down at most halfway to the trivial predictor."""
        for key, move in _moves(trajectory.kind).items():
            value = getattr(self, key)
            if self._is_unused(key):
                continue
            if key in ("generalize", "generalize_r2"):
                value = self.thresholds(trajectory)[1]
                move = _above(trajectory.trivial.get(split, 0.0))
            for up in (False, True):
                near = move(value, up)
                if near != value:
                    yield f"{key}={near:g}", replace(self, **{key: near})

    def _is_unused(self, key: str) -> bool:
        """Whether a threshold has no say: that of a loss that is not asked for, or of a score whose loss is."""
        if key in ("fit_loss", "generalize_loss"):
            return getattr(self, key) is None
        name = key.removesuffix("_r2")
        return name in ("fit", "generalize") and getattr(self, f"{name}_loss") is not None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def _require(ok: bool, key: str, must: str, value: Any, remedy: str = "") -> None:
    if not ok:
        raise ValueError(f"criteria.{key} must {must}, got {value!r}{remedy}")


def _percent(value: float | None) -> str:
    if value is not None and 1 < value <= 100:
        return f"; in percent? write {value / 100:g}"
    return ""


def _gap(value: float, up: bool) -> float:
    """A score: its distance to 1 shrinks or grows by half (0.95 -> 0.925 and 0.9667)."""
    if up:
        return round(1 - (1 - value) / 1.5, 4)
    return round(max(1 - (1 - value) * 1.5, value / 2), 4)


def _above(floor: float) -> Callable[[float, bool], float]:
    return lambda value, up: max(_gap(value, up), round((floor + value) / 2, 4))


def _factor(value: float, up: bool) -> float:
    return round(value * 1.5 if up else max(value / 1.5, min(value, 1.0)), 4)


def _loss(value: float, up: bool) -> float:
    """Down is the stricter one; losses are small, so three digits and not four places."""
    return float(f"{value * 1.5 if up else value / 1.5:.3g}")


def _small_share(value: float, up: bool) -> float:
    return round(min(value * 1.5, 1.0) if up else value / 1.5, 4)


def _share(value: float, up: bool) -> float:
    return round(min(value + 0.1, 1.0) if up else max(value - 0.1, value / 2), 4)


def _one(value: float, up: bool) -> int:
    return int(value) + 1 if up else max(int(value) - 1, 1)


def _sigma(value: float, up: bool) -> float:
    return value + 1 if up else max(value - 1, 0.0)


def _moves(kind: Kind) -> dict[str, Callable[[float, bool], float]]:
    """How far the neighbor of each verdict threshold lies."""
    scores = ("fit", "generalize") if kind == "classification" else ("fit_r2", "generalize_r2")
    return {
        **dict.fromkeys(("fit_loss", "generalize_loss"), _loss),
        **dict.fromkeys(scores, _gap),  # `neighbors` keeps the second above the trivial predictor
        "delay_ratio": _factor,
        **dict.fromkeys(("plateau_level", "plateau_share", "collapse_depth", "lasting_share"), _share),
        **dict.fromkeys(("dwell", "in_a_row", "collapses"), _one),
        "noise_sigmas": _sigma,
        **dict.fromkeys(
            ("end_share", "drop_share", "rise_share", "level_share", "baseline_share", "collapse_share"), _small_share
        ),
        **dict.fromkeys(("kept_share", "kept_rise"), _gap),
    }
