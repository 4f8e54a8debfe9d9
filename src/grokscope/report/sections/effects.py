"""Effects of a design's factors with their intervals, as figure and table."""

from typing import Any

from grokscope.report.draw.effects import draw_effects, effects_size
from grokscope.report.read.material import Material
from grokscope.report.sections.blocks import (
    Block,
    Bullets,
    Group,
    Panel,
    Plots,
    Row,
    Section,
    Table,
    Value,
    Words,
    wide,
)
from grokscope.results.factorial import CellMiddle, FactorEffect, Response, design_of
from grokscope.results.seed_tests import interval_words
from grokscope.vocabulary.text import NONE, listed, number, p_value, plural

PLACE = 14.0
CAPTION = (
    "Effects of the factors and their interactions, main effects first. Point: effect; line: interval; ticks: single "
    "seeds; dashed: no effect."
)


def section(material: Material) -> Section | None:
    """None for runs that no design laid out."""
    design = design_of((material.study or {}).get("design"))
    if design is None:
        return None
    blocks: list[Block] = [
        Words(design.says, "lead"),
        Bullets(list(design.factors)),
        Words(
            "For each seed, an effect is the mean over the cells at the upper level minus the mean at the lower "
            "level; for an interaction, over the cells in which both factors have the same level minus the others. It "
            "is tested over seeds by sign flips, two-sided, with Holm's correction over the effects of a response."
        ),
    ]
    answered = [r for r in design.responses if r.outcome == "told"]
    if panels := [_panel(r) for r in answered if any(e.effect is not None for e in r.effects)]:
        blocks.append(Plots("effects", panels, style=wide(panels), columns=2, caption=CAPTION))
    for response in design.responses:
        blocks += _blocks(response)
    return Section("effects", "Effects", "Effects of the factors", blocks)


def _panel(response: Response) -> Panel:
    said = "; ".join(e.in_words(response.null) for e in response.effects)
    alt = f"Effects on {response.response}, {response.effect_name} with intervals: {said}."
    levels = sorted({e.level for e in response.effects if e.interval is not None})
    lines = listed([f"{100 * level:.4g} %" for level in levels])
    return Panel(
        lambda figure, _: draw_effects(figure, response),
        effects_size(response),
        alt,
        response.response,
        steps=False,
        sample=f"{plural(response.seeds, 'seed')} in each of {plural(len(response.cells), 'cell')}; lines: "
        + (f"{lines} intervals" if levels else "no interval with so few seeds"),
        data=lambda: [_effect_row(e, response) for e in response.effects],
    )


def _effect_row(e: FactorEffect, response: Response) -> dict[str, Any]:
    low, high = e.interval or (None, None)
    seeds = {f"seed_{i + 1}": value for i, value in enumerate(e.by_seed)}
    front = {"effect": e.name, "measured_as": response.effect_name, "value": e.effect, "low": low, "high": high}
    return {**front, "level": e.level, "p": e.p, "p_holm": e.p_adjusted, "seeds": response.seeds, **seeds}


def _blocks(response: Response) -> list[Block]:
    seeds = f", {plural(response.seeds, 'seed')} in every cell" if response.outcome == "told" else ""
    blocks: list[Block] = [Words(f"{response.response}{seeds}", "h3")]
    if response.outcome == "told":
        heads = ["Effect", response.effect_name.capitalize(), "p", "p, Holm", "smallest p", "Aliased with"]
        blocks.append(Table("Effects", heads, [Group("", [_row(e, response.null) for e in response.effects])]))
        rows = [_cell(c) for c in response.cells]
        cells = Table("Cells", ["Cell", "Runs", "Reached", "Middle"], [Group("", rows)], folded=True)
        blocks.append(cells)
    if response.notes:
        blocks.append(Words(f"{'; '.join(response.notes)}.", "note" if response.outcome == "told" else "warning"))
    return blocks


def _row(e: FactorEffect, null: float) -> Row:
    where = "" if e.interval is None else interval_words(*e.interval, e.level, null)
    cells = [
        Value(NONE if e.effect is None else number(e.effect), where, sort=e.effect),
        Value(p_value(e.p), sort=e.p),
        Value(p_value(e.p_adjusted), sort=e.p_adjusted),
        Value(p_value(e.smallest_p), sort=e.smallest_p),
        Value("; ".join(e.aliases), number=False),
    ]
    return Row(e.name, cells)


def _cell(c: CellMiddle) -> Row:
    reached = NONE if c.reached is None else f"{c.reached:,}"
    middle = NONE if c.middle is None else number(c.middle)
    return Row(c.name, [Value(f"{c.runs:,}", sort=c.runs), Value(reached), Value(middle, sort=c.middle)])
