"""The section on dissected checkpoints: where the shortcut is stored, each claim beside its control."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.report.draw.dissection import (
    ENVIRONMENT,
    RANDOM,
    TASK,
    WIDTH,
    draw_along,
    draw_erasure,
    draw_neurons,
    draw_probes,
    draw_steering,
    gap_effect,
    height,
    steering_rows,
    worst_control,
)
from grokscope.report.draw.keys import Entry
from grokscope.report.draw.layer_map import draw_layers, told_layers
from grokscope.report.read.dissections import (
    ALL_CELLS,
    CELLS,
    POOLED,
    Dissected,
    Found,
    calibration_of,
    dig,
    find_dissections,
)
from grokscope.report.read.material import Material
from grokscope.report.read.published import MOST_ROWS, PublishedTable
from grokscope.report.read.words import number
from grokscope.report.sections.blocks import Block, Group, Panel, Plots, Row, Section, Table, Value, Words
from grokscope.results.dissection import RULES
from grokscope.vocabulary.text import NONE, listed, plural

PLACE = 65.0
KEY = (Entry("environment", ENVIRONMENT), Entry("task", TASK), Entry("random controls, 95 %", RANDOM, band=True))
FLAGS = {
    "decodable": "M1 readable",
    "m4_leace": "M4 (leace) used",
    "m5": "M5",
    "m6": "M6",
    "used_cell": "readable and used",
}
UNUSED = ("none", "unused", "correlated, none", "correlated, unused", "few groups, none", "wide, none")
"""Planted conditions in which nothing is used, in calibrations that do not say so themselves."""

Parts = Callable[[Sequence[Dissected]], int]
"""How many axes a battery's panel stacks."""


def section(material: Material) -> Section | None:
    """None where no run has records of a dissection."""
    groups = {name: find_dissections(members) for name, members in material.groups().items()}
    foreign = [f for found in groups.values() for f in found.foreign]
    shown = {name: found for name, found in groups.items() if found.main}
    published = {run: tables for found in groups.values() for run, tables in found.published.items()}
    if not shown and not foreign and not published:
        return None
    blocks = [*_intro(shown, foreign), *(_batteries(shown) if shown else [])]
    if shown:
        blocks += [*_summary(material, shown), *_cells(shown), *_calibration(material)]
    blocks += _published(published)
    return Section("dissection", "Dissection", "Where the shortcut is stored", blocks)


def _intro(shown: Mapping[str, Found], foreign: Sequence[str]) -> list[Block]:
    every = [d for found in shown.values() for d in found.main]
    rules = sorted({d.selection for d in every})
    blocks: list[Block] = []
    if every:
        chosen = f"{plural(len(every), 'run')} dissected, one checkpoint each, chosen by: {listed(rules)}."
        fit = (
            " Everything is fitted on one part of the data and measured on another, split by patient where there "
            "are any."
        )
        grey = " In figures of several runs the grey range is the median of theirs."
        blocks.append(Words(chosen + fit + grey))
    if any(d.oracle for d in every):
        blocks.append(Words("oracle: a checkpoint was chosen on data that is only to be reported. Its numbers are "
                            "not held out.", "warning"))  # fmt: skip
    silent = [reason for d in every if (reason := d.at_chance)]
    blocks += [
        Words(f"Cannot tell, in {plural(silent.count(r), 'run')}: {r}.", "warning") for r in dict.fromkeys(silent)
    ]
    warned = [
        w for d in every for w in d.whole.get("warnings") or [] if not str(w).startswith("the checkpoint was chosen")
    ]
    blocks += [Words(f"In {plural(warned.count(w), 'run')}: {w}.") for w in dict.fromkeys(warned)]
    if commands := [c for found in shown.values() for c in found.outdated]:
        some = "; ".join(commands[:3]) + ("; …" if len(commands) > 3 else "")
        blocks.append(
            Words(
                f"Outdated: {plural(len(commands), 'dissection')} here by older rules, which this version measures and "
                f"judges otherwise. To redo: {some}"
            )
        )
    if foreign:
        named = f"{listed(list(foreign[:3]))}{' …' if len(foreign) > 3 else ''}"
        blocks.append(Words(f"In another format, and not shown: {plural(len(foreign), 'file')} ({named})."))
    return blocks


