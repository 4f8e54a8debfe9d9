"""Dissections of all groups: steering by regime, erasure and steering by run, and changes over checkpoints."""

from collections.abc import Mapping, Sequence
from itertools import chain
from math import isfinite

import numpy as np

from grokscope.figures.along import ALONG_KEY, LAYERS_KEY, draw_along
from grokscope.figures.checkpoint_view import hardest
from grokscope.figures.dissection_limits import Limits, steering_limits
from grokscope.figures.dissection_panels import WIDTH, height
from grokscope.figures.keys import Entry, group_key
from grokscope.figures.layer_map import draw_layers, layers_in_words
from grokscope.figures.parts.probes import probe_in_words
from grokscope.figures.parts.steering import steering_data, steering_rows
from grokscope.report.draw.curves_by_group import FRAME, SIZE, Curve, GroupCurves, draw_group_curves
from grokscope.report.draw.effects_by_run import RunEffect, draw_run_effects, run_effects_size
from grokscope.report.read.dissections import Dissected, Dissections
from grokscope.report.read.measured_columns import LINES
from grokscope.report.sections.blocks import Block, Panel, Plots, Words, wide
from grokscope.report.sections.dissection_data import along_data, data_of, layer_data
from grokscope.report.sections.figure_data import runs_of_groups
from grokscope.results.scores import Null
from grokscope.results.steering import Curve as Steered
from grokscope.results.steering import Scaling
from grokscope.vocabulary.text import digits, plural

Groups = Mapping[str, Dissections]
MOST_RUNS = 60
"""Up to this many runs have a row of their own; all are in the table."""
CONTROLS = "intervals: 95 %, over units of the data; gray: 95 % of the random controls"
SCALED: dict[Scaling, str] = {
    "relative": "unit: spread along it", "fixed": "unit: one length for all runs", "norm": "unit: mean feature length"
}  # fmt: skip


def overview_blocks(groups: Groups, order: Sequence[str]) -> list[Block]:
    """Where there are several dissected runs; one is shown by its own figures."""
    every = list(chain.from_iterable(dissections.main for dissections in groups.values()))
    if len(every) < 2:
        return []
    return [*_by_regime(groups, order), *_by_run(groups, order)]


def _by_regime(groups: Groups, order: Sequence[str]) -> list[Block]:
    """One frame for each set of examples and scaling."""
    speaking = {name: [d for d in dissections.main if d.m5 and d.m5.curves] for name, dissections in groups.items()}
    speaking = dict([(name, runs) for name, runs in speaking.items() if runs][:LINES])
    scenes = list(dict.fromkeys(chain.from_iterable(steering_rows(runs) for runs in speaking.values())))
    limits = steering_limits(
        [c for d in runs if (c := d.curve(*row)) is not None]
        for runs in speaking.values()
        for row in steering_rows(runs)
    )
    panels = [_steering(speaking, order, row, limits) for row in scenes]
    if not panels:
        return []
    drawn = "Lines: median of each group" if len(speaking) > FRAME else "Thin: single runs; thick: median of each group"
    said = (
        f"Accuracy when features are moved along the dominant direction between environments. {drawn}; gray: random "
        "directions of the same length, median over all runs."
    )
    key = [*group_key(order, speaking), Entry("random directions", "train", band=True)]
    return [
        Words("Steering by group", "h3"),
        Words(said),
        Plots("steering_by_regime", panels, key, wide(panels), 2, "steering_by_regime", caption=said),
    ]


def _steering(
    groups: Mapping[str, Sequence[Dissected]], order: Sequence[str], row: tuple[str, Scaling], limits: Limits
) -> Panel:
    """All groups on one set of examples in one scaling; of many groups the medians alone."""
    scene, scaling = row
    curves = {name: [c for d in runs if (c := d.curve(scene, scaling)) is not None] for name, runs in groups.items()}
    curves = {name: one for name, one in curves.items() if one}
    title = f"accuracy on {scene}; {SCALED[scaling]}"
    drawn = GroupCurves(
        title,
        {} if len(curves) > FRAME else {name: [_accuracy(c) for c in one] for name, one in curves.items()},
        {name: _median(one) for name, one in curves.items()},
        order,
        _random(list(chain.from_iterable(curves.values()))),
        limits=limits,
    )
    counts = runs_of_groups({name: len(one) for name, one in curves.items()})
    ends = "; ".join(
        f"{name} from {digits(float(y[0]))} to {digits(float(y[-1]))}" for name, (_, y) in drawn.medians.items()
    )
    return Panel(
        lambda figure, _: draw_group_curves(figure, drawn, None, "units along the direction"),
        SIZE,
        f"{title}: {ends}.",
        steps=False,
        label=title,
        sample=f"{counts}, one checkpoint each; gray: 95 % of random directions",
        data=lambda: [
            {"group": name, **row}
            for name, runs in groups.items()
            for row in data_of(steering_data, runs)
            if (row["on"], row["scaling"]) == (scene, scaling)
        ],
    )


def _accuracy(curve: Steered) -> Curve:
    return np.array(curve.steps), np.array(curve.accuracy)


def _median(curves: Sequence[Steered]) -> Curve:
    """Over the runs that were steered by the same strengths as the first."""
    same = [c for c in curves if c.steps == curves[0].steps]
    return np.array(same[0].steps), np.nanmedian([c.accuracy for c in same], axis=0)


