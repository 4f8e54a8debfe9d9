"""The page's figures: each panel as SVG for the log and the linear step axis, with a sentence for who cannot see it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from grokscope.report import figures
from grokscope.report.draw import curve_frame, curves, group_map, measured_columns
from grokscope.report.draw import survival as survival_figure
from grokscope.report.draw.axis import Scale
from grokscope.report.draw.svg import Draw, plain, to_svg
from grokscope.report.read import survival
from grokscope.report.read.curves import Panel as CurvePanel
from grokscope.report.read.glossary import VERDICTS
from grokscope.report.read.judged_run import STATE_WORDS, Reading
from grokscope.report.read.words import spoken_curves, tally
from grokscope.vocabulary.text import listed, plural, short, steps

if TYPE_CHECKING:
    from grokscope.report.build import Material


@dataclass(frozen=True)
class Shown:
    """One figure on the page: the same panel twice, of which the reader sees one."""

    log: Markup
    linear: Markup
    alt: str
    name: str = ""
    counts: Sequence[tuple[str, int]] = ()
    note: str = ""


def _both(
    draw: Callable[[Scale], Draw], size: tuple[float, float], key: str, titles: Mapping[str, str] | None = None
) -> tuple[Markup, Markup]:
    log = to_svg(draw("log"), *size, f"{key}-log", titles)
    return Markup(log), Markup(to_svg(draw("linear"), *size, f"{key}-lin", titles))


def counts(readings: Sequence[Reading]) -> list[tuple[str, int]]:
    """Outcomes and how often, verdicts in the glossary's order first; unfinished runs are counted by their state."""
    found = Counter(r.outcome if r.final_verdict else STATE_WORDS.get(r.open_state, r.open_state) for r in readings)
    return [(name, found[name]) for name in dict.fromkeys([*VERDICTS, *found]) if name in found]


def curve_section(material: "Material") -> dict[str, Any]:
    """Intro, panels, and for many groups a map above smaller panels. Groups without any curve are named instead."""
    panels = [p for p in material.panels if p.bands]
    metric = "R²" if any(r.kind == "regression" for r in material.lead) else "accuracy"
    intro = (
        f"Train and held-out ({material.splits[0]}) {metric} against the {figures.unit_of(material.lead)}, one panel "
        "per group. All panels share their axes."
    )
    few = len(panels) <= figures.PANELS
    if not few:
        intro = f"{plural(len(panels), 'group')}: the map shows the median held-out {metric}, one row per group."
    return {
        "intro": intro,
        "map": None if few else _map(material, panels),
        "panels": _curve_panels(material, panels, metric, small=not few) if len(panels) <= figures.COMPACT else [],
        "style": "small" if not few else "wide" if len(panels) in (1, 2, 4) else "",
        "empty": listed([f"{plain(p.group)} ({tally(p.readings)})" for p in material.panels if not p.bands]),
    }


def _curve_panels(material: "Material", panels: list[CurvePanel], metric: str, small: bool) -> list[Shown]:
    frames = {scale: curve_frame.make_frame(panels, material.axis(scale)) for scale in ("log", "linear")}
    out = []
    for i, panel in enumerate(panels):
        size = curve_frame.COMPACT if small else (curve_frame.WIDTH, frames["log"].height)
        log, linear = _both(_drawer(panel, frames, small), size, f"c{i}", {} if small else _titles(panel))
        alt = spoken_curves(panel.group, panel.readings, panel.bands, panel.splits[0], metric)
        note = "" if small else _left_out(panel)
        out.append(Shown(log, linear, plain(alt), plain(panel.group), counts(panel.readings), note))
    return out


def _drawer(panel: CurvePanel, frames: Mapping[str, curve_frame.Frame], small: bool) -> Callable[[Scale], Draw]:
    draw = curves.draw_compact if small else curves.draw_panel
    return lambda scale: lambda figure: draw(figure, 0, 0, panel, frames[scale])


def _titles(panel: CurvePanel) -> dict[str, str]:
    """What a seed's line says when the pointer rests on it."""
    out = {}
    for r in panel.readings:
        when = f", generalized at {steps(r.gen.at)}" if r.gen is not None and not r.gen.censored else ""
        for name in ("train", panel.splits[0], "norm_total"):
            out[f"seed:{r.subject.name}:{name}"] = f"{r.subject.label}, {name}: {r.outcome}{when}"
    return out


def _left_out(panel: CurvePanel) -> str:
    """Which runs are not in the median, so that nobody takes them for absent."""
    band = panel.bands.get(panel.splits[0])
    if band is None or band.n == band.total:
        return ""
    return f"Median and band over the {band.n} of {band.total} runs that reached the last step; the others are dashed."


def _map(material: "Material", panels: list[CurvePanel]) -> Shown:
    def draw(scale: Scale) -> Draw:
        return lambda figure: group_map.draw_overview(figure, panels, material.axis(scale))

    ends = [f"{p.group} ends at {b.median[-1]:.2f}" for p in panels if (b := p.bands.get(p.splits[0])) is not None]
    told = ends if len(ends) <= 24 else [*ends[:24], f"and {len(ends) - 24} more groups"]
    alt = f"Map of the median held-out score over steps for {len(panels)} groups. {'; '.join(told)}."
    return Shown(*_both(draw, group_map.overview_size(panels), "map"), alt=plain(alt))


def survival_panels(found: Mapping[str, list[survival.Arm]], unit: str) -> list[Shown]:
    """T_gen and delay, each where at least one run of two or more reached it."""
    return [_survival(what, arms, unit) for what, arms in found.items() if survival.worth_drawing(arms)]


def _survival(what: str, arms: list[survival.Arm], unit: str) -> Shown:
    def draw(scale: Scale) -> Draw:
        axis = survival_figure.survival_axis(scale, arms, unit)
        return lambda figure: survival_figure.draw_survival(figure, 0, 0, arms, axis, what)

    size = (survival_figure.WIDTH, survival_figure.figure_height(arms))
    name = "Step of generalization" if what == "T_gen" else "Delay from fitting to generalizing"
    alt = plain(survival.spoken_survival(arms, what))
    return Shown(*_both(draw, size, f"s-{what}"), alt=alt, name=name, note=_not_at_risk(what, arms))


def _not_at_risk(what: str, arms: list[survival.Arm]) -> str:
    missing = [f"{plural(a.left_out, 'run')} of {plain(a.group)}" for a in arms if a.left_out]
    if not missing:
        return ""
    why = "without evaluations, or never fitted so that no delay began" if what == "delay" else "without evaluations"
    return f"Not at risk ({why}): {listed(missing)}."


def diagnostic_panels(material: "Material") -> list[Shown]:
    """One figure per measured column."""
    order = list(material.groups())
    return [_diagnostic(material, i, order) for i in range(len(material.diagnostics))]


def _diagnostic(material: "Material", index: int, order: list[str]) -> Shown:
    d, bands = material.diagnostics[index]

    def draw(scale: Scale) -> Draw:
        axis = material.diagnostic_axis(scale, d.loss)
        return lambda figure: measured_columns.draw_diagnostic(figure, 0, 0, d, bands, order, axis)

    ends = "; ".join(f"{name} from {short(b.median[0])} to {short(b.median[-1])}" for name, b in bands.items())
    alt = plain(f"{d.title} against step, median per group: {ends}.")
    return Shown(*_both(draw, (measured_columns.WIDTH, measured_columns.HEIGHT), f"d{index}"), alt=alt, note=d.meaning)
