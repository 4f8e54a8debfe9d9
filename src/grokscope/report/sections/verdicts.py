"""Table of verdicts: one row per run and split, with robustness and numbers."""

import base64
from itertools import chain
from urllib.parse import quote

from grokscope.report.draw.axis import StepAxis, curve_axis
from grokscope.report.draw.icons import sparkline
from grokscope.report.read.judged_run import Reading
from grokscope.report.read.material import Material
from grokscope.report.read.run_details import table_csv
from grokscope.report.read.summary import counts
from grokscope.report.read.tables import Cell, VerdictRow, flat_records, verdict_rows
from grokscope.report.sections.blocks import (
    Block,
    Chip,
    Download,
    Drawing,
    Fold,
    Group,
    Head,
    Link,
    Row,
    Section,
    Symbol,
    Table,
    Value,
    Words,
)
from grokscope.report.sections.names import slug
from grokscope.vocabulary.splits import is_reported, oracle_label
from grokscope.vocabulary.text import listed

PLACE = 30.0
NUMBERS = ("fit", "gen", "delay", "ratio", "peak", "end", "drop")
NOTE = (
    "Below each T is the interval (before, at] of the milestone; ▷ means not reached by the last evaluation "
    "(censored). Peak, end and drop are held-out scores. The end is the mean over the last 5 % of the steps, with the "
    "number of evaluations below it (end and end_rows in the CSV); “final” always means the last evaluation alone. "
    "The noise below a drop is the drop expected by chance."
)


def section(material: Material) -> Section:
    blocks: list[Block] = [
        Words(
            f"{_rows(material)}, judged on {material.judged_on}. A verdict is fragile if moving one threshold to its "
            "neighbor, or the uncertainty of the evaluation grid, would change it; the alternative is given."
        ),
        _table(material),
    ]
    for split in material.splits:
        readings = list(chain.from_iterable(_led_by_others(material, split).values()))
        if readings:
            summary = [f"Verdicts on {split}", *(Chip(name, count=n) for name, n in counts(readings))]
            blocks.append(Fold(summary, [_table(material, split)]))
    blocks.append(Words(NOTE))
    if material.subjects:
        blocks.append(_download(material))
    return Section("verdicts", "Verdicts", "Verdicts", blocks)


def _rows(material: Material) -> str:
    """Which runs have a row."""
    if material.all_listed:
        return "One row per run"
    return (
        f"{len(material.listed):,} of {len(material.subjects):,} runs have a row, the first of each group and verdict "
        "(the counts are of all)"
    )


def _download(material: Material) -> Download:
    """The rows of all runs: in the page, or, where they are many, in a file beside it."""

    def rows() -> str:
        groups = chain.from_iterable(material.groups(split).values() for split in material.splits)
        return table_csv(flat_records(list(chain.from_iterable(groups))))

    if material.all_listed:
        text = base64.b64encode(rows().encode()).decode()
        return Download("All rows:", "verdicts.csv", f"data:text/csv;base64,{text}", "Download as CSV")
    name = f"{material.stem}_verdicts.csv"
    before = f"The rows of all {len(material.subjects):,} runs, in a file beside this page:"
    return Download(before, name, quote(name), name, content=rows)


def _led_by_others(material: Material, split: str) -> dict[str, list[Reading]]:
    """Groups that lead with another split, judged on this one."""
    return {name: members for name, members in material.groups(split).items() if material.leads[name] != split}


def _table(material: Material, split: str | None = None) -> Table:
    """On the split that leads each group; or on one split, the groups that others lead."""
    shown = material.groups() if split is None else _led_by_others(material, split)
    axis = curve_axis(material.lead, "log") if split is None or not material.many else None
    low = -0.5 if any(r.kind == "regression" for r in chain.from_iterable(shown.values())) else 0.0
    suffix = "" if split is None else f"-{slug(split)}"
    groups = [
        Group(
            f"{name}, on {material.leads[name]}" if split is None and material.mixed else name,
            [
                _row(row, axis, (low, 1.0), suffix)
                for row in verdict_rows([r for r in members if r.subject.name in material.listed], material.anchors)
            ],
            counts(members),
        )
        for name, members in shown.items()
    ]
    on = split or material.judged_on
    oracles = [oracle_label(s) for s in ([split] if split else material.leading) if is_reported(s)]
    heads = _heads(listed(oracles), curves=axis is not None)
    return Table(f"Verdicts on {on}", heads, groups, style="verdicts", runs=split is None)


def _heads(oracle: str, curves: bool) -> list[str | Head]:
    return [
        Head("Run", number=False),
        Head("Verdict", number=False),
        *([Head("Curve", number=False)] if curves else []),
        Head("Robust?", number=False),
        Head(Symbol("T", "fit")),
        Head(Symbol("T", "gen")),
        Head("Delay"),
        Head("Ratio"),
        Head("Peak", oracle),
        Head("End"),
        Head("Drop"),
    ]


def _row(row: VerdictRow, axis: StepAxis | None, limits: tuple[float, float], suffix: str) -> Row:
    cells = [Value(Chip(row.outcome, row.more), number=False)]
    if axis is not None:
        cells.append(Value(Drawing(sparkline(row.reading, axis, limits)), number=False))
    if row.reading.verdict is None:
        cells.append(Value(row.why, number=False, span=len(NUMBERS) + 1, narrow=True))
    else:
        cells.append(Value(row.robust, row.robust_more, number=False, narrow=True))
        cells += [_number(getattr(row, name)) for name in NUMBERS]
    return Row(Link(row.label, f"#{row.anchor}-details"), cells, key=row.anchor + suffix)


def _number(cell: Cell) -> Value:
    return Value(cell.main, cell.sub, title=cell.title, sort=cell.sort)
