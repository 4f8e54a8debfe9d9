"""Checks of the weight norm: does it shrink after the fit, and does normalization undo a larger init scale?"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from grokscope.mechanism.case import FEWEST_FOR_NOISE, NORM_DEVIATIONS, Case, Series
from grokscope.mechanism.check import Answer, Check, lacking, never_fitted, not_applicable, without_start, word_of
from grokscope.mechanism.decay import WITHOUT_NORM, DecayTime, decay_budget, part_above_whole, squared_shares
from grokscope.results.mechanisms import Arm
from grokscope.vocabulary.text import percent


@dataclass(frozen=True)
class NormGrowth(Check):
    """The total norm from the fit to the end (or to T_gen)."""

    moved: float = 0.05
    """Changes up to this count as none."""

    name = "norm after the fit"
    claim = "The weight norm did not shrink after the fit."
    source = "arXiv:2210.01117"
    misleads = (
        "If decay had no time to act, the norm cannot shrink, and this explains nothing by itself. A norm that is "
        "mostly scale-invariant says little about the function."
    )

    explains = frozenset({"failed", "late"})

    def claim_for(self, case: Case) -> str:
        if case.outcome == "late":
            return "The weight norm shrank between the fit and T_gen."
        return self.claim

    def read(self, case: Case) -> Answer:
        norm = case.series("norm_total")
        if norm is None:
            return lacking("norm_total")
        if case.fitted_at is None:
            return Answer("cannot tell", "train never fitted, so there is no norm at the fit")
        if norm.at(case.fitted_at) <= 0:
            return without_start("norm")
        low, high = _ratios(norm, case.fitted_at, case.until)
        numbers = {
            "norm_at_start": float(norm.value[0]),
            "norm_at_fit": norm.at(case.fitted_at),
            "norm_at_end": norm.at(case.until),
            "ratio_low": low,
            "ratio_high": high,
        }
        peak = float(case.verdict.milestones.peak_step)
        at_peak = ""
        if case.outcome == "failed" and case.fitted_at < peak < case.until:
            numbers["norm_at_peak"] = norm.at(peak)
            at_peak = f"{numbers['norm_at_peak']:.4g} where held-out was best, "
        evidence = (
            f"{numbers['norm_at_start']:.4g} at first, {numbers['norm_at_fit']:.4g} at the fit, {at_peak}"
            f"{numbers['norm_at_end']:.4g} at the end: x {ratio_text(low, high)} since the fit"
        )
        budget = decay_budget(case, 0.0, case.until)
        is_trivial = budget is not None and budget < DecayTime.little
        if is_trivial:
            evidence += f"; decay had no time to shrink it (budget {budget:.2g}), so this explains nothing by itself"
        shrank, stayed = high < 1 - self.moved, low > 1 - self.moved
        if case.outcome in ("late", "at once"):
            return Answer(word_of(supports=shrank, against=stayed), evidence, numbers, arm=HELD)
        word = word_of(supports=stayed, against=shrank)
        return Answer(word, evidence, numbers, arm=SHRUNK, is_reason=not is_trivial)


def _held_norm(rho: float) -> dict[str, Any]:
    return {"regime.interventions": [{"name": "hold_norm", "rho": rho, "from": "T_fit"}]}


HELD = Arm(
    name="norm held at the fit",
    changes=_held_norm(1.0),
    expects="held-out comes later, or not within the same number of steps",
    raises=False,
    by="T_gen",
)
SHRUNK = Arm(
    name="norm held at half of the fit's",
    changes=_held_norm(0.5),
    expects="held-out rises if the norm's growth was the reason",
)


def _ratios(series: Series, start: float, end: float) -> tuple[float, float]:
    """Smallest and largest ratio of the end to the start, each read one recorded value earlier and later as well, and
    by the noise of single values."""
    starts = _around(series, start)
    low, high = float(_around(series, end).min() / starts.max()), float(_around(series, end).max() / starts.min())
    between = series.since(start).until(end)
    if len(between) < FEWEST_FOR_NOISE or (between.value <= 0).any():
        return low, high
    by_noise = between.factor(NORM_DEVIATIONS)
    return min(low, by_noise[0]), max(high, by_noise[1])


def _around(series: Series, step: float) -> np.ndarray:
    row = max(int(np.searchsorted(series.step, step, side="right")) - 1, 0)
    return series.value[max(row - 1, 0) : row + 2]


def ratio_text(low: float, high: float) -> str:
    if f"{low:.3g}" == f"{high:.3g}":
        return f"{low:.3g}"
    return f"{low:.3g} to {high:.3g}"


@dataclass(frozen=True)
class InitScaleUndone(Check):
    """A larger start changes nothing of a function whose weights are scale-invariant; it only lowers their effective
    learning rate."""

    most: float = 0.5
    few: float = 0.1

    name = "init scale undone"
    claim = "Normalization undoes the larger initialization."
    source = "arXiv:2210.01117"
    misleads = (
        "A larger init scale still slows learning through the effective learning rate; only the function is the same."
    )

    def read(self, case: Case) -> Answer:
        scale = case.setup.init_scale
        if scale is None:
            return lacking("init_scale")
        if scale == 1:
            return not_applicable("the network starts at its usual size")
        total, invariant = case.series("norm_total"), case.series("norm_scale_invariant")
        if total is None:
            return lacking("norm_total")
        if invariant is None and not case.setup.groups_tested:
            return lacking("norm_scale_invariant")
        if total.value[0] <= 0:
            return without_start("norm")
        shares = None if invariant is None else squared_shares(invariant, total)
        if invariant is not None and shares is None:
            return part_above_whole()
        share = 0.0 if shares is None else float(shares.value[0])
        numbers = {"init_scale": scale, "share_at_start": share}
        evidence = (
            f"the weights start {scale:g} times as large, and {percent(share)} of their squared norm is scale-invariant"
        )
        if case.fitted_at is None:
            return never_fitted(f"so there is no failure after a fit to explain; {evidence}", numbers)
        word = word_of(supports=share >= self.most, against=share <= self.few)
        return Answer(word, evidence, numbers, arm=START_THAT_COUNTS)


START_THAT_COUNTS = Arm(
    name=WITHOUT_NORM.name,
    changes=WITHOUT_NORM.changes,
    expects="without normalization layers the larger start acts on the function, and held-out rises late",
)
