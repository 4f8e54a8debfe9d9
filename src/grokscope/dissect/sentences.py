"""The conclusion of a dissection in plain sentences, followed by its numbers."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from grokscope.dissect.controls import smallest_empirical_p
from grokscope.dissect.labeling import units_needed
from grokscope.dissect.probes import MIN_UNITS
from grokscope.results.answer import Use
from grokscope.results.erasures import Erasure
from grokscope.results.probes import ProbeResult
from grokscope.results.scores import Effect, Null
from grokscope.results.settings import Settings
from grokscope.results.steering import M5
from grokscope.vocabulary.text import capitalized, p_equation, percent

if TYPE_CHECKING:
    from grokscope.results.answer import Reliance


@dataclass(frozen=True)
class Nouns:
    """What environment, class and independent unit are called in the data at hand."""

    environment: str = "the environment"
    environments: str = "environments"
    decided: str = "the class"
    """What the network decides: "a tumor"."""
    units: str = "groups"
    """Independent units where the data has groups: "patients"."""

    def counted(self, unit: str) -> str:
        """The plural of an effect's unit, which is ``group`` or ``example``."""
        if unit == "group":
            return self.units
        return f"{unit}s"


TISSUE = Nouns("the hospital", "hospitals", "a tumor", "patients")


def explain(
    read: ProbeResult,
    use: Use,
    erasure: Erasure,
    steering: M5,
    reliance: "Reliance",
    settings: Settings,
    nouns: Nouns,
    environments: int,
) -> str:
    """What is readable, how far the environment moves the decision, why use is claimed, denied or withheld, and whether
    steering agrees; `environments` is their number."""
    words = [
        _readable(read, nouns),
        _moves(reliance, settings, nouns),
        _used(use, erasure, reliance, settings, nouns, environments),
    ]
    numbers = [_numbers_of_probe(read), _numbers_of_gap(reliance), _numbers_of_erasure(erasure, reliance)]
    if steering.slope_controls is not None:
        unit = _drop(erasure).unit
        words.append(_steered(steering.causal, steering.slope_controls.labels, unit, environments, settings, nouns))
        numbers.append(_numbers_of_slope(steering, steering.slope_controls.labels))
    return f"{' '.join(words)} In numbers: {'; '.join(numbers)}."


# -- in words ---------------------------------------------------------------------------------------------------------


def _readable(read: ProbeResult, nouns: Nouns) -> str:
    environment = capitalized(nouns.environment)
    if read.verdict == "decodable":
        return f"{environment} can be read from what the last layer sees."
    if read.verdict == "not decodable":
        return f"{environment} cannot be read from what the last layer sees."
    return f"Whether {nouns.environment} can be read from what the last layer sees is not known."


def _moves(reliance: "Reliance", settings: Settings, nouns: Nouns) -> str:
    if not reliance.class_gap > 0:
        return "The right answer does not move the decision, so nothing can be compared with it."
    how_far = _fraction(reliance.env_gap / reliance.class_gap)
    if not np.isfinite(reliance.p):
        certainty = "whether by more than chance is not known"
    elif reliance.p <= settings.alpha:
        certainty = "and this is more than chance"
    else:
        certainty = "which chance alone may do"
    return f"It moves the decision {how_far} as far as {nouns.decided} does, {certainty}."


FRACTIONS = (
    (0.075, "less than a tenth"),
    (0.15, "about a tenth"),
    (0.29, "about a quarter"),
    (0.41, "about a third"),
    (0.58, "about half"),
    (0.71, "about two thirds"),
    (0.87, "about three quarters"),
    (1.15, "about"),
)
"""Shares up to these values, in words."""


def _fraction(share: float) -> str:
    return next((words for most, words in FRACTIONS if share < most), f"{share:.1f} times")


