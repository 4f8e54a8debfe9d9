"""Details of the runs: differences between groups, settings, origin and data of each run, and the criteria."""

from collections.abc import Mapping, Sequence
from itertools import chain

from grokscope.report.read.copies import copies_note
from grokscope.report.read.judged_run import Reading
from grokscope.report.read.material import MANY_RUNS, Material
from grokscope.report.read.run_details import Detail, Download, command, details, group_differences, shared_settings
from grokscope.report.read.tables import error_of
from grokscope.report.sections.blocks import (
    Block,
    Bullets,
    Chip,
    Code,
    Fold,
    Group,
    Head,
    Link,
    Muted,
    Pairs,
    Row,
    Section,
    Strong,
    Table,
    Text,
    Value,
    Words,
)
from grokscope.report.sections.run_story import story_blocks
from grokscope.vocabulary.text import plural

PLACE = 90.0


def section(material: Material) -> Section:
    groups = material.groups()
    blocks: list[Block] = [Words(_intro(groups))]
    notes = (copies_note(material.copies), _unchecked(material.unchecked))
    blocks += [Words(note) for note in notes if note]
    blocks += _differences(groups)
    if material.subjects:
        blocks.append(Words("Run by run", "h3"))
    blocks += _left_out(material)
    if material.many:
        blocks += _by_group(material, groups)
    else:
        blocks += [_fold(detail) for detail in details(groups, material.anchors)]
    criteria = [(k, "none" if v is None else f"{v:g}") for k, v in material.criteria.to_dict().items()]
    summary = f"The {len(criteria):,} thresholds behind every verdict on this page"
    blocks += [Words("Criteria", "h3"), Fold(summary, [Pairs(criteria, "settings")], small=True)]
    return Section("runs", "Runs", "Runs", blocks)


def _intro(groups: Mapping[str, Sequence[Reading]]) -> str:
    every = list(chain.from_iterable(groups.values()))
    again = any(r.subject.config and command(r) for r in every)
    more = ", and the command that reproduces a run" if again else ""
    if len(every) > MANY_RUNS:
        return f"Settings, origin and rows{more}. A report on fewer runs also includes their phases and diagnoses."
    return f"Phases, events, diagnosis, dissection, settings, origin and rows of each run{more}."


def _left_out(material: Material) -> list[Block]:
    """Where to find the runs that are not listed; of those without a final verdict each is named."""
    if material.all_listed:
        return []
    listed, every = len(material.listed), len(material.subjects)
    where = (
        f"{listed:,} of {every:,} runs are listed, the first of each group and outcome; all numbers, figures and "
        "counts on this page are of all runs. The verdicts, milestones and levels of each are in the file named "
        "beneath the table of verdicts; "
    )
    how = " and "
    lists = " list and filter them; a report on fewer folders, such as those of one arm, lists each of them."
    words = Words([where, Code("grokscope ls FOLDER"), how, Code("grokscope sql QUERY --root FOLDER"), lists])
    unfinished = [r for r in material.lead if not r.final_verdict]
    if not unfinished:
        return [words]
    lines = [f"{r.subject.group}: {r.subject.name}, {r.open_state}{_because(r)}" for r in unfinished]
    return [words, Fold(f"{plural(len(lines), 'run')} without a final verdict, by name", [Bullets(lines)])]


def _because(reading: Reading) -> str:
    reason = reading.problem or error_of(reading)
    return f": {reason}" if reason else ""


def _unchecked(names: Sequence[str]) -> str:
    """Which runs were pooled on trust; empty where there are none."""
    if not names:
        return ""
    return (
        f"{plural(len(names), 'run')} pooled without verification of their data, because older versions and other "
        f"programs recorded no digest, and other runs here have the same task and seed: {', '.join(names)}."
    )


def _differences(groups: Mapping[str, Sequence[Reading]]) -> list[Block]:
    keys, values = group_differences(groups)
    if not keys or len(values) < 2:
        return []
    if len(keys) > len(values):  # the longer side goes down: a page is higher than it is wide
        heads, rows = (
            ["Setting", *(Head(group, number=False) for group in values)],
            [Row(Code(k), [Value(settings[k], number=False) for settings in values.values()]) for k in keys],
        )
    else:
        heads, rows = (
            ["Group", *(Head(Code(key), number=False) for key in keys)],
            [Row(group, [Value(settings[k], number=False) for k in keys]) for group, settings in values.items()],
        )
    table = Table("Differences between groups", heads, [Group("", rows)])
    return [Words("Settings that differ between groups", "h3"), table]


def _by_group(material: Material, groups: Mapping[str, list[Reading]]) -> list[Block]:
    """A fold for each group, which holds what its runs share once, and a fold for each run inside it."""
    detailed = details(groups, material.anchors, brief=True, listed=material.listed)
    every = {d.reading.subject.name: d for d in detailed}
    blocks: list[Block] = []
    for name, members in groups.items():
        inside: list[Block] = [_fold(every[r.subject.name]) for r in members if r.subject.name in every]
        if settings := shared_settings(members):
            shared = f"The {len(settings):,} settings that these runs share (bold: given by the user)"
            inside.insert(0, Fold(shared, [Pairs(_settings(settings), "settings")], small=True))
        some = "" if material.all_listed else f", {sum(r.subject.name in every for r in members):,} of them listed"
        blocks.append(Fold(f"{name}: {plural(len(members), 'run')}{some}", inside))
    return blocks


def _fold(d: Detail) -> Fold:
    subject = d.reading.subject
    summary: list = [Chip(d.reading.outcome, "so far" if d.reading.provisional else "")]
    if subject.group != subject.name:
        summary.append(f"{subject.group}, {subject.label}" if subject.seed is not None else subject.group)
    return Fold([*summary, Muted(subject.name)], _inside(d), f"{d.anchor}-details")


def _inside(d: Detail) -> list[Block]:
    blocks: list[Block] = [Words(d.why, "plain")] if d.why else []
    if not d.brief:
        blocks += story_blocks(d.reading)
    if d.config:
        blocks.append(Words(_config(d.config, d.command), "small"))
    if d.download:
        blocks.append(Words(["Rows: ", *_link(d.download)], "small"))
    if d.differing:
        blocks.append(Pairs([(key, [f"{value} ", Muted("differs within the group")]) for key, value in d.differing]))
    if d.origin:
        blocks.append(Pairs(d.origin))
    if d.settings:
        summary = f"All {len(d.settings):,} settings (bold: given by the user)"
        blocks.append(Fold(summary, [Pairs(_settings(d.settings), "settings")], small=True))
    return blocks


def _config(config: Download, how: str | None) -> Text:
    if how is None:
        return ["Imported settings: ", *_link(config)]
    return ["To reproduce: save ", *_link(config), ", then ", Code(how)]


def _link(download: Download) -> list:
    if download.href is None:
        return [download.words]
    size = f" ({download.words})" if download.words else ""
    return [Link(download.name, download.href, download.name), size]


def _settings(settings: Sequence[tuple[str, str, bool]]) -> list[tuple[Text, Text]]:
    """The second of each pair in bold where the user gave it: the template makes the whole row bold."""
    return [(Strong(key), Strong(value)) if given else (key, value) for key, value, given in settings]
