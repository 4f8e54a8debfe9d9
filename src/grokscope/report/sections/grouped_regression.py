"""The section on regressions with groups, such as m-heights: each group relative to its own trivial predictor."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from grokscope.figures.keys import Entry
from grokscope.report.draw.axis import Scale, step_axis
from grokscope.report.draw.predictions import SIZE, draw_scatter
from grokscope.report.draw.stacked_axes import WIDTH, Line, Part, alike, draw_stack, stack_height
from grokscope.report.read.bands import Band, values_band
from grokscope.report.read.grouped_regression import Grouped, group_name, grouped, lowest, predictions
from grokscope.report.read.material import Material
from grokscope.report.sections.blocks import Block, Group, Panel, Plots, Row, Section, Table, Value, Words, wide
from grokscope.report.sections.figure_data import parts_rows, parts_sample
from grokscope.results.predictions import Predictions
from grokscope.vocabulary.text import NONE, digits, plural, score, steps

PLACE = 70.0

Runs = Mapping[str, Sequence[Grouped]]
KEY = (
    Entry("train", "train"),
    Entry("held out", "held-1"),
    Entry("without m = n − k", "held-3", (5, 2)),
    Entry("one group", "muted", (), 1.0),
    Entry("one group, m = n − k", "held-2", (), 1.0),
    Entry("trivial predictor", "muted", (1, 2), 1.2),
)


def section(material: Material) -> Section | None:
    """None where no run is a regression with losses by group."""
    groups = grouped(material.groups())
    if not groups:
        return None
    first = next(iter(groups.values()))[0]
    codes = bool(first.largest_m)
    answers = chain.from_iterable(_against_trivial(name, runs) for name, runs in groups.items())
    blocks: list[Block] = [
        Words(
            "Here, the trivial predictor is the mean target of each group, which ignores the input. A curve that does "
            "not fall below it has learned nothing about single inputs."
        ),
        *[Words(line, "lead") for line in answers],
        *_curves(groups),
        *_decays(material, groups),
        *_groups(groups),
        *_scatter(groups),
    ]
    title = "Groups of codes" if codes else "Regression by group"
    return Section("groups", "Groups", title, blocks)


def columns(_: Material) -> set[str]:
    """Losses by group are no columns that another section would draw."""
    return set()


def _against_trivial(name: str, runs: Sequence[Grouped]) -> list[str]:
    best = [b[0] for r in runs if (b := r.best) is not None]
    trivial = next((r.trivial for r in runs if r.trivial is not None), None)
    if not best or trivial is None:
        return []
    middle = float(np.median(best))
    place = "below" if middle < trivial else "not below"
    spread = f" (median of {plural(len(best), 'run')}, {digits(min(best))} to {digits(max(best))})"
    some = "" if len(best) == 1 else spread
    goal = f"{place} the trivial predictor's {digits(trivial)}"
    return [f"{name}: the best held-out loss is {digits(middle)}{some}, {goal}."]


def _curves(groups: Runs) -> list[Block]:
    stacks = alike({name: _parts(runs) for name, runs in groups.items()})
    panels = [_panel(name, parts, groups) for name, parts in stacks.items()]
    codes = any(r.largest_m for r in chain.from_iterable(groups.values()))
    key = [e for e in KEY if codes or "n − k" not in e.words]
    return [
        Words("Losses by group, and the norm under them", "h3"),
        Words("Median over runs. In the middle, each group's held-out loss is divided by the loss of its own trivial "
            "predictor: only values below 1 show learning. Spikes of the train loss are marked ▾."),
        Plots("loss", panels, key, wide(panels), caption="Losses by group over the loss of each group's trivial "
            "predictor, and the weight norm: only values below 1 show learning about single inputs."),
    ]  # fmt: skip


def _panel(name: str, parts: Sequence[Part], groups: Runs) -> Panel:
    runs = groups[name]
    every = list(chain.from_iterable(groups.values()))
    unit = "epoch" if all("epoch" in r.metrics for r in every) else "step"

    def draw(figure: Any, scale: Scale) -> None:
        draw_stack(figure, parts, step_axis(scale, [r.clock for r in every], unit))

    lines = [line for line in chain.from_iterable(part.lines for part in parts) if line.label]
    ends = "; ".join(f"{line.label} ends at {digits(float(line.band.median[-1]))}" for line in lines)
    alt = f"{name}: loss, loss by group and weight norm against the {unit}. {ends}."
    sample = parts_sample(runs, parts)
    return Panel(draw, (WIDTH, stack_height(parts)), alt, name, sample=sample, data=lambda: parts_rows(parts, unit))


def _parts(runs: Sequence[Grouped]) -> list[Part]:
    split = runs[0].split

    def band(values: Callable[[Grouped], np.ndarray | None]) -> Band | None:
        return values_band([(r.clock, v) for r in runs if (v := values(r)) is not None])

    shown = (
        (band(lambda r: r.metrics.get("train_loss")), "train", (), "train"),
        (band(lambda r: r.metrics.get(f"{split}_loss")), "held-1", (), split),
        (band(lambda r: r.without and r.without[0]), "held-3", (5, 2), "m < n − k"),
    )
    losses = [Line(b, role, dash, label=label) for b, role, dash, label in shown if b is not None]
    marks = sorted({r.at(s) for r in runs for s in r.reading.spikes})
    parts = [Part("mean squared error", losses, 130, levels=_levels(runs[0]), marks=marks)]
    by_group = ((g, band(lambda r, g=g: r.relative(g))) for g in runs[0].groups)
    relative = [_of_group(b, g in runs[0].largest_m) for g, b in by_group if b is not None]
    if relative:
        parts.append(Part("loss of each group / trivial loss", relative, 110, levels=[(1.0, "trivial")]))
    if (norm := band(lambda r: r.metrics.get("norm_total"))) is not None:
        parts.append(Part("weight norm, L2", [Line(norm, "ink", label="all")], 60))
    return parts


def _levels(run: Grouped) -> list[tuple[float, str]]:
    """Losses of the trivial predictor, where they are known."""
    levels = []
    if run.trivial is not None:
        levels.append((run.trivial, "trivial"))
    if run.without is not None:
        levels.append((run.without[1], "triv., m < n−k"))
    return levels


def _of_group(band: Band, largest: bool) -> Line:
    return Line(band, "held-2" if largest else "muted", width=1.0, shaded=False)


def _decays(material: Material, groups: Runs) -> list[Block]:
    head = ("Run", "Weight decay", "T_fit", "Best loss", "Last loss", "Last / best", "Best without m = n − k",
            "Best R²", "Spikes", "Spike and norm", "Verdict")  # fmt: skip
    rows = []
    for name, runs in groups.items():
        rows.append(Group(name, [_decay(r, material.anchors.get(r.reading.subject.name)) for r in runs]))
    return [
        Words('Measured values by arm', "h3"),
        Words("Last over best measures overfitting after the best point. R² is relative to the trivial predictor. "
            "Spike and norm: rank correlation of the changes of train loss and norm around the spike nearest to the "
            "transition (95 % interval); −1 is predicted if the network trades its fit for a smaller norm."),
        Table("Measured values by arm", head, rows),
    ]  # fmt: skip


def _decay(run: Grouped, anchor: str | None) -> Row:
    r, best = run.reading, run.best
    decay = ((r.subject.config or {}).get("regime") or {}).get("weight_decay")
    fit = r.fit
    reached = "not reached" if fit is None or fit.censored else steps(run.at(fit.at))
    loss = [Value(NONE)] * 3
    if best is not None:
        low, at, last = best
        ratio = f"{last / low:.2f}×" if low > 0 else NONE
        loss = [Value(digits(low), f"at {steps(at)}"), Value(digits(last)), Value(ratio)]
    return Row(
        r.subject.label,
        [
            Value("none" if decay is None else f"{decay:g}"),
            Value(reached, "epoch" if "epoch" in run.metrics else "step"),
            *loss,
            _without(run),
            Value(score(run.best_r2)),
            Value(str(len(r.spikes))),
            _link(run),
            Value(r.outcome, number=False),
        ],
        anchor,
    )


def _without(run: Grouped) -> Value:
    if run.without is None:
        return Value(NONE)
    loss, trivial = run.without
    best = lowest(run.clock, loss)
    if best is None:
        return Value(NONE)
    return Value(digits(best[0]), f"trivial {digits(trivial)}")


def _link(run: Grouped) -> Value:
    link = run.link
    if link is None:
        return Value("no spike")
    place = f"{'near the transition' if link.near else 'not near the transition'}; {link.verdict}"
    if link.rho is None:
        return Value("cannot tell", link.reason)
    return Value(f"{link.rho:.2f} [{link.low:.2f}, {link.high:.2f}]".replace("-", "−"), place)


def _groups(groups: Runs) -> list[Block]:
    first = next(iter(groups.values()))[0]
    head = ["Group", "Trivial loss", *(f"{name}: best (last)" for name in groups)]
    ids = sorted({g for runs in groups.values() for r in runs for g in r.groups})
    rows: list[Group] = []
    for title, chosen in (
        ("m = n − k", [g for g in ids if g in first.largest_m]),
        ("m < n − k" if first.largest_m else "", [g for g in ids if g not in first.largest_m]),
    ):
        if chosen:
            rows.append(Group(title, [_group_row(g, first, groups) for g in chosen]))
    return [
        Words("Group by group", "h3"),
        Words("Lowest held-out loss of each group during the run, with the last one below; median over runs. Shading: "
            "how far it lies below the group's trivial predictor."),
        Table("Loss by group", head, rows, compact=True),
    ]  # fmt: skip


def _group_row(group: int, first: Grouped, groups: Runs) -> Row:
    trivial = first.trivial_of(group)
    cells = []
    for runs in groups.values():
        ends = [e for r in runs if (e := lowest(r.clock, r.groups.get(group))) is not None]
        if not ends:
            cells.append(Value(NONE))
            continue
        best, last = (float(np.median([e[i] for e in ends])) for i in (0, 2))
        shade = None if not trivial else float(np.clip(1 - best / trivial, 0, 1))
        cells.append(Value(digits(best), f"last {digits(last)}", shade))
    return Row(group_name(first, group), [Value(digits(trivial)), *cells])


def _scatter(groups: Runs) -> list[Block]:
    """Predicted against true of every run that kept its predictions; files that are damaged are named."""
    panels: list[Panel] = []
    damaged: list[str] = []
    for name, runs in groups.items():
        for run in runs:
            try:
                kept = predictions(run.reading)
            except ValueError as error:
                damaged.append(f"{run.reading.subject.label}: {error}")
                continue
            if kept is not None:
                panels.append(_scatter_panel(f"{name}, {run.reading.subject.label}", kept))
    blocks: list[Block] = [Plots("scatter", panels, caption="Predicted against true targets.")] if panels else []
    if damaged:
        blocks.append(Words(f"Damaged predictions, not shown: {'; '.join(damaged)}.", "warning"))
    return [Words("Predictions against targets", "h3"), *blocks] if blocks else []


def _scatter_panel(run: str, kept: Predictions) -> Panel:
    on = "" if kept.split is None else f" on {kept.split}"
    words = f"{run}: predicted against true target{on} for {len(kept.true):,} examples, R² {kept.r2:.3f}."
    return Panel(
        lambda figure, _: draw_scatter(figure, kept),
        SIZE,
        words,
        run,
        steps=False,
        sample=f"{plural(len(kept.true), 'example')} of one run; R² {kept.r2:.3f}",
        data=lambda: [{"true": t, "predicted": p} for t, p in zip(kept.true, kept.predicted, strict=True)],
    )
