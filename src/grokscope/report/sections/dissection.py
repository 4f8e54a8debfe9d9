"""The section on dissected checkpoints: location of the shortcut, each result with its control."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from grokscope.figures.parts import pictures
from grokscope.figures.picture import Picture
from grokscope.report.read.dissections import Dissected, Dissections, find_dissections
from grokscope.report.read.material import Material
from grokscope.report.read.published import MOST_ROWS, PublishedTable
from grokscope.report.sections.blocks import Block, Group, Panel, Plots, Row, Section, Table, Value, Words
from grokscope.report.sections.dissection_data import data_of
from grokscope.report.sections.dissection_overview import CONTROLS, along_blocks, overview_blocks
from grokscope.report.sections.dissection_tables import (
    calibration_table,
    cells_table,
    summary_table,
)
from grokscope.vocabulary.text import listed, plural

PLACE = 65.0


def section(material: Material) -> Section | None:
    """None where no run has records of a dissection."""
    groups = {name: find_dissections(members) for name, members in material.groups().items()}
    dissected = {name: dissections for name, dissections in groups.items() if dissections.main}
    published = {run: tables for dissections in groups.values() for run, tables in dissections.published.items()}
    notes = [*_chosen(dissected), *_files(groups.values())]
    if not notes and not published:
        return None
    blocks: list[Block] = [*notes, *_batteries(dissected), *overview_blocks(dissected, list(groups))]
    if dissected:
        blocks += [*summary_table(material, dissected), *cells_table(dissected), *calibration_table(material)]
    blocks += _published(published)
    return Section("dissection", "Dissection", "Where the shortcut is stored", blocks)


def _chosen(dissected: Mapping[str, Dissections]) -> list[Block]:
    """Which checkpoints are shown, and what a reader of any number must know."""
    every = list(chain.from_iterable(dissections.main for dissections in dissected.values()))
    if not every:
        return []
    rules = sorted({d.selection for d in every})
    blocks: list[Block] = [
        Words(f"{plural(len(every), 'run')} dissected, one checkpoint each, chosen by: {listed(rules)}. Everything is "
            f"fitted on one part of the data and measured on another, split by patient if available. In figures of "
            f"several runs, the gray range is the median of their ranges.")
    ]  # fmt: skip
    if any(d.oracle for d in every):
        blocks.append(Words("oracle: a checkpoint was chosen on data reserved for reporting. Its numbers are not held "
            'out.', "warning"))  # fmt: skip
    silent = [reason for d in every if (reason := d.at_chance)]
    blocks += [
        Words(f"Cannot tell, in {plural(silent.count(r), 'run')}: {r}.", "warning") for r in dict.fromkeys(silent)
    ]
    warnings = chain.from_iterable(d.shared.warnings for d in every)
    warned = [w for w in warnings if not w.startswith("the checkpoint was chosen")]
    return blocks + [Words(f"In {plural(warned.count(w), 'run')}: {w}.") for w in dict.fromkeys(warned)]


def _files(groups: Iterable[Dissections]) -> list[Block]:
    """What lies in the folders and is outdated, damaged or another program's."""
    every = list(groups)
    commands = list(chain.from_iterable(one.outdated for one in every))
    foreign = list(chain.from_iterable(one.foreign for one in every))
    damaged = list(chain.from_iterable(one.damaged for one in every))
    blocks: list[Block] = []
    if commands:
        blocks.append(
            Words(
                f"Outdated: {plural(len(commands), 'dissection')} by older rules that differ from those of this "
                f"version. To update: {_first(commands, '; ')}"
            )
        )
    if damaged:
        blocks.append(Words(f"Damaged and not shown: {_first(damaged, '; ')}.", "warning"))
    if foreign:
        named = f"{listed(foreign[:3])}{' …' if len(foreign) > 3 else ''}"
        blocks.append(Words(f"In another format and not shown: {plural(len(foreign), 'file')} ({named})."))
    return blocks


def _first(words: Sequence[str], between: str, most: int = 3) -> str:
    return between.join([*words[:most], *(["…"] if len(words) > most else [])])


def _batteries(dissected: Mapping[str, Dissections]) -> list[Block]:
    return [*(chain.from_iterable(_battery(picture, dissected) for picture in pictures())), *along_blocks(dissected)]


def _battery(picture: Picture, dissected: Mapping[str, Dissections]) -> list[Block]:
    """The figures of one part, one panel for each group; and why it is silent, where the whole dissection is not."""
    speaking: dict[str, list[Dissected]] = {}
    silent: list[Block] = []
    for group, dissections in dissected.items():
        parts = [(d, part) for d in dissections.main if (part := picture.part(d)) is not None]
        speaking[group] = [d for d, part in parts if not part.cannot_tell]
        reasons = [part.cannot_tell for d, part in parts if part.cannot_tell and part.cannot_tell != d.at_chance]
        if reasons:
            silent.append(Words(f"{picture.title} {group}: cannot tell: {'; '.join(dict.fromkeys(reasons))}."))
    shown = {group: runs for group, runs in speaking.items() if runs and picture.axes(runs)}
    if not shown:
        return silent
    panels = [_panel(picture, group, runs, list(shown.values())) for group, runs in shown.items()]
    key = picture.key(list(chain.from_iterable(shown.values())))
    plots = Plots(picture.name, panels, key, caption=f"{picture.title}. {picture.words}")
    return [*silent, Words(picture.title, "h3"), Words(picture.words), plots]


def _panel(picture: Picture, group: str, runs: Sequence[Dissected], groups: Sequence[Sequence[Dissected]]) -> Panel:
    """One group's, on the upright axes of all."""
    note = f"{plural(len(runs), 'run')}{', selected by an oracle' if any(d.oracle for d in runs) else ''}."
    return Panel(
        lambda figure, _: picture.draw(figure, runs, groups),
        picture.size(runs),
        f"{picture.title} {group}: {'; '.join(map(picture.in_words, runs))}.",
        group,
        note,
        steps=False,
        sample=f"{plural(len(runs), 'run')}, one checkpoint each; {CONTROLS}",
        data=lambda: data_of(picture.data, runs),
    )


def _published(published: Mapping[str, Sequence[PublishedTable]]) -> list[Block]:
    """What came with an imported archive, as it came."""
    if not published:
        return []
    blocks: list[Block] = [
        Words("As published", "h3"),
        Words("Dissections by another program that came with the archive, under their file names. They were not "
            "recomputed and are not included in the tables and figures above."),
    ]  # fmt: skip
    for run, tables in published.items():
        for t in tables:
            some = f", the first {MOST_ROWS} of {len(t.rows):,} rows" if len(t.rows) > MOST_ROWS else ""
            rows = [Row(r[0] if r else "", [Value(v, number=False) for v in r[1:]]) for r in t.rows[:MOST_ROWS]]
            blocks.append(Table(f"{run}, {t.title}{some}", t.head, [Group("", rows)], folded=True))
    return blocks
