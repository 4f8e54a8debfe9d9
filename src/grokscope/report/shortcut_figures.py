"""Figures of a shortcut study: norms by parameter group, the IRM penalty beside loss and logit scale, ranks."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope.report import diagnostics
from grokscope.report.axis import StepAxis, short, step_axis
from grokscope.report.bands import Band
from grokscope.report.blocks import FOLDED, Block, Entry, Panel, Plots, Row, Table, Value, Words
from grokscope.report.catalogue import Diagnostic
from grokscope.report.legends import group_entries
from grokscope.report.reading import Reading
from grokscope.report.stack import WIDTH, Line, Part, column_band, draw_stack, stack_height, values_band
from grokscope.report.words import NONE, factor

if TYPE_CHECKING:
    from grokscope.report.build import Material

Groups = Mapping[str, Sequence[Reading]]
NORMS = {
    "norm_total": ("all", "ink", ()), "norm_scale_invariant": ("scale-inv.", "held-1", (5, 2)),
    "norm_weights": ("weights", "held-2", (1.2, 1.6)), "norm_head": ("head", "held-3", (6, 2, 1.2, 2)),
    "norm_normalization": ("norm. layers", "held-4", (2.5, 1.5)),
}  # fmt: skip
SPLITS = {
    "train": ("train", ()), "id_val": ("held-4", (2.5, 1.5)), "ood_val": ("held-1", ()), "ood_test": ("held-2", (5, 2)),
}  # fmt: skip
NOTHING = (
    "On memorized data the penalty says nothing: it is a gradient of the loss, so where the loss is near 0 it is "
    "near 0 whatever the network has learned, and it grows with the square of the logits' scale. A small penalty on "
    "train is no evidence of invariance; read it on held-out environments, and beside the loss and the logit scale."
)
ESTIMATORS = (
    "Drawn is the U-statistic, which is unbiased and can be negative; a log axis has no place for values below 0, "
    "so they lie at its lower edge. The naive penalty, the square of the estimated gradient, is in the table: its "
    "bias is the variance of the gradient over the number of examples."
)
RANKS = {
    "rank_effective": "exp of the entropy of the singular values (Roy & Vetterli 2007)",
    "rank_participation": "participation ratio of the variances: how many directions carry them",
    "rank_stable": "squared Frobenius over squared spectral norm",
}


def norm_blocks(material: "Material", groups: Groups) -> list[Block]:
    """Norms by parameter group, one panel per group of runs, and how they grew once the training data was fitted."""
    panels, rows = [], []
    logged = {c: look for c, look in NORMS.items() if any(_has(m, c) for m in groups.values())}
    for name, members in groups.items():
        lines = [
            Line(b, role, dash, 2.0 if column == "norm_total" else 1.5, label)
            for column, (label, role, dash) in logged.items()
            if (b := column_band(members, column)) is not None
        ]
        if not lines:
            continue
        part = Part("weight norm, L2", lines, height=150)
        panels.append(stack_panel([part], material, name, f"{name}: weight norm by parameter group. {_ends(lines)}"))
        rows.append(Row(name, [_growth(members, column) for column in logged]))
    if not panels:
        return []
    return [
        Words("Weight norms", "h3"),
        Words("By disjoint parameter groups, median over seeds and band. Scale-invariant weights are found by test, "
              "not by name: scaling them does not move the logits."),
        Plots("norms", panels, [Entry(label, role, dash) for label, role, dash in logged.values()], _style(panels)),
        Table("Growth of norms after fit", ["Growth after fit", *(look[0] for look in logged.values())], [("", rows)]),
        Words("Growth after fit: norm at the last evaluation over the norm where train first reached the fit "
              "threshold; median over the runs that fitted, range beneath."),
    ]  # fmt: skip


def _growth(members: Sequence[Reading], column: str) -> Value:
    found = [g for r in members if (g := growth_after_fit(r, column)) is not None]
    if not found:
        return Value(NONE)
    return Value(
        factor2(float(np.median(found))), f"{factor2(min(found))} to {factor2(max(found))}" if len(found) > 1 else ""
    )


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


def irm_blocks(material: "Material", groups: Groups) -> list[Block]:
    panels, tables = [], []
    for name, members in groups.items():
        parts = _irm_parts(members)
        if not any(p.title.startswith("IRM") for p in parts):
            continue
        ends = "; ".join(f"{p.title}: {_ends(p.lines)}" for p in parts)
        panels.append(stack_panel(parts, material, name, f"{name}. {ends}"))
        tables.append((name, [_irm_row(members, split) for split in SPLITS if _has(members, f"{split}_irm")]))
    if not panels:
        return []
    key = [
        Entry(split, role, dash)
        for split, (role, dash) in SPLITS.items()
        if any(_has(m, f"{split}_irm") for m in groups.values())
    ]
    head = ["Last evaluation", "IRM penalty, U-statistic", "its standard error", "naive", "loss", "logit scale"]
    return [
        Words("The IRM penalty, and why it can mislead", "h3"),
        Words(NOTHING, "warning"),
        Words(ESTIMATORS),
        Plots("irm", panels, key, _style(panels)),
        Table("IRM penalty at the last evaluation", head, tables, folded=len(tables) > FOLDED),
        Words("Penalty: mean over the split's environments (Arjovsky et al., arXiv:1907.02893). Its standard error "
              "combines theirs, for one run; median over runs, range beneath."),
    ]  # fmt: skip


def _irm_parts(members: Sequence[Reading]) -> list[Part]:
    def lines(make: Any) -> list[Line]:
        return [
            Line(b, role, dash, label=split) for split, (role, dash) in SPLITS.items() if (b := make(split)) is not None
        ]

    rows = (
        ("IRM penalty, U-statistic", lambda s: values_band([c for r in members if (c := _unbiased(r, s)) is not None])),
        ("loss", lambda s: column_band(members, f"{s}_loss")),
        ("logit scale", lambda s: column_band(members, f"{s}_logit_scale")),
    )
    return [Part(title, found) for title, make in rows if (found := lines(make))]


def _unbiased(reading: Reading, split: str) -> tuple[np.ndarray, np.ndarray] | None:
    """(steps, mean of the U-statistics over the split's environments)."""
    found = _environments(reading, split, "irm_u")
    return (reading.subject.metrics["step"], np.mean(found, axis=0)) if found else None


def _environments(reading: Reading, split: str, what: str) -> list[np.ndarray]:
    pattern = re.compile(rf"{re.escape(split)}_env\d+_{what}")
    return [v for c, v in reading.subject.metrics.items() if pattern.fullmatch(c)]


def _irm_row(members: Sequence[Reading], split: str) -> Row:
    unbiased = [_last(c[1]) for r in members if (c := _unbiased(r, split)) is not None]
    errors = [
        _last(np.sqrt(np.sum(np.square(found), axis=0)) / len(found))
        for r in members
        if (found := _environments(r, split, "irm_u_se"))
    ]
    named = [[_last(v) for r in members if (v := r.subject.metrics.get(f"{split}_{w}")) is not None]
             for w in ("irm", "loss", "logit_scale")]  # fmt: skip
    return Row(split, [_middle(v) for v in (unbiased, errors, *named)])


def _last(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else np.nan


def _middle(values: Sequence[float]) -> Value:
    found = [v for v in values if np.isfinite(v)]
    if not found:
        return Value(NONE)
    return Value(
        number(float(np.median(found))), f"{number(min(found))} to {number(max(found))}" if len(found) > 1 else ""
    )


def number(value: float) -> str:
    """Three digits, whatever the size."""
    return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e").replace("-", "−")


def _has(members: Sequence[Reading], column: str) -> bool:
    return any(column in r.subject.metrics for r in members)


def rank_blocks(material: "Material", groups: Groups) -> list[Block]:
    """One panel per measure of rank, one line per group."""
    order, panels = list(material.groups()), []
    for column, meaning in RANKS.items():
        bands = {g: b for g, m in groups.items() if (b := column_band(m, column)) is not None}
        if bands:
            panels.append(
                _rank_panel(Diagnostic(column, column.removeprefix("rank_") + " rank", meaning), bands, order, material)
            )
    if not panels:
        return []
    return [
        Words("Rank of the pooled features", "h3"),
        Words("Centred features of train at fixed n. The three are different measures and not comparable with each "
              "other: effective rank counts small directions, the other two hardly do."),
        Plots("rank", panels, group_entries(order[: diagnostics.LINES])),
    ]  # fmt: skip


def _rank_panel(d: Diagnostic, bands: dict[str, Band], order: list[str], material: "Material") -> Panel:
    def draw(figure: Any, left: float, top: float, scale: Any) -> None:
        axis = step_axis(scale, [b.step for b in bands.values()], material.axis(scale).unit)
        diagnostics.draw_diagnostic(figure, left, top, d, bands, order, axis)

    ends = "; ".join(f"{g} from {short(b.median[0])} to {short(b.median[-1])}" for g, b in bands.items())
    return Panel(draw, (diagnostics.WIDTH, diagnostics.HEIGHT), f"{d.title} against step: {ends}.", note=d.meaning)


def stack_panel(parts: Sequence[Part], material: "Material", name: str, alt: str, note: str = "") -> Panel:
    """Stacked axes on the step axis of the learning curves."""

    def axis(scale: Any) -> StepAxis:
        return material.axis(scale)

    return Panel(
        lambda figure, left, top, scale: draw_stack(figure, left, top, parts, axis(scale)),
        (WIDTH, stack_height(parts)), alt, name, note,
    )  # fmt: skip


def _ends(lines: Sequence[Line]) -> str:
    told = [f"{x.label} from {number(float(m[0]))} to {number(float(m[-1]))}" for x in lines
            if len(m := x.band.median[np.isfinite(x.band.median)])]  # fmt: skip
    return "; ".join(told) + "."


def _style(panels: Sequence[Panel]) -> str:
    return "wide" if len(panels) in (1, 2, 4) else ""
