"""Measurements other than accuracy, one panel per column that no other section shows."""

from collections.abc import Mapping
from itertools import chain

from grokscope.figures.keys import group_key
from grokscope.report.draw.axis import Scale, StepAxis, curve_axis, step_axis
from grokscope.report.draw.measured_columns import LEFT, RIGHT, SIZE, WIDTH, draw_column
from grokscope.report.read.bands import Band
from grokscope.report.read.material import Material
from grokscope.report.read.measured_columns import group_bands, left_out
from grokscope.report.sections import grouped_regression, shortcut
from grokscope.report.sections.blocks import Hover, Panel, Plots, Section, Words
from grokscope.report.sections.figure_data import bands_rows, bands_sample
from grokscope.vocabulary.columns import Described, panels
from grokscope.vocabulary.text import short

PLACE = 80.0
Measured = list[tuple[Described, dict[str, Band]]]


def section(material: Material) -> Section | None:
    """None where nothing else was measured."""
    groups = material.groups()
    described = panels(columns_left(material), material.splits)
    measured = [(d, bands) for d in described if (bands := group_bands(d, groups))]
    if not measured:
        return None
    order = list(groups)
    shared, rare = _axes(material, measured)
    plots = [column_panel(d, bands, order, shared if d.every_evaluation else rare) for d, bands in measured]
    intro = (
        f"Measurements other than accuracy: one line per group (median over seeds). Columns measured at every "
        f"evaluation share the step axis of the learning curves; the others have their own.{left_out(order)}"
    )
    content = [
        Words(intro),
        Plots("d", plots, group_key(order, drawn_groups(measured)), file="diagnostics", caption=intro),
    ]
    return Section("diagnostics", "Other diagnostics", "Other diagnostics", content)


def columns_left(material: Material) -> set[str]:
    """The columns of the metrics that no section on special kinds of runs shows."""
    columns = set(chain.from_iterable(s.metrics for s in material.subjects))
    return columns - shortcut.columns(material) - grouped_regression.columns(material)


def drawn_groups(measured: Measured) -> set[str]:
    """The groups with a line in some panel."""
    return set(chain.from_iterable(bands for _, bands in measured))


def _axes(material: Material, measured: Measured) -> tuple[Mapping[Scale, StepAxis], Mapping[Scale, StepAxis]]:
    """The step axis of the learning curves, and that of what is measured more rarely and seldom from the start."""
    rare = chain.from_iterable(bands_of_groups.values() for d, bands_of_groups in measured if not d.every_evaluation)
    bands = [band.step for band in rare]
    shared: dict[Scale, StepAxis] = {scale: curve_axis(material.lead, scale) for scale in ("log", "linear")}
    return shared, {scale: step_axis(scale, bands, axis.unit) for scale, axis in shared.items()}


def column_panel(d: Described, bands: dict[str, Band], order: list[str], axis: Mapping[Scale, StepAxis]) -> Panel:
    """One column: a line with its band for each group."""
    ends = "; ".join(f"{name} from {short(b.median[0])} to {short(b.median[-1])}" for name, b in bands.items())
    return Panel(
        lambda figure, scale: draw_column(figure, d, bands, order, axis[scale]),
        SIZE,
        f"{d.title} against step, median per group: {ends}.",
        note=d.meaning,
        hover=Hover(axis.__getitem__, LEFT, WIDTH - RIGHT, {name: (b.step, b.median) for name, b in bands.items()}),
        label=d.title,
        sample=bands_sample(bands),
        data=lambda: bands_rows(bands),
    )
