"""The phase diagram of a study: verdicts, times and levels over two settings, and the Pareto set of regimes."""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence

from grokscope.figures.keys import Entry
from grokscope.files import to_json
from grokscope.report.draw.pareto import SIZE, draw_pareto, letters
from grokscope.report.draw.phase_map import cell_id, draw_map, map_size, roomy
from grokscope.report.read.glossary import word
from grokscope.report.read.judged_run import unit_of
from grokscope.report.read.material import Material
from grokscope.report.read.phase import (
    CODES,
    SIGNS,
    Map,
    map_rows,
    map_title,
    maps_of,
    mark_of,
    range_of,
    sample_of,
    words_of,
)
from grokscope.report.read.run_details import table_csv
from grokscope.report.sections.blocks import (
    Block,
    Bullets,
    Download,
    Group,
    Panel,
    Plots,
    Row,
    Section,
    Table,
    Text,
    Value,
    Words,
)
from grokscope.results.phase import (
    CellLevel,
    CellTime,
    Pareto,
    ParetoPoint,
    Phase,
    PhaseAxis,
    PhaseCell,
    PhaseDiagram,
)
from grokscope.vocabulary.text import NONE, listed, number, plural, score, steps, steps_or_more

PLACE = 16.0
SIDE_BY_SIDE = 500.0
"""Maps up to this width in points stand in two columns."""
SHEET = 600.0
"""The same in a file, which a reader can enlarge."""
NAMED = 8
"""So many regimes of a Pareto set are named in the sentence."""


def section(material: Material) -> Section | None:
    """None for runs of no study, or of one that spans no map and has nothing to weigh."""
    raw = (material.study or {}).get("phase")
    if raw is None:
        return None
    phase = Phase.from_dict(raw, "$.phase")
    blocks: list[Block] = []
    if phase.diagram is not None:
        blocks += diagram_blocks(phase.diagram, unit_of(material.lead))
    if phase.pareto is not None:
        if blocks:
            blocks.append(Words("Time to generalization against best score", "h3"))
        blocks += pareto_blocks(phase.pareto, unit_of(material.lead))
    if not blocks:
        return None
    title = "Phase diagram" if phase.diagram is not None else "Time to generalization against best score"
    nav = "Phase diagram" if phase.diagram is not None else "Pareto set"
    return Section("phase", nav, title, [*blocks, *(_elsewhere() if material.many else _downloads(phase))])


def _elsewhere() -> list[Block]:
    """A page of many runs does not carry each of them once more."""
    return [
        Words(
            "Cells and points are also available next to the page, as CSV with the figure files, and as JSON "
            "(…_phase.json)."
        )
    ]


def _downloads(phase: Phase) -> list[Block]:
    tables = [("cells.csv", "Cells, one row each:", phase.cell_rows()), ("pareto.csv", "Points:", phase.pareto_rows())]
    links: list[Block] = []
    for name, before, rows in tables:
        if rows:
            links.append(Download(before, f"phase_{name}", _link("text/csv", table_csv(rows)), "Download as CSV"))
    text = to_json(phase.to_dict(), indent=1)
    return [*links, Download("All of this:", "phase.json", _link("application/json", text), "Download as JSON")]


