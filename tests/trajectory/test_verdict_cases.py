"""Logs that were judged wrongly, each with the right answer, and the rest of its kind: what gets no class, what is
about the end, what counts time and not rows."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trajectory_shapes import FINE_STEP, LOG_GRID, fitting, grokked, memorized, sigmoid, trajectory

from grokscope.commands.logs import LogOptions
from grokscope.commands.verdict import verdict as command
from grokscope.trajectory import Criteria, Trajectory, Verdict, from_log, milestones, verdict, verdicts

CASES = Path(__file__).parents[1] / "cases" / "logs"
TELLING = {"step": "epoch", "train_loss": "train_loss", "held_out_loss": {"val": "val_loss"}, "kind": "regression"}


def judged(name: str, train: str = "train", held_out: str = "test", **columns: Any) -> Verdict:
    return verdict(from_log(CASES / name, step="step", train=train, held_out=held_out, **columns))


# --- train collapses for good


def test_a_collapse_for_good_is_unstable_and_the_sentence_says_what_held_out_did():
    v = judged("min_permanent_collapse.csv")
    assert v.label == "unstable (lasting)"
    assert v.robust
    assert "collapsed for good at 1,000" in v.reason
    assert "held-out never reached 0.95" in v.reason
    assert "may still grok" not in v.reason


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (np.where(FINE_STEP < 400, 0.02, 0.98), "held-out reached 0.95 at 400 and holds it"),
        (np.where((FINE_STEP > 400) & (FINE_STEP < 800), 0.98, 0.1), "held-out reached 0.95 at 410 and lost it"),
        (np.where(FINE_STEP < 800, 0.6, 0.1), "stood at best 0.6 (step 0) and lost it (ends at 0.1)"),
    ],
)
def test_what_held_out_reached_and_kept_when_train_collapsed(held: np.ndarray, said: str):
    train = np.where(FINE_STEP < 800, fitting(FINE_STEP, 40), 0.1)
    v = verdict(trajectory(FINE_STEP, train, held))
    assert v.label == "unstable (lasting)"
    assert said in v.reason


def test_collapsed_for_most_of_the_time_is_lasting_again_and_again_is_cyclic():
    mostly = np.where((FINE_STEP > 100) & (FINE_STEP < 1400), 0.1, 1.0)
    assert verdict(trajectory(FINE_STEP, mostly, 0.1 * mostly)).label == "unstable (lasting)"
    again = np.where(FINE_STEP % 200 > 150, 0.1, 1.0)
    assert verdict(trajectory(FINE_STEP, again, 0.1 * again)).label == "unstable (cyclic)"


def test_two_rows_at_the_end_or_a_burst_of_them_are_no_lasting_collapse():
    train = np.ones(len(FINE_STEP))
    train[-2:] = 0.1
    assert verdict(trajectory(FINE_STEP, train, 0.1 * train)).verdict == "memorized"
    step = np.r_[FINE_STEP, 1500 + np.arange(1, 101) / 100]
    train = np.r_[np.ones(len(FINE_STEP)), np.full(100, 0.1)]
    assert verdict(trajectory(step, train, np.full(len(step), 0.1))).verdict == "memorized"


def test_a_late_collapse_is_unstable_but_not_robust():
    train = np.where(FINE_STEP < 1300, fitting(FINE_STEP, 40), 0.1)
    v = verdict(trajectory(FINE_STEP, train, np.full(len(FINE_STEP), 0.1)))
    assert v.label == "unstable (lasting)"
    assert not v.robust
    assert v.neighbors["cut=80%"] == "memorized"


def test_a_train_split_on_which_the_trivial_predictor_is_perfect_collapses_against_chance():
    """One class per hospital: the majority per group is right on all of train, and .995 is no collapse."""
    held = np.full(len(LOG_GRID), 0.5)
    t = Trajectory(
        step=LOG_GRID,
        train=0.991 * fitting(LOG_GRID, 40),
        held_out={"ood": held},
        threshold=0.95,
        trivial={"train": 1.0, "ood": 0.5},
    )
    assert verdict(t).verdict == "memorized"


# --- a rise under way


def ramp(step: Any) -> Trajectory:
    step = np.asarray(step)
    return trajectory(step, np.where(step < 1000, 0.5, 1.0), 0.05 + 0.65 * np.clip((step - 10000) / 40000, 0, 1))


GRIDS = {
    **{f"{n} rows": np.linspace(100, 50000, n) for n in (10, 50, 500, 2000)},
    "log": np.geomspace(100, 50000, 200),
    "irregular": np.sort(np.random.default_rng(0).uniform(100, 50000, 300)),
    "a burst at the end": np.r_[np.linspace(100, 49900, 100), np.linspace(49901, 50000, 1000)],
}


def test_a_straight_line_is_still_rising():
    v = judged("min_stops_there.csv")
    assert v.verdict == "rising"
    assert v.robust
    assert "still rising at 50,000" in v.reason
    assert "censored" in v.reason


@pytest.mark.parametrize("grid", GRIDS.values(), ids=list(GRIDS))
def test_the_same_line_says_the_same_on_any_grid(grid: np.ndarray):
    assert verdict(ramp(grid)).verdict == "rising"


@pytest.mark.parametrize("grid", GRIDS.values(), ids=list(GRIDS))
def test_the_same_finished_rise_is_semi_grokked_on_any_grid(grid: np.ndarray):
    held = 0.05 + 0.65 * np.clip((grid - 10000) / 8000, 0, 1)
    v = verdict(trajectory(grid, np.where(grid < 1000, 0.5, 1.0), held))
    assert v.verdict == "semi-grokked"
    # the coarsest grid has one evaluation between the plateau and the rise
    assert v.robust == (len(grid) != 10)


def test_a_rise_that_has_just_levelled_off_is_not_robust():
    held = 0.05 + 0.65 * np.clip((GRIDS["500 rows"] - 10000) / 29000, 0, 1)
    v = verdict(trajectory(GRIDS["500 rows"], np.where(GRIDS["500 rows"] < 1000, 0.5, 1.0), held))
    assert v.verdict == "semi-grokked"
    assert v.neighbors["cut=80%"] == "rising"
    assert not v.robust


# --- what gets no class


def test_a_log_that_begins_after_both_milestones_shows_them_and_gets_no_class():
    v = judged("min_left_censored.csv")
    assert v.verdict is None
    assert v.label == "cannot be judged"
    assert not v.robust
    assert "begins at 1,000" in v.reason
    assert v.milestones.T_fit.previous is None
    assert v.milestones.T_gen.at == 1000
    assert json.loads(json.dumps(v.to_dict()))["verdict"] is None
    assert str(v).startswith("held_out: cannot be judged: the log begins at 1,000 with train fitted")


def test_what_happens_after_a_late_beginning_is_judged():
    held = np.where(FINE_STEP < 500, 0.98, 0.3)
    assert verdict(trajectory(FINE_STEP, np.ones(len(FINE_STEP)), held)).label == "ungrokked (after-grokking)"


def test_one_column_named_twice_is_refused():
    with pytest.raises(ValueError, match="same column"):
        judged("same_column_twice.csv", "acc", "acc")
    acc = [0.1, 1.0, 1.0, 1.0, 1.0, 1.0]
    v = verdict(trajectory(np.arange(6), acc, acc, trivial=None))  # a copy of the column, under another name
    assert v.verdict is None
    assert "named twice" in v.reason
    loss = {"step": "e", "kind": "regression", "train_loss": "l", "held_out_loss": {"val": "k"}, "trivial_loss": 1.0}
    rows = {"e": np.arange(1, 9), "l": np.linspace(1, 0.1, 8), "k": np.linspace(1, 0.1, 8)}
    assert verdict(from_log(rows, **loss)).verdict is None


@pytest.mark.parametrize("values", [[1.0] * 6, [0.5] * 6, [0.1, 0.1, 1, 1, 1, 1], [0.0, 0.0, 1, 1, 1, 1]])
def test_two_splits_that_agree_by_themselves_are_not_refused(values: list[float]):
    """Both perfect, both constant, both at the trivial predictor's score and then perfect."""
    v = verdict(trajectory(np.arange(1, 7), values, values))
    assert "named twice" not in v.reason


