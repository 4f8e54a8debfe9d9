"""Effects of stopping rules on many runs: share of grokking missed, regret, compute used.

Runs are the units. The interval of a share takes them as independent draws, which runs of several settings are not:
there it says how sure the share is for a mixture of settings like this one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, product
from typing import Protocol

import numpy as np

from grokscope.registry import nearest
from grokscope.results.seed_tests import LEVEL
from grokscope.results.stopping import PatienceNeeded, Regret, RuleResult, RunStop, Stopping, StopRule, Unit
from grokscope.trajectory.series import Trajectory
from grokscope.trajectory.stopping import longest_wait, stop_step, watchable
from grokscope.trajectory.verdict import Verdict
from grokscope.vocabulary.splits import SELECTING, TRAIN
from grokscope.vocabulary.text import plural

PATIENCE = (3, 10, 30, 100)
"""Evaluations that the default rules wait."""
THEN = (0.0, 0.1, 0.5)
"""Steps that the default threshold rules go on, as shares of the longest run."""
AFTER_GROKKING = "ungrokked (after-grokking)"


class Evaluations(Protocol):
    """Gives the curves of a run."""

    @property
    def trajectory(self) -> Trajectory: ...


@dataclass(frozen=True)
class FullRun:
    """A run that was trained to its end, judged on one split."""

    name: str
    group: str
    source: "Trajectory | Evaluations"
    """Its curves, or what gives them whenever they are asked for: those of many runs need not be in memory at once."""
    verdict: Verdict

    @property
    def trajectory(self) -> Trajectory:
        return self.source if isinstance(self.source, Trajectory) else self.source.trajectory

    @property
    def grokked(self) -> bool:
        """Whether it generalized late, kept or not."""
        return self.verdict.verdict == "grokked" or self.verdict.label == AFTER_GROKKING


def grid_of(
    on: Sequence[str] = (),
    patience: Sequence[float] = (),
    patience_steps: Sequence[float] = (),
    min_delta: Sequence[float] = (),
    reach: Sequence[tuple[str, float]] = (),
    then: Sequence[float] = (),
) -> list[StopRule]:
    """Every patience on every column, then every threshold with every number of steps after it.

    Raises:
        ValueError: columns without a patience, a min_delta without one, steps after no threshold; a rule that is none.
    """
    waited: list[tuple[float, Unit]] = [(p, "evaluations") for p in patience]
    waited.extend((p, "steps") for p in patience_steps)
    if (on or min_delta) and not waited:
        waited = [(p, "evaluations") for p in PATIENCE]
    if waited and not on:
        raise ValueError("stopping rule: a patience watches a column; name one or more, such as id_val_loss")
    if then and not reach:
        raise ValueError("stopping rule: steps after a threshold require a threshold, such as train_acc=0.99")
    rules = []
    for column, (wait, unit), delta in product(on, waited, min_delta or (0.0,)):
        rules.append(StopRule(kind="patience", on=column, patience=_whole(wait), unit=unit, min_delta=delta))
    for (column, level), after in product(reach, then or (0.0,)):
        rules.append(StopRule(kind="threshold", on=column, level=level, then=_whole(after)))
    return rules


def _whole(value: float) -> float:
    """10.0 as 10: steps of a run are whole numbers, and are to look so in a file."""
    return int(value) if float(value).is_integer() else value


def default_rules(runs: Sequence[FullRun], split: str, fit: float) -> list[StopRule]:
    """Patience on the loss and the score of train, of the judged split and of those that may be chosen on; and the
    train score at `fit`, at once or a tenth or half of the longest run later."""
    columns, longest = [], 0.0
    for run in runs:
        columns.append(watchable(run.trajectory))
        longest = max(longest, run.trajectory.last_step)
    every = list(dict.fromkeys(chain.from_iterable(columns)))
    splits = (TRAIN, split, *(name for name in SELECTING if name not in (TRAIN, split)))
    watched = [column for name in splits for column in every if column.rpartition("_")[0] == name]
    score = next(column for column in every if column in ("train_acc", "train_r2"))
    then = [float(f"{share * longest:.2g}") for share in THEN]
    return grid_of(watched, PATIENCE, reach=[(score, fit)], then=then)


def replayed(
    runs: Sequence[FullRun],
    split: str,
    rules: Sequence[StopRule],
    *,
    errors: dict[str, str] | None = None,
    notes: Iterable[str] = (),
) -> Stopping:
    """Rules on runs that were all judged on this split.

    Raises:
        ValueError: no run, or a rule whose column no run has.
    """
    if not runs:
        raise ValueError("no finished run with a verdict, so there is nothing to replay")
    remarks = list(notes)
    groups = list(dict.fromkeys(run.group for run in runs))
    each = [_one_run(run, rules) for run in runs]
    results: list[RuleResult] = []
    for rule in rules:
        stops = _stops(rule, each, remarks)
        results.append(_result(rule, "", stops))
        if len(groups) > 1:
            results += [_result(rule, g, of_group) for g in groups if (of_group := [s for s in stops if s.group == g])]
    return Stopping(
        split=split,
        runs=len(runs),
        rules=tuple(results),
        needed=tuple(_needed(each, rules, groups)),
        errors=errors or {},
        notes=tuple(remarks),
    )


@dataclass(frozen=True)
class _Replayed:
    """What all rules come to on one run."""

    run: FullRun
    watchable: tuple[str, ...]
    stops: dict[StopRule, RunStop]
    """Of the rules whose column it has."""
    waits: dict[tuple[str, float], tuple[int, float]]
    """(column, min_delta) of the patience rules -> the longest wait up to T_gen, in evaluations and steps; of a run
    that grokked."""


def _one_run(run: FullRun, rules: Sequence[StopRule]) -> _Replayed:
    columns = tuple(watchable(run.trajectory))
    able = [rule for rule in rules if rule.on in columns]
    stops = {rule: _stop(rule, run) for rule in able}
    waited = dict.fromkeys((rule.on, rule.min_delta) for rule in able if rule.kind == "patience" and run.grokked)
    gen = run.verdict.milestones.T_gen.at
    waits = {(on, least): longest_wait(run.trajectory, on, least, gen) for on, least in waited}
    return _Replayed(run, columns, stops, waits)


def _stops(rule: StopRule, each: Sequence[_Replayed], remarks: list[str]) -> list[RunStop]:
    """The rule on every run that has its column; how many have not is remarked."""
    stops = [replayed.stops[rule] for replayed in each if rule in replayed.stops]
    if not stops:
        every = sorted(set(chain.from_iterable(replayed.watchable for replayed in each)))
        raise ValueError(f"no run has a column {rule.on!r}{nearest(rule.on, every)}; there are {', '.join(every)}")
    note = f"{plural(len(each) - len(stops), 'run')} without {rule.on}: excluded from the rules that monitor it"
    if len(stops) < len(each) and note not in remarks:
        remarks.append(note)
    return stops


def _stop(rule: StopRule, run: FullRun) -> RunStop:
    m = run.verdict.milestones
    at = stop_step(run.trajectory, rule)
    last = run.trajectory.last_step
    step = last if at is None else at
    known = run.trajectory.curve(run.verdict.split)
    before = int(np.searchsorted(known.step, step, side="right")) - 1
    value = float("nan") if before < 0 else known.value[before].item()
    return RunStop(
        run=run.name,
        group=run.group,
        stopped=at is not None,
        step=step,
        share=step / last if last > 0 else 1.0,
        value=value,
        end_regret=m.end - value,
        best_regret=m.peak_lasting - value,
        grokked=run.grokked,
        missed=run.grokked and step < m.T_gen.at,
    )


def _result(rule: StopRule, group: str, stops: Sequence[RunStop]) -> RuleResult:
    grokked, missed = sum(s.grokked for s in stops), sum(s.missed for s in stops)
    after = [s for s in stops if s.grokked and s.stopped and not s.missed]
    return RuleResult(
        rule=rule,
        name=rule.label,
        oracle=rule.oracle,
        group=group,
        runs=len(stops),
        stopped=sum(s.stopped for s in stops),
        grokked=grokked,
        missed=missed,
        share_missed=missed / grokked if grokked else None,
        interval=_exact(missed, grokked) if grokked else None,
        spent=float(np.mean([s.share for s in stops])),
        steps=float(np.mean([s.step for s in stops])),
        regret=_regret(stops),
        regret_after=_regret(after),
        stops=tuple(stops),
    )


def _exact(missed: int, of: int) -> tuple[float, float]:
    """Clopper-Pearson: never below its level, however few runs there are."""
    from scipy.stats import binomtest

    interval = binomtest(missed, of).proportion_ci(LEVEL, method="exact")
    return float(interval.low), float(interval.high)


def _regret(stops: Sequence[RunStop]) -> Regret | None:
    known = [s for s in stops if np.isfinite(s.end_regret)]
    if not known:
        return None
    end = np.array([s.end_regret for s in known])
    best = float(np.mean([s.best_regret for s in known]))
    return Regret(runs=len(known), end=float(end.mean()), lowest=float(end.min()), highest=float(end.max()), best=best)


def _needed(each: Sequence[_Replayed], rules: Sequence[StopRule], groups: Sequence[str]) -> Iterable[PatienceNeeded]:
    """For each column and min_delta that a patience rule of the grid watches."""
    waited = dict.fromkeys((r.on, r.min_delta) for r in rules if r.kind == "patience")
    for key, group in product(waited, ("", *groups) if len(groups) > 1 else ("",)):
        able = [replayed for replayed in each if key in replayed.waits and group in ("", replayed.run.group)]
        if able:
            yield _patience(able, *key, group)


def _patience(each: Sequence[_Replayed], on: str, min_delta: float, group: str) -> PatienceNeeded:
    marks = [replayed.run.verdict.milestones.T_gen.at for replayed in each]
    longest = [replayed.waits[on, min_delta] for replayed in each]
    slowest = max(range(len(each)), key=lambda i: longest[i][1])
    split = on.rpartition("_")[0]
    return PatienceNeeded(
        on=on,
        min_delta=min_delta,
        oracle=split not in SELECTING,
        group=group,
        runs=len(each),
        evaluations=max(count for count, _ in longest) + 1,
        steps=longest[slowest][1],
        of_T_gen=max(steps / t if t > 0 else 0.0 for (_, steps), t in zip(longest, marks, strict=True)),
        slowest=each[slowest].run.name,
    )
