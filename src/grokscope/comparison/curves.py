"""Curves of both sides, and their difference: seed by seed where both sides have the same seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from grokscope.comparison.judging import SideJudge
from grokscope.comparison.member import Member
from grokscope.comparison.questions import Pair, paired_by_seed
from grokscope.report.draw.axis import thin
from grokscope.results.comparison import CurveDifference
from grokscope.vocabulary.text import listed, plural, whole

KEPT = 400
"""Evaluations that the record keeps of a curve."""

Line = tuple[np.ndarray, np.ndarray]
"""Steps (t,) and finite values (t,)."""


@dataclass(frozen=True, eq=False)
class PairedCurve:
    """One curve of one arm of each side: a line for each run, and the difference on the steps that all runs share."""

    arms: tuple[str, str]
    names: tuple[str, str]
    curve: str
    a: Mapping[str, Line]
    """Run -> its line."""
    b: Mapping[str, Line]
    step: np.ndarray
    """(t,) evaluations of all runs, ..."""
    middle_a: np.ndarray
    """... and there the median of each side, ..."""
    middle_b: np.ndarray
    middle: np.ndarray
    """... the median of the pairs' differences, or the difference of the medians, ..."""
    pairs: Mapping[int, np.ndarray]
    """... and seed -> the difference of the pair (t,)."""
    note: str = ""

    def record(self) -> CurveDifference:
        keep = thin(self.step.astype(np.float64), self.middle, KEPT // 4)
        low = high = ()
        if self.pairs:
            every = np.array([values[keep] for values in self.pairs.values()])
            low, high = _floats(every.min(axis=0)), _floats(every.max(axis=0))
        return CurveDifference(
            arms=self.arms,
            curve=self.curve,
            paired=bool(self.pairs),
            seeds=tuple(self.pairs),
            step=_floats(self.step[keep]),
            a=_floats(self.middle_a[keep]),
            b=_floats(self.middle_b[keep]),
            difference=_floats(self.middle[keep]),
            low=low,
            high=high,
            note=self.note,
        )


def paired_curves(pair: Pair, split: str, judge: SideJudge, *, alike: bool) -> tuple[list[PairedCurve], list[str]]:
    """(held-out, train and weight norm as far as runs of both sides recorded them, what is not there). `alike`: a seed
    means the same on both sides."""
    out, missing = [], []
    for curve in (split, "train", "norm_total"):
        a, b = (_lines(members, curve, split, judge) for members in pair.groups)
        if not a or not b:
            lacking = [name for name, lines in zip(pair.names, (a, b), strict=True) if not lines]
            missing.append(f"{curve}: not recorded by {listed(lacking)}")
            continue
        paired = _together(pair, curve, a, b, alike and paired_by_seed(pair))
        if isinstance(paired, str):
            missing.append(f"{curve}: {paired}")
        else:
            out.append(paired)
    return out, missing


def _lines(members: Sequence[Member], curve: str, split: str, judge: SideJudge) -> dict[Member, Line]:
    return {m: line for m in judge.counted(members, split) if (line := _line(m, curve)) is not None}


def _line(member: Member, curve: str) -> Line | None:
    t = member.trajectory
    values = {"norm_total": t.norm, "train": t.train, **t.held_out}.get(curve)
    if values is None:
        return None
    known = np.isfinite(values)
    if not known.any():
        return None
    return (t.step[known], values[known])


def _together(
    pair: Pair, curve: str, a: Mapping[Member, Line], b: Mapping[Member, Line], paired: bool
) -> PairedCurve | str:
    """Both sides on the steps that all runs share, or why there is no difference."""
    every = [step for step, _ in (*a.values(), *b.values())]
    step = reduce(np.intersect1d, every)  # no line is drawn between evaluations: nobody saw what lies there
    if len(step) < 2:
        return "the runs share fewer than two evaluations, so there is no difference curve"
    first, second = ({m: _at(line, step) for m, line in side.items()} for side in (a, b))
    middle_a, middle_b = (np.median(list(side.values()), axis=0) for side in (first, second))
    middle, pairs = middle_a - middle_b, {}
    if paired and (pairs := _pairs(first, second)):
        middle = np.median(list(pairs.values()), axis=0)
    return PairedCurve(
        arms=pair.arms,
        names=pair.names,
        curve=curve,
        a={m.id: line for m, line in a.items()},
        b={m.id: line for m, line in b.items()},
        step=step,
        middle_a=middle_a,
        middle_b=middle_b,
        middle=middle,
        pairs=pairs,
        note=", ".join(filter(None, (_without(pair, a, b), _alone(pairs, a, b), _ends(every, step)))),
    )


def _at(line: Line, step: np.ndarray) -> np.ndarray:
    return line[1][np.searchsorted(line[0], step)].astype(np.float64)


def _pairs(a: Mapping[Member, np.ndarray], b: Mapping[Member, np.ndarray]) -> dict[int, np.ndarray]:
    """Seed -> first less second, for the seeds that both have."""
    other = {m.seed: values for m, values in b.items()}
    return {m.seed: values - other[m.seed] for m, values in a.items() if m.seed is not None and m.seed in other}


def _without(pair: Pair, a: Mapping[Member, Line], b: Mapping[Member, Line]) -> str:
    """Finished runs that have no such curve: they are in no median, and the others are perhaps no fair choice."""
    lacking = [m for m in pair.members if m.finished and m not in a and m not in b]
    if not lacking:
        return ""
    return f"without {plural(len(lacking), 'run')} that did not record it"


def _alone(pairs: Mapping[int, np.ndarray], a: Mapping[Member, Line], b: Mapping[Member, Line]) -> str:
    """Runs that are in their side's median, and in no pair."""
    left = len(a) + len(b) - 2 * len(pairs)
    if not pairs or not left:
        return ""
    return f"{plural(left, 'run')} without a partner of the same seed excluded from the difference"


def _ends(every: Sequence[np.ndarray], step: np.ndarray) -> str:
    """What is not in the difference, so that nobody takes it for everything."""
    last = max(float(steps[-1]) for steps in every)
    notes = []
    if step[-1] < last:
        notes.append(f"up to {whole(float(step[-1]))}, where the shortest run ends")
    if len(step) < min(len(steps) for steps in every):
        notes.append(f"on the {len(step):,} evaluations that all runs share")
    return ", ".join(notes)


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
