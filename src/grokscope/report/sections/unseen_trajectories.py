"""Accuracy on unseen environments during training, all groups in one frame; and weight norm and rank."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from grokscope.figures.keys import Entry, group_key
from grokscope.figures.style import held_dash
from grokscope.report.draw.axis import Scale, StepAxis, curve_axis
from grokscope.report.draw.curves_by_group import FRAME, SIZE, Curve, GroupCurves, draw_group_curves
from grokscope.report.draw.small_multiples import SIZE as MULTIPLE_SIZE
from grokscope.report.draw.small_multiples import Multiple, draw_multiple, shared_limits
from grokscope.report.read.bands import Band, group_band
from grokscope.report.read.judged_run import Reading
from grokscope.report.read.material import Material
from grokscope.report.read.measured_columns import LINES
from grokscope.report.sections.blocks import Block, Panel, Plots, Words, wide
from grokscope.report.sections.curves import small_axes
from grokscope.report.sections.figure_data import Rows, bands_rows, bands_sample
from grokscope.vocabulary.splits import is_reported
from grokscope.vocabulary.text import number

MULTIPLES = 24
"""So many groups have a small panel; the others are in the tables and the data."""
NORM_AND_RANK = {"norm_total": "weight norm, L2", "rank_effective": "effective rank of the pooled features"}


def trajectory_blocks(
    material: Material, groups: Mapping[str, Sequence[Reading]], splits: Sequence[str]
) -> list[Block]:
    """One frame for each unseen environment; of more than a few groups a small panel each."""
    logged = {split: {name: _curves(members, split) for name, members in groups.items()} for split in splits}
    if sum(any(runs[name] for runs in logged.values()) for name in groups) > FRAME:
        return _multiples(material, logged, _drawn(groups, logged, MULTIPLES))
    drawn = _drawn(groups, logged)
    limits = _shared([logged[split][name] for split in splits for name in drawn], material, splits)
    panels = [p for split in splits if (p := _of_split(material, logged[split], drawn, split, limits)) is not None]
    if not panels:
        return []
    what = "Accuracy on unseen environments" + _lines_of(groups)
    key = group_key(list(material.groups()), drawn)
    plots = Plots("trajectories", panels, key, wide(panels), 2, "ood_trajectories", caption=what)
    return [Words("During training", "h3"), Words(what), plots]


def _multiples(
    material: Material, logged: Mapping[str, Mapping[str, dict[str, Curve]]], drawn: Sequence[str]
) -> list[Block]:
    """A panel for each group, with a line for each unseen environment, on shared axes."""
    splits = [split for split, runs in logged.items() if any(runs[name] for name in drawn)]
    bands = {name: _bands({split: logged[split][name] for split in splits}) for name in drawn}
    levels = sorted({r.trivial for split in splits for r in material.readings[split] if r.trivial is not None})
    multiples = {
        name: Multiple(
            {split: list(logged[split][name].values()) for split in splits},
            {split: (band.step, band.median) for split, band in bands[name].items()},
            levels,
        )
        for name in drawn
    }
    limits = shared_limits(list(multiples.values()))
    panels = [_multiple(material, name, multiples[name], bands[name], splits, limits) for name in drawn]
    every = len(next(iter(logged.values())))
    few = f" Of {every:,} groups the first {MULTIPLES} with data are drawn." if every > MULTIPLES else ""
    what = (
        f"Accuracy on unseen environments, a panel for each group on the same axes: thin: single runs; thick: "
        f"median.{few}"
    )
    key = [
        Entry(f"{split}{', only reported' if is_reported(split) else ''}", f"held-{i % 4 + 1}", _dash(i))
        for i, split in enumerate(splits)
    ]
    key += [Entry("trivial predictor", "muted", (0.5, 1.25), 1.5)] if levels else []
    axis: dict[Scale, StepAxis] = {scale: curve_axis(material.lead, scale) for scale in ("log", "linear")}
    axes = small_axes("accuracy", axis)
    plots = Plots("trajectories", panels, key, "small", 4, "ood_trajectories", caption=what, axes=axes)
    return [Words("During training", "h3"), Words(what), plots]


def _dash(i: int) -> tuple[float, ...]:
    dash = held_dash(i)
    return () if dash == "solid" else dash[1]


def _bands(curves: Mapping[str, dict[str, Curve]]) -> dict[str, Band]:
    """Split -> median over the group's runs."""
    return {split: b for split, runs in curves.items() if (b := group_band(list(runs.values()))) is not None}


def _multiple(
    material: Material,
    name: str,
    shown: Multiple,
    bands: Mapping[str, Band],
    splits: Sequence[str],
    limits: tuple[float, float],
) -> Panel:
    def draw(figure: Any, scale: Scale) -> None:
        draw_multiple(figure, shown, splits, curve_axis(material.lead, scale), limits)

    return Panel(
        draw,
        MULTIPLE_SIZE,
        _ends_in_words(f"Accuracy of {name}", bands, "median of each split"),
        name,
        sample=bands_sample(bands),
        data=lambda: bands_rows(bands),
    )


