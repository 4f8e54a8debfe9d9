"""Rows of numbers of both sides: milestones and phases with the uncertainty of the evaluation grids, and levels."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from grokscope.comparison.judging import SideJudge
from grokscope.comparison.member import Member
from grokscope.progress import watched
from grokscope.results.comparison import NumberRow, SideNumber, SplitComparison, WordRow
from grokscope.results.milestones import Milestone, Span
from grokscope.vocabulary.splits import is_reported, oracle_label

if TYPE_CHECKING:
    from grokscope.trajectory import Milestones, Times

MILESTONES = ("T_fit", "T_gen", "T_gen_lasting", "T_gen_stable", "T_grok")
LEVELS = ("peak", "end", "final", "drop")
PEAKS = ("peak", "drop")
"""Numbers that follow from the highest evaluation."""
NOTHING = SideNumber(n=0, reached=0, middle=None, low=None, high=None)
ROUNDED = 9
"""Digits of a score after the point; a split would need a billion examples to say more."""
NEITHER = "not reached on either side"

Moment = Milestone | Span | None


@dataclass(frozen=True)
class Apart:
    """Why numbers of the two sides cannot be subtracted; empty where they can."""

    times: str = ""
    scores: str = ""
    unit: str = "steps"
    """What times count."""
    alike: bool = True
    """Whether a seed means the same on both sides: the same task."""


def compared_on(
    split: str, arms: tuple[str, str], a: Sequence[Member], b: Sequence[Member], judge: SideJudge, apart: Apart
) -> SplitComparison:
    """Everything about one split."""
    milestones = _milestones(a, split, judge), _milestones(b, split, judge)

    def timed(name: str, of: Callable[["Milestones"], Moment]) -> NumberRow:
        first, second = (_timed(name, side, of) for side in milestones)
        return _row(name, apart.unit, first, second, apart.times)

    # a ratio of times is the same in every unit, so nothing keeps the two sides apart
    first, second = (_timed("delay_ratio", side, lambda m: m.delay_ratio) for side in milestones)
    delay_ratio = _row("delay_ratio", "times", first, second, "")

    return SplitComparison(
        arms=arms,
        split=split,
        verdicts=WordRow(name="verdict", a=_words(a, split, judge), b=_words(b, split, judge)),
        milestones=tuple(timed(name, lambda m, name=name: getattr(m, name)) for name in MILESTONES),
        phases=(
            timed("fitting", lambda m: m.T_fit),
            timed("delay", lambda m: m.delay),
            delay_ratio,
            timed("settling", _settling),
        ),
        levels=tuple(_level(name, split, *milestones, apart.scores) for name in LEVELS),
    )


def _milestones(side: Sequence[Member], split: str, judge: SideJudge) -> "list[Milestones]":
    """Milestones of the finished runs; of a single run those so far."""
    seen = [m for m in judge.counted(side, split) if judge(m, split).milestones.evaluations]
    milestones = [judge.milestones(m, split) for m in watched(seen, "read the times of runs:")]
    return [m for m in milestones if all(len(grid) for grid in m.grids.values())]


def _words(side: Sequence[Member], split: str, judge: SideJudge) -> dict[str, int]:
    return dict(Counter(outcome(m, split, judge) for m in side).most_common())


def outcome(member: Member, split: str, judge: SideJudge) -> str:
    """The verdict's label; ``so far`` beside it for a run that goes on; else the word for its state."""
    verdict = judge.splits(member).get(split)
    if member.state in ("failed", "damaged", "unreadable"):
        return member.state
    if verdict is None:
        if member.finished:
            return "no verdict"
        return "not begun"
    if member.finished:
        return verdict.label
    return f"{verdict.label} so far"


def _settling(m: "Milestones") -> Span | None:
    """From the threshold's first touch to when it is held for good."""
    if m.T_gen.censored:
        return None
    first, stable = m.T_gen, m.T_gen_stable
    low = max(stable.earliest - first.at, 0)
    if stable.censored:
        return Span(stable.at - first.at, low, math.inf, censored=True)
    if stable.at == first.at:
        return Span(0, 0, 0)  # one and the same evaluation: nothing of it lies between
    return Span(stable.at - first.at, low, stable.at - first.earliest)


