"""Cost of generalization in steps, operations and time."""

from collections.abc import Sequence

from grokscope.report.read.cost import GroupCost, costs
from grokscope.report.read.judged_run import unit_of
from grokscope.report.read.material import Material
from grokscope.report.read.survival import arms
from grokscope.report.sections.blocks import Group, Head, Row, Section, Table, Value, Words
from grokscope.vocabulary.text import number, steps

PLACE = 41.0
UNITS = ((1e12, "trillions"), (1e9, "billions"), (1e6, "millions"), (1e3, "thousands"))
"""Of operations: a table whose numbers have twelve digits is not read."""


def section(material: Material) -> Section | None:
    groups = material.groups()
    rows = costs(groups, arms(groups, "T_gen"))
    if not rows:
        return None
    each, whole = _unit([row.flops_per_step for row in rows]), _unit([row.flops for row in rows])
    words = (
        f"T_gen ({unit_of(material.lead)}s)", _named("Operations per step", each), _named("Operations", whole),
        "Time per step (ms)", "Time (s)",
    )  # fmt: skip
    heads = [Head("Group", number=False), Head("Runs"), *map(Head, words)]
    return Section(
        "cost",
        "Cost",
        "Cost of generalization",
        [
            Words(
                "Cost up to the median step of generalization. Operations are products (matrices, convolutions, "
                "attention; a multiplication and an addition count as two) and elementwise operations (one per "
                "element) of forward pass, backward pass, filter and optimizer, counted during the run. Time is "
                "wall-clock time including evaluations; compare it only between runs with the same machine, load and "
                "cadences. “>” marks a lower bound: fewer than half of the runs generalized."
            ),
            Table("Cost by group", heads, [Group("", [_row(row, each[0], whole[0]) for row in rows])]),
        ],
    )


def _unit(counts: Sequence[float | None]) -> tuple[float, str]:
    """The largest unit in which the smallest count is 1 or more."""
    least = min((count for count in counts if count), default=1.0)
    return next(((unit, name) for unit, name in UNITS if least >= unit), (1.0, ""))


def _named(words: str, unit: tuple[float, str]) -> str:
    return f"{words} ({unit[1]})" if unit[1] else words


def _row(row: GroupCost, each: float, whole: float) -> Row:
    more = "" if row.arrived else "> "
    cells = [
        Value(f"{row.runs:,}", sort=row.runs),
        _value(row.steps, more, steps(row.steps) if row.steps is not None else ""),
        _value(None if row.flops_per_step is None else row.flops_per_step / each),
        _value(None if row.flops is None else row.flops / whole, more),
        _value(None if row.seconds_per_step is None else 1000 * row.seconds_per_step),
        _value(row.seconds, more),
    ]
    return Row(row.group, cells)


def _value(value: float | None, more: str = "", text: str | None = None) -> Value:
    if value is None:
        return Value("–")
    return Value(f"{more}{text or number(value)}", sort=value)
