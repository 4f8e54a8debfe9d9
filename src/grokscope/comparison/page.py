"""The comparison as one self-contained HTML page."""

from pathlib import Path

from grokscope.comparison.compared import Compared
from grokscope.comparison.sections import sections_of
from grokscope.report.page import page_of
from grokscope.report.read.summary import this_version
from grokscope.results.comparison import Comparison


def write_page(compared: Compared, out: str | Path) -> Path:
    """Write the page to `out` and return its path. Raises ValueError where its folder does not exist."""
    out = Path(out)
    if not out.parent.is_dir():
        raise ValueError(f"{out}: there is no folder {out.parent}")
    title = f"{compared.record.a.name} against {compared.record.b.name}"
    sections = sections_of(compared.record, compared.curves)
    page = page_of(title, _header(compared.record), sections, template="comparison.html.j2")
    out.write_text(page, encoding="utf-8", newline="\n")
    return out


def _header(compared: Comparison) -> dict[str, object]:
    return {
        "sides": [{"name": side.name, "source": side.source} for side in compared.sides],
        "says": compared.says,
        "facts": [f"{side.name}: {side.source}" for side in compared.sides]
        + [f"comparison by grokscope {this_version()}"],
    }
