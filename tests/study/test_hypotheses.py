"""Hypotheses: read strictly, declared before running, tested on planted and on null runs, and said in words that claim
no more than the numbers."""

import json
import math
import re
from dataclasses import replace
from math import inf

import pytest

from grokscope.commands import study as verbs
from grokscope.results.hypothesis import Declarations, Hypotheses, results_of
from grokscope.study import testing
from grokscope.study.check import check
from grokscope.study.declared import declarations_path, declare
from study.planted import STEPS, planted, sooner, study

FAST = {(0.5, s): 200 + 10 * s for s in range(10)}
SLOW = {(0.1, s): 600 + 20 * s for s in range(10)}
NEVER = {(0.1, s): 9999 for s in range(10)}


def result_of(made, runs, root, declared=True):
    """The first hypothesis, declared before any run began unless said otherwise."""
    if declared:
        declare(made.name, made.hypotheses, [replace(s, state="new") for s in runs], root)
    return testing.answers_to(made.name, made.hypotheses, runs, made.criteria, root).results[0]


def answered(root, T_gen, *blocks, seeds=5, declared=True, **more):
    made = study(*(blocks or (sooner(),)), seeds=seeds)
    return result_of(made, planted(made, root, T_gen, **more), root, declared)


# -- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "$.hypothesis[0].name: missing"),
        ({"quantity": "T_gne"}, "$.hypothesis[0].quantity: unknown quantity 'T_gne'; did you mean 'T_gen'"),
        ({"verdict": "grokked"}, "give exactly one of quantity, verdict, measure, dissection, got quantity, verdict"),
        ({"direction": "larger"}, "$.hypothesis[0].direction: expected earlier, later, differs, got 'larger'"),
        ({"within": 1.2}, "give either direction"),
        ({"direction": None}, "expected earlier"),
        ({"dirction": "earlier"}, "$.hypothesis[0].dirction: unknown key; did you mean 'direction'"),
        ({"to": {"regime.weight_decay": 0.2}}, "no run of this study has 0.2; it has 0.5, 0.1"),
        ({"to": {"regime.weight_decay": 0.5}}, "of and to share 5 runs"),
        ({"of": {}}, "has 2 runs of seed 0"),
        ({"axis": "regime.weight_decay"}, "specify the comparison in one way"),
        ({"test": "t-test"}, "$.hypothesis[0].test: expected ranks or permutation here"),
        ({"test": "permutation"}, 'write effect = "restricted mean"'),
        ({"effect": "mean"}, "expected ratio, difference, restricted mean"),
        ({"looks": [5, 3]}, "ascending"),
        ({"split": "ood_tets"}, "did you mean 'ood_test'"),
        ({"paired": 1}, "expected true or false"),
        ({"log": True}, "belongs to an axis"),
    ],
)
def test_faults_are_named_with_the_remedy(change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        study({**sooner(), **change})


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"within": 0.8, "quantity": "T_gen"}, "of a ratio, so above 1"),
        ({"within": -3, "quantity": "end"}, "expected a number > 0"),
        ({"within": 0.1, "quantity": "end", "test": "mann-whitney"}, "mann-whitney has no margin; use permutation"),
        ({"direction": "larger", "verdict": "groked"}, "did you mean 'grokked'"),
        ({"direction": "larger", "verdict": "grokked", "paired": True}, "omit paired"),
        ({"direction": "larger", "measure": "norm_total", "statistic": "ending"}, "unknown statistic"),
        ({"direction": "larger", "quantity": "end", "effect": "ratio"}, "only times have a choice"),
        ({"direction": "larger", "quantity": "end", "statistic": "final"}, "belongs to a measure"),
    ],
)
def test_faults_of_other_quantities_are_named_too(block, message):
    ends = {"name": "x", "of": {"regime.weight_decay": 0.5}, "to": {"regime.weight_decay": 0.1}}
    with pytest.raises(ValueError, match=re.escape(message)):
        study({**ends, **block})


def test_names_are_given_once_and_a_family_has_one_kind_of_sides():
    with pytest.raises(ValueError, match="two hypotheses are called 'sooner'"):
        study(sooner(), sooner())
    with pytest.raises(ValueError, match='only one says "differs"'):
        study(sooner(), sooner(name="other", direction="differs"))
    assert len(study(sooner(), sooner(name="other", direction="differs", family="two-sided")).hypotheses) == 2