def _used(use: Use, erasure: Erasure, reliance: "Reliance", settings: Settings, nouns: Nouns, environments: int) -> str:
    worst = _hardest(_drop(erasure))
    if use == "used":
        return f"The network uses it: removing it takes more of that away than {_beaten(worst)}."
    if use == "used, negligibly":
        return (
            f"The network uses it, but little: removing it takes more of that away than {_beaten(worst)}, and less "
            f"than {percent(settings.negligible)} of what {nouns.decided} does."
        )
    if use == "unused":
        return (
            f"The network does not use it: at most, it moves the decision by less than {percent(settings.negligible)} "
            f"of what {nouns.decided} does."
        )
    drop = _drop(erasure)
    return (
        f"We withhold 'used' because {_obstacle(drop, worst, reliance, settings, nouns, environments)}. "
        f"We withhold 'unused' because {_open(drop.unit, reliance, settings, nouns)}."
    )


def _drop(erasure: Erasure) -> Effect:
    return erasure.effects["test"].env_gap_drop


def _hardest(effect: Effect) -> Null | None:
    """The control that comes nearest to the effect."""
    return max(effect.controls.values(), key=lambda control: control.p, default=None)


EDITS = {"labels": "random labelings"}


def _edits(control: Null) -> str:
    return EDITS.get(control.control, "random edits")


def _beaten(worst: Null | None) -> str:
    if worst is None:
        return "nothing, for there was no control"
    exceptions = f"but {_as_much(worst)} of " if _as_much(worst) else ""
    return f"all {exceptions}{worst.draws} {_edits(worst)} do"


def _as_much(control: Null) -> int:
    """How many of the draws do at least as much as the true edit."""
    return round(control.p * (1 + control.draws)) - 1


def _obstacle(
    effect: Effect, worst: Null | None, reliance: "Reliance", settings: Settings, nouns: Nouns, environments: int
) -> str:
    if worst is None or not np.isfinite(worst.p):
        return "the removal cannot be measured on this set"
    coarsest = max(effect.controls.values(), key=lambda control: control.smallest_p)
    if coarsest.smallest_p > settings.alpha:
        return _too_coarse(coarsest, effect.unit, environments, settings, nouns)
    if worst.p > settings.alpha:
        reason = f"{_as_much(worst)} of {worst.draws} {_edits(worst)} do as much"
        return reason + _deciding(units_beyond_chance(effect, worst, settings.alpha), effect, reliance, settings, nouns)
    reason = "what its removal takes away may be nothing"
    return reason + _deciding(units_above_zero(effect), effect, reliance, settings, nouns)


def _too_coarse(control: Null, unit: str, environments: int, settings: Settings, nouns: Nouns) -> str:
    """Why a control can show nothing at the level, and what would change that."""
    if smallest_empirical_p(settings.draws, "greater") > settings.alpha:
        return f"{settings.draws} {_edits(control)} cannot show that something is rare; raise draws"
    needed = math.ceil(units_needed(environments, settings.alpha) / settings.shares[0])
    units = nouns.counted(unit)
    return (
        f"the {units} at hand can be dealt to {environments} {nouns.environments} in only "
        f"{round(1 / control.smallest_p)} different ways, too few for the level of {settings.alpha:g}; with "
        f"{needed} {units} per {_singular(nouns)} this can be decided"
    )


def _open(unit: str, reliance: "Reliance", settings: Settings, nouns: Nouns) -> str:
    if reliance.fewest_units < MIN_UNITS:
        count = f"{reliance.fewest_units} {nouns.counted(unit)}"
        return f"the rarest of the {nouns.environments} has only {count} in the test part"
    return f"its part may be above {percent(settings.negligible)} of what {nouns.decided} does"


def _steered(causal: bool | None, control: Null, unit: str, environments: int, settings: Settings, nouns: Nouns) -> str:
    """Whether a step along the direction between environments moves the decision farther than along directions between
    units that were dealt to environments at random (`control`)."""
    others = f"directions between {nouns.counted(unit)} dealt to {nouns.environments} at random"
    direction = f"the direction between {nouns.environments}"
    if causal:
        exceptions = f"but {_as_much(control)} of " if _as_much(control) else ""
        return (
            f"A step along {direction} moves the decision farther than along all {exceptions}{control.draws} {others}."
        )
    if causal is not None:
        return (
            f"A step along {direction} moves the decision no farther than chance may: {_as_much(control)} of "
            f"{control.draws} {others} do as much."
        )
    if not np.isfinite(control.p):
        obstacle = f"no other way to deal them leaves every class in each of the {nouns.environments}"
    else:
        obstacle = _too_coarse(control, unit, environments, settings, nouns)
    return f"Whether a step along {direction} moves the decision farther than chance is not known: {obstacle}."


