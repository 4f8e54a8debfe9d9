"""Which sections a report has beyond those that every report has; each appears only when its data do."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grokscope.report.build import Material
    from grokscope.report.sections.blocks import Section


def extras_of(material: "Material") -> "list[Section]":
    """In the page's order."""
    from grokscope.report.sections.dissection import dissection_section
    from grokscope.report.sections.grouped_regression import codes_section
    from grokscope.report.sections.shortcut import shortcut_section

    found = (make(material) for make in (shortcut_section, dissection_section, codes_section))
    return [section for section in found if section is not None]
