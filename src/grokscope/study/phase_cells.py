"""Cells of a study's phase diagram: verdict counts, times with censoring, levels with ranges; and the Pareto set of its
regimes and runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from grokscope.inference.pareto import standings
from grokscope.results.phase import CellLevel, CellTime, Pareto, ParetoPoint, Phase, PhaseCell, PhaseDiagram
from grokscope.results.verdict import VerdictRecord
from grokscope.study.conditions import matches
from grokscope.study.judge import Judge
from grokscope.study.measured import Measure
from grokscope.study.phase import PhaseSpec, axis_of
from grokscope.study.run_state import StudyRun
from grokscope.vocabulary.text import listed, plural

if TYPE_CHECKING:
    from grokscope.trajectory.times import Times


@dataclass(frozen=True)
class Judged:
    """A finished run with its verdict."""

    run: StudyRun
    verdict: VerdictRecord

    @property
    def label(self) -> str:
        return self.verdict.label


def phase_of(name: str, spec: PhaseSpec | None, reason: str, runs: Sequence[StudyRun], judge: Judge) -> Phase:
    """The diagram that `spec` asks for, or the `reason` why there is none, and the Pareto set of all runs.

    Raises:
        ValueError: a split or a column that the runs do not have.
    """
    sound = judge.all_sound(runs)
    diagram = split = None
    if spec is not None:
        diagram, split = diagram_of(spec, sound, judge), spec.split
    return Phase(schema=Phase.SCHEMA, study=name, diagram=diagram, reason=reason, pareto=pareto_of(sound, split, judge))


# -- cells ------------------------------------------------------------------------------------------------------------


def diagram_of(spec: PhaseSpec, runs: Sequence[StudyRun], judge: Judge) -> PhaseDiagram:
    """Sound runs in their cells."""
    chosen = [s for s in runs if matches(s.entry, spec.where)]
    entries = [s.entry for s in chosen]
    axes = [axis_of(key, entries, spec.keys) for key in spec.keys]
    members: dict[tuple[str, ...], list[StudyRun]] = {}
    for s in chosen:
        members.setdefault(spec.place(s.entry), []).append(s)
    x, y, *panels = axes
    # rows of a panel from left to right, panel by panel; a place names its labels in the order of the axes
    places = [labels[::-1] for labels in product(*(axis.labels for axis in reversed(axes)))]
    undone = _undone(spec.value, chosen, judge)
    values, lacking = {}, ()
    if not undone:
        values, lacking = _further(spec.value, chosen, judge)
    cells = tuple(_cell(spec, place, members.get(place, []), judge, values) for place in places)
    return PhaseDiagram(
        x=x,
        y=y,
        panels=next(iter(panels), None),
        split=_splits(chosen, spec.split, judge),
        time=spec.time,
        value=spec.value_name,
        fewest=spec.fewest,
        automatic=spec.automatic,
        cells=cells,
        notes=(*undone, *lacking, *_notes(spec, cells)),
    )


def _cell(
    spec: PhaseSpec,
    place: tuple[str, ...],
    members: Sequence[StudyRun],
    judge: Judge,
    values: Mapping[str, float],
) -> PhaseCell:
    """`values`: run -> the number that the study file names."""
    finished = [Judged(s, judge(s, spec.split)) for s in members if s.finished]
    judged = [j for j in finished if j.verdict.verdict is not None]
    waiting = sum(s.waiting for s in members)
    x, y, *panel = place
    return PhaseCell(
        x=x,
        y=y,
        panel=next(iter(panel), None),
        planned=len(members),
        judged=len(judged),
        unjudged=len(finished) - len(judged),
        failed=len(members) - len(finished) - waiting,
        waiting=waiting,
        budgets=tuple(sorted({s.total for s in members})),
        verdicts=_counted([j.label for j in judged]),
        T_fit=_milestone(judged, "T_fit"),
        T_gen=_milestone(judged, "T_gen"),
        delay=_milestone(judged, "delay"),
        best=_level([j.verdict.milestones.peak for j in judged]),
        end=_level([j.verdict.milestones.end for j in judged]),
        value=_level([values[j.run.run.id] for j in judged if j.run.run.id in values]),
        lacks_runs=bool(members) and len(judged) < max(len(members), spec.fewest),
    )


def _counted(labels: Sequence[str]) -> dict[str, int]:
    """The most frequent first; of equally frequent ones the first seen."""
    counts = {label: labels.count(label) for label in dict.fromkeys(labels)}
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _further(
    measure: Measure | None, runs: Sequence[StudyRun], judge: Judge
) -> tuple[dict[str, float], tuple[str, ...]]:
    """(finished run -> the study file's number, what is said of those that did not record it).

    Raises:
        ValueError: where no run recorded it: the name is wrong.
    """
    if measure is None:
        return {}, ()
    values: dict[str, float] = {}
    errors: list[str] = []
    for s in runs:
        if not s.finished:
            continue
        try:
            values[s.run.id] = measure.value(judge.recorded(s))
        except ValueError as error:
            errors.append(str(error))
    if not errors:
        return values, ()
    if not values:
        raise ValueError(errors[0])
    return values, (f"{plural(len(errors), 'run')} without this number: {errors[0]}",)


def _undone(measure: Measure | None, runs: Sequence[StudyRun], judge: Judge) -> tuple[str, ...]:
    """What must be done before the study file's number can be read."""
    if measure is None:
        return ()
    todo = measure.undone([judge.recorded(s) for s in runs if s.finished])
    if todo is None:
        return ()
    return (f"{measure.called}: {todo}",)


def _level(values: Sequence[float]) -> CellLevel | None:
    known = [v for v in values if not math.isnan(v)]
    if not known:
        return None
    return CellLevel(runs=len(known), median=float(median(known)), low=min(known), high=max(known))


def _splits(runs: Sequence[StudyRun], split: str | None, judge: Judge) -> str:
    names = {judge(s, split).split for s in runs if s.finished}
    return listed(sorted(names)) or split or ""


def _notes(spec: PhaseSpec, cells: Sequence[PhaseCell]) -> tuple[str, ...]:
    planned = [cell for cell in cells if cell.planned]
    budgets = sorted(set(chain.from_iterable(cell.budgets for cell in planned)))
    failed, lacking = sum(c.failed for c in planned), sum(c.lacks_runs for c in planned)
    notes = []
    if missing := len(cells) - len(planned):
        verb = "is" if missing == 1 else "are"
        notes.append(f"{plural(missing, 'combination')} of settings {verb} not part of the study")
    if lacking:
        verb = "has" if lacking == 1 else "have"
        wanted = f"planned, or than {spec.fewest}" if spec.fewest else "planned"
        notes.append(f"{plural(lacking, 'cell')} of {len(planned):,} {verb} fewer judged runs than {wanted}")
    if failed:
        verb = "is" if failed == 1 else "are"
        notes.append(f"{plural(failed, 'run')} failed or {verb} damaged")
    if len(budgets) > 1:
        notes.append(
            f"runs were trained for {budgets[0]:,} to {budgets[-1]:,} steps: a milestone that one cell does not reach "
            "may lie within the length of another"
        )
    return tuple(notes)


# -- times ------------------------------------------------------------------------------------------------------------


def _milestone(judged: Sequence[Judged], name: str) -> CellTime | None:
    """One milestone, or the delay of the runs that fitted; None where nobody is at risk."""
    from grokscope.trajectory.survival import survival

    times = _times(judged, name)
    if times is None:
        return None
    estimate = survival(times)
    return CellTime(
        runs=len(times),
        reached=times.events,
        median=estimate.median,
        at_least=estimate.bound,
        low=float(times.at.min()),
        high=float(times.at.max()),
        high_open=bool((~times.observed).any()),
    )


def _times(judged: Sequence[Judged], name: str) -> "Times | None":
    from grokscope.trajectory.times import Times

    at_risk = [j for j in judged if name != "delay" or not j.verdict.milestones.T_fit.censored]
    if not at_risk:
        return None
    rows = [_moment(j, name) for j in at_risk]
    before, at, reached = zip(*rows, strict=True)
    return Times(before=np.array(before, float), at=np.array(at, float), observed=np.array(reached, bool))


def _moment(judged: Judged, name: str) -> tuple[float, float, bool]:
    """(before, at, reached) of one run. One that diverged would have gone on to its last step without ever reaching it:
    cut off where it broke, it would count as one of which nothing more is known."""
    known = judged.verdict.milestones
    start = float(known.T_fit.at) if name == "delay" else 0.0
    moment = known.T_fit if name == "T_fit" else known.T_gen
    at, before = float(moment.at), -math.inf
    if moment.censored:
        if judged.run.state == "diverged":
            at = max(at, float(judged.run.total))
        return before, at - start, False
    if moment.previous is not None:
        before = float(moment.previous) - start
    return before, at - start, True


# -- the Pareto set ---------------------------------------------------------------------------------------------------


def pareto_of(runs: Sequence[StudyRun], split: str | None, judge: Judge) -> Pareto | None:
    """Sound runs, and their regimes; None where fewer than two regimes have a judged run, or none generalized, and for
    runs of several tasks: a score on one is no better than a score on another."""
    if len({s.entry.settings.get("task.name") for s in runs}) > 1:
        return None
    finished = [Judged(s, judge(s, split)) for s in runs if s.finished]
    judged = [j for j in finished if j.verdict.verdict is not None and not math.isnan(j.verdict.milestones.peak)]
    groups: dict[str, list[Judged]] = {}
    for j in judged:
        groups.setdefault(j.run.entry.label, []).append(j)
    if len(groups) < 2 or all(j.verdict.milestones.T_gen.censored for j in judged):
        return None
    return Pareto(
        split=listed(sorted({j.verdict.split for j in judged})),
        groups=_ranked([_point(name, name, members) for name, members in groups.items()]),
        runs=_ranked([_point(j.run.run.id, j.run.entry.label, [j]) for j in judged]),
    )


def _point(name: str, group: str, members: Sequence[Judged]) -> ParetoPoint:
    """A run, or the medians of several; its standing is told among its like."""
    time = _milestone(members, "T_gen")
    assert time is not None  # every judged run is at risk of generalizing
    return ParetoPoint(
        name=name,
        group=group,
        runs=len(members),
        at=time.at_least,
        censored=time.censored,
        best=float(median(j.verdict.milestones.peak for j in members)),
        standing="open",
    )


def _ranked(points: Sequence[ParetoPoint]) -> tuple[ParetoPoint, ...]:
    ranks = standings([p.at for p in points], [p.censored for p in points], [p.best for p in points])
    return tuple(replace(p, standing=standing) for p, standing in zip(points, ranks, strict=True))
