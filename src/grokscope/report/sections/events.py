"""Events in the curves by group: loss spikes, norm collapses, transitions, slingshots."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from grokscope.report.read.material import Material
from grokscope.report.read.tables import event_rows
from grokscope.report.sections.blocks import Block, Group, Row, Section, Table, Value, Words
from grokscope.vocabulary.text import plural, steps

PLACE = 50.0
INTRO = (
    "Events are detected after train is fitted or held-out has reached a plateau. A loss spike is a brief rise of the "
    "train loss by more than six robust standard deviations of its logarithm; a norm collapse is a fast fall of the "
    "weight norm; a transition is the steepest lasting rise of the held-out curve (in regression, of the log loss); a "
    "slingshot is a cycle of head growth, spike and plateau. A coarse grid hides short events."
)


def section(material: Material) -> Section | None:
    """None where nothing was found, and nothing is known to be hidden."""
    rows, missing = event_rows(material.lead), _unseen(material)
    if not rows and not missing:
        return None
    blocks: list[Block] = [Words(INTRO)]
    if rows:
        blocks.append(_table(material, rows))
    blocks += [Words(line) for line in missing]
    return Section("events", "Events", "Events", blocks)


def _unseen(material: Material) -> list[str]:
    """What the logs could not have shown, and in how many runs."""
    reasons: Counter[str] = Counter()
    for reading in material.lead:
        reasons.update(f"{kind}: {why}" for kind, why in reading.unseen.items())
    return [f"Not detectable in {plural(n, 'run')}: {line}." for line, n in reasons.items()]


def _table(material: Material, rows: Sequence[Mapping[str, Any]]) -> Table:
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    body = []
    for name, members in material.groups().items():
        of_group = [row for row in rows if row["reading"].subject.group == name]
        cells = [_cell([row for row in of_group if row["kind"] == kind], len(members)) for kind in kinds]
        body.append(Row(name, cells))
    return Table("Events", ["Group", *kinds], [Group("", body)])


def _cell(rows: Sequence[Mapping[str, Any]], runs: int) -> Value:
    if not rows:
        return Value("none", number=False)
    total = sum(row["count"] for row in rows)
    at = [e.at for e in chain.from_iterable(row["events"] for row in rows)]
    span = steps(min(at)) if min(at) == max(at) else f"{steps(min(at))} to {steps(max(at))}"
    times = f", {total} times" if total > len(rows) else ""
    return Value(f"{len(rows):,} of {plural(runs, 'run')}{times}", f"step {span}", number=False)
