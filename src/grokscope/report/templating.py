"""Page templates: rendering, and the style sheet shared by all pages."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from grokscope.figures.canvas import plain
from grokscope.figures.style import DARK, FONT_STACK, LIGHT, css_variables

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(filters: Mapping[str, Callable[..., Any]]) -> "Environment":
    """Templates that escape what they are given, know these filters, and fail at a missing name."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("grokscope.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: plain(value) if type(value) is str else value,
    )
    templates.filters.update(filters)
    return templates


def style_sheet(templates: "Environment", roles: Iterable[str]) -> str:
    """The report's, in light and dark, with a color for each role."""
    light, dark = Markup(css_variables(LIGHT)), Markup(css_variables(DARK))
    template = templates.get_template("report.css")
    return template.render(light=light, dark=dark, fonts=Markup(FONT_STACK), roles=list(roles))