def test_train_that_was_evaluated_once_is_no_underfit():
    v = judged("train_logged_once.csv", "train_acc", "test_acc")
    assert v.verdict is None
    assert "train was evaluated once, at step 0" in v.reason


def test_train_that_was_evaluated_only_before_the_decisive_part():
    t = grokked(FINE_STEP)
    train = np.where(FINE_STEP <= 30, t.train, np.nan)
    v = verdict(trajectory(FINE_STEP, train, t.held_out["id_val"]))
    assert v.verdict is None
    assert "train was last evaluated at step 30" in v.reason
    assert verdict(trajectory(FINE_STEP, np.where(FINE_STEP <= 60, t.train, np.nan), t.held_out["id_val"])).verdict


def test_only_losses_and_nothing_at_all_have_their_words():
    nothing = np.full(5, np.nan)
    v = verdict(trajectory(np.arange(5), nothing, nothing, train_loss=np.linspace(1, 0, 5)))
    assert v.verdict is None
    assert "train has no evaluations, only a loss" in v.reason
    v = verdict(trajectory(np.arange(5), nothing, nothing))
    assert v.verdict is None
    assert json.loads(json.dumps(v.to_dict(), allow_nan=False))["milestones"]["peak"] is None
    with pytest.raises(ValueError, match="step must increase strictly: row 3 has 1 after 2; sort the rows"):
        trajectory([1, 2, 1], [1, 1, 1], [0, 0, 0])


