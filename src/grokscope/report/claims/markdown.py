"""The claims as Markdown, for a repository or a model card."""

from collections.abc import Sequence

from grokscope.report.claims.words import BEARINGS, SIGNS, TITLE, basis, by_source, cited, reason, tally
from grokscope.results.claims import ClaimResult, Claims


def claims_markdown(claims: Claims) -> str:
    """All claims under the names of their sources; a table of the outcomes first."""
    lines = [f"# {TITLE}", "", tally(claims), ""]
    if claims.problems:
        lines += [*(f"- not used: {_text(problem)}" for problem in claims.problems), ""]
    for source, source_claims in by_source(claims).items():
        lines += [f"## {_text(source)}", "", "| claim | outcome | study |", "|---|---|---|"]
        lines += [_outcome_row(claim) for claim in source_claims]
        lines.append("")
        for claim in source_claims:
            lines += [f"### {_text(claim.id)}", "", *claim_body(claim), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def claim_body(claim: ClaimResult) -> Sequence[str]:
    """One claim: what is claimed and where, what became of it, what was seen, the command that repeats it."""
    why = reason(claim)
    lines = [
        f"> {_text(claim.said)}",
        "",
        f"{_text(cited(claim))}. **{claim.words}**{f' ({_text(why)})' if why else ''}.",
        "",
    ]
    lines += [
        f"- {_text(e.asked)}: **{BEARINGS[e.bearing]}**, {_text(e.seen)} ({_text(basis(e))})" for e in claim.evidence
    ]
    if claim.evidence:
        lines.append("")
    lines += [_text(text) for text in (claim.note, claim.standing, claim.origin) if text]
    if claim.command:
        lines += ["", f"`{claim.command}`"]
    return lines


def _outcome_row(claim: ClaimResult) -> str:
    outcome = f"{SIGNS[claim.outcome]} {_cell(claim.words)}"
    return f"| {_cell(claim.said)} | {outcome} | {_cell(claim.study or 'none')} |"


def _text(text: str) -> str:
    """One line, in which a sign of Markdown or HTML is itself."""
    for sign in ("\\", "*", "_", "<", "|", "`"):
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _text(text)