def _timed(name: str, side: "Sequence[Milestones]", of: "Callable[[Milestones], Moment]") -> SideNumber:
    moments = [(m, moment) for m in side if (moment := of(m)) is not None]
    if not moments:
        return NOTHING
    if len(moments) == 1:
        return _single(moments[0][1])
    reached = [_value(moment) for _, moment in moments if not moment.censored]
    every = [_value(moment) for _, moment in moments]
    return SideNumber(
        n=len(moments),
        reached=len(reached),
        middle=_median(name, moments),
        low=_known(min(every)),
        high=_known(max(reached)) if len(reached) == len(moments) else None,
    )


def _single(moment: Milestone | Span) -> SideNumber:
    """One run's, with what the grid leaves open."""
    if isinstance(moment, Milestone):
        moment = Span(moment.at, moment.earliest, moment.at, moment.censored)
    low = _known(moment.low)
    if moment.censored:
        return SideNumber(n=1, reached=0, middle=None, low=low, high=None)
    return SideNumber(n=1, reached=1, middle=_known(moment.value), low=low, high=_known(moment.high))


def _value(moment: Milestone | Span) -> float:
    if isinstance(moment, Milestone):
        return moment.at
    return moment.value


def _known(value: float) -> float | None:
    """None for what is not finite: a ratio to a fit at step 0."""
    return float(value) if math.isfinite(value) else None


def _median(name: str, moments: "Sequence[tuple[Milestones, Milestone | Span]]") -> float | None:
    """Over runs, those that did not reach it counted as later than their last evaluation; None where fewer than half
    reached it."""
    from grokscope.trajectory.survival import survival

    if name in (*MILESTONES, "fitting", "delay"):
        return survival(_times(name, moments)).median
    values = sorted(math.inf if moment.censored else _value(moment) for _, moment in moments)
    return _known(median(values))


def _times(name: str, moments: "Sequence[tuple[Milestones, Milestone | Span]]") -> "Times":
    from grokscope.trajectory.times import delays_of, from_milestones

    milestones = [m for m, _ in moments]
    if name == "delay":
        return delays_of(milestones)[0]
    kind = "train" if name in ("T_fit", "fitting") else "held_out"
    ready = [moment for _, moment in moments if isinstance(moment, Milestone)]
    return from_milestones(ready, [m.grids[kind] for m in milestones])


def _level(name: str, split: str, a: "Sequence[Milestones]", b: "Sequence[Milestones]", apart: str) -> NumberRow:
    is_oracles = name in PEAKS and is_reported(split)
    stamp = oracle_label(split) if is_oracles else ""
    # an end is a weighted mean: its last digits are rounding, and no difference
    first, second = (of_values([round(float(getattr(m, name)), ROUNDED) for m in side]) for side in (a, b))
    return _row(name, "score", first, second, apart, stamp)


def of_values(values: Sequence[float]) -> SideNumber:
    """Of numbers that are known exactly; what is no number does not count."""
    known = sorted(float(v) for v in values if np.isfinite(v))
    if not known:
        return NOTHING
    return SideNumber(n=len(known), reached=len(known), middle=float(median(known)), low=known[0], high=known[-1])


def of_two_values(name: str, unit: str, a: Sequence[float], b: Sequence[float], note: str = "") -> NumberRow:
    """A row of numbers that are known exactly."""
    return _row(name, unit, of_values(a), of_values(b), "", note)


def _row(name: str, unit: str, a: SideNumber, b: SideNumber, apart: str, note: str = "") -> NumberRow:
    """With the difference, where there is one to be told."""
    blank = NumberRow(name=name, unit=unit, a=a, b=b, difference=None, low=None, high=None, note=note)
    if not a.n or not b.n:
        return blank
    if apart:
        return _noted(blank, apart)
    if a.middle is None and b.middle is None:
        return _noted(blank, NEITHER)
    difference = _less(a.middle, b.middle)
    if difference is not None:
        difference = round(difference, ROUNDED)
    if a.n == b.n == 1:
        # the least and the most that it can be
        return replace(blank, difference=difference, low=_less(a.low, b.high), high=_less(a.high, b.low))
    if difference is None:
        side = "first" if a.middle is None else "second"
        return _noted(blank, f"a median was not reached in the {side} side")
    return replace(blank, difference=difference)


def _less(a: float | None, b: float | None) -> float | None:
    """a - b, where both are known."""
    if a is None or b is None:
        return None
    return a - b


def _noted(row: NumberRow, why: str) -> NumberRow:
    return replace(row, note="; ".join(filter(None, (row.note, why))))
