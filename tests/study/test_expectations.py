"""Expectations: read strictly, and judged against verdicts whose numbers are known."""

import math
import re
from typing import Any

import pytest

from grokscope.results.milestones import Milestone
from grokscope.results.verdict import Formation
from grokscope.study import Study
from grokscope.study.check import _decide, _expected
from grokscope.study.conditions import matches
from grokscope.study.expect import Expectation, RatioExpectation, group_median
from grokscope.study.seen import Seen, seen
from results.verdict_samples import verdict
from tiny import TINY


def study(*expect: dict[str, Any], **more: Any) -> Study:
    return Study.from_dict(
        {**TINY, "schema": 2, "axes": {"regime.lr": [0.1, 0.2]}, "seeds": [0, 1], "expect": list(expect), **more}
    )


def test_where_matches_config_keys_arms_regimes_and_seeds():
    made = study({"where": {"regime.lr": 0.1, "seed": 1}, "verdict": "grokked"})
    where = made.expectations[0].where  # type: ignore[union-attr]
    assert [(e.config.regime.lr, e.config.seed) for e in made.entries if matches(e, where)] == [(0.1, 1)]
    assert sum(matches(e, {"regime": "lr=0.2"}) for e in made.entries) == 2
    assert sum(matches(e, {"regime.lr": [0.1, 0.2], "seed": [0]}) for e in made.entries) == 2
    assert all(matches(e, {}) for e in made.entries)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"verdict": "groked"}, "$.expect[0].verdict: unknown verdict 'groked'; did you mean 'grokked'?"),
        (
            {"final": [0, 1], "split": "ood_tets"},
            "$.expect[0].split: unknown held-out split 'ood_tets'; did you mean 'ood_test'?",
        ),
        ({"verdikt": "grokked"}, "$.expect[0].verdikt: unknown key; did you mean 'verdict'?"),
        ({"where": {"regime.lrr": 1}, "verdict": "grokked"}, "did you mean 'regime.lr'?"),
        ({"where": {"regime.lr": 3}, "verdict": "grokked"}, "no run of this study has 3; it has 0.1, 0.2"),
        ({"where": {"regime.lr": 0.1, "regime": "lr=0.2"}, "verdict": "grokked"}, "no run of this study fits"),
        ({"where": {}}, "has no expected result"),
        ({"T_gen": [2, 1]}, "$.expect[0].T_gen: expected a range"),
        ({"T_gen": 5}, "$.expect[0].T_gen: expected a range"),
        ({"censored": "T_genn"}, "did you mean 'T_gen'?"),
        ({"verdict": "grokked", "share": 0}, "expected a share in (0, 1]"),
        ({"ratio": "T_gen", "of": {}, "between": [1, 2]}, "$.expect[0].to: missing"),
        ({"ratio": "T_gun", "of": {}, "to": {}, "between": [1, 2]}, "unknown quantity 'T_gun'"),
    ],
)
def test_faults_are_named(block: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        study(block)


def test_a_run_meets_an_expectation_only_if_all_of_it_holds():
    wanted = Expectation(where={}, verdict=("grokked",), ranges={"T_gen": (400, 600), "peak": (0.9, 1)})
    assert wanted.met(verdict())
    assert not wanted.met(verdict("memorized"))
    assert not wanted.met(verdict(T_gen=Milestone(601)))
    assert not wanted.met(verdict(peak=0.5))
    assert wanted.met(verdict(T_gen=Milestone(400)))  # the ends belong to the range


def test_a_censored_milestone_lies_in_no_bounded_range():
    wanted = Expectation(where={}, ranges={"T_gen": (400, 600)})
    assert not wanted.met(verdict(T_gen=Milestone(500, censored=True)))
    assert Expectation(where={}, ranges={"T_gen": (400, math.inf)}).met(verdict(T_gen=Milestone(500, censored=True)))


def test_expecting_censoring_means_not_reached():
    wanted = Expectation(where={}, ranges={}, censored=("T_gen",))
    assert wanted.met(verdict(T_gen=Milestone(1000, censored=True)))
    assert not wanted.met(verdict())


def test_a_delay_that_does_not_exist_is_in_no_range():
    assert math.isnan(seen(verdict(delay=None), "delay").value)
    assert not Expectation(where={}, ranges={"delay": (0, math.inf)}).met(verdict(delay=None))


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"final": [0.5, 0.7], "split": "ood_test"}, "on ood_test: final in [0.5, 0.7]"),
        ({"final": [0.5, 0.7]}, "final in [0.5, 0.7]"),
        ({"peak": [0.5, 0.7], "split": "ood_test"}, "on ood_test: peak, oracle (chosen on ood_test), in [0.5, 0.7]"),
        ({"drop": [0, 1], "split": "ood_test"}, "on ood_test: drop, oracle (chosen on ood_test), in [0, 1]"),
        ({"peak": [0.5, 0.7], "split": "ood_val"}, "on ood_val: peak in [0.5, 0.7]"),
        (
            {"ratio": "peak", "of": {"seed": 0}, "to": {"seed": 1}, "between": [1, 2], "split": "ood_test"},
            "on ood_test: peak, oracle (chosen on ood_test), / peak of (seed=1) in [1, 2]",
        ),
    ],
)
def test_what_is_expected_names_its_split_and_stamps_peaks(block: dict[str, Any], said: str):
    assert study(block).expectations[0].expected() == said


