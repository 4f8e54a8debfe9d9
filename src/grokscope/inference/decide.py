"""Result of one hypothesis: p, the corresponding interval, and the number of seeds needed.

Every exact test here knows its p at any assumed effect, so that direction, equivalence within a margin (two one-sided
tests, Schuirmann 1987, doi:10.1007/BF01068419) and interval follow in the same way and cannot contradict each other.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, sqrt
from typing import Protocol

import numpy as np

from grokscope.inference.compare import boschloo, fisher, mann_whitney
from grokscope.inference.design import smallest_p
from grokscope.inference.flips import Flips, flips
from grokscope.inference.needed import Kind, power_of, seeds_for_shares, seeds_for_shift
from grokscope.inference.ranks import TimedArms
from grokscope.inference.shares import TwoShares
from grokscope.inference.swaps import swaps
from grokscope.results.hypothesis import HypothesisTest, Sidedness, Sign
from grokscope.results.seed_tests import Alternative, Counts, Power, Result

BOTH = 0.9
"""Power asked of each of the two tests of a margin, so that both together have .8."""


class Inverted(Protocol):
    """A test that knows its p at every assumed effect."""

    @property
    def null(self) -> float: ...
    @property
    def n(self) -> tuple[int, ...]: ...
    @property
    def method(self) -> str: ...
    @property
    def estimate(self) -> tuple[float | None, Sign]: ...
    def p(self, shift: float | None = None) -> dict[Alternative, float]: ...
    def interval(self, side: float) -> tuple[tuple[float, float] | None, float]: ...


@dataclass(frozen=True)
class ShiftTest:
    """Of a mean difference or a slope, from its critical shifts."""

    shifts: Flips
    effect: float
    n: tuple[int, ...]
    what: str
    null = 0.0

    @property
    def method(self) -> str:
        if self.shifts.exact:
            return f"exact, all {self.shifts.total:,} {self.what}"
        return f"19,999 random {self.what}"

    @property
    def estimate(self) -> tuple[float | None, Sign]:
        return self.effect, ""

    def p(self, shift: float | None = None) -> dict[Alternative, float]:
        return self.shifts.p(shift or 0.0)

    def interval(self, side: float) -> tuple[tuple[float, float] | None, float]:
        return self.shifts.interval("two-sided", 1 - 2 * side)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What was asked: a direction, or a margin up to which arms count as equal."""

    sidedness: Sidedness
    margin: float | None = None
    alpha: float = 0.05
    """Of one test at one look: what intervals and power go by."""
    together: int = 1
    """Tests of the family: the seeds that would decide are those that pass the strictest step of its correction."""

    @property
    def strict(self) -> float:
        return self.alpha / self.together

    @property
    def side(self) -> float:
        """The level of each one-sided test behind it: intervals are of 1 - 2 side."""
        if self.sidedness == "two-sided":
            return self.alpha / 2
        return self.alpha

    def bounds(self, null: float) -> tuple[float, float]:
        """The margin's ends: 1/m and m around a ratio of 1, -m and m around 0."""
        assert self.margin is not None
        if null == 1.0:
            return 1 / self.margin, self.margin
        return -self.margin, self.margin


def between_times(arms: TimedArms, question: Question) -> HypothesisTest | None:
    """Of milestones; None where neither median was reached, for then nothing is known of any effect."""
    kind: Kind = "mann-whitney"
    name = "rank test"
    if arms.paired:
        kind, name = "sign-flip", "paired rank test"
    return _test(arms, question, kind, name, f"{arms.effect} of medians", arms.paired, lambda at: _rank_shift(arms, at))


def between_values(a: np.ndarray, b: np.ndarray, question: Question, *, paired: bool, effect: str) -> HypothesisTest:
    """Of numbers a (n,) and b (m,): their mean difference; pairs are in the same place in both."""
    kind: Kind
    if paired:
        kind = "sign-flip"
        test = ShiftTest(flips(a - b), float((a - b).mean()), (len(a),), "sign patterns")
    else:
        kind = "permutation"
        test = ShiftTest(swaps(a, b), float(a.mean() - b.mean()), (len(a), len(b)), "arrangements")
    done = _test(test, question, kind, f"{kind} test", effect, paired, lambda at: _mean_shift(a, b, paired, at))
    assert done is not None
    return done


def between_shares(a: Counts, b: Counts, question: Question, test: str) -> HypothesisTest:
    """Of (successes, trials), by ``unconditional``, ``boschloo`` or ``fisher``; the last two know no margin."""
    if test == "unconditional":
        known = TwoShares(a, b)
        done = _test(known, question, "shares", "exact unconditional test", "difference of shares", False, None)
        assert done is not None
        if question.margin is not None:
            return done
        return replace(done, seeds_to_decide=seeds_for_shares(a, b, _side(question), question.strict))
    alternative = _side(question)
    exact = fisher if test == "fisher" else boschloo
    opposite = _opposite(exact, a, b, alternative)
    return _named(
        exact(a, b, alternative), "shares", question, opposite, seeds_for_shares(a, b, alternative, question.strict)
    )


def by_ranks(a: np.ndarray, b: np.ndarray, question: Question) -> HypothesisTest:
    """Of numbers a (n,) and b (m,): Cliff's delta, by the exact Mann-Whitney test."""
    alternative = _side(question)
    result = mann_whitney(a, b, alternative)
    shift = _from_delta(result.effect)
    seeds = seeds_for_shift("mann-whitney", shift, alternative, question.strict)
    return _named(result, "mann-whitney", question, _opposite(mann_whitney, a, b, alternative), seeds)


