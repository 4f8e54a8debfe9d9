"""The delay law: held-out generalizes when decay has reduced the squared norm from its level at the fit to a critical
level. One cell calibrates the two constants; every other run is a testable prediction."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from grokscope.mechanism.case import Case
from grokscope.mechanism.check import Answer, Check, absent, lacking, not_applicable
from grokscope.mechanism.decay import decay_budget, needed_for_budget, not_decoupled
from grokscope.results.mechanisms import Arm
from grokscope.vocabulary.text import number, percent, plural, whole

SOURCE = "arXiv:2605.18845"
FEWEST_ERRORS = 3
"""Predictions of other cells from which an interval is made of their errors; with fewer it is a factor of `UNTESTED`
both ways."""
UNTESTED = 2.0
FEWEST_LATE = 3
"""Runs that generalized late, of the calibrated cell and others together, from which a prediction is made: fewer cannot
say how far off it is."""
TRUSTED = 0.5
"""Mean error elsewhere up to which a prediction is told: the law was published with .18."""


@dataclass(frozen=True, kw_only=True)
class Passage:
    """What the law reads of one run: two squared norms, and the decay between the two milestones."""

    fitted_at: float
    V_mem: float
    """Squared weight norm at the fit."""
    V_end: float
    """Squared weight norm at T_gen, or at the end of a run that has not generalized."""
    rate: float
    """Learning rate times decay, on average since the fit, in one unit of the trajectory's own time."""
    delay: float | None
    """T_gen - T_fit in the trajectory's own time; None where held-out has not arrived."""


class Family(NamedTuple):
    """What two runs must share for one law to hold of both: all that is known of them but learning rate and decay."""

    optimizer: str | None
    loss: str | None
    grad_filter: str | None
    init_scale: float | None
    parameters: int | None
    interventions: tuple[str, ...]
    decay_groups: str
    train_examples: int | None

    def difference(self, other: "Family") -> str | None:
        """The first thing in which the two are known to differ, in words; None where there is none."""
        for name, here, there in zip(self._fields, self, other, strict=True):
            if here is not None and there is not None and here != there:
                return f"{name.replace('_', ' ')} {_value(there)} where it was calibrated on {_value(here)}"
        return None


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, int | float):
        return number(value)
    return str(value)


def family_of(case: Case) -> Family:
    s = case.setup
    return Family(
        optimizer=s.optimizer,
        loss=s.loss,
        grad_filter=s.grad_filter,
        init_scale=s.init_scale,
        parameters=s.parameters,
        interventions=s.interventions,
        decay_groups=s.decay_groups,
        train_examples=case.trajectory.n.get("train"),
    )


def passage_of(case: Case) -> Passage | None:
    """None for a run without a fit, a norm that is free to fall, or decoupled decay of known size."""
    norm, fitted = case.series("norm_total"), case.fitted_at
    if "hold_norm" in case.setup.interventions:
        return None
    if norm is None or fitted is None or case.setup.decoupled is False or norm.at(fitted) <= 0:
        return None
    until = case.until
    if until <= fitted:
        return None
    budget = decay_budget(case, fitted, until)
    if not budget:
        return None
    arrived = not case.verdict.milestones.T_gen.censored
    return Passage(
        fitted_at=fitted,
        V_mem=norm.at(fitted) ** 2,
        V_end=norm.at(until) ** 2,
        rate=budget / (until - fitted),
        delay=until - fitted if arrived else None,
    )


def _why_no_passage(case: Case) -> Answer:
    """What the law cannot read of a run, in words."""
    if "hold_norm" in case.setup.interventions:
        return Answer("cannot tell", "the norm was held, and is not free to fall")
    if case.setup.decoupled is False:
        return not_decoupled(case)
    fitted = {"a fit": case.fitted_at}
    names = absent({"norm_total": case.series("norm_total"), **needed_for_budget(case), **fitted})
    if names:
        return lacking(*names)
    return Answer("cannot tell", "between the fit and its end there was no decay")


