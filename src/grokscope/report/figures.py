"""Which figures a report has, each drawn from the same code for the page (one SVG per panel) and for files (all
panels)."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from grokscope.report.draw import curve_frame, curves, measured_columns
from grokscope.report.draw import survival as survival_figure
from grokscope.report.draw.axis import Scale, StepAxis, step_axis
from grokscope.report.draw.panel_sheet import Cell, censored_key, curve_keys, group_keys, save_sheet
from grokscope.report.draw.svg import save
from grokscope.report.read import survival
from grokscope.report.read.curves import Panel as CurvePanel
from grokscope.report.read.judged_run import Reading
from grokscope.report.read.words import tally
from grokscope.vocabulary.text import brief

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from grokscope.report.build import Material

PANELS = 12
"""Up to this many groups each get a panel of their own; more are drawn as one map, a row per group."""
COMPACT = 48
"""Above PANELS and up to this many groups, small panels (median and band only) stand beneath the map."""


def slug(text: str) -> str:
    """A name for ids: letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def curve_axis(readings: Sequence[Reading], scale: Scale) -> StepAxis:
    return step_axis(scale, [r.trajectory.step for r in readings if r.trajectory is not None], unit_of(readings))


def unit_of(readings: Sequence[Reading]) -> str:
    units = {r.subject.unit for r in readings}
    return units.pop() if len(units) == 1 else "step"


def arms_of(groups: Mapping[str, list[Reading]]) -> dict[str, list[survival.Arm]]:
    return {what: survival.arms(groups, what) for what in ("T_gen", "delay")}


def write_figures(material: "Material", folder: Path, formats: tuple[str, ...]) -> list[Path]:
    """Curves (log and linear), survival and diagnostics as files; returns them in order."""
    from grokscope.report.sections.blocks import write_sections

    folder.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    groups = material.groups()
    panels = [p for p in material.panels if p.bands]
    if panels:
        for scale in ("log", "linear"):
            name = "curves" if scale == "log" else "curves_linear"
            made += _curves(material, panels, scale, folder / name, formats)
    found = arms_of(groups)
    if survival.worth_drawing(found["T_gen"]):
        made += _survival(found, unit_of(material.lead), folder / "survival", formats)
    made += write_sections(material.extras, folder, formats)
    made += _diagnostics(material, groups, folder / "diagnostics", formats)
    return made


def _curves(
    material: "Material", panels: list[CurvePanel], scale: Scale, path: Path, formats: tuple[str, ...]
) -> list[Path]:
    axis = curve_axis(material.lead, scale)
    if len(panels) > PANELS:
        from grokscope.report.draw.group_map import draw_overview, overview_size

        width, height = overview_size(panels)
        made = save(
            lambda f: draw_overview(f, panels, axis), width, height, path.with_name(f"{path.name}_map"), formats
        )
        return made + (_compact(panels, axis, path, formats) if len(panels) <= COMPACT else [])
    frame = curve_frame.make_frame(panels, axis)
    cells = [Cell(_panel(p, frame), p.group, tally(p.readings)) for p in panels]
    columns = 2 if len(cells) in (2, 4) else 3
    keys = curve_keys(material.splits, any("probe" in p.bands for p in panels))
    return save_sheet(cells, (curve_frame.WIDTH, frame.height), path, formats, columns, keys)


def _compact(panels: list[CurvePanel], axis: StepAxis, path: Path, formats: tuple[str, ...]) -> list[Path]:
    frame = curve_frame.make_frame(panels, axis)
    cells = [
        Cell(lambda f, x, y, p=p: curves.draw_compact(f, x, y, p, frame), brief(p.group, 26), tally(p.readings))
        for p in panels
    ]
    return save_sheet(cells, curve_frame.COMPACT, path, formats, 4, curve_keys(panels[0].splits)[:-3])


def _panel(panel: CurvePanel, frame: curve_frame.Frame) -> "Callable[[Figure, float, float], None]":
    return lambda figure, left, top: curves.draw_panel(figure, left, top, panel, frame)


def _survival(found: Mapping[str, list[survival.Arm]], unit: str, path: Path, formats: tuple[str, ...]) -> list[Path]:
    cells, height = [], 0.0
    for what, arms in found.items():
        if not survival.worth_drawing(arms):
            continue
        axis = survival_figure.survival_axis("log", arms, unit)
        height = survival_figure.figure_height(arms)
        title = "Step of generalization" if what == "T_gen" else "Delay after fitting"
        cells.append(
            Cell(lambda f, x, y, a=arms, s=axis, w=what: survival_figure.draw_survival(f, x, y, a, s, w), title)
        )
    keys = [*group_keys([a.group for a in found["T_gen"]], survival_figure.DRAWN), censored_key()]
    return save_sheet(cells, (survival_figure.WIDTH, height), path, formats, 2, keys)


def _diagnostics(
    material: "Material", groups: dict[str, list[Reading]], path: Path, formats: tuple[str, ...]
) -> list[Path]:
    order = list(groups)
    axis = {loss: material.diagnostic_axis("log", loss) for loss in (True, False)}
    cells = [
        Cell(lambda f, x, y, d=d, b=bands: measured_columns.draw_diagnostic(f, x, y, d, b, order, axis[d.loss]))
        for d, bands in material.diagnostics
    ]
    if not cells:
        return []
    keys = group_keys(order, measured_columns.LINES)
    return save_sheet(cells, (measured_columns.WIDTH, measured_columns.HEIGHT), path, formats, 3, keys)
