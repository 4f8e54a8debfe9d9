"""Effects of a design's factors, from runs with shared seeds.

Of each seed an effect is one number: the mean over the cells where the product of its factors' levels is 1, less that
over the others. Over seeds these are tested by flipping signs, which is exact, and for differences of means and ratios
of times the interval inverts the test. Where some runs did not reach a milestone the numbers are scores (how many runs
were surely sooner, less how many surely later), and the size comes from the grouped-time model as a hazard ratio.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp, inf
from typing import TYPE_CHECKING

import numpy as np

from grokscope.inference.compare import sign_flip
from grokscope.inference.factorial import Cell, Effect, contrasts, off_contrasts, signs
from grokscope.inference.families import holm
from grokscope.inference.intervals import agreeing
from grokscope.results.factorial import CellMiddle, DesignResult, FactorEffect, Response
from grokscope.results.hypothesis import RunNumber
from grokscope.results.seed_tests import LEVEL
from grokscope.study.design import Design
from grokscope.study.hypothesis import Hypothesis, Quantity
from grokscope.study.judge import Judge, so_far
from grokscope.study.numbers import ArmNumbers, CannotTell, Undone, arm_numbers
from grokscope.study.run_state import StudyRun
from grokscope.study.spec import describe
from grokscope.vocabulary.text import plural, whole

if TYPE_CHECKING:
    from grokscope.trajectory.times import Times

BlockValues = Mapping[Cell, np.ndarray]
"""Cell -> a number of each seed (n,), seeds in one order."""


def design_result(design: Design, runs: Sequence[StudyRun], judge: Judge) -> DesignResult:
    """Every response's effects; sound runs."""
    cells = {cell: describe(design.changes(cell)) for cell in design.cells}
    groups = {cell: [s for s in runs if name in s.entry.arms] for cell, name in cells.items()}
    return DesignResult(
        factors=tuple(f"{key}: {low} and {high}" for key, (low, high) in design.factors),
        cells=len(design.cells),
        resolution=design.resolution,
        says=design.says(),
        responses=tuple(_response(design, q, groups, judge) for q in design.responses),
    )


def _response(design: Design, quantity: Quantity, groups: Mapping[Cell, Sequence[StudyRun]], judge: Judge) -> Response:
    blank = Response(
        response=str(quantity), outcome="open", effect_name="", null=0.0, seeds=0, cells=(), effects=(), notes=()
    )
    everything = [s for group in groups.values() for s in group]
    if any(s.waiting for s in everything) or not all(groups.values()):
        return replace(blank, notes=(so_far(everything),))
    try:
        return _tested_response(design, quantity, groups, judge, blank)
    except Undone as todo:
        return replace(blank, notes=(str(todo),))
    except CannotTell as why:
        return replace(blank, outcome="cannot tell", notes=(str(why),))


def _tested_response(
    design: Design, quantity: Quantity, groups: Mapping[Cell, Sequence[StudyRun]], judge: Judge, blank: Response
) -> Response:
    shared = set.intersection(*({s.entry.config.seed for s in g if s.finished} for g in groups.values()))
    if len(shared) < 2:
        raise CannotTell(f"{plural(len(shared), 'seed')} finished in every cell, and 2 are needed")
    asked = Hypothesis(name=str(quantity), quantity=quantity, groups=(), sidedness="two-sided", test="")
    kept = {cell: [s for s in g if s.finished and s.entry.config.seed in shared] for cell, g in groups.items()}
    read = {cell: arm_numbers(asked, group, judge) for cell, group in kept.items()}
    lost = sum(map(len, groups.values())) - len(shared) * len(groups)
    notes = ()
    if lost:
        notes = (f"{plural(lost, 'run')} of seeds that are not finished in every cell left out",)
    known = replace(blank, outcome="told", seeds=len(shared), notes=notes)
    if quantity.is_time:
        return _of_times(design, read, known)
    values = {cell: numbers.values for cell, numbers in read.items()}
    effects = [_exact(design, e, values) for e in design.effects()]
    name = "difference of shares" if quantity.verdicts else "difference of means"
    middles = tuple(_middle(design, cell, numbers.rows) for cell, numbers in read.items())
    return replace(known, effect_name=name, cells=middles, effects=_corrected(effects))


def _corrected(effects: Sequence[FactorEffect]) -> tuple[FactorEffect, ...]:
    adjusted = holm([e.p for e in effects])
    return tuple(replace(e, p_adjusted=p) for e, p in zip(effects, adjusted, strict=True))


def _middle(design: Design, cell: Cell, rows: Sequence[RunNumber], median: float | None = None) -> CellMiddle:
    timed = any(row.before is not None or not row.reached for row in rows)
    middle = median if timed else float(np.mean([row.value for row in rows]))
    reached = sum(row.reached for row in rows) if timed else None
    return CellMiddle(name=describe(design.changes(cell)), runs=len(rows), reached=reached, middle=middle)


