"""Results of the mechanism checks: groups whose runs support or contradict each claim."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

from grokscope.report.read.explained import explanation_of
from grokscope.report.read.judged_run import Reading
from grokscope.report.read.material import Material
from grokscope.report.sections.blocks import Block, Bullets, Code, Group, Row, Section, Table, Text, Value, Words
from grokscope.results.mechanisms import Explanation, Finding, Word

PLACE = 55.0
INTRO = (
    "Each check reads the recorded data and trains nothing. “Supports” means that a run is consistent with the claim, "
    "not that the claim is the cause; the arms that would test this are listed below. Claims that apply to no run are "
    "omitted."
)
WORDS: tuple[Word, ...] = ("supports", "against", "cannot tell")

Counts = Mapping[str, Mapping[str, Counter[Word]]]
"""Claim -> group -> how often each word was said."""


def section(material: Material) -> Section | None:
    """None where no run supports anything."""
    explained = {name: _explained(readings) for name, readings in material.groups().items()}
    counts, evidence = _count(explained), _evidence(explained)
    supported = [claim for claim, groups in counts.items() if any(c["supports"] for c in groups.values())]
    silent = [
        claim
        for claim, groups in counts.items()
        if claim not in supported and any(c["against"] for c in groups.values())
    ]
    if not supported:
        return None
    rows = [_row(claim, counts[claim], evidence.get(claim, "")) for claim in (*supported, *silent)]
    blocks: list[Block] = [
        Words(INTRO),
        Table("Mechanisms", ["Claim", "Supports", "Against", "Cannot tell"], [Group("", rows)]),
    ]
    if arms := _arms(list(chain.from_iterable(explained.values()))):
        blocks += [Words("Arms that would test them", "h3"), Bullets(arms)]
    return Section("mechanisms", "Why", "Mechanisms that explain the runs, or do not", blocks)


def _explained(readings: Sequence[Reading]) -> list[Explanation]:
    return [e for reading in readings if (e := explanation_of(reading)) is not None]


def _count(explained: Mapping[str, Sequence[Explanation]]) -> Counts:
    counts: dict[str, dict[str, Counter[Word]]] = {}
    for group, explanations in explained.items():
        for finding in _findings(explanations):
            counts.setdefault(finding.claim, {}).setdefault(group, Counter())[finding.word] += 1
    return counts


def _findings(explanations: Sequence[Explanation]) -> list[Finding]:
    """Of claims that apply: a run without a filter says nothing about filters."""
    return [f for f in chain.from_iterable(explanation.findings for explanation in explanations) if f.applies]


def _evidence(explained: Mapping[str, Sequence[Explanation]]) -> dict[str, str]:
    """Claim -> what the first run that supports it recorded."""
    first: dict[str, str] = {}
    for group, explanations in explained.items():
        for finding in _findings(explanations):
            if finding.word == "supports":
                first.setdefault(finding.claim, f"{group}: {finding.evidence}")
    return first


def _row(claim: str, groups: Mapping[str, Counter[Word]], evidence: str) -> Row:
    cells = [_cell(groups, word, evidence if word == "supports" else "") for word in WORDS]
    return Row(claim, cells)


def _cell(groups: Mapping[str, Counter[Word]], word: Word, evidence: str) -> Value:
    """``all 10 runs``, or the groups and how many of their runs."""
    total, said = sum(c.total() for c in groups.values()), sum(c[word] for c in groups.values())
    if not said:
        return Value("", number=False)
    if said == total:
        return Value(_all(total), evidence, number=False)
    parts = [f"{name}: {c[word]} of {c.total()}" for name, c in groups.items() if c[word]]
    return Value("; ".join(parts) if len(parts) <= LISTED else f"{said} of {total} runs", evidence, number=False)


def _all(total: int) -> str:
    return {1: "the one run", 2: "both runs"}.get(total, f"all {total:,} runs")


LISTED = 6
"""Groups that a cell names; of more it gives the number of runs."""


def _arms(explanations: Sequence[Explanation]) -> list[Text]:
    """Each arm once, those of claims that fit."""
    lines: dict[str, Text] = {}
    for explanation in explanations:
        for finding in explanation.fitting:
            if finding.arm is not None and finding.arm.changes:
                lines.setdefault(
                    finding.arm.name, [f"{finding.arm.name}: ", Code(finding.arm.options), f" — {finding.arm.expects}"]
                )
    return list(lines.values())
