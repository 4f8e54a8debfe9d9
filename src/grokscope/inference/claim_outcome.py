"""The rule that derives the outcome of a published claim from the outcomes of its tests."""

from collections.abc import Sequence
from typing import Literal

Bearing = Literal["for", "not against", "against", "undecided"]
Outcome = Literal["verified", "verified in part", "falsified", "toy", "inconclusive", "not run here"]
OUTCOMES: tuple[Outcome, ...] = (
    "verified", "verified in part", "falsified", "toy", "inconclusive", "not run here",
)  # fmt: skip

RECOMPUTED = ("monotone p", "neurons p", "steering p", "corrected mean")
"""Published numbers that follow from published counts: `grokscope.inference.published.recomputed`."""

MEANING: dict[Outcome, str] = {
    "verified": "everything that puts it to the test came out as claimed",
    "verified in part": "some of what puts it to the test came out as claimed, and some did not",
    "falsified": "at least one test came out against it, and none as claimed",
    "toy": "tested at a smaller scale than the claim; the result holds only for that scale",
    "inconclusive": "runs are missing or too few, nothing was observed for it or against it, or the sources "
    "contradict each other",
    "not run here": "no study tests it, or no result of its study is saved",
}


def bearing(word: str, supports: bool) -> Bearing:
    """What the outcome of an expectation (`grokscope.inference.claims.word`) or of a hypothesis says of a claim that is
    right where it holds, or with `supports` False wrong where it holds.

    What would have been against a claim and was not seen is no evidence for it: "takes 1.3 to 2.6 times as long" fails
    where it takes as long, and nothing is faster then. The opposite of it, tested and shown, is.
    """
    known = {"held": True, "shown": True, "refuted": False, "opposite": False}.get(word)
    if known is None:
        return "undecided"
    if word == "refuted" and not supports:
        return "not against"
    return "for" if known == supports else "against"


def all_of_it(bearings: Sequence[Bearing]) -> Outcome:
    """The outcome of a claim that says all of what is tested. One part that is not so makes it wrong as a whole, so
    that nothing is verified while a part is undecided, or while nothing speaks for it; but a claim of which nothing
    came out is called falsified by the first part that came out against it."""
    if "against" in bearings:
        if "for" in bearings:
            return "verified in part"
        return "falsified"
    if "for" not in bearings or "undecided" in bearings:
        return "inconclusive"
    return "verified"


def outcome_of_claim(bearings: Sequence[Bearing], *, saved: bool, toy: bool, contradicted: bool) -> tuple[Outcome, str]:
    """(outcome, what it would be at full scale): the second is empty but for a toy.

    Args:
        bearings: of everything that puts it to the test.
        saved: whether a result of its study is kept (True for what needs none).
        toy: whether it is tested on something smaller than what is claimed.
        contradicted: whether its sources contradict each other.
    """
    if contradicted:
        return "inconclusive", ""
    if not saved or not bearings:
        return "not run here", ""
    decided = all_of_it(bearings)
    if not toy:
        return decided, ""
    if decided != "inconclusive":
        return ("toy", decided)
    return ("inconclusive", "")
