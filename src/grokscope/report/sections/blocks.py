"""Blocks of sections: text, plots, tables, images, downloads. The page shows them in order, and figure files are
written from the same blocks.

Text inside a block is a string or a sequence of strings and small pieces: code, a link, a verdict's chip.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from markupsafe import Markup

from grokscope.figures.keys import Entry
from grokscope.report.draw.axis import Scale, StepAxis

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

Draw = Callable[["FigureBase", Scale], None]
"""Draws a whole figure, or one part of a sheet, with the given step axis."""

# -- pieces of text ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Code:
    """What is typed, or stands in a file."""

    kind: ClassVar = "code"
    text: str


@dataclass(frozen=True)
class Link:
    """To another place on this page (``#run-3``), or data to be saved under the name `download`."""

    kind: ClassVar = "link"
    text: str
    href: str
    download: str = ""


@dataclass(frozen=True)
class Strong:
    kind: ClassVar = "strong"
    text: str
    role: str = ""


@dataclass(frozen=True)
class Muted:
    kind: ClassVar = "muted"
    text: str


@dataclass(frozen=True)
class Symbol:
    """A letter with its index: T_fit."""

    kind: ClassVar = "symbol"
    text: str
    under: str


@dataclass(frozen=True)
class Chip:
    """A verdict, or the word for a run without one, with its pictogram; `more` is what stands beside it."""

    kind: ClassVar = "chip"
    outcome: str
    more: str = ""
    count: int | None = None


@dataclass(frozen=True)
class Mark:
    """A sign with the word that says the same."""

    kind: ClassVar = "mark"
    sign: str
    text: str
    role: str


@dataclass(frozen=True)
class Drawing:
    """A drawing in the size of a word."""

    kind: ClassVar = "drawing"
    svg: Markup


Piece = str | Code | Link | Strong | Muted | Symbol | Chip | Mark | Drawing
Text = Piece | Sequence[Piece]

# -- blocks -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Words:
    text: Text
    style: Literal["note", "h3", "lead", "warning", "small", "plain"] = "note"


@dataclass(frozen=True)
class Bullets:
    lines: Sequence[Text]


@dataclass(frozen=True)
class Download:
    """Data that the page carries and a reader can save. `before` leads to the link. With `content` it is a file of this
    name beside the page instead, to which `href` leads."""

    before: str
    name: str
    href: str
    text: str = ""
    content: Callable[[], str] | None = None


@dataclass(frozen=True)
class Pairs:
    """Terms with what they mean: a list, a dense table of settings, or cards."""

    items: Sequence[tuple[Text, Text]]
    style: Literal["list", "settings", "cards"] = "list"


@dataclass(frozen=True)
class Hover:
    """What a panel says where the pointer is: the values of its curves at the nearest of their steps.

    `left` and `right` are the ends of the step axis in points; `curves` maps a name to (steps, values).
    """

    axis: Callable[[Scale], StepAxis]
    left: float
    right: float
    curves: Mapping[str, tuple[Any, Any]]


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
    counts: Sequence[tuple[str, int]] = ()
    """Outcomes of the runs in it, and how often."""
    titles: Mapping[str, str] = field(default_factory=dict)
    """gid of an artist -> what it says when the pointer rests on it."""
    hover: Hover | None = None
    words: str = ""
    """What stands beneath the name where the panel is a file."""
    label: str = ""
    """What captions and data call it, where it has no name on the page."""
    sample: str = ""
    """How many runs or draws are drawn, and what their intervals are: ``5 runs; band: smallest to largest``. The
    caption beside the file says it after ``n =``."""
    data: Callable[[], Sequence[Mapping[str, Any]]] | None = None
    """Makes the numbers that are drawn, a row each, for the CSV beside the file."""


@dataclass(frozen=True)
class Plots:
    """Panels of one size with one key. Files are named after the section and `slug`, or `file` where it is given.

    `caption` says in one or two sentences what is drawn, for the text beside the file; without one the panels' names
    and samples are all that it holds.
    """

    slug: str
    panels: Sequence[Panel]
    key: Sequence[Entry] = ()
    style: str = ""
    columns: int = 3
    file: str = ""
    linear_file: bool = False
    """Whether the linear form is also written, as ``<file>_linear``."""
    switch: bool = False
    """Whether the switch between the forms stands here; once on a page."""
    caption: str = ""
    axes: Callable[[Scale], str] | None = None
    """What the axes show, beneath the panels of a file where these are too small for labels of their own."""


@dataclass(frozen=True)
class Value:
    """A table's cell: text, what stands small beneath it, and how strongly it is shaded (0 to 1)."""

    main: Text
    sub: str = ""
    shade: float | None = None
    number: bool = True
    title: str = ""
    span: int = 1
    sort: float | None = None
    """By what a column of numbers is sorted; without one the cell stands last."""
    narrow: bool = False


@dataclass(frozen=True)
class Row:
    label: Text
    cells: Sequence[Value]
    anchor: str | None = None
    """Id on this page that the label leads to."""
    key: str = ""
    """Id of the row."""


class Group(NamedTuple):
    """Rows under a head; without a name they have none."""

    name: str
    rows: Sequence[Row]
    counts: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True)
