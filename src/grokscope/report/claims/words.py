"""Texts about claims, shared by all output formats."""

from grokscope.results.claims import ClaimEvidence, ClaimResult, Claims
from grokscope.vocabulary.text import listed, plural

TITLE = "Published claims and their outcomes"
ROLES = {
    "verified": "grokked", "verified in part": "semi-grokked", "falsified": "ungrokked", "toy": "generalized",
    "inconclusive": "unstable", "not run here": "underfit",
}  # fmt: skip
"""Outcome -> role of its color in the palette."""
SIGNS = {
    "verified": "✓", "verified in part": "◐", "falsified": "✗", "toy": "◇", "inconclusive": "?", "not run here": "–",
}  # fmt: skip
BEARINGS = {
    "for": "as claimed", "not against": "nothing against it", "against": "not as claimed", "undecided": "undecided",
}  # fmt: skip


def tally(claims: Claims) -> str:
    """``47 claims: 12 verified, 5 verified in part, ...``."""
    parts = [f"{n} {outcome}" for outcome, n in claims.counts.items() if n]
    count = plural(len(claims.claims), "claim")
    return f"{count}: {listed(parts)}." if parts else f"{count}."


def basis(evidence: ClaimEvidence) -> str:
    """How many runs it rests on, with the interval of the share that shows it."""
    if not evidence.planned:
        return evidence.note
    runs = plural(evidence.finished, "run") if evidence.finished == evidence.planned else (
        f"{evidence.finished} of {plural(evidence.planned, 'run')}"
    )  # fmt: skip
    if evidence.share is None:
        return f"n = {runs}"
    low, high = evidence.share
    return f"n = {runs}; share that shows it, 95 %: {low:.2f} to {high:.2f}"


def cited(claim: ClaimResult) -> str:
    """Source and place."""
    return f"{claim.source}, {claim.place}" if claim.place else claim.source


def reason(claim: ClaimResult) -> str:
    """What stands beside the outcome: how it is scaled down, or why nothing was run."""
    if not claim.why:
        return ""
    return f"scaled down: {claim.why}" if claim.at_scale else claim.why


def by_source(claims: Claims) -> dict[str, list[ClaimResult]]:
    """Source -> its claims."""
    out: dict[str, list[ClaimResult]] = {}
    for claim in claims.claims:
        out.setdefault(claim.source, []).append(claim)
    return out
