"""What it cost to generalize, in steps, operations and time: a step of one method may cost many of another."""

from grokscope.report.read.cost import GroupCost, costs
from grokscope.report.read.material import Material
from grokscope.report.read.survival import arms
from grokscope.report.sections.blocks import Group, Head, Row, Section, Table, Value, Words
from grokscope.vocabulary.text import number, steps

PLACE = 41.0
HEADS = ("Steps", "Operations of a step", "Operations", "Milliseconds of a step", "Seconds")


def section(material: Material) -> Section | None:
    groups = material.groups()
    rows = costs(groups, arms(groups, "T_gen"))
    if not rows:
        return None
    heads = [Head("Group", number=False), Head("Runs"), *map(Head, HEADS)]
    return Section(
        "cost",
        "Cost",
        "What it cost to generalize",
        [
            Words(
                "Up to the median step of generalization. Operations are products (matrices, convolutions, attention; "
                "a multiplication and an addition are two) and all others, one for each element, of forward, backward, "
                "filter and optimizer, counted in the run itself. Time is wall-clock, evaluations included: compare it "
                "only where machine, load and cadences were alike. > where fewer than half of the runs generalized: it "
                "would cost at least so much."
            ),
            Table("Cost by group", heads, [Group("", [_row(row) for row in rows])]),
        ],
    )


def _row(row: GroupCost) -> Row:
    more = "" if row.arrived else "> "
    cells = [
        Value(f"{row.runs:,}", sort=row.runs),
        _value(row.steps, more, steps(row.steps) if row.steps is not None else ""),
        _value(row.flops_per_step),
        _value(row.flops, more),
        _value(None if row.seconds_per_step is None else 1000 * row.seconds_per_step),
        _value(row.seconds, more),
    ]
    return Row(row.group, cells)


def _value(value: float | None, more: str = "", text: str | None = None) -> Value:
    if value is None:
        return Value("–")
    return Value(f"{more}{text or number(value)}", sort=value)