def _random(curves: Sequence[Steered]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    same = [c for c in curves if c.steps == curves[0].steps]
    low = np.nanmedian([c.random_accuracy_low for c in same], axis=0)
    return np.array(same[0].steps), low, np.nanmedian([c.random_accuracy_high for c in same], axis=0)


def _by_run(groups: Groups, order: Sequence[str]) -> list[Block]:
    """Two frames with the same rows."""
    every = [(name, d) for name, dissections in groups.items() for d in dissections.main]
    if len(every) > MOST_RUNS:
        return []
    several = len(groups) > 1
    erased, steered = [], []
    for name, d in every:
        who = d.reading.subject.label, name if several else "", order.index(name)
        erased.append(_erased(d, *who))
        steered.append(_steered(d, *who))
    frames = [
        ("environment gap lost by erasing it", "logits", [r for r in erased if r is not None]),
        ("steering: size of the slope", "logits for one step", [r for r in steered if r is not None]),
    ]
    panels = [_run_panel(title, unit, rows) for title, unit, rows in frames if rows]
    if not panels:
        return []
    said = (
        "Effect of erasing the environment's subspace, and change of the logits per step along its direction, for "
        "each run; gray: 95 % range of the strictest control."
    )
    plots = Plots("by_run", panels, (), wide(panels), 2, "effects_by_run", caption=said)
    return [Words("Run by run", "h3"), Words(said), plots]


def _erased(d: Dissected, label: str, head: str, group: int) -> RunEffect | None:
    effect = d.gap_effect
    if effect is None:
        return None
    return RunEffect(label, head, group, effect.value, effect.interval, _range(hardest(effect)))


def _steered(d: Dissected, label: str, head: str, group: int) -> RunEffect | None:
    if d.m5 is None or d.m5.slope_size is None:
        return None
    nulls = [null for _, null in d.m5.slope_controls.items()] if d.m5.slope_controls else []
    hard = max(nulls, key=lambda null: null.p if isfinite(null.p) else 0.0, default=None)
    return RunEffect(label, head, group, d.m5.slope_size, None, _range(hard))


def _range(null: Null | None) -> tuple[float, float] | None:
    return None if null is None else (null.low, null.high)


def _run_panel(title: str, unit: str, rows: Sequence[RunEffect]) -> Panel:
    values = "; ".join(f"{_who(r)}: {digits(r.value)}" for r in rows)
    intervals = "lines: 95 % intervals over units of the data; " if any(r.interval for r in rows) else ""
    return Panel(
        lambda figure, _: draw_run_effects(figure, rows, title, unit),
        run_effects_size(rows),
        f"{title}: {values}.",
        steps=False,
        label=title,
        sample=f"{plural(len(rows), 'run')}, one checkpoint each; {intervals}gray: 95 % of the control",
        data=lambda: [_run_row(r) for r in rows],
    )


def _who(r: RunEffect) -> str:
    return f"{r.head}, {r.label}" if r.head else r.label


def _run_row(r: RunEffect) -> dict:
    low, high = r.interval or (None, None)
    control_low, control_high = r.control or (None, None)
    ends = {"low": low, "high": high, "control_low": control_low, "control_high": control_high}
    return {"run": _who(r), "value": r.value, **ends}


def along_blocks(groups: Groups) -> list[Block]:
    """Over the checkpoints that were dissected: what is read and lost, and what probes read layer by layer."""
    several = {name: dissections.along for name, dissections in groups.items() if dissections.along}
    if not several:
        return []
    said = "The same analyses at each dissected checkpoint; gray: the strictest control."
    cells = (
        "Each cell is the balanced held-out accuracy of a probe at one layer and one checkpoint, median over runs: "
        "empty at chance, full at 1, a line if unknown."
    )
    over = [_along_panel(name, along) for name, along in several.items()]
    maps = [_layer_panel(name, along) for name, along in several.items()]
    return [
        Words("During training", "h3"),
        Words(said),
        Plots("along", over, ALONG_KEY, caption=said),
        Words("Probes by layer and checkpoint", "h3"),
        Words(cells),
        Plots("layers", maps, LAYERS_KEY, caption=f"Probe accuracy by layer and checkpoint. {cells}"),
    ]


def _along_panel(name: str, along: Mapping[str, Sequence[Dissected]]) -> Panel:
    ends = list(chain.from_iterable((runs[0], runs[-1]) for runs in along.values()))
    readings = "; ".join(f"step {d.step}: {probe_in_words(d)}" for d in ends)
    return Panel(
        lambda figure, _: draw_along(figure, along),
        (WIDTH, height(2)),
        f"Dissections over checkpoints, {name}: {readings}.",
        name,
        steps=False,
        sample=f"{_checkpoints(along)}; every run drawn; gray: 95 % of the control",
        data=lambda: along_data(along),
    )


def _layer_panel(name: str, along: Mapping[str, Sequence[Dissected]]) -> Panel:
    return Panel(
        lambda figure, _: draw_layers(figure, along),
        (WIDTH, height(2)),
        f"Probes by layer and checkpoint, {name}: {'; '.join(layers_in_words(along))}.",
        name,
        steps=False,
        sample=f"{_checkpoints(along)}; cells: medians, without an interval",
        data=lambda: layer_data(along),
    )


def _checkpoints(along: Mapping[str, Sequence[Dissected]]) -> str:
    count = sum(map(len, along.values()))
    return f"{plural(len(along), 'run')}, {plural(count, 'dissected checkpoint')}"
