"""Every run of both sides, including failed ones, and a JSON download."""

import base64

from grokscope.files import to_json
from grokscope.report.sections.blocks import Block, Chip, Download, Group, Row, Section, Table, Value
from grokscope.results.comparison import ComparedRun, Comparison, ComparisonSide
from grokscope.vocabulary.text import NONE, plural, score, steps_or_more

FOLDED = 24
"""Above this many runs the table starts shut."""
MOST = 400
"""Runs that the page lists; all are in the JSON."""


def section(compared: Comparison) -> Section:
    total = sum(len(side.runs) for side in compared.sides)
    groups = [Group(_title(side), [_row(run) for run in side.runs[: MOST // 2]]) for side in compared.sides]
    heads = ["Run", "Seed", "State", "Verdict", "T_fit", "T_gen", "End", "Why"]
    table = Table(f"All {plural(total, 'run')}", heads, groups, folded=total > FOLDED)
    text = base64.b64encode(to_json(compared.to_dict(), indent=1).encode()).decode()
    data = f"data:application/json;base64,{text}"
    blocks: list[Block] = [table, Download("All of this page:", "comparison.json", data, "Download as JSON")]
    return Section("runs", "Runs", "Runs", blocks)


def _title(side: ComparisonSide) -> str:
    left = len(side.runs) - MOST // 2
    if left > 0:
        return f"{side.name}, the first {MOST // 2} of {len(side.runs):,}"
    return side.name


def _row(run: ComparedRun) -> Row:
    m = run.milestones
    times = [m.T_fit, m.T_gen] if m is not None else []
    cells = [steps_or_more(t.at, t.censored) for t in times] or [NONE, NONE]
    return Row(
        run.run,
        [
            Value(NONE if run.seed is None else str(run.seed)),
            Value(run.state, number=False),
            Value(Chip(*_label(run.verdict)) if run.verdict else NONE, number=False),
            *map(Value, cells),
            Value(NONE if m is None else score(m.end)),
            Value(run.reason, number=False, narrow=True),
        ],
    )


def _label(verdict: str) -> tuple[str, str]:
    name, _, more = verdict.partition(" ")
    return name, more.strip("()")
