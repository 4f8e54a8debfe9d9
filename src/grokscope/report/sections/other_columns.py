"""Columns without a description, such as a user's own measurements, drawn under their plain names."""

from itertools import chain

from grokscope.figures.keys import group_key
from grokscope.report.draw.axis import Scale, StepAxis, curve_axis, step_axis
from grokscope.report.read.material import Material
from grokscope.report.read.measured_columns import group_bands, left_out
from grokscope.report.sections.blocks import Block, Plots, Section, Words
from grokscope.report.sections.measured_columns import Measured, column_panel, columns_left, drawn_groups
from grokscope.vocabulary.columns import undescribed
from grokscope.vocabulary.text import listed, plural

PLACE = 85.0
DRAWN = 24
"""A log of hundreds of columns would bury the page: the first ones get a plot, the others are named."""
NAMED = 60
"""Names that the page spells out; all columns are in each run's CSV."""


def section(material: Material) -> Section | None:
    """None where the vocabulary describes every column."""
    groups = material.groups()
    measured: Measured = []
    without, more = [], []
    for column in undescribed(columns_left(material), material.splits):
        if len(measured) == DRAWN:
            more.append(column.column)
        elif bands := group_bands(column, groups):
            measured.append((column, bands))
        else:
            without.append(column.column)
    if not measured and not without:
        return None
    order = list(groups)
    axis = _axis(material, measured)
    plots = [column_panel(d, bands, order, axis) for d, bands in measured]
    intro = (
        f"Logged numbers without a description, under their original names: one line per group (median over seeds), "
        f"on their own step axis.{left_out(order)}"
    )
    content: list[Block] = [Words(intro)]
    if plots:
        content.append(Plots("o", plots, group_key(order, drawn_groups(measured)), file="other_columns", caption=intro))
    for names, why in ((without, "without a finite value"), (more, "not drawn, but available in the CSV of each run")):
        if names:
            content.append(Words(f"{plural(len(names), 'column')} {why}: {_names(names)}."))
    return Section("other-columns", "Other columns", "Other columns", content)


def _axis(material: Material, measured: Measured) -> dict[Scale, StepAxis]:
    steps = [band.step for band in chain.from_iterable(bands.values() for _, bands in measured)]
    unit = curve_axis(material.lead, "log").unit
    return {scale: step_axis(scale, steps, unit) for scale in ("log", "linear")}


def _names(names: list[str]) -> str:
    return listed(names) if len(names) <= NAMED else f"{', '.join(names[:NAMED])} and {len(names) - NAMED:,} more"
