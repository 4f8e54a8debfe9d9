"""Two sides compared: planted differences come out, none are claimed where none were planted."""

import json
import math

import numpy as np
import pytest

import grokscope as gs
from comparison.planted import answer, arm, log, number, write
from grokscope.comparison import Options, compare_sides, two_sides
from grokscope.results.comparison import Comparison

NEVER = math.inf


def names(paths):
    return [str(p) for p in paths]


# -- one run against one run -------------------------------------------------------------------------------------------


def test_the_difference_of_two_runs_has_what_their_grids_leave_open_and_no_test(tmp_path):
    one, two = write(tmp_path, "a", 0, 300, every=10), write(tmp_path, "b", 0, 160, every=50, lr=1e-2)
    found = gs.compare(one, two)
    row = number(found, "T_gen")
    assert (row.a.middle, row.b.middle, row.difference) == (300, 200, 100)
    assert (row.low, row.high) == (290 - 200, 300 - 150), "(290, 300] less (150, 200]"
    assert found.tests == ()
    assert found.tests_note.startswith("one run against one run: nothing is tested")
    assert [(s.key, s.a, s.b) for s in found.settings] == [("regime.lr", (1e-3,), (1e-2,))]
    assert (number(found, "delay").difference, number(found, "T_fit").difference) == (100, 0)


def test_a_run_that_did_not_arrive_bounds_the_difference(tmp_path):
    one, two = write(tmp_path, "a", 0, NEVER), write(tmp_path, "b", 0, 300)
    row = number(gs.compare(one, two), "T_gen")
    assert (row.a.middle, row.difference, row.low, row.high) == (None, None, 1000 - 300, None)
    row = number(gs.compare(two, one), "T_gen")
    assert (row.difference, row.low, row.high) == (None, None, 300 - 1000)
    never = write(tmp_path, "c", 0, NEVER, lr=1e-2)
    assert number(gs.compare(one, never), "T_gen").note == "not reached on either side"


def test_the_seed_of_single_runs_is_a_setting_that_differs(tmp_path):
    one, two = arm(tmp_path, "a", [300, 320])
    assert [(s.key, s.a, s.b) for s in gs.compare(one, two).settings] == [("seed", (0,), (1,))]


# -- arms over seeds ---------------------------------------------------------------------------------------------------


def test_a_planted_difference_is_found_seed_by_seed(tmp_path):
    arm(tmp_path, "a", [400, 440, 480, 520, 560, 600, 640, 680])
    arm(tmp_path, "b", [200, 220, 240, 260, 280, 300, 320, 340], lr=1e-2)
    found = gs.compare(f"{tmp_path}/*_a_*", f"{tmp_path}/*_b_*")
    test = answer(found, "T_gen")
    assert (test.test.effect, test.test.paired, test.test.n) == (2.0, True, (8,))
    assert (test.test.p, test.p_adjusted, test.outcome) == (2 / 256, 5 * 2 / 256, "shown")
    assert test.answer.startswith("Shown, exploratory: ")
    assert answer(found, "T_fit").outcome == "not shown"


def test_what_seeds_allow_is_said(tmp_path):
    arm(tmp_path, "a", [400, 440, 480])
    arm(tmp_path, "b", [200, 220, 240], lr=1e-2)
    found = gs.compare(f"{tmp_path}/*_a_*", f"{tmp_path}/*_b_*")
    test = answer(found, "T_gen").test
    assert (test.p, test.smallest_p) == (0.25, 0.25)
    assert test.seeds_to_decide > 3
    assert any(words.startswith("Fewer than 6 seeds on a side") for words in found.says)
    said = json.dumps(found.to_dict())
    assert "significant" not in said
    assert all(t.standing == "exploratory" and t.family_size == 5 for t in found.tests)


def test_arms_without_a_difference_show_none(tmp_path):
    rng = np.random.default_rng(5)
    a, b = (list(np.round(rng.lognormal(6, 0.3, 8) / 10) * 10) for _ in range(2))
    arm(tmp_path, "a", a)
    arm(tmp_path, "b", b, lr=1e-2)
    found = gs.compare(f"{tmp_path}/*_a_*", f"{tmp_path}/*_b_*")
    assert {t.outcome for t in found.tests if t.test is not None} == {"not shown"}