def norm_and_rank_blocks(material: Material, groups: Mapping[str, Sequence[Reading]]) -> list[Block]:
    """The two numbers that the published argument sets beside each other, all groups in one frame each."""
    logged = {column: {name: _columns(members, column) for name, members in groups.items()} for column in NORM_AND_RANK}
    drawn = _drawn(groups, logged)
    panels = [p for c, title in NORM_AND_RANK.items() if (p := _panel(material, title, logged[c], drawn, []))]
    if len(panels) < 2:
        return []
    what = "Weight norm and effective rank over the training" + _lines_of(groups)
    key = group_key(list(material.groups()), drawn)
    plots = Plots("norm_and_rank", panels, key, wide(panels), 2, "norm_and_rank", caption=what)
    return [Words("Weight norm and effective rank", "h3"), Words(what), plots]


def _drawn(groups: Mapping[str, Any], logged: Mapping[str, Mapping[str, Any]], most: int = LINES) -> list[str]:
    """The groups that have lines: the first ones of which some panel has a curve, the same in all panels."""
    return [name for name in groups if any(runs[name] for runs in logged.values())][:most]


def _lines_of(groups: Mapping[str, Any]) -> str:
    """What is thin and what is thick; and that not all groups have lines, where they are too many."""
    few = f" Of {len(groups):,} groups the first {LINES} with data are drawn." if len(groups) > LINES else ""
    return f": thin: single runs; thick: median of each group.{few}"


def _shared(runs: Sequence[Mapping[str, Curve]], material: Material, splits: Sequence[str]) -> tuple[float, float]:
    """One axis of accuracy for all unseen environments."""
    curves = {"": [curve for one in runs for curve in one.values()]}
    trivial = [r.trivial for split in splits for r in material.readings[split] if r.trivial is not None]
    return shared_limits([Multiple(curves, {}, trivial)])


def _of_split(
    material: Material,
    runs: Mapping[str, dict[str, Curve]],
    drawn: Sequence[str],
    split: str,
    limits: tuple[float, float],
) -> Panel | None:
    trivial = next((r.trivial for r in material.readings[split] if r.trivial is not None), None)
    levels = [] if trivial is None else [(trivial, f"trivial {trivial:.2f}")]
    title = f"accuracy on {split}{', only reported' if is_reported(split) else ''}"
    return _panel(material, title, runs, drawn, levels, limits)


def _curves(members: Sequence[Reading], name: str) -> dict[str, Curve]:
    """Run -> its curve."""
    return {r.subject.name: c for r in members if (c := r.curve(name)) is not None}


def _columns(members: Sequence[Reading], column: str) -> dict[str, Curve]:
    logged: dict[str, Curve] = {}
    for r in members:
        values = r.subject.metrics.get(column)
        if values is not None and np.isfinite(values).any():
            known = np.isfinite(values)
            logged[r.subject.name] = (r.subject.metrics["step"][known], values[known])
    return logged


def _panel(
    material: Material,
    title: str,
    runs: Mapping[str, dict[str, Curve]],
    names: Sequence[str],
    levels: list[tuple[float, str]],
    limits: tuple[float, float] | None = None,
) -> Panel | None:
    """None where nothing was logged."""
    drawn = {name: runs[name] for name in names if runs[name]}
    bands = {name: b for name, curves in drawn.items() if (b := group_band(list(curves.values()))) is not None}
    if not bands:
        return None
    shown = GroupCurves(
        title,
        {name: list(curves.values()) for name, curves in drawn.items()},
        {name: (b.step, b.median) for name, b in bands.items()},
        list(material.groups()),
        levels=levels,
        limits=limits,
    )

    def draw(figure: Any, scale: Scale) -> None:
        axis = curve_axis(material.lead, scale)
        draw_group_curves(figure, shown, axis, axis.label)

    return Panel(
        draw,
        SIZE,
        _ends_in_words(title, bands),
        label=title,
        sample=bands_sample(bands),
        data=lambda: _rows(drawn, bands),
    )


def _ends_in_words(title: str, bands: Mapping[str, Band], of: str = "median per group") -> str:
    ends = [f"{name} from {number(float(b.median[0]))} to {number(float(b.median[-1]))}" for name, b in bands.items()]
    return f"{title} against step, {of}: {'; '.join(ends)}."


def _rows(drawn: Mapping[str, dict[str, Curve]], bands: Mapping[str, Band]) -> Rows:
    """The medians, then every run."""
    return bands_rows(bands) + list(chain.from_iterable(_run_rows(name, curves) for name, curves in drawn.items()))


def _run_rows(group: str, curves: Mapping[str, Curve]) -> Rows:
    rows: Rows = []
    for run, (steps, values) in curves.items():
        columns = zip(steps.tolist(), values.tolist(), strict=True)
        rows += [{"curve": group, "run": run, "step": step, "value": value} for step, value in columns]
    return rows
