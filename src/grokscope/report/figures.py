"""Which figures a report has, each drawn from the same code for the page (one SVG per panel) and for files (all
panels)."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grokscope.report import curve_data, curves, diagnostics, survival_data, survival_figure
from grokscope.report.axis import Scale, StepAxis, step_axis
from grokscope.report.reading import Reading
from grokscope.report.style import colour, group_colour, group_dash
from grokscope.report.svg import save
from grokscope.report.words import brief, tally

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from grokscope.report.build import Material

PANELS = 12
"""Up to this many groups each get a panel of their own; more are drawn as one map, a row per group."""
COMPACT = 48
"""Above PANELS and up to this many groups, small panels (median and band only) stand beneath the map."""
MARGIN, TITLE = 14.0, 34.0


@dataclass(frozen=True)
class Cell:
    """One panel of a file's figure: drawn at (left, top) in points."""

    draw: "Callable[[Figure, float, float], None]"
    title: str = ""
    words: str = ""


def slug(text: str) -> str:
    """A name for ids: letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def curve_axis(readings: Sequence[Reading], scale: Scale) -> StepAxis:
    return step_axis(scale, [r.trajectory.step for r in readings if r.trajectory is not None], unit_of(readings))


def unit_of(readings: Sequence[Reading]) -> str:
    units = {r.subject.unit for r in readings}
    return units.pop() if len(units) == 1 else "step"


def arms_of(groups: Mapping[str, list[Reading]]) -> dict[str, list[survival_data.Arm]]:
    return {what: survival_data.arms(groups, what) for what in ("T_gen", "delay")}


def write_figures(material: "Material", folder: Path, formats: tuple[str, ...]) -> list[Path]:
    """Curves (log and linear), survival and diagnostics as files; returns them in order."""
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    groups = material.groups()
    panels = [p for p in material.panels if p.bands]
    if panels:
        for scale in ("log", "linear"):
            name = "curves" if scale == "log" else "curves_linear"
            made += _curves(material, panels, scale, folder / name, formats)
    found = arms_of(groups)
    if survival_data.worth_drawing(found["T_gen"]):
        made += _survival(found, unit_of(material.lead), folder / "survival", formats)
    made += _diagnostics(material, groups, folder / "diagnostics", formats)
    return made


def _curves(
    material: "Material", panels: list[curve_data.Panel], scale: Scale, path: Path, formats: tuple[str, ...]
) -> list[Path]:
    axis = curve_axis(material.lead, scale)
    if len(panels) > PANELS:
        from grokscope.report.overview import draw_overview, overview_size

        width, height = overview_size(panels)
        made = save(
            lambda f: draw_overview(f, panels, axis), width, height, path.with_name(f"{path.name}_map"), formats
        )
        return made + (_compact(panels, axis, path, formats) if len(panels) <= COMPACT else [])
    frame = curve_data.make_frame(panels, axis)
    cells = [Cell(_panel(p, frame), p.group, tally(p.readings)) for p in panels]
    return _sheet(cells, curve_data.WIDTH, frame.height, path, formats, columns=3)


def _compact(panels: list[curve_data.Panel], axis: StepAxis, path: Path, formats: tuple[str, ...]) -> list[Path]:
    frame = curve_data.make_frame(panels, axis)
    cells = [
        Cell(lambda f, x, y, p=p: curves.draw_compact(f, x, y, p, frame), brief(p.group, 26), tally(p.readings))
        for p in panels
    ]
    return _sheet(cells, *curve_data.COMPACT, path, formats, columns=4)


def _panel(panel: curve_data.Panel, frame: curve_data.Frame) -> "Callable[[Figure, float, float], None]":
    return lambda figure, left, top: curves.draw_panel(figure, left, top, panel, frame)


def _survival(
    found: Mapping[str, list[survival_data.Arm]], unit: str, path: Path, formats: tuple[str, ...]
) -> list[Path]:
    cells, height = [], 0.0
    for what, arms in found.items():
        if not survival_data.worth_drawing(arms):
            continue
        axis = survival_figure.survival_axis("log", arms, unit)
        height = survival_figure.figure_height(arms)
        title = "Step of generalization" if what == "T_gen" else "Delay after fitting"
        cells.append(
            Cell(lambda f, x, y, a=arms, s=axis, w=what: survival_figure.draw_survival(f, x, y, a, s, w), title)
        )
    return _sheet(cells, survival_figure.WIDTH, height, path, formats, columns=2)


def _diagnostics(
    material: "Material", groups: dict[str, list[Reading]], path: Path, formats: tuple[str, ...]
) -> list[Path]:
    axis, order = curve_axis(material.lead, "log"), list(groups)
    cells = [
        Cell(lambda f, x, y, d=d, b=bands: diagnostics.draw_diagnostic(f, x, y, d, b, order, axis))
        for d, bands in material.diagnostics
    ]
    if not cells:
        return []
    return _sheet(cells, diagnostics.WIDTH, diagnostics.HEIGHT, path, formats, columns=3, key=list(groups))


def _sheet(
    cells: list[Cell],
    width: float,
    height: float,
    path: Path,
    formats: tuple[str, ...],
    columns: int,
    key: Sequence[str] = (),
) -> list[Path]:
    """Panels in a grid, each under its title, with a key of the groups beneath where the panels do not name them."""
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    head = TITLE if any(c.title for c in cells) else 8.0
    foot = 22.0 if key else 0.0

    def draw(figure: "Figure") -> None:
        w, h = (72 * v for v in figure.get_size_inches())
        for i, cell in enumerate(cells):
            left, top = MARGIN + (i % columns) * (width + MARGIN), MARGIN + (i // columns) * (height + head)
            figure.text((left + 4) / w, 1 - (top + 12) / h, cell.title, fontsize=12, fontweight="bold", va="baseline")
            figure.text(
                (left + 4) / w, 1 - (top + 26) / h, cell.words, fontsize=9.5, color=colour("muted"), va="baseline"
            )
            cell.draw(figure, left, top + head)
        _key(figure, key, w, h)

    return save(draw, columns * (width + MARGIN) + MARGIN, rows * (height + head) + 2 * MARGIN + foot, path, formats)


def _key(figure: "Figure", groups: Sequence[str], width: float, height: float) -> None:
    from matplotlib.lines import Line2D

    if groups:
        handles = [
            Line2D([], [], color=group_colour(i), linestyle=group_dash(i), linewidth=2)
            for i in range(min(len(groups), diagnostics.LINES))
        ]
        figure.legend(
            handles, list(groups)[: len(handles)], loc="lower left", ncols=4, fontsize=9, bbox_to_anchor=(0.01, 0.0)
        )