@pytest.mark.parametrize(("splits", "stamped"), [({"ood_test"}, True), ({"ood_test", "id_val"}, False)])
def test_an_unnamed_split_that_is_only_reported_is_named(splits: set[str], stamped: bool):
    """With no other unseen environment it is `ood_test` that speaks for a run."""
    found = _expected(Expectation(where={}, ranges={"peak": (0.0, 1.0)}), [verdict(split=s) for s in splits])
    assert ("on ood_test: peak, oracle (chosen on ood_test)," in found) == stamped


def test_the_route_of_a_late_rise_can_be_expected():
    e = study({"verdict": "grokked", "formation": ["representation", "cannot tell"]}).expectations[0]
    assert isinstance(e, Expectation)
    assert e.expected() == "grokked; route: representation or cannot tell"
    assert e.met(verdict(formation=Formation(route="representation", reason="")))
    assert not e.met(verdict(formation=Formation(route="readout", reason="")))
    assert not e.met(verdict())  # no probe says nothing
    with pytest.raises(ValueError, match=r"formation: unknown route 'read-out'; did you mean 'readout'\?"):
        study({"formation": "read-out"})


def test_a_qualified_verdict_can_be_expected_by_its_full_name():
    wanted = Expectation(where={}, verdict=("ungrokked (early-peak)",), ranges={})
    assert wanted.met(verdict("ungrokked", qualifier="early-peak"))
    assert not wanted.met(verdict("ungrokked", qualifier="after-grokking"))


def test_the_median_of_a_group_is_censored_when_it_falls_on_a_censored_value():
    assert group_median([Seen(1), Seen(3), Seen(9, True)]) == Seen(3)
    assert group_median([Seen(1), Seen(9, True), Seen(9, True)]) == Seen(9, True)
    assert group_median([Seen(2), Seen(4)]) == Seen(3)


@pytest.mark.parametrize(
    ("above", "below", "held"),
    [
        ([Seen(1000)], [Seen(100)], True),
        ([Seen(2000)], [Seen(100)], False),
        ([Seen(2000, True)], [Seen(100)], False),  # at least 20: surely outside
        ([Seen(500, True)], [Seen(100)], None),  # at least 5: may or may not be
        ([Seen(1000)], [Seen(100, True)], None),
    ],
)
def test_ratios_of_medians_say_only_what_the_censoring_allows(above: list[Seen], below: list[Seen], held: bool | None):
    ratio = RatioExpectation(ratio="T_gen", of={}, to={}, between=(8, 12)).seen(above, below)
    assert _decide(ratio, 8, 12) is held


def test_an_old_file_whose_final_meant_the_mean_is_told():
    for block in ({"final": [0, 1]}, {"ratio": "final", "of": {"seed": 0}, "to": {"seed": 1}, "between": [0, 2]}):
        for schema in ({"schema": 1}, {}):
            raw = {**{k: v for k, v in TINY.items() if k != "schema"}, **schema, "seeds": [0, 1], "expect": [block]}
            with pytest.raises(ValueError, match=r"schema 1 this meant the mean.*write end in its place"):
                Study.from_dict(raw)
    assert study({"end": [0, 1]}).expectations[0].expected() == "end in [0, 1]"


def test_a_refuted_published_claim_heads_the_check():
    from grokscope.inference.claims import answer, standing

    held, refuted, waiting = ({"word": w} for w in ("held", "refuted", "open"))
    assert answer([held, waiting])[1] == "Not decided: 1 of 2 expectations held, 1 open until their runs are finished."
    assert answer([held, {**refuted, "published": "claim"}])[1].startswith("Published claim refuted: 1 of 2")
    assert answer([{**held, "published": "opposite"}]) == (
        "refuted", "Published claim refuted: 1 of 1 expectation held.",
    )  # fmt: skip
    assert answer([{**held, "published": "claim"}])[0] == "held"
    said = standing({"slow": (3, 10), "fast": (4, 11)}, 7, 2)
    assert said == "7 of 21 planned runs finished (slow: 3 of 10; fast: 4 of 11); 2 of 7 verdicts fragile."
    whole = {f"{'a long name of an arm, ' * 3}{i}": (3 + i % 2, 3 + i % 2) for i in range(8)}
    assert standing(whole, 28, 0).startswith("28 of 28 planned runs finished (3 to 4 in each of 8 groups);")
    lacking = standing({**whole, "late": (1, 3), "later": (0, 3)}, 29, 0)
    assert "(late: 1 of 3; later: 0 of 3; all runs of 8 others)" in lacking
    assert "a long name" not in lacking
    everywhere = standing({name: (0, of) for name, (_, of) in whole.items()}, 0, 0)
    assert everywhere.count("a long name of an arm, a long name of a…: 0 of") == 3
    assert "5 more groups lack runs" in everywhere
    with pytest.raises(ValueError, match=r"published: expected claim or opposite"):
        study({"verdict": "grokked", "published": "maybe"})


def test_the_explainers_milestone_can_be_expected():
    """T_grok needs a train loss; a run without one neither meets the range nor counts as censored."""
    ranged = Expectation(where={}, ranges={"T_grok": (400, 600)})
    assert ranged.met(verdict(T_grok=Milestone(500)))
    assert not ranged.met(verdict(T_grok=Milestone(2000, censored=True)))
    assert not ranged.met(verdict(T_grok=None))
    never = Expectation(where={}, ranges={}, censored=("T_grok",))
    assert never.met(verdict(T_grok=Milestone(2000, censored=True)))
    assert not never.met(verdict(T_grok=None))
    assert study({"T_grok": [1, 5000]}).expectations[0].ranges == {"T_grok": (1, 5000)}  # type: ignore[union-attr]