@pytest.mark.slow
def test_equal_arms_are_told_apart_no_more_often_than_the_level_says(tmp_path):
    """Unpaired logs of one distribution, 6 against 6; before the correction for the family."""
    rng = np.random.default_rng(1)
    low = 0
    for _ in range(80):
        a, b = ([log(t) for t in rng.lognormal(6, 0.4, 6)] for _ in range(2))
        found = gs.compare(a, b, names=("a", "b"), mechanisms=False)
        low += answer(found, "T_gen").test.p <= 0.05
    assert low <= 80 * 0.05 + 2 * math.sqrt(80 * 0.05 * 0.95)


def test_hundreds_of_runs_are_tested_too():
    a, b = ([log(t, last=200, every=50) for t in [150] * n + [NEVER] * (201 - n)] for n in (150, 50))
    found = gs.compare(a, b, names=("a", "b"), mechanisms=False)
    test = answer(found, "share grokked or generalized").test
    assert test.effect == pytest.approx(100 / 201)
    assert test.p < 0.001
    assert found.curves_note.startswith("not read for more than 100 runs")


def test_seeds_that_are_not_shared_are_not_paired(tmp_path):
    arm(tmp_path / "one", "a", [400, 440, 480])
    for seed, T_gen in ((5, 200), (6, 220), (7, 240)):
        write(tmp_path / "two", "a", seed, T_gen)
    found = gs.compare(tmp_path / "one", tmp_path / "two")
    assert answer(found, "T_gen").test.paired is False
    assert answer(found, "T_gen").test.n == (3, 3)
    assert not found.curves[0].paired


def test_seeds_mean_nothing_across_tasks_and_that_is_said(tmp_path):
    arm(tmp_path, "a", [400, 440], task="modular")
    arm(tmp_path, "a", [200, 220], task="digits")
    found = gs.compare(f"{tmp_path}/modular*", f"{tmp_path}/digits*", names=("m", "d"))
    assert any("Different tasks: m is trained on modular and d is trained on digits" in words for words in found.says)
    assert answer(found, "T_gen").test.paired is False


def test_failed_runs_are_counted_and_unfinished_ones_said(tmp_path):
    arm(tmp_path, "a", [400, 440, 480])
    write(tmp_path, "a", 3, 500, state="failed", last=100)
    write(tmp_path, "a", 4, 500, state="interrupted", last=100)
    arm(tmp_path, "b", [200, 220, 240, 260, 280], lr=1e-2)
    found = gs.compare(f"{tmp_path}/*_a_*", f"{tmp_path}/*_b_*")
    assert (found.a.finished, found.a.failed, found.a.waiting) == (3, 1, 1)
    state = "a: 3 of 5 runs finished, 1 failed or damaged (counted, without a number), 1 not finished"
    assert any(state in words for words in found.says)
    test = answer(found, "T_gen")
    assert [(x.planned, x.finished, x.failed, x.waiting) for x in test.arms] == [(5, 3, 1, 1), (5, 5, 0, 0)]
    assert any("1 of 5 runs of a failed and are left out" in note for note in test.notes)
    assert any("1 run of a unfinished and excluded" in note for note in test.notes)
    words = found.splits[0].verdicts.a
    assert (words["grokked"], words["failed"], sum(words.values())) == (3, 1, 5)
    assert [word for word in words if word.endswith("so far")], words


def test_a_damaged_run_costs_the_others_nothing(tmp_path):
    folders = arm(tmp_path, "a", [400, 440, 480])
    arm(tmp_path, "b", [200, 220, 240], lr=1e-2)
    (folders[1] / "results" / "metrics.jsonl").write_text('{"step": 0}\nnonsense\n{"step": 5}\n')
    found = gs.compare(f"{tmp_path}/*_a_*", f"{tmp_path}/*_b_*")
    assert (found.a.finished, found.a.failed) == (2, 1)
    damaged = next(r for r in found.a.runs if r.state == "damaged")
    assert "the file is damaged" in damaged.reason
    (folders[2] / "config.json").write_text("{")
    assert gs.compare(f"{tmp_path}/*_a_*", f"{tmp_path}/*_b_*").a.failed == 2


def test_censored_runs_count_in_medians_and_tests(tmp_path):
    arm(tmp_path, "a", [NEVER, NEVER, NEVER, NEVER, NEVER, 900])
    arm(tmp_path, "b", [200, 220, 240, 260, 280, 300], lr=1e-2)
    found = gs.compare(f"{tmp_path}/*_a_*", f"{tmp_path}/*_b_*")
    row = number(found, "T_gen")
    assert (row.a.n, row.a.reached, row.a.middle, row.a.high) == (6, 1, None, None)
    assert row.difference is None
    test = answer(found, "T_gen").test
    assert (test.effect_sign, test.p) == (">", 2 / 64)


