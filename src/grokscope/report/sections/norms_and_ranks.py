"""Figures of a shortcut study: norms of weights and gradients by parameter group, ranks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from grokscope.figures.keys import Entry, group_key
from grokscope.report.draw.axis import Scale, curve_axis, step_axis
from grokscope.report.draw.measured_columns import LEFT, RIGHT, SIZE, draw_column
from grokscope.report.draw.stacked_axes import WIDTH, Line, Part, alike, draw_stack, stack_height
from grokscope.report.read.bands import Band, column_band
from grokscope.report.read.judged_run import Reading, unit_of
from grokscope.report.read.material import Material
from grokscope.report.read.measured_columns import LINES, left_out
from grokscope.report.sections.blocks import Block, Group, Hover, Panel, Plots, Row, Table, Value, Words, wide
from grokscope.report.sections.figure_data import bands_rows, bands_sample, parts_rows, parts_sample
from grokscope.vocabulary.columns import describe
from grokscope.vocabulary.text import NONE, digits, factor, short

Groups = Mapping[str, Sequence[Reading]]
NORMS = {
    "norm_total": ("all", "ink", ()), "norm_scale_invariant": ("scale-inv.", "held-1", (5, 2)),
    "norm_weights": ("weights", "held-2", (1.2, 1.6)), "norm_head": ("head", "held-3", (6, 2, 1.2, 2)),
    "norm_normalization": ("norm. layers", "held-4", (2.5, 1.5)),
}  # fmt: skip
RANKS = {
    "rank_effective": "exp of the entropy of the singular values (Roy & Vetterli 2007)",
    "rank_participation": "participation ratio of the variances: the number of directions that carry them",
    "rank_stable": "squared Frobenius norm over squared spectral norm",
}
RANK_ROWS = 512
"""Training rows that a run takes its spectra from, at most."""
UNEQUAL = (
    "The spectra of these groups do not all use the same number n of rows (as far as it is known), and ranks grow "
    "with n: a spectrum of n rows has at most n\xa0−\xa01 directions, and noise fills them. Compare ranks only at "
    "equal n."
)


def norm_blocks(material: Material, groups: Groups) -> list[Block]:
    """Norms by parameter group, one panel per group of runs: of the weights, and of the gradients where they were
    recorded by group; and how the weights grew once the training data was fitted."""
    panels, rows = [], []
    logged = {c: look for c, look in NORMS.items() if any(has(m, c) for m in groups.values())}
    graded = gradient_columns(groups)
    stacks: dict[str, list[Part]] = {}
    for name, members in groups.items():
        parts = [_norms("weight norm, L2", members, {c: c for c in logged}, 150)]
        parts += [_norms("gradient norm, L2", members, {c: f"grad_{c}" for c in logged if f"grad_{c}" in graded}, 110)]
        if drawn := [p for p in parts if p.lines]:
            stacks[name] = drawn
    for name, parts in alike(stacks).items():
        members = groups[name]
        described = "; ".join(f"{p.title} by parameter group: {ends(p.lines)}" for p in parts)
        panels.append(stack_panel(parts, material, members, name, f"{name}: {described}"))
        rows.append(Row(name, [_growth(members, column) for column in logged]))
    if not panels:
        return []
    heads = ["Growth after fit", *(look[0] for look in logged.values())]
    return [
        Words("Norms of weights and gradients" if graded else "Weight norms", "h3"),
        Words("By disjoint parameter groups, median over seeds and band. Scale-invariant weights are detected by a "
            "test, not by name: scaling them does not change the logits."
              + (" Gradients are measured before the filter." if graded else "")),
        Plots("norms", panels, [Entry(label, role, dash) for label, role, dash in logged.values()], wide(panels),
              caption="L2 norms of weights" + (" and gradients" if graded else "") + " by disjoint parameter groups."),
        Table("Growth of norms after fit", heads, [Group("", rows)]),
        Words("Growth after fit: norm at the last evaluation divided by the norm when train first reached the fit "
            "threshold; median over the runs that fitted, with the range below."),
    ]  # fmt: skip


def gradient_columns(groups: Groups) -> set[str]:
    """The columns of gradient norms that `norm_blocks` draws: none where only the total was recorded."""
    recorded = {f"grad_{c}" for c in NORMS if any(has(m, f"grad_{c}") and has(m, c) for m in groups.values())}
    return recorded if recorded - {"grad_norm_total"} else set()


def _norms(title: str, members: Sequence[Reading], columns: Mapping[str, str], height: float) -> Part:
    """Lines in the look of each norm; `columns` maps it to the column that is drawn."""
    lines = [
        Line(b, role, dash, 2.0 if look == "norm_total" else 1.5, label)
        for look, column in columns.items()
        if (b := column_band(members, column)) is not None
        for label, role, dash in [NORMS[look]]
    ]
    return Part(title, lines, height=height)


def _growth(members: Sequence[Reading], column: str) -> Value:
    factors = [g for r in members if (g := growth_after_fit(r, column)) is not None]
    return median_value(factors, factor2)


def median_value(values: Sequence[float], shown: Callable[[float], str]) -> Value:
    """The median, with the range where there are several."""
    if not values:
        return Value(NONE)
    spread = f"{shown(min(values))} to {shown(max(values))}" if len(values) > 1 else ""
    return Value(shown(float(np.median(values))), spread)


def factor2(value: float) -> str:
    """A ratio near 1 needs its second decimal."""
    return f"{value:.2f}×" if value < 9.95 else factor(value)


def growth_after_fit(reading: Reading, column: str) -> float | None:
    """Last value over the value at T_fit; None for runs that did not fit or do not log the column."""
    values = reading.subject.metrics.get(column)
    if values is None or reading.fit is None or reading.fit.censored:
        return None
    after = values[(reading.subject.metrics["step"] >= reading.fit.at) & np.isfinite(values)]
    return float(after[-1] / after[0]) if len(after) and after[0] > 0 else None


def has(members: Sequence[Reading], column: str) -> bool:
    return any(column in r.subject.metrics for r in members)


def rank_blocks(material: Material, groups: Groups) -> list[Block]:
    """One panel per measure of rank, one line per group."""
    order, panels, drawn = list(material.groups()), [], set[str]()
    rows = {g: rank_rows(m) for g, m in groups.items() if any(has(m, c) for c in RANKS)}
    unequal = len(set(rows.values())) > 1
    for column, meaning in RANKS.items():
        known = {g: b for g, m in groups.items() if (b := column_band(m, column)) is not None}
        bands = dict(list(known.items())[:LINES])
        if bands:
            drawn |= bands.keys()
            note = f"{meaning}; rows: {', '.join(dict.fromkeys(rows[g] for g in bands))}{' (see the key)' * unequal}"
            panels.append(_rank_panel(column, note, bands, order, material))
    if not panels:
        return []
    key = [
        replace(e, words=f"{e.words} (n = {rows[e.words]})") if unequal and e.words in rows else e
        for e in group_key(order, drawn)
    ]
    return [
        Words("Rank of the pooled features", "h3"),
        Words("Centered features of train, the same rows at every evaluation. The three measures are not comparable "
            "with each other: the effective rank counts small directions, the other two hardly do."
              + left_out(order)),
        *([Words(UNEQUAL, "warning")] if unequal else []),
        Plots("rank", panels, key, caption="Rank of the pooled, centered features of train, by three measures."),
    ]  # fmt: skip


def rank_rows(members: Sequence[Reading]) -> str:
    """How many rows the spectra of a group's runs were taken from, in words; only grokscope's own runs tell."""
    records = [r.subject.record for r in members if "grokscope" in _packages(r)]
    sizes = [(((record.get("facts") or {}).get("splits") or {}).get("train") or {}).get("n") for record in records]
    rows_taken = sorted({min(int(n), RANK_ROWS) for n in sizes if n})
    return " or ".join(map(str, rows_taken)) if rows_taken else "unknown"


def _packages(reading: Reading) -> Mapping[str, Any]:
    return (reading.subject.record.get("provenance") or {}).get("packages") or {}


def _rank_panel(column: str, note: str, bands: dict[str, Band], order: list[str], material: Material) -> Panel:
    described = describe(column)
    assert described is not None  # all of RANKS are in the vocabulary
    unit = unit_of(material.lead)
    axis = {scale: step_axis(scale, [b.step for b in bands.values()], unit) for scale in ("log", "linear")}
    ranges = "; ".join(f"{g} from {short(b.median[0])} to {short(b.median[-1])}" for g, b in bands.items())
    return Panel(
        lambda figure, scale: draw_column(figure, described, bands, order, axis[scale]),
        SIZE,
        f"{described.title} against step: {ranges}.",
        note=note,
        hover=Hover(axis.__getitem__, LEFT, SIZE[0] - RIGHT, {name: (b.step, b.median) for name, b in bands.items()}),
        label=described.title,
        sample=bands_sample(bands),
        data=lambda: bands_rows(bands),
    )


def stack_panel(
    parts: Sequence[Part], material: Material, members: Sequence[Reading], name: str, alt: str, note: str = ""
) -> Panel:
    """Stacked axes on the step axis of the learning curves."""

    def draw(figure: Any, scale: Scale) -> None:
        draw_stack(figure, parts, curve_axis(material.lead, scale))

    size = (WIDTH, stack_height(parts))
    sample = parts_sample(members, parts)
    return Panel(draw, size, alt, name, note, sample=sample, data=lambda: parts_rows(parts))


def ends(lines: Sequence[Line]) -> str:
    ranges = [f"{x.label} from {digits(float(m[0]))} to {digits(float(m[-1]))}" for x in lines
            if len(m := x.band.median[np.isfinite(x.band.median)])]  # fmt: skip
    return "; ".join(ranges) + "."
