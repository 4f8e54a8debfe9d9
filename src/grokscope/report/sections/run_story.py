"""Details of one run: phases, events, mechanism checks, and dissection."""

from collections.abc import Sequence
from itertools import chain
from math import isinf

from grokscope.figures.parts import pictures
from grokscope.report.read.dissections import Dissected, find_dissections
from grokscope.report.read.explained import explanation_of
from grokscope.report.read.judged_run import Reading
from grokscope.report.read.phases import Phase, phases_of
from grokscope.report.read.tables import OPEN
from grokscope.report.read.words import interval
from grokscope.report.sections.blocks import Block, Bullets, Code, Group, Pairs, Row, Strong, Table, Text, Value, Words
from grokscope.results.mechanisms import Explanation, Finding
from grokscope.results.milestones import Milestone
from grokscope.vocabulary.text import steps


def story_blocks(reading: Reading) -> list[Block]:
    """Nothing for a run that could not be judged."""
    return [*_phases(reading), *_events(reading), *_diagnosis(reading), *_dissection(reading)]


def _phases(reading: Reading) -> list[Block]:
    phases = phases_of(reading)
    if not phases:
        return []
    rows = [
        Row(phase.name, [_begin(phase.start), _bound(phase.end), _length(phase), Value(phase.meaning, number=False)])
        for phase in phases
    ]
    unit = f"{reading.subject.unit}s"
    heads = ["Phase", f"From ({unit})", f"To ({unit})", "Length", "What it is"]
    return [Table("Phases", heads, [Group("", rows)], compact=True)]


def _begin(moment: Milestone | None) -> Value:
    return Value("0", "the start") if moment is None else _bound(moment)


def _bound(moment: Milestone) -> Value:
    """The evaluation that showed it, over the interval in which it lies."""
    if moment.censored:
        return Value(f"{OPEN} {steps(moment.at)}", "last evaluation")
    return Value(steps(moment.at), interval(moment))


def _length(phase: Phase) -> Value:
    length, low, high = phase.length
    if isinf(high):
        return Value(f"≥ {steps(length)}", "not over by then")
    return Value(steps(length), f"{steps(low)} to {steps(high)}")


def _events(reading: Reading) -> list[Block]:
    """In order of time; the transition is among the phases."""
    others = [e for e in reading.events if e.kind != "transition"]
    if not others:
        return []
    named = [f"{e.kind} at {steps(e.at)}, in ({steps(e.start)}, {steps(e.end)}]" for e in others[:EVENTS]]
    more = f" and {len(others) - EVENTS:,} more" if len(others) > EVENTS else ""
    return [Words(f"Events: {'; '.join(named)}{more}.", "small")]


EVENTS = 8
"""Events of a run that are told one by one."""


def _diagnosis(reading: Reading) -> list[Block]:
    """What `grokscope explain` says of the run."""
    explanation = explanation_of(reading)
    if explanation is None or not explanation.findings:
        return []
    lines: list[Text] = [
        *_claims("Fits the verdict", explanation.fitting),
        *_claims("Observed, but no explanation", explanation.also_seen),
        *_excluded(explanation),
    ]
    return [Words([Strong("Diagnosis"), ' (trains nothing; a possible explanation is not an established '
        'cause)'], "small"),
            Bullets(lines)] if lines else []  # fmt: skip


def _claims(front: str, findings: Sequence[Finding]) -> list[Text]:
    lines: list[Text] = []
    for finding in findings:
        line: list = [Strong(f"{front}: "), f"{finding.claim} {_sentence(finding.evidence)}"]
        if finding.arm is not None and finding.arm.in_own_loop:
            line.append(f" To test it in your loop: {finding.arm.in_own_loop}; then {finding.arm.expects}.")
        elif finding.arm is not None and finding.arm.changes:
            line += [" To test it: ", Code(finding.arm.options), f"; then {finding.arm.expects}."]
        lines.append(line)
    return lines


def _excluded(explanation: Explanation) -> list[Text]:
    """Claims that the run speaks against, without their numbers: `grokscope explain` prints them."""
    against = [f.claim.rstrip(".") for f in explanation.excluded if f.applies]
    return [[Strong("Spoken against: "), f"{'; '.join(against)}."]] if against else []


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _dissection(reading: Reading) -> list[Block]:
    """Each battery in a line, beside its control."""
    dissected = find_dissections([reading]).main
    return list(chain.from_iterable(_dissected(d) for d in dissected))


def _dissected(d: Dissected) -> list[Block]:
    where = f"{d.selection}, step {d.step:,}" if d.step is not None else d.selection
    front: list = [Strong("Dissection"), f" of {where}: {d.cell}"]
    if d.shared.where.form != "cannot tell":
        front.append(f", {d.shared.where.form}")
    lines = [(picture.brief, picture.in_words(d)) for picture in pictures()]
    if d.at_chance:
        return [Words([*front, f". Cannot tell: {d.at_chance}."], "small")]
    return [Words([*front, "."], "small"), Pairs(lines)]