@dataclass(frozen=True, kw_only=True)
class DelayLaw:
    """T_gen - T_fit = log(V_mem / V*) / (2 kappa eta lambda), with its two constants and how far off it was elsewhere.

    Misleads outside the family of runs that it was calibrated on: another task, network, loss or optimizer has another
    V*, and a held-out curve that rises by its readout need not wait for the norm at all.
    """

    cell: str
    """What it was calibrated on."""
    n: int
    """Runs of that cell."""
    kappa: float
    """How many times as fast as decay alone the squared norm falls; below 1 where the gradient works against it."""
    V_star: float
    """Squared norm at which held-out has arrived."""
    family: Family | None = None
    """Of the runs that it was calibrated on; None where it is not known."""
    errors: tuple[float, ...] = ()
    """Seen delay over predicted, of runs of other cells."""
    left_out: float | None = None
    """Mean error over runs of its own cell, each predicted by the others; None with a single one."""
    denied: int = 0
    """Runs of other cells with a delay where the law has none."""

    def delay(self, passage: Passage) -> float | None:
        """In the trajectory's own time; None where the norm at the fit is at that level already, so that the law has
        nothing to say."""
        if passage.V_mem <= self.V_star:
            return None
        return math.log(passage.V_mem / self.V_star) / (2 * self.kappa * passage.rate)

    @property
    def spread(self) -> tuple[float, float]:
        """Factors within which the seen delay lay of the predicted one: 95 % of a log-normal through the errors."""
        if len(self.errors) < FEWEST_ERRORS:
            return 1 / UNTESTED, UNTESTED
        logs = np.log(self.errors)
        middle, wide = float(logs.mean()), 1.96 * float(logs.std(ddof=1))
        return math.exp(middle - wide), math.exp(middle + wide)

    @property
    def mean_error(self) -> float | None:
        """Mean of |predicted / seen - 1| over runs of other cells, the published measure (17.7 % over 26 runs)."""
        if not self.errors:
            return None
        return float(np.mean(np.abs(1 / np.array(self.errors) - 1)))


def doubt(law: DelayLaw, case: Case) -> str | None:
    """Why the law says nothing of a run, whether that has arrived or not; None where it is to be trusted."""
    difference = None if law.family is None else law.family.difference(family_of(case))
    if difference is not None:
        return f"the law was calibrated on another family of runs, with another level of the norm: {difference}"
    late = law.n + len(law.errors)
    if late < FEWEST_LATE:
        return f"{plural(late, 'run')} generalized late, but the law requires {FEWEST_LATE}: no prediction"
    if law.left_out is not None and law.left_out > TRUSTED:
        return (
            f"the law is off by {percent(law.left_out)} in leave-one-out predictions within its own cell: no prediction"
        )
    if law.denied or (law.mean_error is not None and law.mean_error > TRUSTED):
        return f"the law did not hold elsewhere ({_misses(law)}): no prediction"
    return None


def _left_out(passages: Sequence[Passage]) -> float | None:
    """Mean error over runs of one cell, each predicted by the others; a run without a prediction counts as wholly
    missed. None of a single run."""
    if len(passages) < 2:
        return None
    errors: list[float] = []
    for i, passage in enumerate(passages):
        law = _fit("", [*passages[:i], *passages[i + 1 :]])
        predicted = None if law is None else law.delay(passage)
        errors.append(1.0 if predicted is None or passage.delay is None else abs(predicted / passage.delay - 1))
    return float(np.mean(errors))


def calibrate(cell: str, cases: Iterable[Case]) -> DelayLaw | None:
    """The law from the runs of one cell that were late and arrived: the median of each constant. None where there are
    none, or their norm did not fall."""
    late = [(case, p) for case in cases if case.outcome == "late" and (p := passage_of(case)) is not None and p.delay]
    arrived = [passage for _, passage in late]
    law = _fit(cell, arrived)
    if law is None:
        return None
    return replace(law, family=family_of(late[0][0]), left_out=_left_out(arrived))


