"""Test hypotheses: from runs to numbers, to exact tests, to corrected results."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grokscope.inference import decide
from grokscope.inference.decide import Question
from grokscope.inference.families import holm
from grokscope.inference.ranks import TimedArms
from grokscope.inference.swaps import slope, slopes
from grokscope.progress import without_collector
from grokscope.results.hypothesis import Hypotheses, HypothesisArm, HypothesisResult, HypothesisTest
from grokscope.study.answers import answer, outcome
from grokscope.study.conditions import matches
from grokscope.study.declared import declared_before, departures
from grokscope.study.design import Design
from grokscope.study.effects import design_result
from grokscope.study.hypothesis import ALPHA, Hypothesis
from grokscope.study.judge import Judge, so_far
from grokscope.study.numbers import ArmNumbers, CannotTell, NumberedRun, Reads, Undone, arm_numbers
from grokscope.study.run_state import NOT_BEGUN, StudyRun
from grokscope.vocabulary.text import plural, whole

if TYPE_CHECKING:
    from grokscope.trajectory.criteria import Criteria


@without_collector()
def answers_to(
    study: str,
    hypotheses: Sequence[Hypothesis],
    runs: Sequence[StudyRun],
    criteria: "Criteria | None",
    root: str | Path,
    design: Design | None = None,
    judge: Judge | None = None,
) -> Hypotheses:
    """Every hypothesis of a study, tested where its runs are finished, corrected within its family; and the effects of
    a designed one. `judge` may know the runs.

    Raises:
        ValueError: a split, column, site or K that the runs do not have.
    """
    judge = judge or Judge(criteria, neighbors=False)
    runs = judge.all_sound(runs)
    present = [h for h in hypotheses if all(members(h, runs))]  # a part of a study leaves out the others
    families = Counter(h.family for h in hypotheses)
    results = [_on_record(h, one_result(h, runs, judge, families[h.family]), study, runs, root) for h in present]
    finished, failed, waiting = _counts(runs)
    return Hypotheses(
        study=study,
        planned=len(runs),
        finished=finished,
        failed=failed,
        waiting=waiting,
        results=tuple(corrected(results, families)),
        design=None if design is None else design_result(design, runs, judge),
    )


def _on_record(
    h: Hypothesis, result: HypothesisResult, study: str, runs: Sequence[StudyRun], root: str | Path
) -> HypothesisResult:
    """With what was declared of it before."""
    date, why, declaration = declared_before(h, study, root)
    if declaration is None and all(s.state in NOT_BEGUN for group in members(h, runs) for s in group):
        why = []  # nothing has been run: `study run` will declare it first
    if declaration is not None:
        why = departures(h, members(h, runs), declaration)
    return replace(result, declared=date, departures=tuple(why), standing="exploratory" if why else "declared")


def corrected(results: Sequence[HypothesisResult], families: Mapping[str, int]) -> list[HypothesisResult]:
    """With p times its looks, adjusted by Holm in its family of so many. A member without a p counts as one with p = 1:
    were it left out, the others would be corrected for fewer tests than were planned."""
    adjusted: dict[tuple[str, str], float] = {}
    for name in dict.fromkeys(result.family for result in results):
        family = [r for r in results if r.family == name]
        ps = [1.0 if r.test is None else min(1.0, r.test.p * max(len(r.looks), 1)) for r in family]
        corrected_ps = holm([*ps, *[1.0] * (families[name] - len(ps))])
        for r, p in zip(family, corrected_ps, strict=False):  # members that were left out stand last
            adjusted.setdefault((name, r.name), p)
    out = []
    for result in results:
        p = None if result.test is None else adjusted[result.family, result.name]
        known = replace(result, p_adjusted=p, family_size=families[result.family])
        known = replace(known, outcome=outcome(known))
        out.append(replace(known, answer=answer(known)))
    return out


def one_result(h: Hypothesis, runs: Sequence[StudyRun], judge: Judge, together: int = 1) -> HypothesisResult:
    """The test of one hypothesis of a family of so many on sound runs, before it is corrected, and without what was
    declared."""
    groups = members(h, runs)
    blank = unanswered(h, groups)
    if any(arm.waiting for arm in blank.arms):
        both = {s.run.id: s for group in groups for s in group}.values()
        return said(blank, so_far(both))
    return with_test(h, blank, groups, judge, together)


def unanswered(h: Hypothesis, groups: Sequence[Sequence[NumberedRun]]) -> HypothesisResult:
    """What was asked, and what became of the runs of each arm."""
    arms = [_counted(name, group) for name, group in zip(h.names, groups, strict=True)]
    return HypothesisResult(
        name=h.name,
        asked=h.asked(),
        quantity=str(h.quantity),
        family=h.family,
        sidedness=h.sidedness,
        margin=h.margin,
        alpha=ALPHA,
        looks=h.looks,
        standing="exploratory",
        declared="",
        departures=(),
        arms=tuple(arms),
        test=None,
        p_adjusted=None,
        family_size=1,
        outcome="open",
        answer="",
        notes=tuple(_failures(arms)),
    )


def with_test(
    h: Hypothesis,
    blank: HypothesisResult,
    groups: Sequence[Sequence[NumberedRun]],
    judge: Reads,
    together: int,
) -> HypothesisResult:
    """With the test of the finished runs of each arm, or why there is none; one of a family of so many tests."""
    try:
        return _tested(h, replace(blank, family_size=together), groups, judge)
    except Undone as todo:
        return said(blank, str(todo))
    except CannotTell as why:
        return said(replace(blank, outcome="cannot tell"), str(why))


def said(blank: HypothesisResult, note: str) -> HypothesisResult:
    """Without a test, and why."""
    known = replace(blank, notes=(note, *blank.notes))
    return replace(known, answer=answer(known))


def members(h: Hypothesis, runs: Sequence[StudyRun]) -> list[list[StudyRun]]:
    """The runs of each group."""
    return [[s for s in runs if matches(s.entry, where)] for where in h.groups]


def _counts(runs: Sequence[NumberedRun]) -> tuple[int, int, int]:
    """(finished, failed, waiting): every run is one of them."""
    finished, waiting = sum(s.finished for s in runs), sum(s.waiting for s in runs)
    return finished, len(runs) - finished - waiting, waiting


def _counted(name: str, group: Sequence[NumberedRun]) -> HypothesisArm:
    finished, failed, waiting = _counts(group)
    return HypothesisArm(
        name=name, planned=len(group), finished=finished, failed=failed, waiting=waiting, middle=None, numbers=()
    )


def _failures(arms: Sequence[HypothesisArm]) -> list[str]:
    return [
        f"{arm.failed} of {plural(arm.planned, 'run')} of {arm.name} failed and are left out, perhaps not at random"
        for arm in arms
        if arm.failed
    ]


def _tested(
    h: Hypothesis, blank: HypothesisResult, groups: Sequence[Sequence[NumberedRun]], judge: Reads
) -> HypothesisResult:
    finished = [[s for s in group if s.finished] for group in groups]
    if min(map(len, finished)) < 2:
        sizes = " and ".join(map(str, map(len, finished)))
        raise CannotTell(f"{sizes} finished runs, and at least 2 in each arm are needed")
    read = [arm_numbers(h, group, judge) for group in finished]
    arms = tuple(
        replace(arm, middle=_middle(h, numbers), numbers=numbers.rows)
        for arm, numbers in zip(blank.arms, read, strict=True)
    )
    known = replace(blank, arms=arms)
    alpha = ALPHA / max(len(h.looks), 1)
    question = Question(sidedness=h.sidedness, margin=h.margin, alpha=alpha, together=blank.family_size)
    notes: tuple[str, ...] = ()
    if h.kind == "slope":
        test, notes = _slope(h, read[0], question)
    else:
        a, b, paired, notes = _paired(h, *read)
        test, more = _between(h, a, b, paired, question)
        notes += more
    known = replace(known, test=test, p_adjusted=min(1.0, test.p * max(len(h.looks), 1)))
    known = replace(known, outcome=outcome(known), notes=(*notes, *known.notes))
    return replace(known, answer=answer(known))


def _middle(h: Hypothesis, numbers: ArmNumbers) -> float | None:
    from grokscope.trajectory.survival import survival

    if numbers.times is not None and h.effect != "restricted mean":
        return survival(numbers.times).median
    return float(numbers.values.mean())


def _paired(h: Hypothesis, a: ArmNumbers, b: ArmNumbers) -> tuple[ArmNumbers, ArmNumbers, bool, tuple[str, ...]]:
    """The arms as they are compared: by seed where all planned seeds are shared, unless the file says otherwise."""
    first, second = (set(seeds) for seeds in h.seeds.values())
    paired = first == second if h.paired is None else h.paired
    if not paired:
        return a, b, False, ()
    shared = {row.seed for row in a.rows} & {row.seed for row in b.rows}
    if len(shared) < 2:
        raise CannotTell(f"{plural(len(shared), 'seed')} finished in both arms, and 2 are needed to pair them")
    lost = len(a.rows) + len(b.rows) - 2 * len(shared)
    note = ()
    if lost:
        note = (f"{plural(lost, 'run')} without a finished run of the same seed left out",)
    return _only(a, shared), _only(b, shared), True, note


def _only(arm: ArmNumbers, seeds: set[int | None]) -> ArmNumbers:
    keep = [i for i, row in enumerate(arm.rows) if row.seed in seeds]
    times = arm.times
    if times is not None:
        grids = None if times.grids is None else tuple(times.grids[i] for i in keep)
        times = replace(times, before=times.before[keep], at=times.at[keep], observed=times.observed[keep], grids=grids)
    return ArmNumbers(tuple(arm.runs[i] for i in keep), tuple(arm.rows[i] for i in keep), times, arm.end)


def _between(
    h: Hypothesis, a: ArmNumbers, b: ArmNumbers, paired: bool, question: Question
) -> tuple[HypothesisTest, tuple[str, ...]]:
    if h.kind == "times":
        return _of_times(h, a, b, paired, question)
    if h.kind == "shares" and h.test == "permutation":  # no study file asks for it: two sides of hundreds of runs do
        return decide.between_values(a.values, b.values, question, paired=False, effect="difference of shares"), ()
    if h.kind == "shares":
        counts = [(round(float(arm.values.sum())), len(arm.rows)) for arm in (a, b)]
        return decide.between_shares(counts[0], counts[1], question, h.test), ()
    if h.test == "mann-whitney":
        return decide.by_ranks(a.values, b.values, question), ()
    return decide.between_values(a.values, b.values, question, paired=paired, effect="difference of means"), ()


def _of_times(
    h: Hypothesis, a: ArmNumbers, b: ArmNumbers, paired: bool, question: Question
) -> tuple[HypothesisTest, tuple[str, ...]]:
    from grokscope.trajectory.logrank import on_one_grid

    assert a.times is not None
    assert b.times is not None
    same = on_one_grid(a.times, b.times)
    if isinstance(same, str):
        raise CannotTell(same)
    first, second, notes = same
    if a.end != b.end:
        shorter = min(a.end, b.end)
        notes += (f"trained for {whole(a.end)} and {whole(b.end)} steps: compared on the first {whole(shorter)}",)
    if h.effect == "restricted mean":
        cut = min(a.end, b.end)
        up_to = [np.where(t.observed, np.minimum(t.at, cut), cut) for t in (first, second)]
        effect = f"difference of mean steps up to {whole(cut)}"
        return decide.between_values(up_to[0], up_to[1], question, paired=paired, effect=effect), notes
    if h.effect == "ratio" and min(first.at.min(), second.at.min()) <= 0:
        raise CannotTell('a time is 0 or negative, so there is no ratio: write effect = "difference"')
    arms = TimedArms(a=first, b=second, a_end=a.end, b_end=b.end, paired=paired, effect=h.effect)
    test = decide.between_times(arms, question)
    if test is None:
        raise CannotTell("neither arm's median was reached, so that nothing is known of an effect")
    return test, notes


def _slope(h: Hypothesis, arm: ArmNumbers, question: Question) -> tuple[HypothesisTest, tuple[str, ...]]:
    """Over the axis, within seeds where every seed has all its values."""
    late = sum(not row.reached for row in arm.rows)
    if late:
        raise CannotTell(
            f"{plural(late, 'run')} did not reach {h.quantity}, and a slope needs every time: compare two values of "
            f"{h.axis} by of and to"
        )
    x = np.array([row.x for row in arm.rows], dtype=np.float64)
    seeds = np.array([row.seed for row in arm.rows])
    whole_design = len(np.unique(x)) * len(np.unique(seeds)) == len(x)
    paired = whole_design if h.paired is None else h.paired
    if h.log:
        x = np.log10(x)
    blocks = seeds if paired else None
    shifts = slopes(x, arm.values, blocks)
    return decide.of_slope(shifts, slope(x, arm.values, blocks), len(x), question, paired=paired), ()