def test_one_split_without_a_class_does_not_cost_the_others_theirs(tmp_path: Path):
    t = grokked()
    held = {"same": t.train, "own": t.held_out["id_val"]}
    both = Trajectory(step=t.step, train=t.train, held_out=held, threshold=0.95)
    assert {k: v.verdict for k, v in verdicts(both).items()} == {"same": None, "own": "grokked"}
    rows = "step,a,copy,b\n" + "\n".join(
        f"{s},{a},{a},{b}" for s, a, b in zip(t.step, t.train, held["own"], strict=True)
    )
    log = tmp_path / "log.csv"
    log.write_text(rows, encoding="utf-8")
    columns = LogOptions(step="step", train="a")
    assert command([log], log=replace(columns, held_out=("x=copy", "y=b"))).exit_code == 0
    assert command([log], log=replace(columns, held_out=("copy",))).exit_code == 2


# --- divergence


def test_a_log_that_begins_after_the_explosion_does_not_measure_growth_from_it():
    """Learning rate 1e12 on handwritten digits: 6.8e25 after the first step, 7e11 at the end, and nothing learned."""
    train = np.full(LOG_GRID.shape, 0.1)
    loss = np.where(LOG_GRID < 10, 6.8e25, 7e11)
    v = verdict(trajectory(LOG_GRID, train, train, train_loss=loss))
    assert (v.verdict, "has exploded (it ends at 7e+11)" in v.reason) == ("diverged", True)
    large = np.where(LOG_GRID < 10, 1e13, 7e11)  # a large initial function: it began there and came down
    v = verdict(trajectory(LOG_GRID, train, train, train_loss=large))
    assert v.verdict == "underfit"


@pytest.mark.parametrize("end", [np.inf, 1e30, 1e9])
def test_a_loss_that_exploded_is_diverged_finite_or_not(end: float):
    t = grokked()
    loss = np.where(LOG_GRID < 1000, 2.3, end)
    v = verdict(trajectory(LOG_GRID, t.train, t.held_out["id_val"], train_loss=loss))
    assert v.verdict == "diverged"
    assert ("is not finite" in v.reason) == (end == np.inf)
    assert ("has exploded" in v.reason) == (end != np.inf)
    back = np.where(LOG_GRID < 1400, loss, 2.3)
    assert verdict(trajectory(LOG_GRID, t.train, t.held_out["id_val"], train_loss=back)).verdict == "grokked"


def test_a_large_loss_alone_is_no_divergence():
    loss = 1e12 * np.exp(-LOG_GRID / 300)
    t = grokked(train_loss=loss)
    assert verdict(t).verdict == "grokked"


def test_an_infinite_regression_loss_and_nothing_but_nan():
    step = np.arange(1, 21)
    r2 = np.where(step > 10, -np.inf, 0.95)
    extra = {"kind": "regression", "trivial": 0.0, "threshold": 0.9}
    assert verdict(trajectory(step, r2, r2 - 0.5, **extra)).verdict == "diverged"
    nothing = np.full(20, np.nan)
    v = verdict(trajectory(step, nothing, nothing, train_loss=np.full(20, np.inf)))
    assert v.verdict == "diverged"
    assert not v.robust


# --- sentences


def test_never_reached_is_not_said_beside_a_milestone():
    v = judged("min_never_reached_but_did.csv")
    assert v.label == "ungrokked (early-peak)"
    assert v.milestones.T_gen.at == 11
    assert "never reached" not in v.reason
    assert "reached 0.95 only for a moment, at 11" in v.reason