def _by_seed(design: Design, effect: Effect, values: BlockValues) -> np.ndarray:
    if design.one_off:
        return off_contrasts(next(iter(effect)), values)
    return contrasts(effect, values)


def _exact(design: Design, effect: Effect, values: BlockValues, ratio: bool = False) -> FactorEffect:
    """The mean over seeds, with the interval that inverts the sign-flip test; of logarithms as a ratio."""
    by_seed = _by_seed(design, effect, values)
    test = sign_flip(by_seed)
    interval = test.interval
    if ratio and interval is not None:
        interval = (0.0 if interval[0] == -inf else exp(interval[0]), inf if interval[1] == inf else exp(interval[1]))
    return FactorEffect(
        name=design.called(effect),
        aliases=design.aliases(effect),
        by_seed=tuple(by_seed.tolist()),
        effect=exp(test.effect) if ratio else test.effect,
        interval=interval,
        level=test.level,
        p=test.p,
        p_adjusted=test.p,
        smallest_p=test.smallest_p,
    )


def _of_times(design: Design, read: Mapping[Cell, ArmNumbers], known: Response) -> Response:
    from grokscope.trajectory.survival import survival
    from grokscope.trajectory.times import pooled

    together = pooled([numbers.times for numbers in read.values() if numbers.times is not None])
    times, cut, notes = _on_one_grid(together, min(numbers.end for numbers in read.values()))
    known = replace(known, notes=(*known.notes, *notes))
    middles = []
    for cell, numbers in read.items():
        assert numbers.times is not None
        middles.append(_middle(design, cell, numbers.rows, survival(numbers.times).median))
    known = replace(known, cells=tuple(middles), null=1.0)
    late = ~times.observed | (times.at > cut)
    cells, seeds = list(read), known.seeds
    if not late.any() and times.at.min() > 0:
        logs = np.log(times.at).reshape(len(cells), seeds)
        effects = [_exact(design, e, dict(zip(cells, logs, strict=True)), ratio=True) for e in design.effects()]
        return replace(known, effect_name="ratio of times", effects=_corrected(effects))
    if late.all():
        raise CannotTell("no run reached it before the shortest of them ended")
    scores = _scores(times.before, times.at, late, cut).reshape(len(cells), seeds)
    effects = [_exact(design, e, dict(zip(cells, scores, strict=True))) for e in design.effects()]
    cut_times = replace(times, at=np.where(late, cut, times.at), observed=~late, grids=None)
    sized = _with_hazards(design, cells, seeds, cut_times, effects)
    note = f"{plural(int(late.sum()), 'run')} did not reach it by {whole(cut)}: hazard ratios, above 1 for sooner"
    return replace(known, effect_name="hazard ratio", effects=_corrected(sized), notes=(*known.notes, note))


def _on_one_grid(times: "Times", end: float) -> tuple["Times", float, tuple[str, ...]]:
    """(times on the steps that all runs had, the step up to which all were looked at, notes)."""
    from grokscope.trajectory.times import coarsened, shared_steps

    assert times.grids is not None
    steps = shared_steps(times.grids)
    if not len(steps) or steps[0] > end:
        raise CannotTell("no evaluation step is shared by all runs")
    if all(len(grid) == np.searchsorted(steps, grid[-1], "right") for grid in times.grids):
        return times, end, ()
    note = f"evaluated on different grids: compared on the {len(steps):,} evaluations that all runs had"
    return coarsened(times, steps), end, (note,)


def _scores(before: np.ndarray, at: np.ndarray, late: np.ndarray, cut: float) -> np.ndarray:
    """Of each run: how many were surely sooner, less how many surely later."""
    low, high = np.where(late, cut, before), np.where(late, np.inf, at)
    sooner = (high[:, None] <= low[None, :]).astype(np.float64)
    return sooner.sum(axis=0) - sooner.sum(axis=1)


def _with_hazards(
    design: Design, cells: Sequence[Cell], seeds: int, times: "Times", effects: Sequence[FactorEffect]
) -> list[FactorEffect]:
    """Effects with their size from the grouped-time model of all of them; none where it has no finite estimate. Its
    intervals, which take runs for independent, are made to agree with the exact test over seeds."""
    from grokscope.inference.grouped_time import hazard_ratios

    columns = np.stack([np.repeat(signs(e, cells) / 2, seeds) for e in design.effects()], axis=1)
    ratios = hazard_ratios(times, columns, LEVEL)
    if ratios is None:
        return [replace(e, effect=None, interval=None) for e in effects]
    sized = []
    for e, (ratio, low, high) in zip(effects, ratios, strict=True):
        attained = min(LEVEL, e.level)  # five seeds attain 93.75 %
        interval = agreeing((float(low), float(high)), float(ratio), e.p, null=1.0, level=attained)
        sized.append(replace(e, effect=float(ratio), interval=interval, level=attained))
    return sized