def of_slope(shifts: Flips, slope: float, n: int, question: Question, *, paired: bool) -> HypothesisTest:
    """Of a slope over an axis."""
    what = "permutations within seeds" if paired else "permutations"
    done = _test(ShiftTest(shifts, slope, (n,), what), question, None, "permutation test", "slope", paired, None)
    assert done is not None
    return done


def _side(question: Question) -> Alternative:
    if question.sidedness == "within":
        raise ValueError("this test knows no margin")
    return question.sidedness


def _test(
    known: Inverted,
    question: Question,
    kind: Kind | None,
    name: str,
    effect_name: str,
    paired: bool,
    shift_at: Callable[[float], float] | None,
) -> HypothesisTest | None:
    effect, sign = known.estimate
    if effect is None:
        return None
    interval, level = known.interval(question.side)
    p, opposite = _ps(known, question)
    # within a margin there are two one-sided tests, whichever side is the weaker
    alternative: Alternative = "greater" if question.sidedness == "within" else question.sidedness
    seeds = None
    if kind is not None and shift_at is not None:
        seeds = _seeds(question, kind, known.null, shift_at)
    return HypothesisTest(
        test=name,
        method=known.method,
        paired=paired,
        n=known.n,
        effect=effect,
        effect_sign=sign,
        effect_name=effect_name,
        null=known.null,
        interval=interval,
        level=level,
        p=p,
        p_two_sided=known.p()["two-sided"],
        p_opposite=opposite,
        smallest_p=_smallest(known, kind, alternative),
        power=_power(question, kind, known.n, alternative),
        seeds_to_decide=seeds,
    )


def _ps(known: Inverted, question: Question) -> tuple[float, float]:
    """(p of what was asked, one-sided p of the opposite)."""
    if question.margin is not None:
        low, high = question.bounds(known.null)
        above, below = known.p(low), known.p(high)
        beyond = min(1.0, 2 * min(below["greater"], above["less"]))
        return max(above["greater"], below["less"]), beyond
    ps = known.p()
    if question.sidedness == "two-sided":
        return ps["two-sided"], 1.0
    if question.sidedness == "greater":
        return ps["greater"], ps["less"]
    return ps["less"], ps["greater"]


def _smallest(known: Inverted, kind: Kind | None, alternative: Alternative) -> float:
    if kind is None:
        assert isinstance(known, ShiftTest)
        sides = 2 if alternative == "two-sided" else 1
        return min(1.0, sides / known.shifts.total)
    # of a kind that counts the same arrangements
    counted = {"shares": "boschloo", "permutation": "mann-whitney"}.get(kind, kind)
    return smallest_p(counted, known.n, alternative)


def _power(question: Question, kind: Kind | None, n: tuple[int, ...], alternative: Alternative) -> Power | None:
    if kind is None or question.margin is not None:
        return None
    return power_of(kind, n, alternative, question.alpha)


def _seeds(question: Question, kind: Kind, null: float, shift_at: Callable[[float], float]) -> int | None:
    if question.margin is None:
        return seeds_for_shift(kind, shift_at(null), _side(question), question.strict)
    low, high = question.bounds(null)
    above = seeds_for_shift(kind, shift_at(low), "greater", question.strict, BOTH)
    below = seeds_for_shift(kind, shift_at(high), "less", question.strict, BOTH)
    if above is None or below is None:
        return None
    return max(above, below)


def _rank_shift(arms: TimedArms, at: float) -> float:
    """Standard deviations between the arms, from how often runs of one are sooner than those of the other moved by
    `at`; for pairs those of the differences of scores."""
    scores, n = arms.scores(at), len(arms.a)
    if arms.paired:
        return _standardized(scores[:n] - scores[n:])
    return _from_delta(float(scores[:n].sum()) / (n * (len(scores) - n)))


def _from_delta(delta: float) -> float:
    """The shift of two normal distributions with this Cliff's delta."""
    from scipy.stats import norm

    return float(sqrt(2) * norm.ppf((delta + 1) / 2))


def _mean_shift(a: np.ndarray, b: np.ndarray, paired: bool, at: float) -> float:
    if paired:
        return _standardized(a - b - at)
    difference = float(a.mean() - b.mean()) - at
    spread = 0.0
    if min(len(a), len(b)) > 1:
        spread = sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    return _in_spreads(difference, spread)


def _standardized(differences: np.ndarray) -> float:
    spread = 0.0
    if len(differences) > 1:
        spread = float(differences.std(ddof=1))
    return _in_spreads(float(differences.mean()), spread)


def _in_spreads(difference: float, spread: float) -> float:
    """Standard deviations; without a spread any difference is infinitely many."""
    if spread > 0:
        return difference / spread
    if difference == 0:
        return 0.0
    return float(np.sign(difference)) * inf


def _opposite(test: Callable[..., Result], a: object, b: object, alternative: Alternative) -> float:
    if alternative == "two-sided":
        return 1.0
    other = {"greater": "less", "less": "greater"}[alternative]
    return test(a, b, other).p


def _named(result: Result, kind: Kind, question: Question, opposite: float, seeds: int | None) -> HypothesisTest:
    """Of a test with an interval of its own kind, at .95: of shares, and Newcombe's for Cliff's delta. Its own power
    is at .05, whatever the level of this question; where it has none (Boschloo's), there is none here."""
    known = None
    if result.power is not None:
        known = _power(question, kind, result.n, result.alternative)
    return HypothesisTest(
        test=f"{result.test} test",
        method=result.method,
        paired=False,
        n=result.n,
        effect=result.effect,
        effect_sign="",
        effect_name=result.effect_name,
        null=0.0,
        interval=result.interval,
        level=result.level,
        p=result.p,
        p_two_sided=result.p_two_sided,
        p_opposite=opposite,
        smallest_p=result.smallest_p,
        power=known,
        seeds_to_decide=seeds,
    )
