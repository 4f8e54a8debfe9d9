"""Results of the mechanism checks: groups whose runs support or contradict each claim."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain

from grokscope.progress import watched
from grokscope.report.read.explained import Told, arms_of, explanation_of, told_of
from grokscope.report.read.judged_run import Reading
from grokscope.report.read.material import Material
from grokscope.report.sections.blocks import Block, Bullets, Code, Group, Row, Section, Table, Text, Value, Words
from grokscope.results.mechanisms import Arm, Explanation, Word

PLACE = 55.0
INTRO = (
    "Each check reads the recorded data and trains nothing. “Supports” means that a run is consistent with the claim, "
    "not that the claim is the cause; the arms that would test this are listed below. Claims that apply to no run are "
    "omitted."
)
WORDS: tuple[Word, ...] = ("supports", "against", "cannot tell")


def section(material: Material) -> Section | None:
    """None where no run supports anything."""
    said = _said(material)
    counts, evidence = said.counts, said.evidence
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
    if said.arms:
        blocks += [Words("Arms that would test them", "h3"), Bullets(list(said.arms.values()))]
    return Section("mechanisms", "Why", "Mechanisms that explain the runs, or do not", blocks)


@dataclass
class _Said:
    """What the explanations of all runs come to."""

    counts: dict[str, dict[str, Counter[Word]]] = field(default_factory=dict)
    """Claim -> group -> how often each word was said."""
    evidence: dict[str, str] = field(default_factory=dict)
    """Claim -> what the first run that supports it recorded."""
    arms: dict[str, Text] = field(default_factory=dict)
    """Each arm once, those of claims that fit."""

    def add(self, reading: Reading, told: Told) -> None:
        group = reading.subject.group
        for claim, word in told.words:  # a run without a filter says nothing about filters
            self.counts.setdefault(claim, {}).setdefault(group, Counter())[word] += 1
        supported = {claim for claim, word in told.words if word == "supports"}
        if not supported <= self.evidence.keys() or not set(told.arms) <= self.arms.keys():
            self._quote(group, explanation_of(reading))

    def _quote(self, group: str, explanation: Explanation | None) -> None:
        """What the first run says for a claim or an arm stands for all."""
        if explanation is None:
            return
        for finding in explanation.findings:
            if finding.applies and finding.word == "supports":
                self.evidence.setdefault(finding.claim, f"{group}: {finding.evidence}")
        for name, arm in arms_of(explanation).items():
            line = _arm_line(arm)
            if line is not None:
                self.arms.setdefault(name, line)


def _arm_line(arm: Arm) -> Text | None:
    """What to train, or what to change in a loop that grokscope only recorded; None where no setting states the arm."""
    if arm.in_own_loop:
        return [f"{arm.name}: in your loop, {arm.in_own_loop} — {arm.expects}"]
    if arm.changes:
        return [f"{arm.name}: ", Code(arm.options), f" — {arm.expects}"]
    return None


def _said(material: Material) -> _Said:
    said = _Said()
    every = list(chain.from_iterable(material.groups().values()))
    for reading in watched(every, "explained runs:"):
        said.add(reading, told_of(reading))
    return said


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