# -- the answer -------------------------------------------------------------------------------------------------------


def test_a_planted_difference_is_shown_with_a_ratio_and_the_level_that_five_pairs_attain(tmp_path):
    h = answered(tmp_path, FAST | SLOW)
    assert h.outcome == "shown"
    assert h.standing == "declared"
    assert h.test is not None
    assert h.test.effect == pytest.approx(220 / 640)
    assert h.test.p == h.test.smallest_p == 1 / 32
    assert h.test.level == 0.9375
    assert h.test.interval is not None
    assert h.test.interval[0] <= 220 / 640 <= h.test.interval[1] < 1
    assert h.answer == (
        "Shown: T_gen of weight_decay=0.5 is earlier than that of weight_decay=0.1: ratio of medians 0.344 "
        f"({100 * 0.9375:.4g} %: {h.test.interval[0]:.3g} to {h.test.interval[1]:.3g}), p = 0.0312 one-sided "
        "(smallest possible 0.0312), 5 pairs."
    )
    assert [run.value for run in h.arms[0].numbers] == [200, 210, 220, 230, 240]
    assert [run.before for run in h.arms[0].numbers] == [190, 200, 210, 220, 230]


def test_equal_arms_are_not_shown_and_no_number_of_seeds_would_show_them(tmp_path):
    h = answered(tmp_path, FAST | {(0.1, s): t for (_, s), t in FAST.items()})
    assert h.outcome == "not shown"
    assert h.test is not None
    assert h.test.p == 1.0
    assert h.test.effect == 1.0
    assert h.test.seeds_to_decide is None
    assert "even 1,000 seeds per arm have a power below 80 %" in h.answer


def test_the_other_direction_is_said_where_it_is_what_the_runs_show(tmp_path):
    h = answered(tmp_path, {(0.1, s): 200 + 10 * s for s in range(5)} | {(0.5, s): 700 + 10 * s for s in range(5)})
    assert h.outcome == "opposite"
    assert h.answer.startswith("The opposite is shown: ")


def test_arms_that_share_no_seeds_are_compared_as_wholes(tmp_path):
    decays = [
        {"name": "fast", "regime.weight_decay": 0.5, "seeds": [0, 1, 2, 3]},
        {"name": "slow", "regime.weight_decay": 0.1, "seeds": [4, 5, 6, 7]},
    ]
    asked = {"name": "x", "quantity": "T_gen", "arms": ["fast", "slow"], "direction": "differs"}
    made = study(asked, axes={}, arm=decays)
    h = result_of(made, planted(made, tmp_path, FAST | SLOW), tmp_path)
    assert h.test is not None
    assert not h.test.paired
    assert h.test.n == (4, 4)
    assert h.test.p == pytest.approx(2 / 70)
    assert h.outcome == "shown"
    assert h.asked == "T_gen of fast differs from that of slow"


def test_runs_that_never_generalize_bound_the_ratio(tmp_path):
    h = answered(tmp_path, FAST | NEVER)
    assert h.test is not None
    assert h.test.effect_sign == "<"
    assert h.test.effect == pytest.approx(220 / STEPS)
    assert h.test.interval is not None
    assert h.test.interval[0] == 0.0
    assert "ratio of medians < 0.22 (93.75 %: 0 to " in h.answer
    assert h.arms[1].middle is None
    assert not any(run.reached for run in h.arms[1].numbers)


def test_where_neither_median_was_reached_nothing_is_told(tmp_path):
    h = answered(tmp_path, NEVER | {(0.5, s): 9999 for s in range(5)})
    assert h.outcome == "cannot tell"
    assert h.test is None
    assert "neither arm's median was reached" in h.answer


def test_three_seeds_reach_no_more_than_they_can(tmp_path):
    h = answered(tmp_path, FAST | SLOW, sooner(paired=False, direction="differs"), seeds=3)
    assert h.test is not None
    assert h.test.p == h.test.smallest_p == 0.1
    assert h.test.level == pytest.approx(0.9)
    assert h.outcome == "not shown"
    assert h.test.seeds_to_decide == 4
    assert "4 seeds per arm would have a power of 80 % at the observed effect" in h.answer


