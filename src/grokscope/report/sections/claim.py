"""What a study claims, and whether its expectations held."""

from collections.abc import Sequence
from typing import Any

from grokscope.report.read.material import Material
from grokscope.report.read.tables import expectation_rows
from grokscope.report.sections.blocks import Block, Group, Mark, Row, Section, Table, Value, Words

PLACE = 10.0
SIGNS = {"held": ("✓", "grokked"), "refuted": ("✗", "ungrokked")}
"""Sign and color of an expectation's outcome; others cannot be told from these runs."""


def section(material: Material) -> Section | None:
    """None for runs that belong to no study, and for a study that neither claims nor expects anything."""
    study, rows = material.study or {}, expectation_rows(material.expectations or [])
    blocks: list[Block] = []
    if study.get("claim") and study.get("hypotheses"):  # else the first screen has it
        blocks.append(Words(str(study["claim"]), "lead"))
    if study.get("reference"):
        cost = f" · Cost: {study['cost']}" if study.get("cost") else ""
        blocks.append(Words(f"Source: {study['reference']}{cost}"))
    if rows:
        blocks.append(_table(rows))
    elif study.get("expect"):
        count = len(study["expect"])
        blocks.append(Words(f"The study states {count} expectations; they have not been checked against these runs."))
    if not blocks:
        return None
    if study.get("claim"):
        return Section("claim", "Claim", "Claim and expectations" if rows else "The claim", blocks)
    return Section("claim", "Claim", "Expectations", blocks)


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    return Table("Expectations", ["Where", "Held?", "Expected", "Seen"], [Group("", [_row(row) for row in rows])])


def _row(row: dict[str, Any]) -> Row:
    sign, role = SIGNS.get(row["word"], ("?", "none"))
    cells = [
        Value(Mark(sign, row["word"], role), number=False, narrow=True),
        Value(row["expected"], row["what"], number=False),
        Value(row["seen"], number=False),
    ]
    return Row(row["where"], cells)