class Head:
    """A column's head with more than a word."""

    text: Text
    sub: str = ""
    number: bool = True


@dataclass(frozen=True)
class Table:
    """Rows under headed groups."""

    label: str
    head: Sequence[str | Head]
    groups: Sequence[Group]
    compact: bool = False
    """As narrow as its content."""
    folded: bool = False
    """Shut until it is opened, and open on paper."""
    style: str = "stub"
    runs: bool = False
    """A row for each run: it can be sorted and filtered where scripts run."""
    summary: Text = ""
    """Of a folded table; else its label."""

    @property
    def heads(self) -> list[Head]:
        """Columns of numbers are set to the right; where the head does not say, the first row does."""
        first = next((g.rows[0] for g in self.groups if g.rows), None)
        numbers = [False, *(v.number for v in first.cells)] if first is not None else []
        numbers += [False] * (len(self.head) - len(numbers))
        return [h if isinstance(h, Head) else Head(h, number=n) for h, n in zip(self.head, numbers, strict=False)]

    @property
    def wide(self) -> bool:
        """Whether it has to scroll on a narrow screen."""
        return len(self.head) > (4 if self.compact else 3)


FOLDED = 4
"""Above this many groups a long table starts folded: people look at the figures first."""


@dataclass(frozen=True)
class Picture:
    """An image that the page carries inside itself."""

    href: str
    alt: str
    note: str = ""


@dataclass(frozen=True)
class Fold:
    """Blocks that are shut until they are opened."""

    summary: Text
    blocks: "Sequence[Block]"
    key: str = ""
    small: bool = False


Block = Words | Bullets | Plots | Table | Picture | Download | Pairs | Fold


def every_block(blocks: Sequence[Block]) -> Iterator[Block]:
    """The blocks in order, and after each fold those within."""
    for block in blocks:
        yield block
        if isinstance(block, Fold):
            yield from every_block(block.blocks)


@dataclass(frozen=True)
class Section:
    key: str
    nav: str
    title: str
    blocks: Sequence[Block]
    columns: frozenset[str] = field(default=frozenset())
    """Columns of the metrics that are shown here, and therefore not once more among the other ones."""


def figure_name(section: str, plots: Plots) -> str:
    """The stem of a figure's files: ``survival``, or ``dissection_m4``; one that is called as its section is says it
    once. It depends on nothing that was measured, so a paper can refer to it."""
    if plots.file:
        return plots.file
    return section if plots.slug == section else f"{section}_{plots.slug}"


def wide(panels: Sequence[Panel]) -> str:
    """Few panels stand larger."""
    return "wide" if len(panels) in (1, 2, 4) else ""
