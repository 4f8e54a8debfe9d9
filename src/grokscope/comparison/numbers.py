"""Numbers of both sides in rows: milestones and phases with what the evaluation grids leave open, and levels."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


def compared_on(
    split: str, arms: tuple[str, str], a: Sequence[Member], b: Sequence[Member], judge: SideJudge, apart: Apart
) -> SplitComparison:
    """Everything about one split."""
    milestones = _milestones(a, split, judge), _milestones(b, split, judge)

    def timed(name: str, of: Callable[["Milestones"], Moment], unit: str = apart.unit) -> NumberRow:
        first, second = (_timed(name, side, of) for side in milestones)
        return _row(name, unit, first, second, apart.times if unit == apart.unit else "")

    return SplitComparison(
        arms=arms,
        split=split,
        verdicts=WordRow(name="verdict", a=_words(a, split, judge), b=_words(b, split, judge)),
        milestones=tuple(timed(name, lambda m, name=name: getattr(m, name)) for name in MILESTONES),
        phases=(
            timed("fitting", lambda m: m.T_fit),
            timed("delay", lambda m: m.delay),
            timed("delay_ratio", lambda m: m.delay_ratio, "times"),
            timed("settling", _settling),
        ),
        levels=tuple(_level(name, split, *milestones, apart.scores) for name in LEVELS),
    )


def _milestones(side: Sequence[Member], split: str, judge: SideJudge) -> "list[Milestones]":
    """Milestones of the finished runs; of a single run those so far."""
    chosen = [m for m in side if (m.finished or len(side) == 1) and split in judge.splits(m)]
    seen = [m for m in chosen if judge(m, split).milestones.evaluations]
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
        return "no verdict" if member.finished else "not begun"
    return verdict.label if member.finished else f"{verdict.label} so far"


def _settling(m: "Milestones") -> Span | None:
    """From the threshold's first touch to when it is held for good."""
    if m.T_gen.censored:
        return None
    value, censored = m.T_gen_stable.at - m.T_gen.at, m.T_gen_stable.censored
    if not censored and m.T_gen_stable.at == m.T_gen.at:
        return Span(0, 0, 0)  # one and the same evaluation: nothing of it lies between
    high = math.inf if censored else m.T_gen_stable.at - m.T_gen.earliest
    return Span(value, max(m.T_gen_stable.earliest - m.T_gen.at, 0), high, censored)


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
    low, high = (moment.earliest, moment.at) if isinstance(moment, Milestone) else (moment.low, moment.high)
    if moment.censored:
        return SideNumber(n=1, reached=0, middle=None, low=_known(low), high=None)
    return SideNumber(n=1, reached=1, middle=_known(_value(moment)), low=_known(low), high=_known(high))


def _value(moment: Milestone | Span) -> float:
    return moment.at if isinstance(moment, Milestone) else moment.value


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
    stamp = oracle_label(split) if name in PEAKS and is_reported(split) else ""
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
    difference = None if a.middle is None or b.middle is None else round(a.middle - b.middle, ROUNDED)
    low, high = _open(a, b) if a.n == b.n == 1 else (None, None)
    if difference is None and (a.n, b.n) != (1, 1):
        return _noted(blank, f"a median was not reached in {'the first' if a.middle is None else 'the second'} side")
    return NumberRow(name=name, unit=unit, a=a, b=b, difference=difference, low=low, high=high, note=note)


def _open(a: SideNumber, b: SideNumber) -> tuple[float | None, float | None]:
    """The least and the most that the difference of two single runs can be."""
    low = None if a.low is None or b.high is None else a.low - b.high
    high = None if a.high is None or b.low is None else a.high - b.low
    return low, high


def _noted(row: NumberRow, why: str) -> NumberRow:
    note = f"{row.note}; {why}" if row.note else why
    return NumberRow(name=row.name, unit=row.unit, a=row.a, b=row.b, difference=None, low=None, high=None, note=note)
