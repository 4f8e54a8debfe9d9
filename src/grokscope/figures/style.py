"""One palette for page, SVG, PNG and PDF: every color has a role, a light and a dark value.

Figures are drawn in the light values. In the page's SVG each of them becomes a CSS variable, so that one drawing serves
light, dark and paper; the light values are therefore all different. Hues follow Okabe & Ito (2008), darkened until
text in them has a contrast of at least 4.5 on the page (a test keeps that); color is never the only sign.
"""

from typing import Any

from grokscope.vocabulary.verdicts import KINDS

LIGHT, DARK = 0, 1

PALETTE: dict[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#15171b"),
    "raised": ("#f6f7f8", "#1d2026"),
    "ink": ("#1c1f24", "#e9eaed"),
    "muted": ("#5c626d", "#a5abb7"),
    "line": ("#dddfe4", "#343840"),
    "train": ("#747b88", "#9299a6"),
    "held-1": ("#0e62b0", "#6db3ff"),
    "held-2": ("#b14e08", "#f2a056"),
    "held-3": ("#7a3ea2", "#c99cf0"),
    "held-4": ("#0f766e", "#5ccfc3"),
    **{kind.name: kind.color for kind in KINDS},
    "none": ("#666c78", "#a8aebb"),
    "group-1": ("#0f68b2", "#6ab1fb"),
    "group-2": ("#bd5b06", "#f0a04e"),
    "group-3": ("#12805e", "#50d0a0"),
    "group-4": ("#86499f", "#cfa0ee"),
    "group-5": ("#be3149", "#ff8d9c"),
    "group-6": ("#167d90", "#56c8dc"),
    "group-7": ("#6b6a10", "#cfcb52"),
    "group-8": ("#4b5563", "#bcc3cf"),
}
PROBE_DASH = (0, (3.5, 2))
"""Of the linear probe, which is drawn in the color of the curve that it explains."""
GROUP_COLORS = 8
DASHES: tuple[Any, ...] = (
    "solid", (0, (5, 2)), (0, (1.2, 1.6)), (0, (6, 2, 1.2, 2)), (0, (11, 3)), (0, (6, 2, 1.2, 2, 1.2, 2)),
    (0, (1.2, 4)), (0, (11, 2, 4, 2)),
)  # fmt: skip
"""Line styles that tell eight groups apart without color, as a copier or a printer without it shows them. After eight
the colors begin again, with other styles."""
GROUP_MARKERS = ("o", "s", "^", "D", "v")
"""Shapes that tell groups apart where their lines mean something else."""
HELD_DASHES: tuple[Any, ...] = ("solid", (0, (1.2, 1.6)), (0, (6, 2, 1.2, 2)), (0, (11, 3)))
"""Of held-out splits; the plain dash is the linear probe's."""

LABEL, SMALL = 11.5, 11.0
"""Sizes of text in figures, in points of a drawing up to `NARROW` wide: headings and axes, and what is least. On a
phone, where such a drawing is as wide as the screen, none of it is below 11 pixels."""
NARROW = 358.0
"""Width in points of a panel that fills a phone's screen of 390 pixels between the page's margins."""

FONT_STACK = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", Arial, sans-serif'


def color(role: str, mode: int = LIGHT) -> str:
    return PALETTE[role][mode]


def group_color(index: int) -> str:
    return color(f"group-{index % GROUP_COLORS + 1}")


def group_dash(index: int) -> Any:
    return DASHES[(index + index // GROUP_COLORS) % len(DASHES)]


def held_dash(index: int) -> Any:
    """The line style of a held-out split, by its place among those that are drawn."""
    return HELD_DASHES[index % len(HELD_DASHES)]


def group_marker(index: int) -> str:
    """The shape of a group's points."""
    return GROUP_MARKERS[index % len(GROUP_MARKERS)]


def css_variables(mode: int) -> str:
    return "".join(f"--{role}:{values[mode]};" for role, values in PALETTE.items())


RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "grokscope",
    "pdf.fonttype": 42,
    "path.simplify": True,
    "path.simplify_threshold": 0.15,
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],  # ships with matplotlib: the same layout everywhere
    "font.size": LABEL,
    "axes.unicode_minus": True,
    "axes.edgecolor": color("line"),
    "axes.linewidth": 1.0,
    "axes.labelcolor": color("muted"),
    "axes.labelsize": SMALL,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": color("ink"),
    "xtick.color": color("line"),
    "ytick.color": color("line"),
    "xtick.labelcolor": color("muted"),
    "ytick.labelcolor": color("muted"),
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.size": 3.5,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
"""Settings of every figure; used through `matplotlib.rc_context`, so that the caller's own settings stay untouched."""
