"""What the runs measured beside accuracy, one panel for each column that no other section shows."""

from collections.abc import Mapping

from grokscope.report.draw.axis import Scale, StepAxis, curve_axis, step_axis
from grokscope.report.draw.keys import group_key
from grokscope.report.draw.measured_columns import LEFT, RIGHT, SIZE, WIDTH, draw_diagnostic
from grokscope.report.read.bands import Band
from grokscope.report.read.material import Material
from grokscope.report.read.measured_columns import LINES, Diagnostic, diagnostics_in, group_bands
from grokscope.report.sections import grouped_regression, shortcut
from grokscope.report.sections.blocks import Hover, Panel, Plots, Section, Words
from grokscope.vocabulary.text import short

PLACE = 80.0
Measured = list[tuple[Diagnostic, dict[str, Band]]]


def section(material: Material) -> Section | None:
    """None where nothing else was measured."""
    groups = material.groups()
    columns = {column for s in material.subjects for column in s.metrics}
    columns -= shortcut.columns(material) | grouped_regression.columns(material)
    measured = [(d, group_bands(d, groups)) for d in diagnostics_in(columns, material.splits)]
    measured = [(d, bands) for d, bands in measured if bands]
    if not measured:
        return None
    order = list(groups)
    shared, rare = _axes(material, measured)
    panels = [_panel(d, bands, order, shared if d.loss else rare) for d, bands in measured]
    drawn = order[:LINES]
    more = f" Of {len(order)} groups the first {len(drawn)} with data are drawn." if len(order) > len(drawn) else ""
    intro = (
        "What the runs measured beside accuracy: one line per group (median over seeds). Losses share the "
        "step axis of the learning curves; the rest, measured more rarely, has its own." + more
    )
    plots = Plots("d", panels, group_key(drawn), file="diagnostics")
    return Section("diagnostics", "Other diagnostics", "Other diagnostics", [Words(intro), plots])


def _axes(material: Material, measured: Measured) -> tuple[Mapping[Scale, StepAxis], Mapping[Scale, StepAxis]]:
    """The step axis of the learning curves, and that of what is measured more rarely and seldom from the start."""
    bands = [band.step for d, found in measured if not d.loss for band in found.values()]
    shared: dict[Scale, StepAxis] = {scale: curve_axis(material.lead, scale) for scale in ("log", "linear")}
    return shared, {scale: step_axis(scale, bands, axis.unit) for scale, axis in shared.items()}


def _panel(d: Diagnostic, bands: dict[str, Band], order: list[str], axis: Mapping[Scale, StepAxis]) -> Panel:
    ends = "; ".join(f"{name} from {short(b.median[0])} to {short(b.median[-1])}" for name, b in bands.items())
    return Panel(
        lambda figure, scale: draw_diagnostic(figure, d, bands, order, axis[scale]),
        SIZE,
        f"{d.title} against step, median per group: {ends}.",
        note=d.meaning,
        hover=Hover(axis.__getitem__, LEFT, WIDTH - RIGHT, {name: (b.step, b.median) for name, b in bands.items()}),
    )
