"""Rows of the report's tables as plain data."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from grokscope.inference.claims import answer, word
from grokscope.report.read.judged_run import Reading
from grokscope.report.read.words import interval
from grokscope.trajectory.selection import peak_rule
from grokscope.vocabulary.text import NONE, factor, score, steps

OPEN = "▷"
"""The sign of right-censoring, in tables as in figures."""
STATE_NOTES = {
    "running": "so far", "interrupted": "so far, interrupted", "failed": "until it failed", "planned": "not started",
    "unreadable": "unreadable",
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """A number and what stands small beneath it; `sort` is the number itself."""

    main: str
    sub: str = ""
    title: str = ""
    sort: float | None = None


@dataclass(frozen=True)
class VerdictRow:
    """One run on one split."""

    reading: Reading
    anchor: str
    label: str
    outcome: str
    more: str
    """Qualifier and state, beside the verdict's word."""
    robust: str
    robust_more: str
    fit: Cell
    gen: Cell
    delay: Cell
    ratio: Cell
    peak: Cell
    end: Cell
    """Mean over the last 5 % of the steps; `final` is the last evaluation alone."""
    drop: Cell
    why: str


def verdict_rows(readings: Sequence[Reading], anchors: Mapping[str, str]) -> list[VerdictRow]:
    return [_row(r, anchors[r.subject.name]) for r in readings]


def _row(r: Reading, anchor: str) -> VerdictRow:
    blank = Cell(NONE)
    state = STATE_NOTES.get(r.subject.state, "")
    if r.verdict is None:
        return VerdictRow(r, anchor, r.subject.label, r.outcome, "", NONE, "", *(blank,) * 7, why=why(r))
    milestones = r.verdict.milestones
    robust, more = robustness(r)
    extra = ", ".join(x for x in (r.verdict.qualifier or "", state if r.provisional else "") if x)
    return VerdictRow(
        r, anchor, r.subject.label, r.outcome, extra, robust, more,
        fit=_moment(milestones.T_fit),
        gen=_generalized(r),
        delay=_delay(milestones.delay, steps),
        ratio=replace(_delay(milestones.delay_ratio, factor), sub="", title=""),
        peak=Cell(score(milestones.peak), f"at {steps(milestones.peak_step)}", sort=milestones.peak),
        end=Cell(score(milestones.end), f"last {milestones.end_rows}", sort=milestones.end),
        drop=Cell(score(milestones.drop), f"noise {score(milestones.noise.band)}", sort=milestones.drop),
        why=why(r),
    )  # fmt: skip


def _moment(moment: Any) -> Cell:
    at = steps(moment.at)
    if moment.censored:
        return Cell(f"{OPEN} {at}", "not by then", f"not reached by step {at}: right-censored", _after(moment.at))
    span = interval(moment)
    return Cell(at, span, f"first evaluation at which it held; it lies in {span}", moment.at)


def _generalized(r: Reading) -> Cell:
    assert r.milestones is not None
    cell = _moment(r.milestones.T_gen)
    if r.flicker:
        return replace(cell, sub="reached, not kept", title="reached in single evaluations only")
    if r.milestones.T_gen_lasting.at != r.milestones.T_gen.at:
        return replace(cell, sub=f"lasting from {steps(r.milestones.T_gen_lasting.at)}")
    return cell


def _delay(span: Any, show: Any) -> Cell:
    if span is None:
        return Cell(NONE, "never fitted")
    if span.censored:
        said = "lower bound: the threshold was not reached"
        return Cell(f"> {show(span.value)}", "censored", said, _after(span.value))
    return Cell(show(span.value), f"{show(span.low)} to {show(span.high)}", "from the evaluation grid", span.value)


def _after(bound: float) -> float:
    """A bound sorts just behind the same number that was reached."""
    return math.nextafter(bound, math.inf)


def robustness(r: Reading) -> tuple[str, str]:
    """(``robust`` or ``fragile``, what it would become): which single change of a threshold names another verdict."""
    assert r.verdict is not None
    if r.verdict.robust:
        return "robust", ""
    changes: dict[str, list[str]] = {}
    for change, name in r.verdict.neighbors.items():
        if name != r.verdict.verdict:
            changes.setdefault(name, []).append(change)
    if not r.verdict.neighbors:
        return "not tested", ""
    becomes = [f"{name} if {' or '.join(where)}" for name, where in changes.items()]
    return "fragile", "; ".join([*becomes, *r.verdict.fragile])


