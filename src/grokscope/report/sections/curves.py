"""Learning curves: one panel for each group of runs, or a map of many groups."""

from collections.abc import Callable, Mapping, Sequence

from grokscope.figures.keys import curve_key
from grokscope.report.draw.axis import Scale, StepAxis, curve_axis
from grokscope.report.draw.curve_frame import COMPACT, LEFT, RIGHT, WIDTH, Frame, make_frame
from grokscope.report.draw.curves import draw_compact, draw_panel
from grokscope.report.draw.group_map import draw_overview, overview_size
from grokscope.report.read.bands import SMALL
from grokscope.report.read.curves import VISIBLE, Panel, make_panel
from grokscope.report.read.judged_run import unit_of
from grokscope.report.read.material import Material
from grokscope.report.read.matrix import PANELS
from grokscope.report.read.summary import counts
from grokscope.report.read.words import spoken_curves, tally
from grokscope.report.sections import blocks
from grokscope.report.sections.blocks import Block, Hover, Plots, Section, Words
from grokscope.report.sections.figure_data import bands_rows, group_sample
from grokscope.vocabulary.text import brief, listed, percent, plural, steps

PLACE = 20.0
SMALL_PANELS = 48
"""Above PANELS and up to this many groups, small panels (median and band only) stand beneath the map."""
NAMED = 24
"""Groups whose ends the description of the map names."""


def section(material: Material) -> Section:
    """Groups without any curve are named instead."""
    every = [make_panel(group, members, material.splits) for group, members in material.groups().items()]
    panels = [p for p in every if p.bands]
    metric = "R²" if any(r.kind == "regression" for r in material.lead) else "accuracy"
    body = _map_and_small(material, panels, metric) if len(panels) > PANELS else _large(material, panels, metric)
    empty = listed([f"{p.group} ({tally(p.readings)})" for p in every if not p.bands])
    if empty:
        body.append(Words(f"Without a curve: {empty}."))
    return Section("curves", "Curves", "Learning curves", [*body, Words(_note(few=len(panels) <= PANELS))])


def _large(material: Material, panels: Sequence[Panel], metric: str) -> list[Block]:
    intro = (
        f"Train and held-out ({material.judged_on}) {metric} against the {unit_of(material.lead)}, one panel per "
        "group. All panels share their axes."
    )
    probed = any("probe" in p.bands for p in panels)
    frames = _frames(material, panels)
    shown = [_panel(material, p, frames, metric) for p in panels]
    columns = 2 if len(panels) in (2, 4) else 3
    key, style = curve_key(material.splits, probed), blocks.wide(shown)
    return [Words(intro), Plots("c", shown, key, style, columns, "curves", True, switch=True, caption=intro)]


def _map_and_small(material: Material, panels: Sequence[Panel], metric: str) -> list[Block]:
    key = curve_key(material.splits, medians_only=True)
    groups = plural(len(panels), "group")
    intro = Words(f"{groups}: the map shows the median held-out {metric}, one row per group.")
    said = f"Median held-out {metric} ({material.judged_on}) against the {unit_of(material.lead)}, one row per group."
    overview = Plots("map", [_map(material, panels)], (), "map", 1, "curves_map", True, switch=True, caption=said)
    body: list[Block] = [intro, overview]
    if len(panels) <= SMALL_PANELS:
        frames = _frames(material, panels)
        small = [_small(material, p, frames, metric) for p in panels]
        said = f"Train and held-out {metric} against the {unit_of(material.lead)}, one panel per group."
        axes = small_axes(metric, {scale: frame.axis for scale, frame in frames.items()})
        body.append(Plots("c", small, key, "small", 4, "curves", True, caption=said, axes=axes))
    return body


def small_axes(metric: str, axis: Mapping[Scale, StepAxis]) -> Callable[[Scale], str]:
    """What the axes of small panels show: ``Vertical axis: accuracy. Horizontal axis: step (log scale).``"""
    return lambda scale: f"Vertical axis: {metric}. Horizontal axis: {axis[scale].label}."


