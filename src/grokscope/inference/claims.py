"""Headlines of a checked study, shared by terminal and page."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from grokscope.vocabulary.text import brief, plural

Word = Literal["held", "refuted", "open", "cannot tell"]
PUBLISHED = ("claim", "opposite")
"""How an expectation stands to a published claim: it states the claim, or the opposite that was seen instead."""


def word(held: bool | None, unfinished: bool = False) -> Word:
    """``open`` while runs are to be finished; ``cannot tell`` where they are and the numbers still decide nothing."""
    if held is not None:
        return "held" if held else "refuted"
    return "open" if unfinished else "cannot tell"


def claim_word(outcome: str, published: str) -> str:
    """What the outcome of an expectation says of the published claim behind it; empty where there is none."""
    if not published:
        return ""
    if published == "opposite":
        outcome = {"held": "refuted", "refuted": "held"}.get(outcome, outcome)
    return outcome


def answer(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """(``refuted``, ``open`` or ``held``; the sentence) for rows with `word` and `published`.

    A refuted published claim heads it, also where every expectation held because what was expected is its opposite.
    """
    counts = {name: sum(r["word"] == name for r in rows) for name in ("held", "refuted", "open", "cannot tell")}
    claims = [claim_word(r["word"], r.get("published", "")) for r in rows if r.get("published")]
    body = f"{counts['held']:,} of {plural(len(rows), 'expectation')} held"
    rest = {
        "refuted": "did not",
        "open": "open until their runs are finished",
        "cannot tell": "cannot be told from these runs",
    }
    body = ", ".join([body, *(f"{counts[name]} {words}" for name, words in rest.items() if counts[name])])
    if refuted := claims.count("refuted"):
        of_several = ""
        if len(claims) > 1:
            of_several = f" ({refuted} of {len(claims):,} claims)"
        return "refuted", f"Published claim refuted{of_several}: {body}."
    if counts["refuted"]:
        return "refuted", f"Refuted: {body}."
    if counts["open"] or counts["cannot tell"]:
        return "open", f"Not decided: {body}."
    return "held", f"Held: {body}."


def standing(arms: Mapping[str, tuple[int, int]], judged: int, fragile: int, noun: str = "planned run") -> str:
    """``7 of 21 planned runs finished (slow: 3 of 10; fast: 4 of 11); 2 of 7 verdicts fragile.``, from arm ->
    (finished, planned)."""
    done, planned = (sum(pair[i] for pair in arms.values()) for i in (0, 1))
    runs = f"{done:,} of {plural(planned, noun)} finished"
    if len(arms) > 1:
        runs += f" ({_by_arm(arms)})"
    if not judged:
        return f"{runs}; no verdict yet."
    return f"{runs}; {fragile:,} of {plural(judged, 'verdict')} fragile."


NAMED_ARMS = 3
"""So many arms that lack runs are named; those that are whole are only counted."""
LONGEST = 40
"""Characters of an arm's name that are shown."""


def _by_arm(arms: Mapping[str, tuple[int, int]]) -> str:
    """How many runs of each arm have finished."""
    if len(set(arms.values())) == 1:
        n, of = next(iter(arms.values()))
        finished = f"{n}" if n == of else f"{n} of {of}"
        return f"{finished} in each of {len(arms):,} groups"
    lacking = {name: (n, of) for name, (n, of) in arms.items() if n < of}
    if not lacking:
        sizes = [of for _, of in arms.values()]
        return f"{min(sizes)} to {max(sizes)} in each of {len(arms):,} groups"
    named = [f"{brief(name, LONGEST)}: {n} of {of}" for name, (n, of) in list(lacking.items())[:NAMED_ARMS]]
    if len(lacking) > NAMED_ARMS:
        named.append(f"{len(lacking) - NAMED_ARMS:,} more groups lack runs")
    if whole := len(arms) - len(lacking):
        named.append(f"all runs of {plural(whole, 'other')}")
    return "; ".join(named)