def why(r: Reading) -> str:
    """The sentence behind a verdict, or why there is none; a failed run's error in either case."""
    if r.verdict is None:
        return r.problem or error_of(r) or STATE_NOTES.get(r.subject.state, "")
    sentence = r.verdict.reason[0].upper() + r.verdict.reason[1:]
    return f"{sentence.rstrip('.')}." + (f" The run failed: {error}" if (error := error_of(r)) else "")


def error_of(r: Reading) -> str:
    """The error in a run's status, in one line."""
    error = (r.subject.status or {}).get("error")
    if isinstance(error, Mapping):
        return ": ".join(str(error[k]) for k in ("type", "message") if error.get(k)) or str(dict(error))
    return str(error) if error else ""


def event_rows(readings: Sequence[Reading]) -> list[dict[str, Any]]:
    """Events summed per run and kind: how often, when first and last."""
    out = []
    for r in readings:
        kinds: dict[str, list[Any]] = {}
        for event in r.events:
            kinds.setdefault(event.kind, []).append(event)
        out.extend(
            {"reading": r, "kind": kind, "count": len(events), "steps": _when(events), "events": events}
            for kind, events in kinds.items()
        )
    return out


def _when(events: Sequence[Any]) -> str:
    at = [e.at for e in events]
    return ", ".join(steps(s) for s in at) if len(at) <= 4 else f"{steps(at[0])} to {steps(at[-1])}"


def expectation_rows(expectations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows with an outcome word: ``held``, ``refuted``, or, where ok is None, ``open`` or ``cannot tell``."""
    out = []
    for row in expectations:
        ok = row.get("ok")
        where = row.get("where")
        place = (
            ", ".join(f"{k} = {v}" for k, v in where.items())
            if isinstance(where, Mapping)
            else str(where or "all runs")
        )
        shown = {k: _plain(row.get(k)) for k in ("what", "expected", "seen")}
        said = row.get("word") or word(None if ok is None else bool(ok))
        out.append({"where": place, **shown, "ok": ok, "word": said, "published": row.get("published", "")})
    return out


def _plain(value: Any) -> str:
    if isinstance(value, float | int | np.number) and not isinstance(value, bool):
        return steps(float(value)) if float(value).is_integer() else f"{float(value):.4g}"
    if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(v, int | float) for v in value):
        return f"{_plain(value[0])} to {_plain(value[1])}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return "" if value is None else str(value)


def expectation_verdict(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """(role, sentence): the plain answer to whether the claim held, in the words of the terminal."""
    outcome, sentence = answer(rows)
    return {"refuted": "ungrokked", "open": "none", "held": "grokked"}[outcome], sentence


def flat_records(readings: Sequence[Reading]) -> list[dict[str, Any]]:
    """The verdict table as plain numbers, for the CSV behind the page; censored times are empty with a flag beside
    them."""
    return [_record(r) for r in readings]


def _record(r: Reading) -> dict[str, Any]:
    milestones = r.milestones
    record: dict[str, Any] = {
        "run": r.subject.name,
        "group": r.subject.group,
        "seed": r.subject.seed,
        "split": r.split,
        "state": r.subject.state,
        "verdict": r.verdict.verdict if r.verdict else None,
        "qualifier": r.verdict.qualifier if r.verdict else None,
        "robust": r.verdict.robust if r.verdict else None,
        "last_step": r.last,
    }
    for name in ("T_fit", "T_gen", "T_gen_lasting", "T_gen_stable"):
        moment = getattr(milestones, name) if milestones else None
        record |= {
            name: moment.at if moment and not moment.censored else None,
            f"{name}_after": moment.previous if moment and not moment.censored else None,
            f"{name}_censored": moment.censored if moment else None,
        }
    for name in ("peak", "peak_step", "end", "end_rows", "final", "drop"):
        record[name] = getattr(milestones, name) if milestones else None
    return record | {"peak_rule": peak_rule(r.split)}
