"""The rule that says what became of a claim: the whole table of it."""

import pytest

from grokscope.inference.claim_outcome import MEANING, OUTCOMES, RECOMPUTED, all_of_it, bearing, outcome_of_claim
from grokscope.inference.published import recomputed


@pytest.mark.parametrize(
    ("word", "supports", "expected"),
    [
        ("held", True, "for"), ("held", False, "against"), ("refuted", True, "against"),
        ("refuted", False, "not against"),
        ("shown", True, "for"), ("opposite", True, "against"), ("opposite", False, "for"),
        ("not shown", True, "undecided"),
        ("open", True, "undecided"), ("cannot tell", False, "undecided"),
    ],
)  # fmt: skip
def test_what_holds_may_speak_for_or_against(word, supports, expected):
    assert bearing(word, supports) == expected


@pytest.mark.parametrize(
    ("bearings", "expected"),
    [
        (["for"], "verified"), (["for", "for"], "verified"), (["for", "against"], "verified in part"),
        (["against"], "falsified"), (["against", "undecided"], "falsified"), (["for", "undecided"], "inconclusive"),
        (["undecided"], "inconclusive"), (["not against"], "inconclusive"),
        (["for", "not against"], "verified"), (["against", "not against"], "falsified"),
        (["for", "against", "undecided"], "verified in part"),
    ],
)  # fmt: skip
def test_a_claim_is_verified_only_when_all_of_it_is(bearings, expected):
    assert all_of_it(bearings) == expected
    assert outcome_of_claim(bearings, saved=True, toy=False, contradicted=False) == (expected, "")


def test_a_failed_attempt_to_falsify_is_no_verification():
    """ "Takes 1.3 to 2.6 times as long" would falsify "is faster"; that it takes as long does not verify it."""
    assert all_of_it([bearing("refuted", supports=False)]) == "inconclusive"
    assert outcome_of_claim(["not against"], saved=True, toy=True, contradicted=False) == ("inconclusive", "")


def test_a_toy_says_what_happened_there_and_an_undecided_one_says_nothing():
    assert outcome_of_claim(["for"], saved=True, toy=True, contradicted=False) == ("toy", "verified")
    assert outcome_of_claim(["against"], saved=True, toy=True, contradicted=False) == ("toy", "falsified")
    assert outcome_of_claim(["undecided"], saved=True, toy=True, contradicted=False) == ("inconclusive", "")


def test_without_a_result_nothing_was_run_and_sources_that_disagree_decide_nothing():
    assert outcome_of_claim([], saved=False, toy=True, contradicted=False) == ("not run here", "")
    assert outcome_of_claim(["for"], saved=False, toy=False, contradicted=False) == ("not run here", "")
    assert outcome_of_claim(["for"], saved=True, toy=False, contradicted=True) == ("inconclusive", "")
    assert set(MEANING) == set(OUTCOMES)


def test_published_numbers_are_what_their_counts_give_or_not():
    """Known: .286 and .179 are one-sided Fisher, .071 can be reached, and .7533 is no mean of three seeds."""
    assert {name: recomputed(name).agrees for name in RECOMPUTED} == {
        "monotone p": True, "neurons p": True, "steering p": True, "corrected mean": False,
    }  # fmt: skip
    assert "42 and 456" in recomputed("corrected mean").seen
    assert "two-sided 0.143 or 0.0714" in recomputed("steering p").seen