def test_arms_of_other_grids_are_compared_on_the_steps_that_all_runs_had(tmp_path):
    """Equal times, one arm looked at every 100 steps: on the steps as they stand it would come later."""
    same = {(d, s): 205 + 30 * s for d in (0.5, 0.1) for s in range(5)}
    made = study(sooner())
    h = result_of(made, planted(made, tmp_path, same, every={0.5: 10, 0.1: 100}), tmp_path)
    assert h.test is not None
    assert h.test.p == 1.0
    assert any("different grids" in note for note in h.notes)


def test_unequal_budgets_are_said_and_compared_on_the_shorter_one(tmp_path):
    made = study(sooner())
    end = {(d, s): 500 if d == 0.1 else STEPS for d in (0.5, 0.1) for s in range(5)}
    h = result_of(made, planted(made, tmp_path, FAST | SLOW, end=end), tmp_path)
    assert any("trained for 1,000 and 500 steps: compared on the first 500" in note for note in h.notes)
    assert h.outcome == "shown"


def test_a_run_that_diverged_before_it_generalized_counts_as_one_that_never_does(tmp_path):
    made = study(sooner())
    runs = planted(made, tmp_path, FAST | SLOW, state={(0.5, 0): "diverged"}, end={
        (d, s): 100 if (d, s) == (0.5, 0) else STEPS for d in (0.5, 0.1) for s in range(5)
    })  # fmt: skip
    h = result_of(made, runs, tmp_path)
    diverged = h.arms[0].numbers[0]
    assert (diverged.value, diverged.reached) == (STEPS, False)
    assert h.test is not None
    assert h.test.p > 1 / 32
    assert not h.notes


def test_equality_within_a_margin_is_shown_by_two_one_sided_tests(tmp_path):
    close = FAST | {(0.1, s): t + 10 for (_, s), t in FAST.items()}
    block = sooner(within=1.25)
    del block["direction"]
    h = answered(tmp_path / "close", close, block, seeds=8)
    assert h.outcome == "shown"
    assert h.asked.endswith("equals that of weight_decay=0.1 within a factor of 1.25")
    apart = answered(tmp_path / "apart", FAST | SLOW, block, seeds=8)
    assert apart.outcome == "opposite"
    few = answered(tmp_path / "few", close, block, seeds=3)
    assert few.outcome == "not shown"  # alike, but three seeds cannot show it


def test_shares_of_a_verdict_levels_and_measured_numbers(tmp_path):
    groups = {"of": {"regime.weight_decay": 0.5}, "to": {"regime.weight_decay": 0.1}, "direction": "larger"}
    norm = {(d, s): (3.0 if d == 0.5 else 1.0) + 0.125 * s for d in (0.5, 0.1) for s in range(5)}
    made = study(
        {"name": "share", "verdict": ["grokked", "generalized"], **groups},
        {"name": "end", "quantity": "end", **groups},
        {"name": "norm", "measure": "norm_total", **groups},
        {"name": "delta", "measure": "norm_total", "paired": False, "test": "mann-whitney", **groups},
        {"name": "fisher", "verdict": "grokked", "test": "fisher", **groups},
    )
    runs = planted(made, tmp_path, FAST | NEVER, norm=norm)
    share, end, measured, delta, fisher = testing.answers_to(made.name, made.hypotheses, runs, None, tmp_path).results
    assert share.test is not None
    assert (share.test.effect, share.test.n, share.test.p) == (1.0, (5, 5), pytest.approx(2**-10))
    assert end.test is not None
    assert end.test.effect == pytest.approx(0.84)
    assert measured.test is not None
    assert measured.test.effect == pytest.approx(2.0)
    assert measured.test.interval == pytest.approx((2.0, 2.0))
    assert "no width" in measured.answer
    assert delta.test is not None
    assert (delta.test.effect_name, delta.test.effect) == ("Cliff's delta", 1.0)
    assert fisher.test is not None
    assert fisher.test.p == pytest.approx(1 / 252)
    assert {r.family_size for r in (share, end, measured, delta, fisher)} == {5}
    assert share.p_adjusted == pytest.approx(5 * 2**-10)  # the smallest of five


