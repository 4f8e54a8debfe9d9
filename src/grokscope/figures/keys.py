"""Keys of figures: each entry is drawn as a small inline SVG for the page and as matplotlib's legend for files, from
the same description."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from grokscope.figures.style import GROUP_COLORS, PROBE_DASH, color, group_dash, held_dash

if TYPE_CHECKING:
    from matplotlib.artist import Artist

SHAPES = {
    "o": '<circle cx="13" cy="7" r="4" {look}/>',
    "D": '<path d="M13 2l5 5-5 5-5-5z" {look}/>',
    ">": '<path d="M2 7h14" stroke="var(--{role})" stroke-width="1.5"/><path d="M16 2.5L24 7l-8 4.5z" {look}/>',
    "s": '<path d="M9.5 3.5h7v7h-7z" {look}/>',
    "x": '<path d="M9.5 3.5l7 7m0-7l-7 7" {look}/>',
    "^": '<path d="M13 2.5l4.5 8h-9z" {look}/>',
    "v": '<path d="M13 11.5l4.5-8h-9z" {look}/>',
    "|": '<path d="M1 7H25M13 2v10" stroke="var(--{role})" stroke-width="1.7" fill="none"/>',
}
"""Markers as SVG in a box of 26 by 14."""
SAMPLE, LONG_SAMPLE = 26, 52
"""Length of a line on the page; a long dash would look like a solid line in the shorter one."""


@dataclass(frozen=True)
class Entry:
    """One entry of a key: a line in a palette color, dashed or not; with a band around it, or a band alone; or a
    marker."""

    words: str
    role: str
    dash: tuple[float, ...] = ()
    width: float = 2.2
    band: bool = False
    marker: str = ""
    filled: bool = True
    """Whether the marker is filled with its color, or with the paper's."""


def inline_svg(entry: Entry) -> Markup:
    """The entry as a piece of the page."""
    long = 2 * sum(entry.dash) > SAMPLE - 4
    width = LONG_SAMPLE if long else SAMPLE
    if entry.marker:
        face = entry.role if entry.filled else "paper"
        look = f'fill="var(--{face})" stroke="var(--{entry.role})" stroke-width="1.5"'
        inside = SHAPES[entry.marker].format(look=look, role=entry.role)
    else:
        thick = 7.0 if entry.band else entry.width
        look = f'stroke="var(--{entry.role})" stroke-width="{thick:g}" fill="none"'
        if entry.dash:
            dash = " ".join(f"{2 * v:g}" for v in entry.dash)
            look += f' stroke-dasharray="{dash}"'
        if entry.band:
            look += ' opacity="0.25"'
        inside = f'<path d="M1 7H{width - 1}" {look}/>'
    size = ' class="long"' if long else ""
    return Markup(f'<svg{size} viewBox="0 0 {width} 14" aria-hidden="true" focusable="false">{inside}</svg>')


def handle(entry: Entry) -> "Artist":
    """The entry as matplotlib's legend wants it."""
    from matplotlib.lines import Line2D

    shade = color(entry.role)
    if entry.marker:
        face = shade if entry.filled else color("paper")
        size = 9 if entry.marker == "|" else 5.5
        return Line2D([], [], linestyle="none", marker=entry.marker, color=shade, markerfacecolor=face, markersize=size)
    look: dict[str, Any] = {"linewidth": entry.width, "linestyle": "solid"}
    if entry.band:
        look |= {"linewidth": 6, "alpha": 0.3}
    if entry.dash:
        look["linestyle"] = (0, entry.dash)
    return Line2D([], [], color=shade, **look)


def curve_key(splits: Sequence[str], probed: bool = False, medians_only: bool = False) -> list[Entry]:
    """`probed`: whether some panel shows a linear probe; `medians_only`: no milestones are drawn."""
    held = [
        Entry(_held(name), f"held-{i % 4 + 1}", () if held_dash(i) == "solid" else held_dash(i)[1], 2.6)
        for i, name in enumerate(splits)
    ]
    lines = [Entry("train", "train", width=2.0), *held, Entry("band over runs", "held-1", band=True)]
    if probed:
        lines.append(Entry("linear probe of the last hidden layer", "held-1", PROBE_DASH[1], 1.6))
    lines += [
        Entry("threshold of the verdict", "muted", (2.5, 1.5), 1.3),
        Entry("trivial predictor", "muted", (0.5, 1.25), 1.5),
    ]
    if medians_only:
        return lines
    return [
        *lines,
        Entry("train fitted", "train", marker="o", filled=False),
        Entry("generalized (its interval shaded)", "ink", marker="D"),
        Entry("not by the last evaluation (censored)", "ink", marker=">", filled=False),
    ]


def _held(split: str) -> str:
    if split in ("held_out", "held-out"):
        return "held out"
    return f"{split}, held out"


def group_key(groups: Sequence[str], drawn: Collection[str] | None = None) -> list[Entry]:
    """The color and the dash of each group, the same in all figures; of the groups that a figure draws, where it does
    not draw all."""
    out = []
    for i, name in enumerate(groups):
        dash = group_dash(i)
        if drawn is None or name in drawn:
            out.append(Entry(name, f"group-{i % GROUP_COLORS + 1}", () if dash == "solid" else dash[1], 2.4))
    return out


def censored_entry() -> Entry:
    return Entry("censored: run ended before", "ink", marker="|")
