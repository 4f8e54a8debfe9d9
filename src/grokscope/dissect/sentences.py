"""The answer in words that need no statistics, with the numbers after them."""

from typing import TYPE_CHECKING

import numpy as np

from grokscope.dissect.controls import Use
from grokscope.dissect.erasure import Erasure
from grokscope.dissect.probes import MIN_UNITS, ProbeResult
from grokscope.dissect.records import Effect, Null
from grokscope.dissect.sample import Settings

if TYPE_CHECKING:
    from grokscope.dissect.answer import Reliance


def tell(read: ProbeResult, use: Use, erasure: Erasure, reliance: "Reliance", settings: Settings) -> str:
    """What is readable, how far the environment moves the decision, and why use is claimed, denied or withheld."""
    return " ".join([_readable(read), _moves(reliance), _use(use, erasure, reliance, settings)])


def _readable(read: ProbeResult) -> str:
    words = {
        "decodable": "The environment can be read from what the head sees",
        "not decodable": "The environment cannot be read from what the head sees",
    }.get(read.verdict, "Whether the environment can be read from what the head sees is not known")
    return f"{words} ({read.reason})."


def _moves(reliance: "Reliance") -> str:
    low, high = reliance.interval or (float("nan"),) * 2
    if not reliance.class_gap > 0:
        return "The right answer does not move the decision, so nothing can be compared with it."
    share = reliance.env_gap / reliance.class_gap
    return (
        f"The environment moves the decision {_share(share)} as far as the class does (gap {reliance.env_gap:.3g} "
        f"[{low:.3g}, {high:.3g}] against {reliance.class_gap:.3g})."
    )


def _share(share: float) -> str:
    return f"{share:.0%}" if share < 1 else f"{share:.1f} times"


def _use(use: Use, erasure: Erasure, reliance: "Reliance", settings: Settings) -> str:
    effect = erasure.effects["test"]["env_gap_drop"]
    worst = max(effect.controls.values(), key=lambda c: c.p, default=None)
    takes = _takes(erasure.eraser, effect, reliance)
    if use in ("used", "used, negligibly"):
        words = f"Used: {takes}, more than {_rank(worst)}."
        if use == "used":
            return words
        return f"{words} That is below {settings.negligible:.0%} of what the class does: negligible."
    if use == "unused":
        return f"Unused: even the upper end of that is below {settings.negligible:.0%} of what the class does."
    return (
        f"'Used' is withheld: {takes}; {_obstacle(effect, worst, settings)}. 'Unused' is withheld too: "
        f"{_open(reliance, settings)}."
    )


def _takes(eraser: str, effect: Effect, reliance: "Reliance") -> str:
    low, high = effect.interval or (float("nan"),) * 2
    share = f", {effect.value / reliance.class_gap:.0%} of what the class does" if reliance.class_gap > 0 else ""
    return f"erasing it ({eraser}) takes {effect.value:.3g} [{low:.3g}, {high:.3g}] of that gap{share}"


def _rank(worst: Null | None) -> str:
    if worst is None:
        return "no control"
    least = f"{worst.control}, p = {worst.p:.3g}, one-sided"
    return f"all but {_as_much(worst)} of {worst.draws} random edits of the kind that is hardest to beat ({least})"


def _as_much(null: Null) -> int:
    return round(null.p * (1 + null.draws)) - 1


def _obstacle(effect: Effect, worst: Null | None, settings: Settings) -> str:
    if worst is None or not np.isfinite(worst.p):
        return "it cannot be measured on this set"
    if worst.smallest_p > settings.alpha:
        return f"{worst.draws} random edits cannot give a p below {worst.smallest_p:.2g}: raise draws"
    if worst.p > settings.alpha:
        least = f"{worst.control}, p = {worst.p:.3g}, one-sided"
        return f"{_as_much(worst)} of {worst.draws} random edits do as much ({least})"
    return f"its interval is not above 0; it is over {effect.n_units} {effect.unit}s, and more of them would decide it"


def _open(reliance: "Reliance", settings: Settings) -> str:
    if reliance.fewest_units < MIN_UNITS:
        return f"only {reliance.fewest_units} units of the rarest environment are in the test part"
    return f"the gap may be above {settings.negligible:.0%} of what the class does"