def test_a_slope_over_an_axis_is_tested_within_seeds(tmp_path):
    decays = (0.1, 0.2, 0.4)
    T_gen = {(d, s): 100 for d in decays for s in range(4)}
    norm = {(d, s): 10 * s + 5 * math.log10(d) for d in decays for s in range(4)}
    asked = {"name": "grows", "measure": "norm_total", "axis": "regime.weight_decay", "log": True,
             "direction": "larger"}  # fmt: skip
    made = study(asked, seeds=4, decays=decays)
    h = result_of(made, planted(made, tmp_path, T_gen, norm=norm), tmp_path)
    assert h.test is not None
    assert h.test.effect == pytest.approx(5.0)
    assert h.test.paired
    assert h.outcome == "shown"
    assert [run.x for run in h.arms[0].numbers[:3]] == [0.1, 0.2, 0.4]


def test_a_slope_of_times_needs_every_time(tmp_path):
    asked = {"name": "t", "quantity": "T_gen", "axis": "regime.weight_decay", "direction": "smaller"}
    made = study(asked)
    h = result_of(made, planted(made, tmp_path, FAST | NEVER), tmp_path)
    assert h.outcome == "cannot tell"
    assert "compare two values of regime.weight_decay by of and to" in h.answer


def test_restricted_means_count_what_was_not_reached_at_the_last_step(tmp_path):
    h = answered(tmp_path, FAST | NEVER, sooner(effect="restricted mean"))
    assert h.test is not None
    assert h.test.effect == pytest.approx(220 - STEPS)
    assert h.test.effect_name == "difference of mean steps up to 1,000"


def test_below_six_seeds_nothing_is_called_significant(tmp_path):
    for i, T_gen in enumerate((FAST | SLOW, FAST | NEVER)):
        made = study(sooner())
        h = result_of(made, planted(made, tmp_path / str(i), T_gen), tmp_path / str(i))
        assert "significant" not in json.dumps(h.to_dict())


# -- what is missing --------------------------------------------------------------------------------------------------


def test_nothing_is_tested_before_every_run_has_ended(tmp_path):
    made = study(sooner())
    h = result_of(made, planted(made, tmp_path, FAST | SLOW, state={(0.5, 0): "partial"}), tmp_path)
    assert (h.outcome, h.test, h.unfinished) == ("open", None, True)
    assert "9 of 10 runs are finished" in h.answer


def test_failed_runs_are_counted_and_their_pairs_left_out(tmp_path):
    made = study(sooner())
    runs = planted(made, tmp_path, FAST | SLOW, state={(0.5, 0): "failed"})
    tested = testing.answers_to(made.name, made.hypotheses, runs, None, tmp_path)
    (h,) = tested.results
    assert (tested.planned, tested.finished, tested.failed, tested.waiting) == (10, 9, 1, 0)
    assert (h.arms[0].planned, h.arms[0].finished, h.arms[0].failed) == (5, 4, 1)
    assert h.test is not None
    assert h.test.n == (4,)
    assert any("1 of 5 runs of weight_decay=0.5 failed" in note for note in h.notes)
    verb = verbs.Tested(made, tested)
    assert verb.exit_code == 1, "an answer without numbers that were planned is not the answer"
    assert "1 run failed, so the answers rest on the others alone" in str(verb)
    assert "grokscope study run tries failed runs again" in str(verb)
    whole = replace(tested, failed=0, finished=10)
    assert verbs.Tested(made, whole).exit_code == 0
    assert "rest on the others" not in str(verbs.Tested(made, whole))
    assert [verbs.Checked(made, [], "", one).exit_code for one in (tested, whole)] == [1, 0]
    with pytest.raises(ValueError, match="do not add up"):
        replace(h.arms[0], finished=5)


def test_a_number_that_some_runs_lack_decides_nothing(tmp_path):
    asked = sooner(quantity="delay")
    made = study(asked)
    runs = planted(made, tmp_path, FAST | SLOW)
    metrics = runs[0].run.path / "results" / "metrics.jsonl"
    rows = [json.loads(line) | {"train_acc": 0.2, "train_correct": 20} for line in metrics.read_text().splitlines()]
    metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    h = result_of(made, runs, tmp_path)
    assert h.outcome == "cannot tell"
    assert "1 run never fitted, so no delay began" in h.answer
    assert "ask about T_gen" in h.answer


def test_delays_are_counted_from_the_fit(tmp_path):
    h = answered(tmp_path, FAST | SLOW, sooner(quantity="delay"))
    assert [run.value for run in h.arms[0].numbers] == [150, 160, 170, 180, 190]
    assert h.outcome == "shown"


# -- declared or not --------------------------------------------------------------------------------------------------


