"""Early stopping replayed: what common rules would have missed, cost and saved on these runs."""

from collections.abc import Sequence
from typing import Any

from grokscope.figures.keys import Entry, group_key
from grokscope.report.draw.stopping import SIZE, TITLES, Of, draw_stopping, height
from grokscope.report.read.material import Material
from grokscope.report.read.stopping import stopping_of
from grokscope.report.sections.blocks import (
    Block,
    Bullets,
    Group,
    Panel,
    Plots,
    Row,
    Section,
    Table,
    Value,
    Words,
    wide,
)
from grokscope.results.stopping import PatienceNeeded, RuleResult, Stopping
from grokscope.vocabulary.splits import oracle_label
from grokscope.vocabulary.text import NONE, factor, plural, score, steps

PLACE = 52.0


def section(material: Material) -> Section | None:
    """None where no run grokked or ungrokked: there it decides nothing when training stops."""
    known = stopping_of(material.lead, material.splits[0], material.criteria)
    if known is None:
        return None
    rules = known.of()
    columns = list(dict.fromkeys(r.rule.on for r in rules if r.rule.kind == "patience"))
    grokked = max(r.grokked for r in rules)
    shown: tuple[Of, ...] = ("missed", "spent", "regret") if grokked else ("spent", "regret")
    panels = [_panel(rules, columns, of) for of in shown]
    entries = [*group_key(columns), Entry("train score at its fit threshold, then so many steps", "ink", marker="D")]
    blocks: list[Block] = [
        Words(_lead(known, rules)),
        Plots("rules", panels, entries, style=wide(panels), caption=_lead(known, rules)),
        Bullets([_needed(n, known.split) for n in known.needed if not n.group]),
        _table(rules, known.split),
    ]
    if any(r.oracle for r in rules):
        stamps = {oracle_label(r.rule.split) for r in rules if r.oracle}
        said = (
            f"Rules marked {' and '.join(sorted(stamps))} monitor a split reserved for reporting: no valid "
            f"procedure could use them."
        )
        blocks.append(Words(said, "warning"))
    if known.notes:
        blocks.append(Words(f"{'; '.join(known.notes)}."))
    return Section("stopping", "Stopping", "When to stop", blocks)


def _lead(known: Stopping, rules: Sequence[RuleResult]) -> str:
    grokked = max(r.grokked for r in rules)
    return (
        f"Early-stopping rules replayed on {plural(known.runs, 'run')} that were trained to their end, of which "
        f"{grokked:,} grokked. A patience rule stops after the given number of evaluations without an improvement of "
        f"its column; a diamond marks rules that stop when the train score reaches its fit threshold, or the given "
        f"number of steps later. Missed: runs that grokked but were stopped before T_gen. Runs of all settings are "
        f"pooled, so the shares refer to this mixture."
    )


def _panel(rules: Sequence[RuleResult], columns: Sequence[str], of: Of) -> Panel:
    said = [f"{r.name}: {score(height(r, of))}" for r in rules]
    alt = f"{TITLES[of].capitalize()}, for each rule: {'; '.join(said)}."
    return Panel(
        lambda figure, _: draw_stopping(figure, rules, columns, of),
        SIZE,
        alt,
        steps=False,
        label=TITLES[of],
        sample=_sample(rules, of),
        data=lambda: [_rule_row(r, of) for r in rules],
    )


def _sample(rules: Sequence[RuleResult], of: Of) -> str:
    """How many runs, and what the lines through the points are."""
    runs = max(r.runs for r in rules)
    if of == "missed":
        return f"{max(r.grokked for r in rules):,} that grokked of {plural(runs, 'run')}; lines: 95 % intervals"
    return f"{plural(runs, 'run')}; means over runs, without an interval"


def _rule_row(r: RuleResult, of: Of) -> dict[str, Any]:
    low, high = (r.interval or (None, None)) if of == "missed" else (None, None)
    return {"rule": r.name, "value": height(r, of), "low": low, "high": high, "runs": r.runs, "grokked": r.grokked}


def _needed(n: PatienceNeeded, split: str) -> str:
    stamp = f" ({oracle_label(split)})" if n.oracle else ""
    return (
        f"To miss none of the {plural(n.runs, 'run')} that grokked, a patience on {n.on}{stamp} must be at least "
        f"{n.evaluations:,} evaluations, or more than {steps(n.steps)} steps. The longest wait was "
        f"{factor(n.of_T_gen)} the T_gen of its run."
    )


def _table(rules: Sequence[RuleResult], split: str) -> Table:
    heads = ["Rule", "Stopped", "Missed", "Regret at the end", "after T_gen", "Spent"]
    rows = [Row(r.name, _values(r)) for r in rules]
    label = f"Every rule: regret is {split} at the end of the run minus that at the stop, mean over runs"
    return Table("Stopping rules", heads, [Group("", rows)], folded=True, summary=label)


def _values(r: RuleResult) -> list[Value]:
    missed, interval = (NONE, "") if r.interval is None else (f"{r.missed:,} of {r.grokked:,}", _interval(r.interval))
    cost = NONE if r.regret is None else score(r.regret.end)
    spread = "" if r.regret is None else f"{score(r.regret.lowest)} to {score(r.regret.highest)}"
    after = NONE if r.regret_after is None else score(r.regret_after.end)
    return [
        Value(f"{r.stopped:,} of {r.runs:,}", sort=r.stopped),
        Value(missed, interval, sort=r.share_missed),
        Value(cost, spread, sort=None if r.regret is None else r.regret.end),
        Value(after, sort=None if r.regret_after is None else r.regret_after.end),
        Value(f"{r.spent:.2f}", f"{steps(round(r.steps))} steps", sort=r.spent),
    ]


def _interval(interval: tuple[float, float]) -> str:
    return f"95 %: {interval[0]:.2f} to {interval[1]:.2f}"