def _batteries(shown: Mapping[str, Found]) -> list[Block]:
    """One block of figures per battery, one panel per group."""
    rows: tuple[tuple[str, str, str, Any, Parts, Callable[[Dissected], str]], ...] = (
        ("m1", "M1. What can be read", "Linear probes for environment and task at each site, on held-out examples; "
         "crosses are the same probes fitted to random labels (the gap to them is the selectivity). Readable is not "
         "used.",
         draw_probes, lambda _: 1, _told_probe),
        ("m4", "M4. Erasing a subspace", "Open: before; filled: after, by a probe refitted on edited features (an "
         "old probe at chance proves nothing). Below, what the edit takes, beside random edits of equal dimension "
         "(d), removed variance (v), removed norm (n), or fitted to random labels (l).",
         draw_erasure, lambda _: 3, _told_erasure),
        ("m5", "M5. Steering", "Accuracy while features are pushed along the dominant direction between "
         "environments; grey: random directions of the same length. A monotone curve is common for random "
         "directions too: see the table.",
         draw_steering, lambda found: len(steering_rows(found)), _told_steering),
        ("m6", "M6. Ablating neurons", "The K neurons that separate the environments most, against the K of the "
         "task and random K.", draw_neurons, lambda _: 2, _told_neurons),
    )  # fmt: skip
    blocks: list[Block] = []
    for name, title, words, draw, parts, told in rows:
        panels = []
        for group, found in shown.items():
            own = [d for d in found.main if name in d.parts]
            silent = [w for d in own if (w := dig(d.parts, name, "cannot_tell")) and w != d.at_chance]
            own = [d for d in own if not dig(d.parts, name, "cannot_tell")]
            if own and parts(own):
                panels.append(_panel(group, own, draw, parts(own), f"{title} {group}: {'; '.join(map(told, own))}."))
            if silent:
                blocks.append(Words(f"{title} {group}: cannot tell: {'; '.join(dict.fromkeys(silent))}."))
        if panels:
            blocks += [Words(title, "h3"), Words(words), Plots(name, panels, KEY)]
    return blocks + _along(shown)


def _panel(group: str, own: Sequence[Dissected], draw: Any, parts: int, alt: str) -> Panel:
    note = f"{plural(len(own), 'run')}{', selected by an oracle' if any(d.oracle for d in own) else ''}."
    size = (WIDTH, height(parts))
    return Panel(lambda figure, _: draw(figure, own), size, alt, group, note, steps=False)


def _along(shown: Mapping[str, Found]) -> list[Block]:
    panels = []
    for group, found in shown.items():
        if found.along:
            ends = [d for runs in found.along.values() for d in (runs[0], runs[-1])]
            told = "; ".join(f"step {d.step}: {_told_probe(d)}" for d in ends)
            panels += [
                Panel(lambda f, _, a=found.along: draw_along(f, a), (WIDTH, height(2)),
                      f"Dissections over checkpoints, {group}: {told}.", group, steps=False),
                Panel(lambda f, _, a=found.along: draw_layers(f, a), (WIDTH, height(2)),
                      f"Probes by layer and checkpoint, {group}: {'; '.join(told_layers(found.along))}.",
                      f"{group}, layer by checkpoint", steps=False),
            ]  # fmt: skip
    if not panels:
        return []
    return [Words("Along the training", "h3"),
            Words("The same analyses at each checkpoint that was dissected; grey: the control that is hardest to "
                  "beat. In the maps each cell is the balanced held-out accuracy of a probe at one layer and one "
                  "checkpoint, the median of the runs: empty at chance, full at 1, a line where it is not known."),
            Plots("along", panels, KEY)]  # fmt: skip


def _told_probe(d: Dissected) -> str:
    p = dig(d.probe(POOLED, "environment"), "test")
    return f"environment read at the pooled layer with {_n(dig(p, 'balanced'))}, chance {_n(dig(p, 'chance'))}"


def _told_erasure(d: Dissected) -> str:
    e = d.erasures.get(d.eraser or "")
    return (
        f"{d.eraser}: probe {_n(dig(e, 'before', 'balanced'))} before, {_n(dig(e, 'refitted', 'balanced'))} refitted; "
        f"gap lost {_n(dig(gap_effect(d), 'value'))}, p {_n(dig(worst_control(gap_effect(d)), 'p'))}"
    )


def _told_steering(d: Dissected) -> str:
    curve = d.curve(d.outside, "relative") or d.curve("test", "relative")
    return f"on {dig(curve, 'on')} {_monotone(curve)}"


def _told_neurons(d: Dissected) -> str:
    value, null = _neurons(d)
    return f"environment gap lost beyond random neurons {_n(value)}, p {_n(dig(null, 'p'))}"


def _n(value: Any) -> str:
    return NONE if value is None else number(float(value))