def test_a_hypothesis_that_was_written_after_the_runs_is_exploratory(tmp_path):
    made = study(sooner())
    runs = planted(made, tmp_path, FAST | SLOW)
    never = result_of(made, runs, tmp_path, declared=False)
    assert never.standing == "exploratory"
    assert never.departures == ("it was not declared: no `grokscope study run` with it stands beside the runs",)
    assert never.answer.startswith("Shown, exploratory: ")
    declare(made.name, made.hypotheses, runs, tmp_path)
    late = result_of(made, runs, tmp_path, declared=False)
    assert late.standing == "exploratory"
    assert "when 10 runs had begun" in late.departures[0]


def test_an_edit_after_the_runs_is_seen_and_a_note_is_none(tmp_path):
    made = study(sooner())
    runs = planted(made, tmp_path, FAST | SLOW)
    assert result_of(made, runs, tmp_path).standing == "declared"
    noted = study(sooner(note="in other words"))
    assert result_of(noted, runs, tmp_path, declared=False).standing == "declared"
    edited = study(sooner(effect="difference"))
    h = result_of(edited, runs, tmp_path, declared=False)
    assert "were changed after it was declared" in h.departures[0]
    declare(edited.name, edited.hypotheses, runs, tmp_path)
    assert result_of(edited, runs, tmp_path, declared=False).standing == "exploratory"
    assert result_of(made, runs, tmp_path, declared=False).standing == "declared"  # the first form still stands


def test_other_settings_under_the_same_words_are_another_hypothesis(tmp_path):
    """The learning rate is changed after the first results, until it works."""
    made, root = study(sooner()), tmp_path / "trained"
    declare(made.name, made.hypotheses, [], root)
    assert result_of(made, planted(made, tmp_path, FAST | SLOW), root, declared=False).standing == "declared"
    again = study(sooner(), regime={"lr": 0.5})
    declare(again.name, again.hypotheses, [], root)
    h = result_of(again, planted(again, tmp_path, FAST | SLOW), root, declared=False)
    assert h.standing == "exploratory"
    assert "when 10 runs had begun" in h.departures[0]


def test_seeds_that_were_added_after_results_are_said(tmp_path):
    first, more = study(sooner(), seeds=5), study(sooner(), seeds=6)
    declare(first.name, first.hypotheses, [], tmp_path)
    h = result_of(more, planted(more, tmp_path, FAST | SLOW), tmp_path, declared=False)
    assert h.standing == "exploratory"
    assert h.departures[0] == "1 seed of weight_decay=0.5 added after it was declared"
    part = first.only(seeds=[0, 1, 2])
    runs = [s for s in planted(first, tmp_path / "part", FAST | SLOW) if s.entry.config.seed < 3]
    h = testing.answers_to(part.name, part.hypotheses, runs, None, tmp_path).results[0]
    assert "2 seeds declared for weight_decay=0.5 left out" in h.departures


def test_a_part_of_the_study_that_is_run_first_does_not_hide_what_had_begun(tmp_path):
    """Five seeds are there; the hypothesis is written, and only a sixth is trained with it."""
    made, root = study(sooner(), seeds=6), tmp_path / "trained"
    runs = planted(made, tmp_path, FAST | SLOW)
    sixth = [replace(s, state="new") for s in runs if s.entry.config.seed == 5]
    declare(made.name, made.only(seeds=[5]).hypotheses, sixth, root)
    h = result_of(made, runs, root, declared=False)
    assert h.standing == "exploratory"
    assert "runs had begun" in h.departures[0]


def test_seeds_that_are_added_before_anything_ran_are_declared_anew(tmp_path):
    first, more = study(sooner(), seeds=5), study(sooner(), seeds=6)
    declare(first.name, first.hypotheses, [], tmp_path)
    declare(more.name, more.hypotheses, [], tmp_path)
    declare(more.name, more.hypotheses, [], tmp_path)  # says nothing new
    assert len(Declarations.read(declarations_path(tmp_path, "planted")).declared) == 2
    h = result_of(more, planted(more, tmp_path, FAST | SLOW), tmp_path, declared=False)
    assert h.standing == "declared"


