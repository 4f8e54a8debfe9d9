"""The page: a header with the results, and every section's blocks, rendered by one template."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files as package_files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from grokscope.figures.canvas import plain
from grokscope.progress import watched
from grokscope.report.draw.icons import pictogram
from grokscope.report.layout import laid_out
from grokscope.report.read.copies import is_import
from grokscope.report.read.first_screen import first_screen
from grokscope.report.read.glossary import VERDICTS, word
from grokscope.report.read.judged_run import STATE_WORDS
from grokscope.report.read.material import Material
from grokscope.report.read.matrix import matrix_of
from grokscope.report.read.summary import reconciliation, summarize, this_version, versions, when
from grokscope.report.sections.blocks import Section
from grokscope.report.templating import environment, style_sheet
from grokscope.vocabulary.text import listed, plural

if TYPE_CHECKING:
    from jinja2 import Environment


def render(material: Material, sections: Sequence[Section], files: Sequence[str]) -> str:
    """The whole page as text."""
    return page_of(material.title, _header(material), sections, files)


def page_of(
    title: str,
    header: Mapping[str, Any],
    sections: Sequence[Section],
    files: Sequence[str] = (),
    template: str = "report.html.j2",
) -> str:
    """Any page of sections: one file that loads nothing. `header` is what the template's head shows, `files` are those
    of its figures, relative to the page."""
    script = _script()
    context: dict[str, Any] = {
        "version": this_version(),
        "title": plain(title),
        "css": Markup(_css()),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "header": header,
        "sections": [laid_out(section) for section in watched(sections, "laid out sections:")],
        "figures": _suffixes(files),
    }
    return _environment().get_template(template).render(context) + "\n"


def _suffixes(files: Sequence[str]) -> dict[str, list[str]]:
    """Figure -> the suffixes of its files, in the page's order."""
    figures: dict[str, list[str]] = {}
    for file in files:
        name, _, suffix = file.rpartition(".")
        figures.setdefault(name, []).append(suffix)
    return figures


@cache
def _environment() -> "Environment":
    return environment({"role": lambda outcome: word(outcome).role, "icon": pictogram})


@cache
def _css() -> str:
    return style_sheet(_environment(), [*(w.role for w in VERDICTS.values()), "none"])


@cache
def _script() -> str:
    """Sorts and filters the table of runs, and shows values under the pointer; the page is complete without it."""
    return (package_files("grokscope.report") / "templates" / "report.js").read_text(encoding="utf-8").strip()


def _header(material: Material) -> dict[str, Any]:
    """What was found, before anything else."""
    summary = summarize(material.lead)
    return {
        "first": first_screen(material),
        "tally": _tally(material),
        "matrix": matrix_of(material.groups(), material.anchors),
        "facts": [reconciliation(summary), *_facts(material)],
    }


def _facts(material: Material) -> list[str]:
    facts = [f"judged on {material.judged_on}"]
    if trained := when(material.lead):
        facts.append(f"trained {trained}")
    if material.copies:
        imported = "imported " if all(is_import(c.copy) for c in material.copies) else ""
        facts.append(f"{plural(len(material.copies), f'{imported}copy', f'{imported}copies')} not counted")
    if used := versions(material.lead):
        facts.append(f"with {listed(used)}")
    return [*facts, f"report by grokscope {this_version()}"]


def _tally(material: Material) -> list[tuple[str, int]]:
    """Outcomes with their counts: the key to the matrix, and its sum."""
    summary = summarize(material.lead)
    judged = [(name, len(readings)) for name, readings in summary.outcomes.items()]
    return judged + [(STATE_WORDS.get(state, state), len(readings)) for state, readings in summary.open.items()]