def _link(kind: str, text: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"


# -- the diagram ------------------------------------------------------------------------------------------------------


def diagram_blocks(diagram: PhaseDiagram, unit: str = "step") -> list[Block]:
    """What the map shows in a sentence, the maps, and every cell in a table."""
    blocks: list[Block] = [Words(summary_of(diagram), "lead"), Words(_how_to_read(diagram))]
    if diagram.panels is None:
        shown: list[tuple[Map, str | None, str]] = [
            (what, None, map_title(diagram, what, unit)) for what in maps_of(diagram)
        ]
        blocks.append(_plots(diagram, "maps", shown, unit))
    else:
        for what in maps_of(diagram):
            blocks += [Words(map_title(diagram, what, unit), "h3"), _panels_of(diagram, diagram.panels, what, unit)]
    if diagram.notes:
        blocks.append(Bullets([f"{note[0].upper()}{note[1:]}." for note in diagram.notes]))
    return [*blocks, _cell_table(diagram, unit)]


def summary_of(diagram: PhaseDiagram) -> str:
    """``Of 20 cells of lr and weight_decay: grokked in 8, memorized in 7, ...; 2 are mixed; 3 lack runs.``"""
    planned = [cell for cell in diagram.cells if cell.planned]
    judged = [cell for cell in planned if cell.judged]
    counts = Counter(cell.majority or "no majority" for cell in judged)
    parts = [f"{name} in {count}" for name, count in counts.most_common()] or ["none has a judged run"]
    mixed, lacking = sum(cell.mixed for cell in judged), sum(cell.lacks_runs for cell in planned)
    if mixed:
        parts.append(f"seeds of {mixed} disagree")
    if lacking:
        parts.append(f"{lacking} {'lacks' if lacking == 1 else 'lack'} runs")
    names = [axis.name for axis in (diagram.x, diagram.y, diagram.panels) if axis is not None]
    return f"Of {plural(len(planned), 'cell')} of {listed(names)}: {'; '.join(parts)}."


def _how_to_read(diagram: PhaseDiagram) -> Text:
    """What words, shades, hatches and marks mean."""
    subject = "The two settings that vary. " if diagram.automatic else ""
    time = "delay, T_gen − T_fit," if diagram.time == "delay" else "T_gen"
    return (
        f"{subject}A cell contains the runs that differ only in their seed. Verdicts: the verdict of more than half "
        f"of the judged runs, with its count, and the other verdicts; the bar along the lower edge shows their "
        f"shares. Times: the median {time} with the earliest and the latest run; a run that did not generalize is "
        f"censored at its end, and if the median was not reached, the cell is hatched and shows a lower bound. "
        f"Levels: median over runs with the smallest and the largest value; the best is the highest of many "
        f"evaluations and therefore biased upward. A dashed frame and ▲ mark cells with fewer judged runs than "
        f"planned or required, and failed runs. Cells have equal width, whatever the spacing of the values."
    )


def _caption(diagram: PhaseDiagram, what: Map, unit: str) -> str:
    """What a file with these maps shows, for a paper."""
    title = "Phase diagram" if diagram.panels is None else map_title(diagram, what, unit)
    lacking = "Dashed frames and ▲: fewer judged runs than planned or required, or failed runs."
    return (
        f"{title} over {diagram.x.title} and {diagram.y.title}, held out: {diagram.split}. {summary_of(diagram)} "
        f"Hatched: the median was not reached; the cell shows a lower bound. {lacking}"
    )


def _plots(diagram: PhaseDiagram, slug: str, shown: Sequence[tuple[Map, str | None, str]], unit: str) -> Plots:
    width = map_size(diagram)[0]
    panels = [_panel(diagram, what, panel, name, unit) for what, panel, name in shown]
    style = "wide" if width <= SIDE_BY_SIDE else "map"
    columns = 2 if width <= SHEET else 1
    return Plots(slug, panels, _codes(diagram, shown), style, columns, caption=_caption(diagram, shown[0][0], unit))


def _panels_of(diagram: PhaseDiagram, panels: PhaseAxis, what: Map, unit: str) -> Plots:
    """One map for each value of the third setting."""
    return _plots(diagram, what, [(what, label, f"{panels.name} {label}") for label in panels.labels], unit)


def _panel(diagram: PhaseDiagram, what: Map, panel: str | None, name: str, unit: str) -> Panel:
    words = words_of(diagram, what, panel)
    over = f"{map_title(diagram, what, unit)} over {diagram.x.name} and {diagram.y.name}"
    alt = f"{over}. {'; '.join(w.said for w in words)}."
    titles = {cell_id(what, i): w.said for i, w in enumerate(words)}
    return Panel(
        lambda figure, _: draw_map(figure, diagram, what, panel),
        map_size(diagram),
        alt,
        name,
        steps=False,
        titles=titles,
        sample=sample_of(diagram, what, panel),
        data=lambda: map_rows(diagram, what, panel),
    )


def _codes(diagram: PhaseDiagram, shown: Sequence[tuple[Map, str | None, str]]) -> list[Entry]:
    """What the codes of narrow cells stand for; cells with room say it in words."""
    if roomy(diagram):
        return []
    seen = dict.fromkeys(name for cell in diagram.cells for name in cell.classes)
    entries = [Entry(f"{CODES.get(name, name[:2])}: {name}", word(name).role, band=True) for name in seen]
    codes = {words.code for what, panel, _ in shown for words in words_of(diagram, what, panel)}
    return [*entries, *(Entry(f"{sign}: {said}", "none", band=True) for sign, said in SIGNS.items() if sign in codes)]


def _cell_table(diagram: PhaseDiagram, unit: str) -> Table:
    times = [f"{name} ({unit}s)" for name in ("T_fit", "T_gen", "Delay")]
    number_heads = ["Planned", "Judged", "Verdicts", *times, "Best", "End"]
    heads = [_axes_words(diagram), *number_heads, *([diagram.value] if diagram.value else []), "Lacks"]
    planned = [cell for cell in diagram.cells if cell.planned]
    rows = [Row(_cell_name(diagram, cell), _cell_values(diagram, cell)) for cell in planned]
    return Table("Cells", heads, [Group("", rows)], folded=True, summary=f"All {plural(len(rows), 'cell')} in numbers")


def _axes_words(diagram: PhaseDiagram) -> str:
    axes: list[PhaseAxis | None] = [diagram.x, diagram.y, diagram.panels]
    return ", ".join(axis.name for axis in axes if axis is not None)


def _cell_name(diagram: PhaseDiagram, cell: PhaseCell) -> str:
    parts = [cell.x, cell.y, *([] if cell.panel is None else [cell.panel])]
    return ", ".join(parts)


def _cell_values(diagram: PhaseDiagram, cell: PhaseCell) -> list[Value]:
    verdicts = listed([f"{count} {name}" for name, count in cell.verdicts.items()]) or NONE
    lacking = [mark_of(diagram, cell)]
    lacking += [f"{cell.unjudged} cannot be judged"] if cell.unjudged else []
    lacking += [f"{cell.waiting} waiting"] if cell.waiting else []
    levels = [cell.best, cell.end, *([cell.value] if diagram.value else [])]
    return [
        Value(f"{cell.planned:,}", sort=cell.planned),
        Value(f"{cell.judged:,}", sort=cell.judged),
        Value(verdicts, number=False),
        *(_time_value(time) for time in (cell.T_fit, cell.T_gen, cell.delay)),
        *(_level_value(level) for level in levels),
        Value("; ".join(part for part in lacking if part), number=False),
    ]


def _time_value(time: CellTime | None) -> Value:
    if time is None:
        return Value(NONE)
    main = steps_or_more(time.at_least, time.censored)
    return Value(main, range_of(time), sort=time.at_least)


def _level_value(level: CellLevel | None) -> Value:
    if level is None:
        return Value(NONE)
    spread = "" if level.low == level.high else f"{number(level.low)} to {number(level.high)}"
    return Value(number(level.median), spread, sort=level.median)


# -- the Pareto set ---------------------------------------------------------------------------------------------------

RULE = (
    "A regime is in the Pareto set if no other regime generalized at least as early with at least as high a best "
    "score and was strictly better in one of them, by the medians over its runs. Regimes that tie in both are in it "
    "together; times are known only to the evaluation grid. A regime whose median was not reached (open arrowheads) "
    "dominates no other, because it may never be reached. It is dominated by a regime that reached it by then with at "
    "least as high a score; otherwise its membership is undecided."
)


def pareto_blocks(pareto: Pareto, unit: str) -> list[Block]:
    """Who is in the set, by which rule, the figure, and every group in a table."""
    alt = f"{pareto_sentence(pareto)} {_points_in_words(pareto)}"
    panel = Panel(
        lambda figure, _: draw_pareto(figure, pareto, unit), SIZE, alt,
        "T_gen against the best score", steps=False, data=pareto.rows,
        sample=f"{plural(len(pareto.runs), 'run')} of {plural(len(pareto.groups), 'regime')}; medians over runs",
    )  # fmt: skip
    key = [
        Entry("regime in the Pareto set, joined", "group-1", marker="o"),
        Entry("other regime; small: single runs", "group-8", marker="o", filled=False),
        Entry("T_gen not reached by then; labeled at the right", "group-8", marker=">", filled=False),
    ]
    rows = [_point_row(point, letters(pareto)) for point in sorted(pareto.groups, key=lambda p: (p.censored, p.at))]
    heads = ["Regime", "Runs", f"T_gen ({unit}s)", "Best", "Pareto set"]
    return [
        Words(pareto_sentence(pareto), "lead"),
        Words(RULE),
        Plots("pareto", [panel], key, "map", 1, caption=f"{pareto_sentence(pareto)} {RULE}"),
        Table("Regimes", heads, [Group("", rows)], folded=len(rows) > NAMED),
    ]


def pareto_sentence(pareto: Pareto) -> str:
    """The set named, with its numbers."""
    front, waiting = pareto.front(), [p for p in pareto.groups if p.standing == "open"]
    if front:
        named = [f"{p.name} (T_gen {steps(p.at)}, best {score(p.best)})" for p in front[:NAMED]]
        named += [f"{len(front) - NAMED} more"] if len(front) > NAMED else []
        said = f"In the Pareto set of T_gen and the best score on {pareto.split}: {listed(named)}."
    else:
        said = (
            f"The median T_gen of no regime was reached, so no regime is in the Pareto set of T_gen and the best "
            f"score on {pareto.split}."
        )
    if not waiting:
        return said
    return (
        f"{said} Undecided, with a better score than any that generalized by then: {listed([p.name for p in waiting])}."
    )


def _points_in_words(pareto: Pareto) -> str:
    points = [f"{p.name}: T_gen {steps_or_more(p.at, p.censored)}, best {score(p.best)}" for p in pareto.groups]
    return f"{'; '.join(points)}."


def _point_row(point: ParetoPoint, lettered: Mapping[str, str]) -> Row:
    letter = lettered.get(point.name, "")
    standing = {"front": f"in it{f' ({letter})' if letter else ''}", "open": "open", "dominated": "beaten"}
    time = steps_or_more(point.at, point.censored)
    cells = [
        Value(f"{point.runs:,}", sort=point.runs),
        Value(time, sort=point.at),
        Value(score(point.best), sort=point.best),
        Value(standing[point.standing], number=False),
    ]
    return Row(point.name, cells)