def _fit(cell: str, arrived: Sequence[Passage]) -> DelayLaw | None:
    if not arrived:
        return None
    V_star = math.exp(median(math.log(p.V_end) for p in arrived))
    kappas = [math.log(p.V_mem / V_star) / (2 * p.rate * p.delay) for p in arrived if p.delay]
    kappa = median(kappas)
    if kappa <= 0:
        return None
    return DelayLaw(cell=cell, n=len(arrived), kappa=kappa, V_star=V_star)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One run that the law was not calibrated on."""

    cell: str
    predicted: float | None
    """Delay; None where the law says that there is none to wait for."""
    seen: float | None
    """Delay; None where held-out has not arrived by the end."""
    censored_at: float
    """Time from the fit to the last evaluation."""

    @property
    def ratio(self) -> float | None:
        """Seen over predicted."""
        if self.seen is None or self.predicted is None:
            return None
        return self.seen / self.predicted


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """The law from one cell of a study, and what it says of the others."""

    law: DelayLaw
    predictions: tuple[Prediction, ...]
    other_errors: Mapping[str, float]
    """Mean error where another cell is the calibrated one: whether the choice of the cell was luck."""

    def to_dict(self) -> dict[str, Any]:
        law = {key: value for key, value in asdict(self.law).items() if key not in ("errors", "family")}
        predictions = [{**asdict(p), "ratio": p.ratio} for p in self.predictions]
        low, high = self.law.spread
        return {
            **law,
            "mean_error": self.law.mean_error,
            "spread": [low, high],
            "predictions": predictions,
            "other_errors": dict(self.other_errors),
        }


def calibrated(cells: Mapping[str, Sequence[Case]]) -> Calibrated | None:
    """Calibrate on the cell with the most runs that grokked (the first of several) and predict every other run of its
    family: those that differ from it in learning rate and decay alone.

    None where no other cell of a family has runs that the law can read, or none grokked.
    """
    laws = {name: law for name, cases in cells.items() if (law := calibrate(name, cases)) is not None}
    if not laws:
        return None
    chosen = max(laws, key=lambda name: laws[name].n)
    family = family_of(cells[chosen][0])
    cells = {name: cases for name, cases in cells.items() if family_of(cases[0]) == family}
    predictions = _predict(laws[chosen], cells)
    if not predictions:
        return None
    others = {
        name: _with_errors(law, _predict(law, cells)) for name, law in laws.items() if name in cells and name != chosen
    }
    errors = {name: law.mean_error for name, law in others.items() if law.mean_error is not None}
    return Calibrated(law=_with_errors(laws[chosen], predictions), predictions=predictions, other_errors=errors)


def _predict(law: DelayLaw, cells: Mapping[str, Sequence[Case]]) -> tuple[Prediction, ...]:
    predictions: list[Prediction] = []
    for name, cases in cells.items():
        if name == law.cell:
            continue
        for case in cases:
            passage = passage_of(case)
            if passage is not None and case.outcome in ("late", "failed", "at once"):
                left = float(case.trajectory.last_step) - passage.fitted_at
                predicted = law.delay(passage)
                predictions.append(Prediction(cell=name, predicted=predicted, seen=passage.delay, censored_at=left))
    return tuple(predictions)


def _with_errors(law: DelayLaw, predictions: Sequence[Prediction]) -> DelayLaw:
    errors = tuple(p.ratio for p in predictions if p.ratio is not None)
    denied = sum(p.seen is not None and p.predicted is None for p in predictions)
    return replace(law, errors=errors, denied=denied)


def law_of(runs: Iterable[tuple[str, Case]]) -> DelayLaw:
    """The law of runs that grokked, each with the name of its cell. With two cells or more it knows how far off it is.

    Raises:
        ValueError: none of them was late and arrived with a norm that fell.
    """
    cells: dict[str, list[Case]] = {}
    for name, case in runs:
        cells.setdefault(name, []).append(case)
    several = calibrated(cells)
    law = several.law if several is not None else next(filter(None, map(calibrate, cells, cells.values())), None)
    if law is None:
        raise ValueError(
            "none of these runs can calibrate the delay law, which needs a run that grokked under decoupled decay "
            "with a recorded, falling weight norm"
        )
    return law


@dataclass(frozen=True)
class Delay(Check):
    """Whether the delay is as a law that was calibrated elsewhere has it; and, of a run that has not arrived, how long
    it would take."""

    law: DelayLaw

    name = "delay law"
    claim = "The run ended before the norm had fallen far enough: the delay law predicts a later T_gen."
    source = SOURCE
    misleads = (
        "The law assumes one level of the norm for a family of runs; another task, network, loss or optimizer has "
        "another level. If a readout recovers, held-out need not depend on the norm."
    )
    explains = frozenset({"failed", "late"})

    def claim_for(self, case: Case) -> str:
        if case.outcome in ("late", "at once"):
            return "The delay is as long as decay needs to bring the norm down, by the delay law."
        return self.claim

    def read(self, case: Case) -> Answer:
        if case.setup.weight_decay == 0:
            return not_applicable("without decay the law predicts no time")
        passage = passage_of(case)
        if passage is None:
            return _why_no_passage(case)
        why_not = doubt(self.law, case)
        if why_not is not None:
            return Answer("cannot tell", why_not)
        predicted = self.law.delay(passage)
        if predicted is None:
            return Answer(
                "against",
                f"the squared norm at the fit, {passage.V_mem:.4g}, is below {self.law.V_star:.4g} already, where the "
                "law expects no delay",
            )
        low, high = (passage.fitted_at + predicted * factor for factor in self.law.spread)
        return self._compare(case, passage, passage.fitted_at + predicted, low, high)

    def _compare(self, case: Case, passage: Passage, at: float, low: float, high: float) -> Answer:
        law = self.law
        numbers = {"predicted": at, "low": low, "high": high, "kappa": law.kappa, "V_star": law.V_star}
        off = ""
        if law.mean_error is not None:
            off = f", off by {percent(law.mean_error)} on average elsewhere"
        basis = f"(calibrated on {plural(law.n, 'run')} of {law.cell}{off})"
        span = f"T_gen at {whole(round(at))}, within {whole(round(low))} and {whole(round(high))} {basis}"
        if passage.delay is not None:
            seen = passage.fitted_at + passage.delay
            word = "supports" if low <= seen <= high else "against"
            return Answer(word, f"predicted {span}; observed at {whole(seen)}", numbers)
        last = float(case.trajectory.last_step)
        if last > high:
            return Answer("against", f"predicted {span}; it ran to {whole(last)} and has not generalized", numbers)
        arm = Arm(
            name=f"extended to {whole(_up(high))} steps",
            changes={"budget.steps": _up(high * (case.steps_per_unit or 1.0))},
            expects=f"held-out generalizes at about {whole(round(at))}",
        )
        return Answer("supports", f"extend it to about {whole(_up(high))}: predicted {span}", numbers, arm=arm)


def _misses(law: DelayLaw) -> str:
    words = []
    if law.mean_error is not None:
        words = [f"mean error {percent(law.mean_error)} over {plural(len(law.errors), 'run')}"]
    if law.denied:
        words.append(f"{plural(law.denied, 'run')} with a delay where it has none")
    return ", ".join(words)


def _up(steps: float) -> int:
    """Rounded up to two digits: nobody trains 23,417 steps because a law says so."""
    scale = 10 ** max(math.floor(math.log10(max(steps, 1))) - 1, 0)
    return math.ceil(steps / scale) * scale
