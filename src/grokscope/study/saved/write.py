"""Save a study: the saved files are unpacked and judged to verify that they reproduce the outcome of the runs."""

import math
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.config import require
from grokscope.progress import watched
from grokscope.results.saved import (
    DECLARED,
    MANIFEST,
    OUTCOME,
    ROWS,
    SavedExpectation,
    SavedOutcome,
    SavedRun,
    SavedStudy,
    SavedVerdict,
)
from grokscope.results.verdict import VerdictRecord
from grokscope.study import dissected
from grokscope.study.declared import declarations_path
from grokscope.study.expect import ComparedExpectation
from grokscope.study.measured import SPIKES, Measure, MeasuredExpectation, MeasuredRatio
from grokscope.study.run_state import BAD, StudyRun
from grokscope.study.saved.digests import digest
from grokscope.study.saved.outcome import outcome_of, short_verdict
from grokscope.study.saved.read import unpack
from grokscope.study.saved.rows import LEVELS, Kept, Level, keep, rows_text, thinned
from grokscope.verdicts import run_verdicts

if TYPE_CHECKING:
    from grokscope.study.study import Study

STRIDES = (8, 4, 2)
"""Tried in this order for each run: every so manieth row is kept, and what a number hangs on."""

KEPT: dict[Level, str] = {
    "thinned": "thinned rows",
    "whole": "all rows of the chosen columns",
    "everything": "all rows and columns",
}
Note = Callable[[str], None]
_INTERVAL = re.compile(r" \[[^]]*\]")
_BY_ARM = re.compile(r" \(.*\)(?=;)")
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
PROSE = frozenset({"answer", "asked", "says", "notes", "method"})
"""Fields of hypotheses and effects that put into words what other fields say in numbers and outcomes."""


@dataclass(frozen=True)
class Named:
    """What the study's expectations, hypotheses and responses name beside verdicts."""

    columns: frozenset[str]
    dissections: tuple[str, ...]


def save_study(study: "Study", root: str | Path, to: str | Path, note: Note = lambda _: None) -> Path:
    """Write ``to/<name of the study>``, in place of what an earlier saving left there; `note` hears of progress.

    The rows are thinned as far as neither a verdict, a milestone nor an outcome changes, which is tried out on what was
    written.

    Raises:
        ValueError: where no run has begun, or where what was written does not give the same outcome.
    """
    runs = study.status(root)
    require(
        any(s.state not in ("new", *BAD) for s in runs),
        f"no run of {study.name!r} has begun in {root}; train them first: grokscope study run",
    )
    note("judging the runs")
    outcome = outcome_of(study, root)
    named = _named(study)
    differs: str | None = None
    for level in LEVELS:
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work) / study.name
            note(f"keeping {KEPT[level]}")
            _write(study, runs, root, folder, outcome, named, level)
            differs = _differs(study, folder, outcome)
            if differs is None:
                return _put(folder, Path(to) / study.name)
            note(f"{KEPT[level]} do not give the same result ({differs})")
    raise ValueError(f"{study.name}: the saved text does not reproduce the outcome of the runs: {differs}")


def _put(folder: Path, to: Path) -> Path:
    """Move the folder into its place; whatever an earlier saving left there is replaced file by file."""
    to.mkdir(parents=True, exist_ok=True)
    for name in (MANIFEST, ROWS, OUTCOME, DECLARED):
        if (folder / name).exists():
            shutil.copyfile(folder / name, to / name)
        else:
            (to / name).unlink(missing_ok=True)
    return to


def _differs(study: "Study", folder: Path, outcome: SavedOutcome) -> str | None:
    """The first thing that the saved rows say otherwise than the runs."""
    saved = SavedStudy.read(folder / MANIFEST)
    with tempfile.TemporaryDirectory() as root:
        unpack(study, saved, folder, Path(root))
        again = outcome_of(study, root)
    return first_difference(outcome, again, sentences=True)