def test_the_told_m_height_log_is_never_memorized_and_ends_at_the_trivial_predictor():
    t = from_log(CASES / "mheight_told_01.csv", **TELLING, trivial_loss={"train": 1.35, "val": 1.36})
    v = verdict(t)
    assert v.verdict == "recovered-to-baseline"
    assert v.robust
    assert "the level of the trivial predictor" in v.reason
    assert "nothing was memorized" in v.reason
    words = {int(s): verdict(t.head(int((t.step <= s).sum())), neighbors=False).verdict for s in range(100, 1500, 50)}
    assert set(words.values()) == {"underfit", "recovered-to-baseline"}
    assert {w for s, w in words.items() if s <= 750} == {"underfit"}
    assert v.milestones.end > 0
    assert "no better than" not in v.reason


def test_underfit_says_how_far_train_got_and_against_what():
    v = verdict(trajectory(LOG_GRID, 0.1 + 0.6 * fitting(LOG_GRID, 40), np.full(len(LOG_GRID), 0.1)))
    assert v.verdict == "underfit"
    assert "it got to 0.7 at 41 (fit threshold 0.99), above the trivial predictor's 0.1" in v.reason
    v = verdict(trajectory(LOG_GRID, np.full(len(LOG_GRID), 0.1), np.full(len(LOG_GRID), 0.1)))
    assert "no further than the trivial predictor's 0.1, so nothing was memorized" in v.reason


def test_a_high_plateau_suggests_a_threshold_that_changes_the_verdict():
    held = sigmoid(LOG_GRID, 0.02, 0.88, 400, 20)
    t = trajectory(LOG_GRID, fitting(LOG_GRID, 40), held)
    v = verdict(t)
    assert v.verdict == "semi-grokked"
    threshold = float(v.reason.split("--threshold ")[1])
    assert 0.8 < threshold < 0.88
    assert verdict(t, criteria=Criteria(generalize=threshold)).verdict == "grokked"
    assert "--threshold" not in verdict(memorized(level=0.3)).reason
    assert "--threshold 0.7" in verdict(memorized(level=0.8)).reason


# --- milestones by other rules


def test_a_milestone_may_ask_for_evaluations_in_a_row():
    held = np.r_[0.1, 0.96, 0.1, 0.97, 0.97, 0.1, 0.98, 0.98, 0.98, 0.98]
    step = np.arange(1, 11)
    at = {k: milestones(trajectory(step, np.ones(10), held), criteria=Criteria(in_a_row=k)) for k in (1, 2, 3, 5)}
    assert {k: (m.T_gen.at, m.T_gen.censored) for k, m in at.items()} == {
        1: (2, False),
        2: (4, False),
        3: (7, False),
        5: (10, True),
    }
    assert at[3].to_dict()["in_a_row"] == 3
    train = np.r_[0.5, 1.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert milestones(trajectory(step, train, held), criteria=Criteria(in_a_row=3)).T_fit.at == 4


def test_a_train_score_that_touched_the_threshold_once_is_not_robustly_fitted():
    train = np.full(60, 0.9)
    train[20] = 1.0
    v = verdict(trajectory(np.arange(60), train, np.full(60, 0.1)))
    assert v.neighbors["in_a_row=2"] == "underfit"
    assert not v.robust


def test_T_grok_asks_for_a_train_loss_near_zero():
    step = np.arange(0, 1000, 10)
    loss = np.exp(-step / 100)
    t = trajectory(step, fitting(step, 40), np.where(step < 200, 0.1, 0.99), train_loss=loss)
    m = milestones(t)
    assert m.T_gen.at == 200
    assert m.T_grok is not None
    assert m.T_grok.at == 470  # exp(-4.7) is the first below .01
    assert milestones(t, criteria=Criteria(zero_loss=0.2)).T_grok.at == 200  # type: ignore[union-attr]
    assert milestones(grokked()).T_grok is None
    never = milestones(trajectory(step, fitting(step, 40), np.where(step < 200, 0.1, 0.99), train_loss=loss + 1))
    assert never.T_grok is not None
    assert never.T_grok.censored


def test_grokked_says_how_long_it_held_and_is_fragile_below_dwell_evaluations():
    t = grokked(FINE_STEP)
    row = int(np.argmax(t.held_out["id_val"] >= 0.95))
    for after, robust in ((1, False), (2, False), (3, True), (40, True)):
        v = verdict(t.head(row + 1 + after))
        assert v.verdict == "grokked"
        assert v.robust == robust
        assert bool(v.fragile) != robust
        assert v.evidence["held_for"] == 10 * after
        assert f"it has held since ({10 * after:g} steps" in v.reason
