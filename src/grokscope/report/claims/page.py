"""The claims page: one self-contained HTML file without scripts."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from grokscope.figures.canvas import to_svg
from grokscope.inference.claim_outcome import MEANING
from grokscope.report.claims.words import BEARINGS, ROLES, SIGNS, TITLE, basis, by_source, cited, reason, tally
from grokscope.report.draw.claim import SIZE, draw_claim, words_of
from grokscope.report.templating import environment, style_sheet
from grokscope.results.claims import ClaimFigure, ClaimResult, Claims

if TYPE_CHECKING:
    from jinja2 import Environment


def render_claims(claims: Claims, figures: Mapping[str, ClaimFigure]) -> str:
    """The whole page as text. Identical inputs give identical bytes."""
    context = {
        "title": TITLE,
        "css": Markup(_css()),
        "claims": claims,
        "tally": tally(claims),
        "meaning": [(word, MEANING[word], claims.counts.get(word, 0)) for word in MEANING],
        "sources": [
            {"name": source, "anchor": f"source-{i}", "claims": [_shown(c, figures.get(c.id)) for c in source_claims]}
            for i, (source, source_claims) in enumerate(by_source(claims).items())
        ],
    }
    return _environment().get_template("claims.html.j2").render(context) + "\n"


def _shown(claim: ClaimResult, figure: ClaimFigure | None) -> dict[str, Any]:
    return {
        "it": claim,
        "cited": cited(claim),
        "reason": reason(claim),
        "evidence": [(e, BEARINGS[e.bearing], basis(e)) for e in claim.evidence],
        "svg": "" if figure is None else _svg(claim.id, figure),
        "alt": "" if figure is None else words_of(figure),
    }


def _svg(key: str, figure: ClaimFigure) -> Markup:
    return Markup(to_svg(lambda f: draw_claim(f, figure), *SIZE, f"claim-{key}"))


@cache
def _environment() -> "Environment":
    return environment({"role": ROLES.__getitem__, "sign": SIGNS.__getitem__})


@cache
def _css() -> str:
    """That of the report, and what only this page has."""
    report = style_sheet(_environment(), dict.fromkeys(ROLES.values()))
    return report + _environment().get_template("claims.css").render()
