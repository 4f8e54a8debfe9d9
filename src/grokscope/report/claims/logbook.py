"""The claims as a Trackio logbook: pages of cells below ``.trackio/logbook``, in the layout that ``trackio logbook``
reads (schema 2 of its manifest, which it makes itself by scanning the pages; looked up in trackio 0.43.0).

    .trackio/metadata.json                     emoji, date
    .trackio/logbook/pages/index.md            title, and the table of pages
    .trackio/logbook/pages/<slug>/page.md      a title, then cells: a rule, a comment with JSON, the body

Nothing of trackio is imported: the logbook is written with or without it.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grokscope.configio import content_hash
from grokscope.figures.canvas import to_svg
from grokscope.figures.style import LIGHT, css_variables
from grokscope.files import write_atomic
from grokscope.report.claims.markdown import claim_body
from grokscope.report.claims.words import TITLE, by_source, tally
from grokscope.report.draw.claim import SIZE, draw_claim
from grokscope.results.claims import ClaimFigure, ClaimResult, Claims

LOGBOOK = Path(".trackio") / "logbook"


def write_logbook(claims: Claims, figures: Mapping[str, ClaimFigure], folder: Path, now: str) -> Path:
    """Write the logbook into a folder, to be opened there with ``trackio logbook open``: a page for each source, with a
    cell of text and a cell with the figure for each claim.

    Args:
        now: date and time that its cells carry, ISO 8601.

    Raises:
        ValueError: where the folder holds a logbook of something else, which is left as it is.
    """
    root = folder / LOGBOOK
    index = root / "pages" / "index.md"
    if index.exists() and f"# {TITLE}\n" not in index.read_text(encoding="utf-8"):
        raise ValueError(f"{folder}: there is a logbook of something else already; choose another folder")
    pages = [
        (f"{i + 1}-{_slug(source)}", source, source_claims)
        for i, (source, source_claims) in enumerate(by_source(claims).items())
    ]
    for slug, source, source_claims in pages:
        cells = [cell for claim in source_claims for cell in _cells(claim, figures.get(claim.id), now)]
        _write(root / "pages" / slug / "page.md", f"# {source}\n" + "".join(cells))
    rows = [f"| [{source.replace('|', '/')}](#/{slug}) |" for slug, source, _ in pages]
    _write(index, "\n".join([f"# {TITLE}", "", tally(claims), "", "## Pages", "", "| Page |", "| --- |", *rows, ""]))
    metadata = {"space_id": None, "emoji": "🔬", "created_at": now}
    _write(folder / ".trackio" / "metadata.json", json.dumps(metadata, indent=2, ensure_ascii=False))
    return root


def _cells(claim: ClaimResult, figure: ClaimFigure | None, now: str) -> list[str]:
    cells = [_cell("markdown", f"{claim.words}: {claim.id}", "\n".join(claim_body(claim)), claim.id, now)]
    if figure is not None:
        svg = to_svg(lambda f: draw_claim(f, figure), *SIZE, f"claim-{claim.id}")
        html = f"<style>:root{{{css_variables(LIGHT)}}}</style>{svg}"
        cells.append(_cell("figure", f"{claim.id}: {figure.column}", f"````html\n{html}\n````\n", f"{claim.id}-f", now))
    return cells


def _cell(kind: str, title: str, body: str, key: str, now: str) -> str:
    """A cell as ``trackio logbook`` appends it. Its id follows from the claim: written anew, it is the same cell."""
    about: dict[str, Any] = {"type": kind, "id": f"cell_{content_hash(key)[:12]}", "created_at": now, "title": title}
    return f"\n\n---\n<!-- trackio-cell\n{json.dumps(about, ensure_ascii=False)}\n-->\n{body.strip()}\n"


def _slug(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9]+", "-", text.strip().lower()).strip("-")[:60] or "page"


def _write(path: Path, text: str) -> None:
    write_atomic(path, lambda file: file.write(text.encode()))
