"""Hypotheses of a study and their results: every run's number, the test, and the number of seeds needed."""

import base64
from collections.abc import Sequence

from grokscope.files import to_json
from grokscope.report.read.material import Material
from grokscope.report.sections.blocks import Block, Bullets, Download, Group, Row, Section, Table, Value, Words
from grokscope.results.hypothesis import HypothesisArm, HypothesisResult, HypothesisTest, RunNumber, results_of
from grokscope.results.seed_tests import ENOUGH
from grokscope.vocabulary.text import NONE, listed, number, p_equation, plural, steps

PLACE = 12.0


def section(material: Material) -> Section | None:
    """None for runs of which nothing was asked in advance."""
    results = results_of((material.study or {}).get("hypotheses"))
    if not results:
        return None
    blocks: list[Block] = []
    for result in results:
        blocks += blocks_of(result)
    text = base64.b64encode(to_json([r.to_dict() for r in results], indent=1).encode()).decode()
    blocks.append(
        Download("All of this:", "hypotheses.json", f"data:application/json;base64,{text}", "Download as JSON")
    )
    return Section("hypotheses", "Hypotheses", "Hypotheses", blocks)


def blocks_of(result: HypothesisResult) -> list[Block]:
    """The answer to one question, every run's number, and what the test must be read against."""
    blocks: list[Block] = [Words(result.name, "h3"), Words(result.answer, "plain")]
    if result.departures:
        blocks.append(Words(f"Exploratory: {'; '.join(result.departures)}.", "warning"))
    blocks.append(_arms(result.arms))
    notes = [*_declared(result), *(_details(result, result.test) if result.test is not None else ()), *result.notes]
    blocks.append(Bullets(notes))
    return blocks


def _arms(arms: Sequence[HypothesisArm]) -> Table:
    rows = [
        Row(
            arm.name,
            [
                Value(f"{arm.planned:,}", sort=arm.planned),
                Value(f"{arm.finished:,}", sort=arm.finished),
                Value(f"{arm.failed:,}", sort=arm.failed),
                Value(_middle(arm), sort=arm.middle),
                Value(", ".join(map(_shown, arm.numbers)) or NONE, number=False),
            ],
        )
        for arm in arms
    ]
    return Table(
        "Runs by arm", ["Arm", "Planned", "Finished", "Failed", "Middle", "Values, by seed"], [Group("", rows)]
    )


def _middle(arm: HypothesisArm) -> str:
    if arm.middle is not None:
        return number(arm.middle)
    return "not reached" if arm.numbers else NONE


def _shown(run: RunNumber) -> str:
    return number(run.value) if run.reached else f"> {steps(run.value)}"


def _declared(result: HypothesisResult) -> list[str]:
    if not result.declared:
        return []
    looks = f", to be tested at {listed([str(n) for n in result.looks])} seeds" if result.looks else ""
    return [f"Declared on {result.declared} UTC{looks}."]


def _details(result: HypothesisResult, test: HypothesisTest) -> list[str]:
    """What the p-value must be read against."""
    out = [f"{test.test.capitalize()}: {test.method}. Two-sided {p_equation(test.p_two_sided)}."]
    if test.interval is not None:
        out.append(f"Interval of the {test.effect_name}, {test.interval_words}.")
    if result.family_size > 1 and result.p_adjusted is not None:
        members = plural(result.family_size, "hypothesis", "hypotheses")
        out.append(
            f"Corrected {p_equation(result.p_adjusted)}, by Holm over {members} of the family “{result.family}”."
        )
    if test.power is not None:
        out.append(f"With these runs {test.power}.")
    if not test.enough:
        out.append(f"Fewer than {ENOUGH} seeds in an arm: the p-value is exact, but single seeds can decide it.")
    return out
