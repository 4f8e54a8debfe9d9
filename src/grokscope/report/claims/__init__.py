"""Published claims and their outcomes as an HTML page, as Markdown, and as a logbook."""

from grokscope.report.claims.logbook import write_logbook
from grokscope.report.claims.markdown import claims_markdown
from grokscope.report.claims.page import render_claims

__all__ = ["claims_markdown", "render_claims", "write_logbook"]
