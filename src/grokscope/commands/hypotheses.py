"""Hypotheses on the terminal: results and evidence."""

from typing import TYPE_CHECKING

from grokscope.commands.output import print_table
from grokscope.results.factorial import DesignResult, FactorEffect
from grokscope.results.hypothesis import Hypotheses, HypothesisArm, HypothesisResult, RunNumber
from grokscope.results.seed_tests import interval_words
from grokscope.vocabulary.text import number, p_equation, p_value, plural

if TYPE_CHECKING:
    from rich.console import Console


def show_answers(console: "Console", hypotheses: Hypotheses) -> None:
    """Show one sentence per hypothesis, before anything else."""
    for h in hypotheses.results:
        console.print(f"{h.name}: {h.answer}")
        if h.standing == "exploratory":
            console.print(f"  exploratory: {'; '.join(h.departures)}")


def show_details(console: "Console", h: HypothesisResult) -> None:
    """Show runs and values by arm, and the test with everything that its p depends on."""
    console.print(f"{h.name} ({_standing(h)})", style="bold")
    heads = ["arm", "planned", "finished", "failed", "center", "values"]
    print_table(console, heads, [_arm_line(arm) for arm in h.arms])
    if h.test is not None:
        console.print(f"{h.test.test}, {h.test.method}; two-sided {p_equation(h.test.p_two_sided)}")
        if h.test.power is not None:
            console.print(f"{h.test.power} (p <= {number(h.alpha / max(len(h.looks), 1))})")
        if h.family_size > 1 and h.p_adjusted is not None:
            console.print(
                f"{p_equation(h.p_adjusted)} after Holm's correction for {h.family_size} hypotheses of {h.family!r}"
            )
    for note in h.notes:
        console.print(note)


def _standing(h: HypothesisResult) -> str:
    """Whether and when it was declared."""
    if not h.declared and h.standing == "declared":
        return "will be declared when the first run begins"
    when = f"declared on {h.declared} UTC" if h.declared else "not declared"
    if h.standing == "declared":
        return when
    return f"{h.standing}, {when}"


def _arm_line(arm: HypothesisArm) -> list[str]:
    counts = [str(count) for count in (arm.planned, arm.finished, arm.failed)]
    return [arm.name, *counts, _middle(arm), " ".join(map(_shown, arm.numbers))]


def _middle(arm: HypothesisArm) -> str:
    if arm.middle is not None:
        return number(arm.middle)
    return "not reached" if arm.numbers else ""


def _shown(run: RunNumber) -> str:
    if run.reached:
        return number(run.value)
    return f">{number(run.value)}"


def show_design(console: "Console", design: DesignResult) -> None:
    """Show the design, and the effects on each response."""
    console.print(design.says)
    for response in design.responses:
        console.print("")
        console.print(f"effects on {response.response} ({plural(response.seeds, 'seed')} in every cell)", style="bold")
        if response.outcome == "told":
            heads = ["effect", response.effect_name, "interval", "p", "p, Holm", "smallest p", "aliased with"]
            print_table(console, heads, [_effect_line(e, response.null) for e in response.effects])
        for note in response.notes:
            console.print(f"{response.outcome}: {note}" if response.outcome != "told" else note)


def _effect_line(e: FactorEffect, null: float) -> list[str]:
    size = "none" if e.effect is None else number(e.effect)
    where = "" if e.interval is None else interval_words(*e.interval, e.level, null)
    return [e.name, size, where, p_value(e.p), p_value(e.p_adjusted), p_value(e.smallest_p), "; ".join(e.aliases)]
