"""matplotlib figures as small, themable SVG for the page, and as byte-reproducible PNG and PDF files."""

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from grokscope.figures.axes import POINTS
from grokscope.figures.style import LIGHT, PALETTE, RC
from grokscope.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONG = 300
"""Characters from which a path is a curve: its points are written to a tenth of a unit, less than a pixel's tenth."""

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_ROLE = {values[LIGHT]: role for role, values in PALETTE.items()}
_NUMBER = re.compile(r"-?\d+\.\d+")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

_UNDATED = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}
"""Nothing in a file says when or by which version it was drawn: the same input gives the same bytes."""

Draw = Callable[["Figure"], None]


def plain(text: object) -> str:
    """Text without the control characters that XML cannot hold."""
    return _CONTROL.sub("�", str(text))


def drawn(draw: Draw, width: float, height: float) -> "Figure":
    """A figure of the given size in points, drawn with the report's settings."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(RC):
        figure = Figure(figsize=(width / POINTS, height / POINTS))
        FigureCanvasAgg(figure)
        draw(figure)
    return figure


def to_svg(draw: Draw, width: float, height: float, key: str, titles: Mapping[str, str] | None = None) -> str:
    """Draw and return an ``<svg>`` element to put inside a page.

    Args:
        key: prefix of every id, unique on the page.
        titles: gid of an artist -> text shown when the pointer rests on it.
    """
    import matplotlib as mpl

    figure = drawn(draw, width, height)
    buffer = io.StringIO()
    with mpl.rc_context(RC):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _clean(buffer.getvalue(), key, titles or {})


def write(figure: "Figure", path: Path, formats: tuple[str, ...]) -> list[Path]:
    """Write `path` with each format's suffix, on white, without dates; return the files."""
    import matplotlib as mpl

    files = []
    for suffix in formats:
        target = path.with_suffix(f".{suffix}")
        with mpl.rc_context(RC):
            look = {"format": suffix, "dpi": 200, "facecolor": "white", "metadata": _UNDATED[suffix]}
            write_atomic(target, lambda file, look=look: figure.savefig(file, **look))
        files.append(target)
    return files


def _clean(text: str, key: str, titles: Mapping[str, str]) -> str:
    root = ET.fromstring(text)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{_SVG}metadata" or child.tag == f"{_SVG}style":
                parent.remove(child)
    used = _references(root)
    for element in root.iter():
        _rewrite(element, key, used, titles)
    _unwrap(root)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("class", "plot")
    root.set("aria-hidden", "true")
    root.set("focusable", "false")
    ET.register_namespace("", _SVG[1:-1])
    return re.sub(r">\s+<", "><", ET.tostring(root, encoding="unicode")).strip()


def _references(root: ET.Element) -> set[str]:
    references = set()
    for element in root.iter():
        for name, value in element.attrib.items():
            references.update(_REFERENCE.findall(value))
            if name == _XLINK:
                references.add(value[1:])
    return references


def _rewrite(element: ET.Element, key: str, used: set[str], titles: Mapping[str, str]) -> None:
    """Ids get the prefix or go; numbers keep two decimals; colors become variables; fonts come from the page."""
    attributes = element.attrib
    identity = attributes.pop("id", None)
    if identity is not None and identity in titles:
        attributes["class"] = "hit"
        title = ET.Element(f"{_SVG}title")
        title.text = plain(titles[identity])
        element.insert(0, title)
    elif identity is not None and identity in used:
        attributes["id"] = f"{key}-{identity}"
    if _XLINK in attributes:  # HTML knows no namespace prefixes but the plain attribute
        target = attributes.pop(_XLINK)
        attributes["href"] = target if target.startswith("data:") else f"#{key}-{target[1:]}"
    if "rotate(-0 " in attributes.get("transform", ""):
        attributes.pop("transform")
    for name, value in list(attributes.items()):
        if name in ("d", "transform", "x", "y", "points"):
            attributes[name] = " ".join(_NUMBER.sub(_tenth if len(value) > LONG else _hundredth, value).split())
        elif name == "style":
            attributes[name] = _style(value)
        attributes[name] = _REFERENCE.sub(rf"url(#{key}-\1)", attributes[name])


def _unwrap(root: ET.Element) -> None:
    """Put the only child of a group without attributes in its place: matplotlib wraps every line in two of them."""
    for parent in list(root.iter()):
        for i, child in enumerate(list(parent)):
            while child.tag == f"{_SVG}g" and not child.attrib and len(child) == 1:
                child = child[0]
            parent[i] = child


def _hundredth(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _tenth(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def _style(value: str) -> str:
    kept = []
    for declaration in value.split(";"):
        name, _, setting = (part.strip() for part in declaration.partition(":"))
        if name in ("font-family", "stroke-linejoin") or not name:
            continue
        if name == "font":  # "10px 'DejaVu Sans'": the size stays
            name, setting = "font-size", next(w for w in setting.split() if w.endswith("px"))
        role = _ROLE.get(setting)
        kept.append(f"{name}:{f'var(--{role})' if role else setting}")
    return ";".join(kept)