def _frames(material: Material, panels: Sequence[Panel]) -> dict[Scale, Frame]:
    return {scale: make_frame(panels, curve_axis(material.lead, scale)) for scale in ("log", "linear")}


def _panel(material: Material, panel: Panel, frames: dict[Scale, Frame], metric: str) -> blocks.Panel:
    return blocks.Panel(
        lambda figure, scale: draw_panel(figure, panel, frames[scale]),
        (WIDTH, frames["log"].height),
        spoken_curves(panel.group, panel.readings, panel.bands, panel.lead, metric),
        panel.group,
        _left_out(panel),
        counts=counts(panel.readings),
        titles=_titles(panel),
        hover=Hover(lambda scale: frames[scale].axis, LEFT, WIDTH - RIGHT, _values(panel)),
        words=tally(panel.readings),
        sample=group_sample(panel.readings, panel.bands.values()),
        data=lambda: bands_rows(panel.bands),
    )


def _small(material: Material, panel: Panel, frames: dict[Scale, Frame], metric: str) -> blocks.Panel:
    return blocks.Panel(
        lambda figure, scale: draw_compact(figure, panel, frames[scale]),
        COMPACT,
        spoken_curves(panel.group, panel.readings, panel.bands, panel.lead, metric),
        panel.group,
        counts=counts(panel.readings),
        words=brief(tally(panel.readings), 30),
        sample=group_sample(panel.readings, panel.bands.values()),
        data=lambda: bands_rows(panel.bands),
    )


def _values(panel: Panel) -> dict[str, tuple]:
    """The medians that the panel draws, by what they are."""
    named = {"norm_total": "weight norm", "probe": "linear probe"}
    chosen = ("train", *panel.splits, "probe", "norm_total")
    return {named.get(n, n): (b.step, b.median) for n in chosen if (b := panel.bands.get(n)) is not None}


def _titles(panel: Panel) -> dict[str, str]:
    """What a seed's line says when the pointer rests on it."""
    out = {}
    for r in panel.readings:
        when = f", generalized at {steps(r.gen.at)}" if r.gen is not None and not r.gen.censored else ""
        for name in ("train", panel.lead, "norm_total"):
            out[f"seed:{r.subject.name}:{name}"] = f"{r.subject.label}, {name}: {r.outcome}{when}"
    return out


def _left_out(panel: Panel) -> str:
    """Which runs are not in the median, so that nobody takes them for absent."""
    band = panel.bands.get(panel.lead)
    if band is None or band.n == band.total:
        return ""
    return (
        f"Median and band over the {band.n:,} of {band.total:,} runs that reached the last step; the others are dashed."
    )


def _map(material: Material, panels: Sequence[Panel]) -> blocks.Panel:
    def axis(scale: Scale) -> StepAxis:
        return curve_axis(material.lead, scale)

    ends = [f"{p.group} ends at {b.median[-1]:.2f}" for p in panels if (b := p.bands.get(p.lead)) is not None]
    ends_shown = ends if len(ends) <= NAMED else [*ends[:NAMED], f"and {len(ends) - NAMED} more groups"]
    alt = f"Map of the median held-out score over steps for {len(panels):,} groups. {'; '.join(ends_shown)}."
    drawn = {p.group: b for p in panels if (b := p.bands.get(p.lead)) is not None}
    return blocks.Panel(
        lambda figure, scale: draw_overview(figure, panels, axis(scale)),
        overview_size(panels),
        alt,
        label="Median score of each group",
        sample=f"{plural(len(material.lead), 'run')} in {plural(len(panels), 'group')}; color: median over runs",
        data=lambda: bands_rows(drawn),
    )


def _note(few: bool) -> str:
    strip = (
        "Numbers next to the middle strip, where there is room, are seeds. Spikes of train loss have a ▾ at the top. "
    )
    norms = f"Norms of parameter groups below {percent(VISIBLE)} of the total are not drawn. "
    return (
        f"The band is the full range below {SMALL} runs, else a 95 % interval of the median (between order "
        f"statistics, pointwise). {(strip + norms if few else '')}Curves with too many evaluations for the figure "
        f"keep the first, lowest, highest and last value of each column; tables and data use all."
    )