def first_difference(before: SavedOutcome, now: SavedOutcome, sentences: bool = False) -> str | None:
    """Where two outcomes of one study differ, in words; None where they say the same. `sentences`: whether these are
    compared too, which is right of one version only: another may word them otherwise."""
    for run, splits in before.verdicts.items():
        if now.verdicts.get(run) != splits:
            return f"the verdict of {run}"
    for old, new in zip(before.expectations, now.expectations, strict=False):
        if _facts(old, sentences) != _facts(new, sentences):
            return f"{old.where}: {old.seen}, and now {new.seen}"
    if not _alike(_comparable(before, sentences), _comparable(now, sentences)):
        return "a hypothesis, or the count of runs"
    return None


def _facts(expectation: SavedExpectation, sentences: bool) -> SavedExpectation:
    """The sentences or their numbers, without the intervals of medians: they follow from the times in the verdicts,
    which are compared."""
    seen = _INTERVAL.sub("", expectation.seen)
    if sentences:
        return replace(expectation, seen=seen)
    return replace(expectation, expected=_numbers_of(expectation.expected), seen=_numbers_of(seen))


def _numbers_of(sentence: str) -> str:
    return " ".join(_NUMBER.findall(sentence))


def _comparable(outcome: SavedOutcome, sentences: bool) -> dict[str, Any]:
    """Without how the runs of each arm are told: they are compared by their verdicts, and only their sums are left."""
    sums = _numbers_of(_BY_ARM.sub("", outcome.standing))
    expectations = tuple(_facts(e, sentences) for e in outcome.expectations)
    facts = replace(outcome, standing=sums, expectations=expectations).to_dict()
    return facts if sentences else _without_prose(facts)


def _without_prose(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_prose(inner) for key, inner in value.items() if key not in PROSE}
    if isinstance(value, list | tuple):
        return [_without_prose(inner) for inner in value]
    return value


def _alike(before: object, now: object) -> bool:
    """Numbers may differ as far as kept rows of `DIGITS` digits let them: an effect is a difference of nearly equal
    ones, so its own last digits hang on theirs."""
    if isinstance(before, dict) and isinstance(now, dict):
        return before.keys() == now.keys() and all(_alike(value, now[key]) for key, value in before.items())
    if isinstance(before, list | tuple) and isinstance(now, list | tuple):
        return len(before) == len(now) and all(map(_alike, before, now))
    if isinstance(before, float) and isinstance(now, float):
        return math.isclose(before, now, rel_tol=1e-4, abs_tol=1e-6) or (before != before and now != now)
    return before == now


# -- what is written --------------------------------------------------------------------------------------------------


def _write(
    study: "Study",
    runs: Sequence[StudyRun],
    root: str | Path,
    folder: Path,
    outcome: SavedOutcome,
    named: Named,
    level: Level,
) -> None:
    folder.mkdir(parents=True)
    facts, machines = _Once(), _Once()
    kept = [_kept(s, study, named, level) for s in watched(runs, "kept rows of runs:")]
    described = tuple(_described(s, k, named, facts, machines) for s, k in zip(runs, kept, strict=True))
    (folder / ROWS).write_text(rows_text(kept), encoding="utf-8", newline="\n")
    outcome.write(folder / OUTCOME)
    if (declared := declarations_path(root, study.name)).exists() and study.hypotheses:
        shutil.copyfile(declared, folder / DECLARED)
    manifest = SavedStudy(
        study=study.name,
        saved=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        grokscope=version("grokscope"),
        digests={path.name: digest(path) for path in sorted(folder.iterdir())},
        runs=described,
        facts=tuple(facts.values),
        machines=tuple(machines.values),
    )
    manifest.write(folder / MANIFEST)


class _Once:
    """Plain data that many runs share, each once."""

    def __init__(self) -> None:
        self.values: list[dict[str, Any]] = []

    def place(self, value: dict[str, Any]) -> int:
        if value not in self.values:
            self.values.append(value)
        return self.values.index(value)