def _monotone(curve: Mapping[str, Any] | None) -> str:
    if curve is None:
        return NONE
    share = curve.get("monotone_random")
    null = "" if share is None else f" ({share:.0%} of random ones are)"
    return f"{'monotone' if curve.get('monotone') else 'not monotone'}{null}"


def _neurons(d: Dissected) -> tuple[float | None, Mapping[str, Any] | None]:
    """(environment gap lost beyond random neurons, the null it stands against)."""
    a = d.ablation("test")
    key = "env_gap_drop / random"
    return dig(dig(a, "summary_values", "environment"), key), dig(dig(a, "summary", "environment"), key)


def _summary(material: Material, shown: Mapping[str, Found]) -> list[Block]:
    head = ("Run", "M1: environment read", "M4: read after erasing", "Environment gap lost", "Right answers lost, "
                                                                                             "unseen",
            "M5: slope", "M5: curve", "M5: split-half reliability", "M6: gap lost beyond random",
            "In short")  # fmt: skip
    rows = []
    for group, found in shown.items():
        own = [Row(d.reading.subject.label, _row(d), material.anchors[d.reading.subject.name]) for d in found.main]
        rows.append(Group(group, [*own, _medians(found.main)] if len(own) > 1 else own))
    return [
        Words("Effects, intervals, controls", "h3"),
        Words("Beneath each number what it must be read against: chance or the 95 % range of its controls, and the "
              "empirical p, (1 + #) / (1 + draws). For erasures the control with the largest p is shown."),
        Table("Effects with their controls", head, rows),
    ]  # fmt: skip


def _row(d: Dissected) -> list[Value]:
    probe = dig(d.probe(POOLED, "environment"), "test")
    erasure = d.erasures.get(d.eraser or "")
    after, m5 = dig(erasure, "refitted"), d.parts.get("m5") or {}
    damage = dig(erasure, "effects", d.outside, "accuracy_drop")
    slopes = m5.get("slope_controls") or {}
    slope = max(slopes.values(), key=lambda c: c.get("p") or 0.0, default=None)
    halves = m5.get("reliability")
    value, null = _neurons(d)
    curve = d.curve(d.outside, "relative") or d.curve("test", "relative")
    form = dig(d.whole, "where", "form")
    return [
        Value(
            _n(dig(probe, "balanced")),
            f"{_between(dig(probe, 'interval'))}; chance {_n(dig(probe, 'chance'))}, p {_n(dig(probe, 'p'))}",
        ),
        Value(
            _n(dig(after, "balanced")),
            f"{d.eraser or 'no eraser'}: {dig(erasure, 'verdict') or NONE}; chance {_n(dig(after, 'chance'))}",
        ),
        _effect(gap_effect(d), worst_control(gap_effect(d))),
        _effect(damage, worst_control(damage)),
        Value(_n(m5.get("slope_size")), _against(slope)),
        Value(_monotone(curve), f"on {dig(curve, 'on') or NONE}", number=False),
        Value(_n(dig(halves, "mean")), f"cosine with truth {_n(dig(halves, 'cosine_with_truth'))}"),
        Value(_n(value), _against(null)),
        Value(d.cell, "" if form in (None, "cannot tell") else str(form), number=False),
    ]


def _read_with(score: Mapping[str, Any] | None, more: str) -> Value:
    return Value(
        _n(dig(score, "balanced")), f"{_between(dig(score, 'interval'))}; chance {_n(dig(score, 'chance'))}; {more}"
    )


def _effect(effect: Mapping[str, Any] | None, control: Mapping[str, Any] | None) -> Value:
    return Value(
        _n(dig(effect, "value")), f"{_between(dig(effect, 'interval'))}; {_against(control)}" if effect else ""
    )


def _between(interval: Any) -> str:
    return f"[{_n(interval[0])}, {_n(interval[1])}]" if interval else "no interval"


def _against(null: Mapping[str, Any] | None) -> str:
    if null is None:
        return "no control"
    return f"{null.get('control')} {_n(null.get('low'))} to {_n(null.get('high'))}, p {_n(null.get('p'))}"


