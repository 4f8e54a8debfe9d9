"""Exploratory tests over seeds of two sides, with the tests of ``[[hypothesis]]``."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from grokscope.comparison.judging import SideJudge
from grokscope.comparison.member import Member
from grokscope.comparison.numbers import Apart
from grokscope.inference.shares import MOST
from grokscope.results.hypothesis import HypothesisResult
from grokscope.study.hypothesis import Effect, Hypothesis, Quantity
from grokscope.study.testing import corrected, said, unanswered, with_test
from grokscope.vocabulary.text import plural

FAMILY = "comparison"
EXPLORATORY = (
    "compared after the runs were seen; a hypothesis is preregistered only if it is under [[hypothesis]] in a study "
    "file before its runs begin"
)
TIMES = ("T_fit", "T_gen", "delay")
QUANTITIES = (*TIMES, "share", "end")
GENERALIZED = ("grokked", "generalized")
"""Verdicts of runs that reached the threshold and kept it."""


@dataclass(frozen=True)
class Pair:
    """One arm of each side, under the names that they have in tables and sentences."""

    names: tuple[str, str]
    arms: tuple[str, str]
    a: tuple[Member, ...]
    b: tuple[Member, ...]
    pooled: bool = False
    """Whether these are all arms of each side, which are no sample of one configuration."""

    @property
    def groups(self) -> tuple[tuple[Member, ...], tuple[Member, ...]]:
        return self.a, self.b

    @property
    def members(self) -> tuple[Member, ...]:
        """Those of both sides."""
        return *self.a, *self.b


def answers(
    pairs: Sequence[Pair], split: str, judge: SideJudge, apart: Apart, lengths: str = ""
) -> tuple[HypothesisResult, ...]:
    """Every quantity of every pair of arms, corrected together. `lengths`: that the sides ended at different steps,
    which tests of times do not depend on."""
    asked = [
        (_hypothesis(name, pair, split, judge, apart.alike, len(pairs) > 1), pair)
        for pair, name in product(pairs, QUANTITIES)
    ]
    results = []
    for h, pair in asked:
        why, note = apart.scores, lengths
        if h.quantity.name in TIMES:
            why, note = apart.times, ""
        results.append(_answer(h, pair, why, note, judge, len(asked)))
    return tuple(corrected(results, Counter(h.family for h, _ in asked)))


def _answer(h: Hypothesis, pair: Pair, why: str, note: str, judge: SideJudge, together: int) -> HypothesisResult:
    blank = replace(unanswered(h, pair.groups), departures=(EXPLORATORY,))
    late = [(name, sum(m.waiting for m in group)) for name, group in zip(pair.names, pair.groups, strict=True)]
    notes = [f"{plural(n, 'run')} of {name} unfinished and excluded, possibly not at random" for name, n in late if n]
    blank = replace(blank, notes=(*blank.notes, *notes, *filter(None, [note])), family_size=together)
    if why:
        return said(replace(blank, outcome="cannot tell"), why)
    lacking = [m.id for m in pair.members if m.finished and h.quantity.split not in judge.splits(m)]
    if lacking:
        words = f"{plural(len(lacking), 'run')} without the split {h.quantity.split}: {', '.join(lacking[:3])}"
        return said(replace(blank, outcome="cannot tell"), words)
    return with_test(h, blank, pair.groups, judge, together)


def _hypothesis(name: str, pair: Pair, split: str, judge: SideJudge, alike: bool, several: bool) -> Hypothesis:
    """What is asked of one quantity; two-sided, for no direction was foretold."""
    first, second = pair.names
    quantity = Quantity(verdicts=GENERALIZED, split=split) if name == "share" else Quantity(name=name, split=split)
    paired = alike and name != "share" and paired_by_seed(pair)
    return Hypothesis(
        name=f"{pair.arms[0]}: {quantity}" if several else str(quantity),
        quantity=quantity,
        groups=({"arm": first}, {"arm": second}),
        sidedness="two-sided",
        effect=_effect(name, pair, split, judge),
        test=_share_test(pair),
        paired=paired,
        family=FAMILY,
        seeds={n: tuple(m.seed for m in g if m.seed is not None) for n, g in zip(pair.names, pair.groups, strict=True)},
    )


def _share_test(pair: Pair) -> str:
    """Of two shares; the exact test looks at every pair of them, which takes too long of many runs."""
    if max(map(len, pair.groups)) <= MOST:
        return "unconditional"
    return "permutation"


def paired_by_seed(pair: Pair) -> bool:
    """Whether both arms have the same seeds, as planned or as finished, and none of them twice."""
    seeds = [[m.seed for m in group] for group in pair.groups]
    if any(None in of_side or len(set(of_side)) < len(of_side) for of_side in seeds):
        return False
    finished = [{m.seed for m in group if m.finished} for group in pair.groups]
    return set(seeds[0]) == set(seeds[1]) or finished[0] == finished[1]


def _effect(name: str, pair: Pair, split: str, judge: SideJudge) -> Effect:
    """Of milestones the ratio of medians, which knows no time 0; of delays the difference."""
    if name == "delay" or name not in TIMES:
        return "difference"
    milestones = [judge(m, split).milestones for m in pair.members if m.finished and split in judge.splits(m)]
    first = min((getattr(m, name).at for m in milestones), default=0)
    return "ratio" if first > 0 else "difference"