def test_looks_that_were_declared_allow_more_seeds_and_cost_their_number(tmp_path):
    first, second = (study(sooner(looks=[5, 8]), seeds=n) for n in (5, 8))
    declare(first.name, first.hypotheses, [], tmp_path)
    one = result_of(first, planted(first, tmp_path / "a", FAST | SLOW), tmp_path, declared=False)
    assert one.standing == "declared"
    assert one.test is not None
    assert one.p_adjusted == 2 * one.test.p == 1 / 16
    assert one.outcome == "not shown"
    two = result_of(second, planted(second, tmp_path / "b", FAST | SLOW), tmp_path, declared=False)
    assert two.standing == "declared"
    assert two.p_adjusted == 2 / 256
    assert two.outcome == "shown"
    between = study(sooner(looks=[5, 8]), seeds=6)
    h = result_of(between, planted(between, tmp_path / "c", FAST | SLOW), tmp_path, declared=False)
    assert h.standing == "exploratory"


def test_what_was_declared_and_is_damaged_is_no_declaration(tmp_path):
    made = study(sooner())
    declarations_path(tmp_path, made.name).parent.mkdir()
    declarations_path(tmp_path, made.name).write_text("{")
    h = result_of(made, planted(made, tmp_path, FAST | SLOW), tmp_path, declared=False)
    assert "what was declared cannot be read" in h.departures[0]
    with pytest.raises(ValueError, match=re.escape("planted.json")):
        declare(made.name, made.hypotheses, [], tmp_path)
    assert declarations_path(tmp_path, "a/b") != declarations_path(tmp_path, "a b")


def test_the_record_of_a_test_is_read_back_as_it_was(tmp_path):
    made = study(sooner(), sooner(name="restricted", effect="restricted mean"))
    runs = planted(made, tmp_path, FAST | NEVER)
    tested = testing.answers_to(made.name, made.hypotheses, runs, None, tmp_path)
    tested.write(tmp_path / "h.json")
    assert Hypotheses.read(tmp_path / "h.json") == tested
    assert results_of([r.to_dict() for r in tested.results]) == tested.results
    with pytest.raises(ValueError, match=re.escape("$.hypotheses[0]: the field 'asked' is missing")):
        results_of([{"name": "x"}])


# -- expectations that compare ----------------------------------------------------------------------------------------


def expected(root, T_gen, seeds=5, **block):
    groups = {"of": {"regime.weight_decay": 0.5}, "to": {"regime.weight_decay": 0.1}}
    made = study(expect=[{**groups, **block}], seeds=seeds)
    return check(made.expectations, planted(made, root, T_gen), None)[0]


def test_an_expectation_can_say_that_one_group_is_earlier_than_another(tmp_path):
    row = expected(tmp_path / "a", FAST | SLOW, quantity="T_gen", direction="earlier", note="as published")
    assert (row.held, row.note) == (True, "as published")
    assert row.expected == "T_gen of weight_decay=0.5 is earlier than that of weight_decay=0.1"
    assert "ratio of medians 0.344" in row.seen
    assert expected(tmp_path / "b", FAST | SLOW, quantity="T_gen", direction="later").held is False
    few = expected(tmp_path / "c", FAST | SLOW, seeds=2, quantity="T_gen", direction="earlier")
    assert (few.held, few.word) == (None, "cannot tell")


def test_an_expectation_can_say_that_two_groups_are_equal_within_a_margin(tmp_path):
    close = FAST | {(0.1, s): t + 10 for (_, s), t in FAST.items()}
    assert expected(tmp_path / "a", close, 8, quantity="T_gen", within=1.25).held is True
    assert expected(tmp_path / "b", FAST | SLOW, 8, quantity="T_gen", within=1.25).held is False
    with pytest.raises(ValueError, match=re.escape("$.expect[0].looks: unknown key")):
        expected(tmp_path / "c", close, quantity="T_gen", within=1.25, looks=[3, 5])


def test_intervals_with_an_open_end_are_written_as_such():
    from grokscope.results.seed_tests import interval_words

    assert interval_words(0.5, inf, 0.9) == "90 %: above 0.5"
    assert interval_words(-inf, 3.0, 0.9) == "90 %: below 3"
    assert interval_words(0.0, inf, 1.0, null=1.0) == "no bounded interval with so few values"


def test_a_difference_that_is_only_known_to_be_positive_has_an_interval():
    from grokscope.results.seed_tests import interval_words

    assert interval_words(0.0, inf, 0.9) == "90 %: above 0"
