"""What a section that not every report has is made of: words, figures, tables and pictures, laid out by one template.

Such a section returns a `Section`; the page shows its blocks in order, and its figures also go into files.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from markupsafe import Markup

from grokscope.report.draw.axis import Scale
from grokscope.report.draw.keys import line
from grokscope.report.draw.panel_sheet import Cell as SheetCell
from grokscope.report.draw.panel_sheet import Key as SheetKey
from grokscope.report.draw.panel_sheet import save_sheet
from grokscope.report.draw.style import colour
from grokscope.report.draw.svg import plain, to_svg
from grokscope.report.panels import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[["Figure", float, float, Scale], None]
"""Draws at (left, top) in points with the given step axis."""


@dataclass(frozen=True)
class Panel:
    """One figure of a section. `alt` says what it shows, with its numbers."""

    draw: Draw
    size: tuple[float, float]
    alt: str
    name: str = ""
    note: str = ""
    steps: bool = True
    """Whether it has a step axis, and so a log and a linear form."""


@dataclass(frozen=True)
class Entry:
    """One entry of a key: a line in a palette colour, dashed or not, or a thick pale one for a band."""

    words: str
    role: str
    dash: tuple[float, ...] = ()
    width: float = 2.2
    band: bool = False


@dataclass(frozen=True)
class Words:
    text: str
    kind: Literal["note", "h3", "lead", "warning"] = "note"


@dataclass(frozen=True)
class Plots:
    """Panels of one size with one key; `slug` names the file of all of them."""

    slug: str
    panels: Sequence[Panel]
    key: Sequence[Entry] = ()
    style: str = ""
    columns: int = 3


@dataclass(frozen=True)
class Value:
    """A table's cell: text, what stands small beneath it, and how strongly it is shaded (0 to 1)."""

    main: str
    sub: str = ""
    shade: float | None = None
    number: bool = True


@dataclass(frozen=True)
class Row:
    label: str
    cells: Sequence[Value]
    anchor: str | None = None
    """Id on this page that the label leads to."""


@dataclass(frozen=True)
class Table:
    """Rows under headed groups; a group without a name has no head."""

    label: str
    head: Sequence[str]
    groups: Sequence[tuple[str, Sequence[Row]]]
    compact: bool = False
    """As narrow as its content."""
    folded: bool = False
    """Shut until it is opened, and open on paper."""

    @property
    def right(self) -> list[bool]:
        """Which columns hold numbers, and are set to the right, by the first row."""
        rows = [row for _, members in self.groups for row in members]
        return [False, *(v.number for v in rows[0].cells)] if rows else [False] * len(self.head)


FOLDED = 4
"""Above this many groups a long table starts folded: people look at the figures first."""


@dataclass(frozen=True)
class Picture:
    """An image that the page carries inside itself."""

    href: str
    alt: str
    note: str = ""


Block = Words | Plots | Table | Picture


@dataclass(frozen=True)
class Section:
    key: str
    nav: str
    title: str
    blocks: Sequence[Block]
    columns: frozenset[str] = field(default=frozenset())
    """Columns of the metrics that are shown here, and therefore not once more among the diagnostics."""


def laid_out(section: Section) -> dict[str, Any]:
    """The section as the template reads it."""
    shown = [
        {"kind": type(b).__name__.lower(), **(_plots(section.key, b) if isinstance(b, Plots) else {"it": b})}
        for b in section.blocks
    ]
    return {"key": section.key, "nav": section.nav, "title": section.title, "blocks": shown}


def _plots(front: str, plots: Plots) -> dict[str, Any]:
    key = [
        (line(e.role, 7 if e.band else e.width, _dash(e), opacity=0.25 if e.band else 1.0), e.words) for e in plots.key
    ]
    panels = [_shown(f"{front}-{plots.slug}{i}", p) for i, p in enumerate(plots.panels)]
    return {"it": plots, "legend": key, "panels": panels}


def _dash(entry: Entry) -> str:
    return " ".join(f"{v:g}" for v in entry.dash)


def _shown(key: str, panel: Panel) -> Shown:
    def svg(scale: Scale) -> Markup:
        return Markup(to_svg(lambda figure: panel.draw(figure, 0, 0, scale), *panel.size, f"{key}-{scale[:3]}"))

    log = svg("log")
    return Shown(log, svg("linear") if panel.steps else Markup(""), plain(panel.alt), plain(panel.name), (), panel.note)


def write_sections(sections: Sequence[Section], folder: Path, formats: tuple[str, ...]) -> list[Path]:
    """Every block of figures as one sheet, named after section and block."""
    made = []
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Plots) and block.panels:
                path = folder / f"{section.key}_{block.slug}"
                made += save_sheet(
                    [SheetCell(_at(p), p.name) for p in block.panels],
                    (block.panels[0].size[0], max(p.size[1] for p in block.panels)),
                    path,
                    formats,
                    block.columns,
                    [_sheet_key(e) for e in block.key],
                )
    return made


def _at(panel: Panel) -> "Callable[[Figure, float, float], None]":
    return lambda figure, left, top: panel.draw(figure, left, top, "log")


def _sheet_key(entry: Entry) -> SheetKey:
    dash: Any = (0, entry.dash) if entry.dash else "solid"
    look = {"color": colour(entry.role), "linewidth": 6 if entry.band else entry.width, "linestyle": dash}
    return SheetKey(entry.words, look | ({"alpha": 0.3} if entry.band else {}))