def _medians(found: Sequence[Dissected]) -> Row:
    def over(values: Sequence[Any]) -> Value:
        known = [float(v) for v in values if v is not None]
        return Value(_n(float(np.median(known))), f"{_n(min(known))} to {_n(max(known))}") if known else Value(NONE)

    erased = [d.erasures.get(d.eraser or "") for d in found]
    every = [d.curve(d.outside, "relative") or d.curve("test", "relative") for d in found]
    curves = [c for c in every if c is not None]
    shares = [float(s) for c in curves if (s := dig(c, "monotone_random")) is not None]
    null = f"random directions: {np.mean(shares):.0%}" if shares else ""
    monotone = Value(f"monotone in {sum(bool(c.get('monotone')) for c in curves)} of {len(curves)}", null, number=False)
    return Row(
        "median and range",
        [
            over([dig(d.probe(POOLED, "environment"), "test", "balanced") for d in found]),
            over([dig(e, "refitted", "balanced") for e in erased]),
            over([dig(gap_effect(d), "value") for d in found]),
            over([dig(e, "effects", d.outside, "accuracy_drop", "value") for e, d in zip(erased, found, strict=True)]),
            over([dig(d.parts, "m5", "slope_size") for d in found]),
            monotone,
            over([dig(d.parts, "m5", "reliability", "mean") for d in found]),
            over([_neurons(d)[0] for d in found]),
            Value(plural(len(found), "run"), number=False),
        ],
    )


def _cells(shown: Mapping[str, Found]) -> list[Block]:
    seen = [d.cell for found in shown.values() for d in found.main]
    places = {name: i for i, name in enumerate(ALL_CELLS)}
    names = sorted(dict.fromkeys([*CELLS, *seen]), key=lambda name: places.get(name, len(places)))
    rows = [
        Row(group, [Value(f"{[d.cell for d in found.main].count(n)} of {len(found.main)}") for n in names])
        for group, found in shown.items()
    ]
    reasons = dict.fromkeys(str(r) for f in shown.values() for d in f.main if d.cell == "cannot tell"
                            and (r := dig(d.whole, "where", "reason")))  # fmt: skip
    size = next((v for f in shown.values() for d in f.main if (v := dig(d.whole, "settings", "negligible"))), None)
    small = [] if size is None or not any("negligibly" in name for name in names) else [
        Words(f"Used, negligibly: the effect is real, and less than {size:.0%} of what the right answer does.")
    ]  # fmt: skip
    return [
        Words("Readable or not, used or not", "h3"),
        *small,
        Table("Cells", ["Group", *names], [Group("", rows)], compact=True),
        *(Words(f"Cannot tell: {reason}.") for reason in list(reasons)[:3]),
    ]


def _calibration(material: Material) -> list[Block]:
    found = calibration_of(material.lead)
    conditions = dig(found, "conditions") or {}
    rows = [Row(_planted(name, c), [_rate(dig(c, "rates", flag)) for flag in FLAGS]) for name, c in conditions.items()]
    if not rows:
        return []
    idle = listed([f"“{name}”" for name, c in conditions.items() if c.get("nothing_used", name in UNUSED)])
    old = listed([f"“{name}”" for name, c in conditions.items() if (c.get("rules") or 0) < RULES])
    outdated = [Words(f"Measured under older rules, and not yet again under these: {old}.")] if old else []
    return [
        Words("What the battery does on planted shortcuts", "h3"),
        *outdated,
        Words(f"Share of planted data sets (their number beside the name) in which each answer was yes, with a 95 % "
              f"interval. Where nothing is used ({idle}) every yes of M4, M5, M6 and of “readable and used” is false; "
              "elsewhere it is a hit."),
        Table("Calibration on planted shortcuts", ["Planted", *FLAGS.values()], [Group("", rows)]),
    ]  # fmt: skip


def _planted(name: str, condition: Any) -> str:
    seeds = dig(condition, "seeds")
    return f"{name} ({seeds})" if isinstance(seeds, int) else name


def _published(published: Mapping[str, Sequence[PublishedTable]]) -> list[Block]:
    """What came with an imported archive, as it came."""
    if not published:
        return []
    blocks: list[Block] = [
        Words("As published", "h3"),
        Words("Dissections that another program made and the archive brought along, under its files' names. "
              "Nothing here was computed again, and none of it counts in the tables and figures above."),
    ]  # fmt: skip
    for run, tables in published.items():
        for t in tables:
            some = f", the first {MOST_ROWS} of {len(t.rows)} rows" if len(t.rows) > MOST_ROWS else ""
            rows = [Row(r[0] if r else "", [Value(v, number=False) for v in r[1:]]) for r in t.rows[:MOST_ROWS]]
            blocks.append(Table(f"{run}, {t.title}{some}", t.head, [Group("", rows)], folded=True))
    return blocks


def _rate(rate: Any) -> Value:
    if not isinstance(rate, list) or len(rate) < 3 or rate[0] is None:
        return Value(NONE)
    unknown = f"; {rate[3]} cannot tell" if len(rate) > 3 and rate[3] else ""
    return Value(f"{rate[0]:.0%}", f"{rate[1]:.0%} to {rate[2]:.0%}{unknown}", shade=float(rate[0]))