def test_other_lengths_are_said(tmp_path):
    one, two = write(tmp_path, "a", 0, 300), write(tmp_path, "b", 0, 300, last=500)
    assert any("the first side ends at 1,000 and the second at 500" in words for words in gs.compare(one, two).says)


# -- studies of several arms -------------------------------------------------------------------------------------------


def test_arms_of_one_name_are_compared_with_each_other_and_the_others_named(tmp_path):
    for arm_name, lr, times in (("slow", 1e-3, [400, 440, 480]), ("fast", 1e-2, [200, 220, 240])):
        arm(tmp_path / "one", arm_name, times, lr=lr)
        arm(tmp_path / "two", arm_name, [t + 100 for t in times], lr=lr, loss="mse")
    arm(tmp_path / "two", "odd", [300, 320], lr=1.0)
    found = gs.compare(tmp_path / "one", tmp_path / "two")
    assert [s.arms for s in found.splits] == [("fast", "fast"), ("slow", "slow")]
    assert [number_of(s) for s in found.splits] == [-100, -100]
    assert found.unpaired_arms == ("two: odd",)
    assert {t.family_size for t in found.tests} == {10}
    assert found.tests[0].arms[0].name == "one, fast"


def number_of(split):
    return next(r for r in split.milestones if r.name == "T_gen").difference


def test_several_configurations_without_a_counterpart_are_not_pooled_into_a_test(tmp_path):
    arm(tmp_path / "one", "x", [400, 440], lr=1e-3)
    arm(tmp_path / "one", "y", [400, 440], lr=1e-2)
    arm(tmp_path / "two", "z", [200, 220], lr=1.0)
    found = gs.compare(tmp_path / "one", tmp_path / "two")
    assert found.tests == ()
    assert "compare one arm with one arm" in found.tests_note


def test_one_label_for_several_configurations_is_taken_apart(tmp_path):
    arm(tmp_path / "one", "x", [400, 440], lr=1e-3)
    for seed in (0, 1):
        write(tmp_path / "one" / "more", "x", seed, 300, lr=1e-2)
    one, _ = two_sides(
        [f"{tmp_path}/one/modular*", f"{tmp_path}/one/more"],
        write(tmp_path / "two", "z", 0, 300, lr=1.0),
        Options(),
    )
    assert one.arms == ("x · lr 0.001", "x · lr 0.01")


# -- data and curves ---------------------------------------------------------------------------------------------------


def test_data_is_told_seed_by_seed_where_each_seed_draws_its_own(tmp_path):
    for seed in (0, 1):
        own = {"train": f"{seed}" * 32, "id_val": "b" * 32}
        write(tmp_path, "a", seed, 300, digests=own)
        write(tmp_path, "b", seed, 300, digests=own if seed == 0 else {**own, "train": "9" * 32}, lr=1e-2)
    found = gs.compare(f"{tmp_path}/*_a_*", f"{tmp_path}/*_b_*")
    assert {s.split: (s.word, s.says) for s in found.data} == {
        "train": ("other", "in 1 of 2 pairs of one seed"),
        "id_val": ("same", "one set of examples on each side"),
    }
    assert found.same_data == "other"
    assert found.says[0].startswith("Data: other examples in train (in 1 of 2 pairs of one seed)")


def test_curves_are_subtracted_seed_by_seed(tmp_path):
    for seed, more in enumerate((1.0, 2.0, 6.0)):
        write(tmp_path, "a", seed, 300, jitter=more)
        write(tmp_path, "b", seed, 300, jitter=0.0, lr=1e-2)
    found = gs.compare(f"{tmp_path}/*_a_*", f"{tmp_path}/*_b_*")
    norm = next(c for c in found.curves if c.curve == "norm_total")
    assert (norm.paired, norm.seeds) == (True, (0, 1, 2))
    assert {norm.difference[0], norm.low[0], norm.high[0]} == {2.0, 1.0, 6.0}
    held = next(c for c in found.curves if c.curve == "id_val")
    assert set(held.difference) == {0.0}


def test_curves_meet_on_the_evaluations_that_all_runs_share(tmp_path):
    one, two = write(tmp_path, "a", 0, 300, every=20), write(tmp_path, "b", 0, 300, every=50, last=500)
    curve = gs.compare(one, two).curves[0]
    assert curve.step == (0, 100, 200, 300, 400, 500)
    assert curve.note == "up to 500, where the shortest run ends, on the 6 evaluations that all runs share"


