"""Headlines of a checked study, shared by terminal and page."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from grokscope.vocabulary.text import brief

Word = Literal["held", "refuted", "open", "cannot tell"]
PUBLISHED = ("claim", "opposite")
"""How an expectation stands to a published claim: it states the claim, or the opposite that was seen instead."""


def word(held: bool | None, unfinished: bool = False) -> Word:
    """``open`` while runs are to be finished; ``cannot tell`` where they are and the numbers still decide nothing."""
    if held is None:
        return "open" if unfinished else "cannot tell"
    return "held" if held else "refuted"


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
    total = f"{len(rows):,} expectation{'s' * (len(rows) != 1)}"
    body = f"{counts['held']:,} of {total} held"
    others = [f"{counts['refuted']} did not" if counts["refuted"] else ""]
    others += [f"{counts['open']} open until their runs are finished" if counts["open"] else ""]
    others += [f"{counts['cannot tell']} cannot be told from these runs" if counts["cannot tell"] else ""]
    body = ", ".join([body, *filter(None, others)])
    if refuted := claims.count("refuted"):
        which = f" ({refuted} of {len(claims):,} claims)" if len(claims) > 1 else ""
        return "refuted", f"Published claim refuted{which}: {body}."
    if counts["refuted"]:
        return "refuted", f"Refuted: {body}."
    if counts["open"] or counts["cannot tell"]:
        return "open", f"Not decided: {body}."
    return "held", f"Held: {body}."


def standing(arms: Mapping[str, tuple[int, int]], judged: int, fragile: int, noun: str = "planned run") -> str:
    """``7 of 21 planned runs finished (slow: 3 of 10; fast: 4 of 11); 2 of 7 verdicts fragile.``, from arm ->
    (finished, planned)."""
    done, planned = (sum(pair[i] for pair in arms.values()) for i in (0, 1))
    runs = f"{done:,} of {planned:,} {noun}{'s' * (planned != 1)} finished"
    by_arm = f" ({_by_arm(arms)})" if len(arms) > 1 else ""
    verdicts = f"{fragile:,} of {judged:,} verdict{'s' * (judged != 1)} fragile" if judged else "no verdict yet"
    return f"{runs}{by_arm}; {verdicts}."


NAMED_ARMS = 3
"""So many arms that lack runs are named; those that are whole are only counted."""
LONGEST = 40
"""Characters of an arm's name that are shown."""


def _by_arm(arms: Mapping[str, tuple[int, int]]) -> str:
    """How many runs of each arm have finished."""
    if len(set(arms.values())) == 1:
        n, of = next(iter(arms.values()))
        return f"{n if n == of else f'{n} of {of}'} in each of {len(arms):,} groups"
    lacking = {name: (n, of) for name, (n, of) in arms.items() if n < of}
    if not lacking:
        sizes = [of for _, of in arms.values()]
        return f"{min(sizes)} to {max(sizes)} in each of {len(arms):,} groups"
    named = [f"{brief(name, LONGEST)}: {n} of {of}" for name, (n, of) in list(lacking.items())[:NAMED_ARMS]]
    if len(lacking) > NAMED_ARMS:
        named.append(f"{len(lacking) - NAMED_ARMS:,} more groups lack runs")
    whole = len(arms) - len(lacking)
    return "; ".join([*named, *([f"all runs of {whole:,} other{'s' * (whole != 1)}"] if whole else [])])
