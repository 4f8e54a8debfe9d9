"""Time to generalization: Kaplan-Meier curves, medians with censoring, and tests between groups."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from grokscope.figures.keys import censored_entry, group_key
from grokscope.report.draw.axis import Scale
from grokscope.report.draw.survival import WIDTH, draw_survival, figure_height, survival_axis
from grokscope.report.read.bands import SMALL
from grokscope.report.read.judged_run import unit_of
from grokscope.report.read.material import Material
from grokscope.report.read.survival import (
    COMPARED,
    Arm,
    arm_rows,
    arms,
    drawn_arms,
    one_answer,
    pair_rows,
    pairs,
    spoken_survival,
    survival_rows,
    worth_drawing,
)
from grokscope.report.sections.blocks import (
    Block,
    Group,
    Head,
    Panel,
    Plots,
    Row,
    Section,
    Symbol,
    Table,
    Value,
    Words,
)
from grokscope.vocabulary.text import listed, plural

PLACE = 40.0
CAPTION = (
    "Share of each group's runs that had generalized by a step, and after how long a delay from the fit: Kaplan-Meier "
    "estimates, Turnbull's where the runs of a group were evaluated on different grids. Curves are shifted slightly, "
    "by at most 4 % of the axis, so that equal ones remain visible."
)


def section(material: Material) -> Section:
    groups = material.groups()
    times, delays = arms(groups, "T_gen"), arms(groups, "delay")
    tests = pairs(times)
    blocks: list[Block] = [
        Words(
            f"Kaplan-Meier estimates on {material.judged_on} (Turnbull's where the runs of a group were evaluated on "
            f"different grids): the share of each group's runs that had generalized by a step, and after how long a "
            f"delay. A run that did not is censored at its last evaluation. Bands: 95 %, log-log, pointwise, "
            f"undefined where no run or every run has generalized. Curves are shifted slightly, by at most 4 % of the "
            f"axis, so that equal ones remain visible.{_left_out(times)}"
        ),
        *_plots(material, times, delays),
        *_table(arm_rows(times, delays), unit_of(material.lead)),
        *_comparisons(pair_rows(tests)),
    ]
    if note := _note(times, tests):
        blocks.append(Words(note))
    return Section("times", "Times", "Time to generalization", blocks)


def _plots(material: Material, times: Sequence[Arm], delays: Sequence[Arm]) -> list[Block]:
    """T_gen and delay, each where at least one run of two or more reached it."""
    drawn = [(what, arms) for what, arms in (("T_gen", times), ("delay", delays)) if worth_drawing(arms)]
    if not drawn:
        return []
    chosen = drawn_arms(times)
    names = [f"{a.group} (n = {len(a.times):,})" for a in times]
    key = [*group_key(names, {names[i] for i in chosen}), censored_entry()]
    panels = [_panel(what, arms, chosen, unit_of(material.lead)) for what, arms in drawn]
    return [Plots("s", panels, key, "wide", 2, "survival", caption=CAPTION + _left_out(times))]


def _left_out(times: Sequence[Arm]) -> str:
    """That not all groups are drawn, and which are."""
    chosen = drawn_arms(times)
    if len(chosen) == len(times):
        return ""
    which = f"{len(chosen)} are drawn, those with the most generalized runs"
    return f" Of {len(times):,} groups {which}; the table lists all."


def _panel(what: str, arms: Sequence[Arm], chosen: Sequence[int], unit: str) -> Panel:
    shown = {i: arms[i] for i in chosen}

    def draw(figure: Any, scale: Scale) -> None:
        draw_survival(figure, shown, survival_axis(scale, arms, unit), what)

    name = "Step of generalization" if what == "T_gen" else "Delay from fitting to generalizing"
    size, drawn = (WIDTH, figure_height(len(shown))), list(shown.values())
    return Panel(
        draw,
        size,
        spoken_survival(arms, what),
        name,
        _not_at_risk(what, arms),
        sample=_sample(drawn),
        data=lambda: survival_rows(drawn),
    )


def _sample(drawn: Sequence[Arm]) -> str:
    each = [f"{plural(len(a.times), 'run')} of {a.group} ({a.times.events:,} reached it)" for a in drawn]
    return f"{listed(each)}; bands: 95 %, log-log, pointwise"


def _not_at_risk(what: str, arms: Sequence[Arm]) -> str:
    missing = [f"{plural(a.left_out, 'run')} of {a.group}" for a in arms if a.left_out]
    if not missing:
        return ""
    why = "without evaluations, or never fitted so that no delay began" if what == "delay" else "without evaluations"
    return f"Not at risk ({why}): {listed(missing)}."


def _table(rows: Sequence[Mapping[str, Any]], unit: str) -> list[Block]:
    """Group by group; what all intervals say, and a note that several groups share, stand once beneath."""
    heads = [
        Head("Group", number=False), Head("Runs"), Head("Reached"),
        Head(["Median ", Symbol("T", "gen"), f" ({unit}s)"]), Head(f"Median delay ({unit}s)"),
    ]  # fmt: skip
    intervals = {row[what][1] for row in rows for what in ("gen", "delay") if row[what][1]}
    shared = intervals.pop() if len(intervals) == 1 and len(rows) > 1 else ""
    notes = [note for note in dict.fromkeys(row["notes"] for row in rows) if note]
    numbered = len(notes) < sum(bool(row["notes"]) for row in rows)
    if notes:
        heads.append(Head("Note", number=False))
    body = [_time_row(row, bool(shared), notes, numbered) for row in rows]
    under = [f"The interval of each median, {shared}."] if shared else []
    under += [f"({i}) {note}." for i, note in enumerate(notes, 1)] if numbered else []
    return [Table("Times by group", heads, [Group("", body)]), *map(Words, under)]


def _time_row(row: Mapping[str, Any], shared: bool, notes: Sequence[str], numbered: bool) -> Row:
    cells = [Value(f"{row['n']:,}", sort=row["n"]), Value(f"{row['events']:,}", sort=row["events"])]
    cells += [Value(row[what][0], "" if shared else row[what][1]) for what in ("gen", "delay")]
    if notes:
        note = f"({notes.index(row['notes']) + 1})" if numbered and row["notes"] else row["notes"]
        cells.append(Value(note, number=False))
    return Row(row["group"], cells)


def _comparisons(rows: Sequence[Mapping[str, Any]]) -> list[Block]:
    if not rows:
        return []
    title = Words("Differences between groups", "h3")
    if answer := one_answer(rows):
        return [title, Words(answer, "plain")]
    heads = [Head("Groups", number=False), *map(Head, ("Runs", "Reached", "p", "p, Holm", "smallest possible p"))]
    cautions = list(dict.fromkeys(chain.from_iterable(row["cautions"] for row in rows if not row["reason"])))
    if cautions:
        heads.append(Head("Caution", number=False))
    table = Table("Log-rank tests", heads, [Group("", [_comparison(row, cautions) for row in rows])])
    return [title, table, *(Words(f"({i}) {caution}.") for i, caution in enumerate(cautions, 1))]


def _comparison(row: Mapping[str, Any], cautions: Sequence[str]) -> Row:
    """Cautions by their numbers: most pairs of a study share theirs."""
    cells = [Value("{:,} v {:,}".format(*row[what])) for what in ("n", "events")]
    if row["reason"]:
        cells.append(Value(row["reason"], number=False, span=4 if cautions else 3))
        return Row(f"{row['a']} against {row['b']}", cells)
    cells += [Value(row["p"]), Value(row["holm"]), Value(row["smallest"])]
    if cautions:
        numbers = ", ".join(f"({cautions.index(caution) + 1})" for caution in row["cautions"])
        cells.append(Value(numbers, number=False, narrow=True))
    return Row(f"{row['a']} against {row['b']}", cells)


def _note(times: Sequence[Arm], tests: Sequence[Any]) -> str:
    sizes = [n for a in times if (n := len(a.times))]
    parts = []
    if not any(a.times.events for a in times):
        parts.append("No run has generalized: all curves would be at 0 % until the runs ended.")
    tested = any(test.p is not None for _, _, test, _ in tests)
    if tested:
        parts.append(
            "p: log-rank on the step of generalization, two-sided, from permuting the groups' labels; Holm over all "
            "pairs of this table. Groups of different evaluation grids are compared on the evaluations that all "
            "of their runs had; the smallest possible p is that of these runs, with their ties and censoring."
        )
    if tested and min(sizes) < SMALL:
        parts.append(
            f"The smallest group has {plural(min(sizes), 'run')}, fewer than {SMALL}: compare the p-values with the "
            f"smallest possible ones, and call no difference established."
        )
    if len(sizes) > COMPARED:
        parts.append(
            f"Not tested against each other: among the pairs of more than {COMPARED} groups, differences occur by "
            f"chance."
        )
    return " ".join(parts)