def test_a_run_without_the_column_is_left_out_of_its_curve_and_said(tmp_path):
    folders = arm(tmp_path, "a", [300, 300, 300], jitter=1.0)
    arm(tmp_path, "b", [300, 300, 300], lr=1e-2)
    metrics = folders[1] / "results" / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace(', "norm_total": 11.0', ""))
    found = gs.compare(f"{tmp_path}/*_a_*", f"{tmp_path}/*_b_*")
    norm = next(c for c in found.curves if c.curve == "norm_total")
    assert norm.seeds == (0, 2)
    assert norm.note == (
        "without 1 run that did not record it, 1 run without a partner of the same seed excluded from the difference"
    )
    assert next(c for c in found.curves if c.curve == "id_val").note == ""


# -- logs --------------------------------------------------------------------------------------------------------------


def test_a_run_and_a_log_of_it_agree(tmp_path):
    run = write(tmp_path, "a", 0, 300, held=0.99)
    found = gs.compare(run, log(300))
    assert (number(found, "T_gen").difference, number(found, "end").difference) == (0, 0)
    assert (found.same_data, found.settings_note) == ("unknown", "the configuration of log is unknown")


def test_what_the_user_set_is_listed_beside_an_unknown(tmp_path):
    run = write(tmp_path, "a", 0, 300)
    record = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**record, "passed": ["regime.lr"]}))
    assert [(s.key, s.a, s.b) for s in gs.compare(run, log(300)).settings] == [("regime.lr", (1e-3,), None)]


def test_a_log_in_epochs_is_not_subtracted_from_steps_unless_told_how_many(tmp_path):
    run = write(tmp_path / "runs", "a", 0, 400)
    file = tmp_path / "log.csv"
    steps = range(0, 251, 5)
    file.write_text(
        "epoch,acc,val\n" + "".join(f"{e},{1.0 if e > 10 else 0.2},{0.99 if e >= 50 else 0.15}\n" for e in steps)
    )
    columns = {"step": "epoch", "train": "acc", "held_out": {"id_val": "val"}, "threshold": 0.9}
    found = gs.compare(run, file, **columns)
    row = number(found, "T_gen")
    assert (row.a.middle, row.b.middle, row.difference) == (400, 50, None)
    assert "steps_per_unit, such as 4" in row.note
    assert found.curves == ()
    row = number(gs.compare(run, file, steps_per_unit=4, **columns), "T_gen")
    assert (row.b.middle, row.difference, row.low, row.high) == (200, 200, 390 - 200, 400 - 180)


# -- mechanisms --------------------------------------------------------------------------------------------------------


def test_checks_are_counted_over_runs_and_those_that_agree_are_marked(tmp_path):
    arm(tmp_path, "a", [300, 320])
    arm(tmp_path, "b", [NEVER, NEVER], lr=1e-2)
    found = gs.compare(f"{tmp_path}/*_a_*", f"{tmp_path}/*_b_*")
    rows = {row.name: row for row in found.mechanisms}
    assert all(sum(row.a.values()) == sum(row.b.values()) == 2 for row in rows.values())
    assert any(row.differs for row in rows.values()), "one side grokked and the other only memorized"
    assert any(not row.differs for row in rows.values())
    assert gs.compare(f"{tmp_path}/*_a_*", f"{tmp_path}/*_b_*", mechanisms=False).mechanisms == ()


# -- the record --------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_back(tmp_path):
    arm(tmp_path, "a", [400, NEVER, 480])
    arm(tmp_path, "b", [200, 220, 240], lr=1e-2)
    found = gs.compare(f"{tmp_path}/*_a_*", f"{tmp_path}/*_b_*")
    found.write(tmp_path / "c.json")
    Comparison.read(tmp_path / "c.json").write(tmp_path / "d.json")
    assert (tmp_path / "c.json").read_bytes() == (tmp_path / "d.json").read_bytes()


def test_grids_told_from_text_are_those_of_the_curve(tmp_path):
    """The short way to the evaluation grid and the long one lead to one answer."""
    arm(tmp_path, "a", [400, 440, 480])
    arm(tmp_path, "b", [200, 220, 240], lr=1e-2)
    short = compare_sides(*two_sides(f"{tmp_path}/*_a_*", f"{tmp_path}/*_b_*", Options())).record
    long = compare_sides(*two_sides(f"{tmp_path}/*_a_*", f"{tmp_path}/*_b_*", Options()), criteria=gs.Criteria()).record
    assert short.to_dict() == long.to_dict()