def _described(s: StudyRun, kept: Kept | None, named: Named, facts: _Once, machines: _Once) -> SavedRun:
    begun = kept is not None
    status = s.run.status if begun else {}
    heartbeat = status.get("heartbeat")
    return SavedRun(
        run=s.entry.config.run_id(),
        identity=s.entry.config.identity_hash,
        label=s.entry.label,
        seed=s.entry.config.seed,
        state=s.state,
        step=s.step,
        total=s.total,
        message=s.message.replace(f"{s.run.path}/", "").replace(str(s.run.path), s.run.id),
        facts=facts.place(dict(s.run.facts)) if begun else None,
        machine=machines.place(_machine(s.run.record.get("provenance") or {})) if begun else None,
        ended=datetime.fromtimestamp(heartbeat, UTC).strftime("%Y-%m-%d") if heartbeat else "",
        steps_per_s=status.get("steps_per_s"),
        evaluations=len(s.run.rows()) if begun else 0,
        kept=len(kept.columns["step"]) if kept is not None else 0,
        constants=dict(kept.constants) if kept is not None else {},
        numbers=_numbers(s, named) if begun else {},
    )


MACHINE = ("python", "processor", "cpus", "packages", "git", "threads", "device")
"""Of what a run records of its origin: without names of hosts and folders."""


def _machine(provenance: Mapping[str, Any]) -> dict[str, Any]:
    return {key: provenance[key] for key in MACHINE if key in provenance}


def _kept(s: StudyRun, study: "Study", named: Named, level: Level) -> Kept | None:
    if s.state in ("new", *BAD):
        return None
    metrics, splits = s.run.metrics(), list(s.run.facts.get("splits", {}))
    if not len(metrics.get("step", ())):
        return None
    if level != "thinned":
        return keep(metrics, splits, named.columns, None, level)
    verdicts = run_verdicts(s.run, study.criteria) if s.finished else {}
    watched = list(keep(metrics, splits, named.columns, None, level).metrics())
    for stride in STRIDES if verdicts else ():
        rows = thinned(metrics, verdicts, [n for n in watched if n != "step"], stride)
        kept = keep(metrics, splits, named.columns, rows, level)
        if _same_verdicts(s, study, kept, verdicts):
            return kept
    return keep(metrics, splits, named.columns, None, level)


def _same_verdicts(s: StudyRun, study: "Study", kept: Kept, verdicts: Mapping[str, VerdictRecord]) -> bool:
    from grokscope.trajectory import from_run
    from grokscope.trajectory.series import RunTable
    from grokscope.trajectory.verdict import verdicts as judge

    table = RunTable(s.run.id, s.run.facts, s.run.status, kept.metrics())
    again = judge(from_run(table), study.criteria, neighbors=True)
    return {k: short_verdict(v) for k, v in verdicts.items()} == {k: _short(v) for k, v in again.items()}


def _short(verdict: Any) -> SavedVerdict:
    return short_verdict(VerdictRecord.from_dict(verdict.to_dict()))


def _numbers(s: StudyRun, named: Named) -> dict[str, float]:
    """What the study asks of a run's dissection, where that was done."""
    if not named.dissections or dissected.undone(s.run.path) is not None:
        return {}
    return {name: dissected.value(s.run.path, dissected.parse(name, name)) for name in named.dissections}


# -- what the study names ---------------------------------------------------------------------------------------------


def _named(study: "Study") -> Named:
    measures = list(_measures(study))
    columns = chain.from_iterable(m.measure.split(" - ") for m in measures if m.measure and m.measure not in SPIKES)
    dissections = dict.fromkeys(m.dissection for m in measures if m.dissection is not None)
    return Named(frozenset(columns), tuple(dissections))


def _measures(study: "Study") -> Iterator[Measure]:
    for e in study.expectations:
        if isinstance(e, MeasuredExpectation | MeasuredRatio):
            yield e
    asked = [e.hypothesis for e in study.expectations if isinstance(e, ComparedExpectation)]
    quantities = [h.quantity for h in (*asked, *study.hypotheses)]
    quantities += [] if study.design is None else study.design.responses
    for quantity in quantities:
        if quantity.measure is not None:
            yield quantity.measure