# -- how many more would decide it ------------------------------------------------------------------------------------

POWER = 0.8
Z = NormalDist().inv_cdf
MOST = 50
"""Times as many units as there are, beyond which no number is named."""


def units_beyond_chance(effect: Effect, control: Null, alpha: float) -> float:
    """How many times as many independent units would put the effect beyond its random edits with 80 % power.

    An effect of this size against draws whose spread shrinks with 1 / sqrt(units), as a normal approximation:
    ((z_alpha + z_power) * sd / (value - mean))^2, at least 1. Infinite where the effect is not above the draws' mean.
    Misleads: it takes the effect as seen for the true one; one that is just short of a level is as likely too large.
    """
    ahead = effect.value - control.mean
    if not ahead > 0 or not np.isfinite(control.sd):
        return math.inf
    return max(1.0, ((-Z(alpha) + Z(POWER)) * control.sd / ahead) ** 2)


def units_above_zero(effect: Effect) -> float:
    """How many times as many units would put the effect's interval above 0 with 80 % power, by the same reckoning from
    the width of the interval. Misleads as `units_beyond_chance` does."""
    if effect.interval is None or not effect.value > 0:
        return math.inf
    z = -Z((1 - effect.level) / 2)
    error = (effect.interval[1] - effect.interval[0]) / (2 * z)
    return max(1.0, ((z + Z(POWER)) * error / effect.value) ** 2)


def _deciding(times: float, effect: Effect, reliance: "Reliance", settings: Settings, nouns: Nouns) -> str:
    """The end of a sentence: how much data would decide the question, were the effect as large as it looks."""
    if not times <= MOST:
        return "; no realistic amount of data would decide this if the effect is as small as it looks"
    in_all = reliance.fewest_units / settings.shares[2]
    needed = _rounded_up(times * in_all)
    units = nouns.counted(effect.unit)
    return (
        f"; with about {needed:,} {units} per {_singular(nouns)} instead of {round(in_all):,} this would be decided "
        "if the effect is as large as it looks"
    )


def _rounded_up(count: float) -> int:
    """Two leading digits are all that such a reckoning has."""
    scale = 10 ** max(0, math.floor(math.log10(max(count, 1))) - 1)
    return math.ceil(count / scale) * scale


def _singular(nouns: Nouns) -> str:
    return nouns.environment.removeprefix("the ")


# -- in numbers -------------------------------------------------------------------------------------------------------


def _numbers_of_probe(read: ProbeResult) -> str:
    return f"probe: {read.reason}"


def _numbers_of_gap(reliance: "Reliance") -> str:
    interval = _interval(reliance.interval)
    return (
        f"gap of the logits {reliance.env_gap:.3g}{interval} against {reliance.class_gap:.3g} for the class, "
        f"{p_equation(reliance.p)} ({reliance.permuted} permuted, one-sided)"
    )


def _numbers_of_erasure(erasure: Erasure, reliance: "Reliance") -> str:
    effect = _drop(erasure)
    worst = _hardest(effect)
    text = f"removal by {erasure.eraser} takes {effect.value:.3g}{_interval(effect.interval)} of it"
    if reliance.class_gap > 0:
        text += f", {percent(effect.value / reliance.class_gap)} of the class's"
    if worst is not None:
        text += f"; hardest control: {worst.control}, {p_equation(worst.p)} (one-sided, {worst.draws} draws)"
    return f"{text}; {effect.n_units} {effect.unit}s in the test part"


def _numbers_of_slope(steering: M5, control: Null) -> str:
    return (
        f"steering moves the logits by {steering.slope_size:.3g} a step, {p_equation(control.p)} (one-sided, "
        f"{control.draws} draws)"
    )


def _interval(bounds: tuple[float, float] | None) -> str:
    if bounds is None:
        return ""
    return f" [{bounds[0]:.3g}, {bounds[1]:.3g}]"
