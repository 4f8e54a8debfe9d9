"""Every class of verdict on trajectories whose class is known, with noise, spikes, dips, coarse and fine grids."""

import json
from typing import Any

import numpy as np
import pytest
from trajectory_shapes import (
    DIGITS_STEP,
    DIGITS_TRAIN,
    LOG_GRID,
    PUBLISHED_GRID,
    digits,
    early_peak,
    fitting,
    grokked,
    memorized,
    noisy,
    sigmoid,
    trajectory,
)
from trajectory_shapes import FINE_STEP as FINE

from grokscope.trajectory import VERDICTS, Criteria, Trajectory, from_log, verdict, verdicts

COARSE = np.array([1, 40, 150, 300, 450, 600, 900, 1200, 1500])


def name(t: Trajectory, criteria: Criteria | None = None) -> str:
    return verdict(t, criteria=criteria, neighbors=False).label


def test_the_digits_recipe_groks():
    v = verdict(digits())
    assert v.verdict == "grokked"
    assert v.robust
    assert v.evidence["low_share"] == pytest.approx((8000 - 1400) / 9600)


def test_the_digits_recipe_cut_short():
    assert name(digits(8)) == "memorized"
    assert name(digits(10)) == "memorized"
    v = verdict(digits(13))
    assert v.verdict == "rising"
    assert v.evidence["still_rising"]
    assert "still rising" in v.reason
    assert "censored" in v.reason


def test_digits_without_decay_are_memorized_and_the_reason_says_censored():
    held = np.r_[0.1, 0.11, 0.12, 0.12, 0.13, 0.13, 0.14, [0.15] * 3, [0.16] * 10]
    v = verdict(trajectory(DIGITS_STEP, DIGITS_TRAIN, held, threshold=0.9, n={"id_val": 1597}))
    assert v.verdict == "memorized"
    assert v.robust
    assert "censored" in v.reason
    assert v.milestones.T_gen.censored


def test_digits_at_init_scale_one_generalize_at_once():
    step = [20, 50, 80, 100, 110, 130, 200, 400, 1000, 5000]
    train = [0.3, 0.7, 0.95, 0.99, 1, 1, 1, 1, 1, 1]
    held = [0.2, 0.6, 0.85, 0.89, 0.9, 0.91, 0.92, 0.94, 0.94, 0.94]
    v = verdict(trajectory(step, train, held, threshold=0.9))
    assert v.verdict == "generalized"
    assert v.evidence["delay_ratio"] == pytest.approx(1.1)


@pytest.mark.parametrize("grid", [LOG_GRID, FINE, COARSE], ids=["log", "fine", "coarse"])
@pytest.mark.parametrize("sigma", [0.0, 0.01])
def test_modular_addition_groks_on_any_grid(grid: np.ndarray, sigma: float):
    v = verdict(grokked(grid, sigma=sigma, n={"id_val": 1740}))
    assert v.verdict == "grokked"
    assert v.robust
    assert 440 <= v.milestones.T_gen.at <= 610


@pytest.mark.parametrize("grid", [LOG_GRID, FINE, COARSE], ids=["log", "fine", "coarse"])
@pytest.mark.parametrize("level", [0.0, 0.02, 0.1])
def test_modular_addition_without_decay_memorizes(grid: np.ndarray, level: float):
    v = verdict(memorized(grid, level, sigma=0.005))
    assert v.verdict == "memorized"
    assert v.robust


def test_slingshot_dips_after_grokking_are_forgiven():
    t = grokked(FINE)
    train, held = t.train.copy(), t.held_out["id_val"].copy()
    for at in (70, 90, 110, 130):
        train[at], held[at : at + 2] = 0.3, 0.4
    v = verdict(trajectory(FINE, train, held))
    assert v.verdict == "grokked"
    assert v.milestones.T_gen_stable == v.milestones.T_gen


def test_a_long_dip_after_grokking_is_told_but_does_not_change_the_class():
    t = grokked(FINE)
    held = t.held_out["id_val"].copy()
    held[80:90] = 0.5
    v = verdict(trajectory(FINE, t.train, held))
    assert v.verdict == "grokked"
    assert v.milestones.T_gen_stable.at == 900
    assert "fell below in between and holds since 900" in v.reason


def test_an_early_flicker_above_the_threshold_is_no_generalization():
    """A literal T_gen at the flicker would make this run `generalized`."""
    t = grokked()
    held = t.held_out["id_val"].copy()
    held[3] = 0.96
    v = verdict(trajectory(LOG_GRID, t.train, held))
    assert v.milestones.T_gen.at == LOG_GRID[3]
    assert v.verdict == "grokked"
    held = np.full(len(LOG_GRID), 0.02)
    held[10] = 0.96
    assert "a flicker reached" in verdict(trajectory(LOG_GRID, t.train, held)).reason


def test_a_slow_last_stretch_is_not_grokking():
    """Held-out is near the threshold from the fit on and creeps over it much later: delayed, but never far below."""
    held = np.where(LOG_GRID < 40, LOG_GRID / 45, np.minimum(0.96, 0.9 + 0.06 * LOG_GRID / 1000))
    v = verdict(trajectory(LOG_GRID, fitting(LOG_GRID, 40), held))
    assert v.verdict == "generalized"
    assert v.evidence["delay_ratio"] > 10
    assert v.evidence["low_share"] < 0.1


def test_semi_grokked_is_a_late_lasting_rise_below_the_threshold():
    held = sigmoid(LOG_GRID, 0.02, 0.7, 400, 30)
    v = verdict(trajectory(LOG_GRID, fitting(LOG_GRID, 40), noisy(held, 0.01), n={"id_val": 1740}))
    assert v.verdict == "semi-grokked"
    assert v.robust
    assert "has leveled off" in v.reason


def test_an_early_gap_is_memorization_not_semi_grokking():
    """Train 1.0 and held-out 0.8, both reached together: ordinary overfitting, no late rise."""
    held = 0.8 * fitting(LOG_GRID, 40)
    assert name(trajectory(LOG_GRID, fitting(LOG_GRID, 40), held)) == "memorized"


def test_a_steady_approach_is_no_late_rise():
    held = 0.1 + 0.6 * (1 - np.exp(-LOG_GRID / 100))
    assert name(trajectory(LOG_GRID, fitting(LOG_GRID, 100), held)) == "memorized"


PUBLISHED = [
    (0.6876, 50, 0.5882),
    (0.7336, 350, 0.6639),
    (0.7270, 350, 0.6447),
    (0.6722, 1100, 0.5224),
    (0.7056, 400, 0.5506),
    (0.7615, 1, 0.6482),
    (0.8880, 1, 0.6645),
    (0.7450, 1050, 0.5783),
]


@pytest.mark.parametrize(("peak", "at", "final"), PUBLISHED)
@pytest.mark.parametrize("sigma", [0.0, 0.01])
def test_the_published_shortcut_runs_ungrok(peak: float, at: float, final: float, sigma: float):
    v = verdict(early_peak(peak, at, final, sigma), neighbors=False)
    assert v.label == "ungrokked (early-peak)"
    assert v.milestones.T_gen.censored


def test_an_untrained_networks_lucky_first_row_is_not_ungrokking():
    held = noisy(np.full(61, 0.66), 0.005)
    held[0] = 0.888
    v = verdict(trajectory(PUBLISHED_GRID, np.minimum(1, 0.8 + PUBLISHED_GRID / 500), held, trivial=0.5))
    assert v.verdict == "memorized"
    assert v.evidence["peak_single"]
    assert v.evidence["peak_before_fit"]
    assert "0.888 at 1, before the fit, is one evaluation alone" in v.reason


def test_the_lucky_first_row_does_not_hide_a_real_decay():
    t = early_peak(0.7270, 350, 0.6447)
    held = t.held_out["id_val"].copy()
    held[0] = 0.888
    v = verdict(trajectory(PUBLISHED_GRID, t.train, held, trivial=0.5))
    assert v.label == "ungrokked (early-peak)"
    assert v.evidence["peak_single"]
    assert v.evidence["peak_lasting"] == pytest.approx(0.72, abs=0.01)


def test_ungrokked_after_grokking():
    """Retraining on less data after grokking (arXiv:2309.02390): up at 480, lost from 1,000 on."""
    step = np.arange(0, 2001, 20)
    held = np.where(step < 1000, sigmoid(step, 0.02, 1, 430, 25), sigmoid(step, 1, 0.3, 1200, 60))
    v = verdict(trajectory(step, fitting(step, 40), held))
    assert v.label == "ungrokked (after-grokking)"
    assert v.robust
    assert not v.milestones.T_gen.censored
    assert v.milestones.T_gen_stable.censored


def test_half_a_recovery_after_grokking_is_still_a_loss():
    """A deep dip and a return to below the threshold: not monotone, and lost all the same."""
    step = np.arange(0, 2001, 20)
    back = 0.87 - 0.6 * np.exp(-(step - 1000) / 200)
    held = np.where(step < 1000, sigmoid(step, 0.02, 1, 430, 25), back)
    v = verdict(trajectory(step, fitting(step, 40), held, n={"id_val": 1740}))
    assert v.label == "ungrokked (after-grokking)"
    assert "a loss beyond noise" in v.reason


def test_a_collapse_in_the_last_two_evaluations_is_not_yet_ungrokking():
    t = grokked(FINE)
    held = t.held_out["id_val"].copy()
    held[-2:] = 0.3
    assert name(trajectory(FINE, t.train, held)) == "grokked"
    held[-3:] = 0.3
    assert name(trajectory(FINE, t.train, held)) == "ungrokked (after-grokking)"


def test_fading_within_noise_is_not_ungrokking():
    held = np.r_[np.full(10, 0.1), np.full(20, 0.955), np.full(10, 0.945)]
    v = verdict(trajectory(np.arange(1, 41), fitting(np.arange(1, 41), 3), held, n={"id_val": 500}))
    assert v.verdict == "grokked"
    assert "below the threshold but not clearly" in v.reason
    assert not v.robust


def test_a_decay_must_last():
    """Two low evaluations at the end of a short log: they make the final value low, and may be chance."""
    held = np.r_[np.full(10, 0.8), 0.3, 0.3]
    t = trajectory(np.arange(12), np.ones(12), held)
    assert name(t) == "memorized"
    assert name(trajectory(np.arange(13), np.ones(13), np.r_[held, 0.3])) == "ungrokked (early-peak)"


def test_before_its_first_evaluation_held_out_is_taken_to_be_where_it_was_then():
    held = np.r_[[np.nan] * 8, 0.1, 0.97, 0.97, 0.97]
    assert verdict(trajectory(np.arange(1, 13), np.ones(12), held)).evidence["low_share"] == 1
    held[8] = 0.96
    assert name(trajectory(np.arange(1, 13), np.ones(12), held)) == "cannot be judged"


def test_a_decay_below_chance_is_no_peak():
    held = np.r_[[0.5] * 10, np.linspace(0.5, 0.3, 30), [0.3] * 10]
    t = trajectory(np.arange(50), fitting(np.arange(50), 5), held, trivial=0.5)
    assert name(t) == "memorized"


def test_a_late_rise_mostly_lost_again_is_ungrokked_a_little_lost_is_semi():
    def shape(final: float) -> Trajectory:
        up = sigmoid(FINE, 0.02, 0.8, 400, 20)
        held = np.where(FINE < 700, up, final + (0.8 - final) * np.exp(-(FINE - 700) / 100))
        return trajectory(FINE, fitting(FINE, 40), held)

    assert name(shape(0.2)) == "ungrokked (early-peak)"
    assert name(shape(0.5)) == "ungrokked (early-peak)"
    assert name(shape(0.75)) == "semi-grokked"


def test_white_noise_around_a_flat_level_rarely_ungroks():
    rng = np.random.default_rng(0)
    named = []
    for _ in range(200):
        held = 0.65 + 0.03 * rng.normal(size=61)
        named.append(name(trajectory(PUBLISHED_GRID, fitting(PUBLISHED_GRID, 100), held, trivial=0.5)))
    assert named.count("memorized") >= 190


def test_the_same_drop_is_decided_by_the_noise():
    grid = PUBLISHED_GRID
    held = 0.65 + 0.1 * np.exp(-grid / 500)
    assert (
        name(trajectory(grid, fitting(grid, 100), held, trivial=0.5, n={"id_val": 34904})) == "ungrokked (early-peak)"
    )
    assert name(trajectory(grid, fitting(grid, 100), held, trivial=0.5, n={"id_val": 60})) == "memorized"
    rough = [name(trajectory(grid, fitting(grid, 100), noisy(held, 0.06, seed), trivial=0.5)) for seed in range(20)]
    assert rough.count("memorized") >= 15


def test_repeated_collapses_of_train_are_unstable():
    rows = np.arange(61)
    train = np.where((rows % 8 > 5) & (rows > 6), 0.4, fitting(PUBLISHED_GRID, 100))
    v = verdict(trajectory(PUBLISHED_GRID, train, np.full(61, 0.6)))
    assert v.verdict == "unstable"
    assert v.evidence["collapses"] == 7
    two = train.copy()
    two[np.flatnonzero(train < 0.5)[4:]] = 1.0
    assert name(trajectory(PUBLISHED_GRID, two, np.full(61, 0.6))) == "memorized"


def test_a_few_brief_collapses_in_a_long_log_are_events_not_instability():
    train = np.ones(400)
    train[[100, 200, 300]] = 0.3
    v = verdict(trajectory(np.arange(400), train, np.full(400, 0.2)), neighbors=False)
    assert v.verdict == "memorized"
    assert v.evidence["collapses"] == 3


def test_collapses_that_take_held_out_with_them_are_unstable_even_at_a_lucky_end():
    rows = np.arange(101)
    up = (rows % 10) < 6
    train = np.where(up, 1.0, 0.4)
    held = np.where(up & (rows > 20), 0.97, 0.2)
    t = trajectory(rows, train, held)
    assert held[-1] > 0.95
    assert name(t) == "unstable (cyclic)"


def test_collapses_before_grokking_are_forgiven_once_it_keeps():
    rows = np.arange(121)
    train = np.where((rows % 10 > 6) & (rows < 60), 0.4, 1.0)
    held = np.where(rows < 60, 0.1, 0.98)
    assert name(trajectory(rows + 1, train, held)) == "grokked"


def test_a_fall_that_rattles_around_the_level_counts_once():
    train = np.r_[[1.0] * 10, [0.7, 0.85, 0.7, 0.85, 0.7], [1.0] * 10]
    v = verdict(trajectory(np.arange(25), train, np.full(25, 0.5)), neighbors=False)
    assert v.evidence["collapses"] == 1


def test_diverged_comes_first():
    t = grokked()
    loss = np.where(LOG_GRID < 1000, 0.1, np.inf)
    v = verdict(trajectory(LOG_GRID, t.train, t.held_out["id_val"], train_loss=loss))
    assert v.verdict == "diverged"
    assert "had reached 0.95" in v.reason


def test_underfit_is_about_train_whatever_held_out_did():
    assert name(trajectory(LOG_GRID, 0.5 * fitting(LOG_GRID, 40), np.full(len(LOG_GRID), 0.1))) == "underfit"
    v = verdict(trajectory(LOG_GRID, 0.985 * fitting(LOG_GRID, 40), 0.97 * fitting(LOG_GRID, 40)))
    assert v.verdict == "underfit"
    assert "question the fit threshold" in v.reason
    assert v.neighbors["fit=0.985"] == "generalized"
    assert not v.robust


def mheight(high: float, low: float, at: float, fitted: bool = False, seed: int = 0) -> Trajectory:
    """Validation loss falls to a plateau by epoch 100 and drops late; trivial predictor 1.36."""
    e = np.arange(5, 1501, 5)
    rng = np.random.default_rng(seed)
    val = np.where(e < 100, 14 - (14 - high) * e / 100, high)
    val = np.where(e > at, low, val) + 0.05 * rng.normal(size=len(e))
    train = np.where(e < 100, 25 - 20 * e / 100, np.maximum(0.01 if fitted else 1.3, 5 - 3.7 * (e - 100) / (at - 100)))
    log = {"epoch": e, "train": train, "val": val}
    return from_log(
        log, step="epoch", kind="regression", train_loss="train", held_out_loss={"id_val": "val"}, trivial_loss=1.36
    )


@pytest.mark.parametrize(("high", "low", "at"), [(3.0, 1.3, 780), (4.0, 2.0, 520)])
def test_the_m_height_transitions_only_recover_the_baseline(high: float, low: float, at: float):
    v = verdict(mheight(high, low, at))
    assert v.verdict == "recovered-to-baseline"
    assert "the trivial predictor" in v.reason
    assert ("no better than" in v.reason) == (v.milestones.end <= 0)
    assert "never fitted" in v.reason


def test_the_same_transition_to_below_the_baseline_is_not_a_recovery():
    assert name(mheight(3.0, 0.6, 780)) == "underfit"
    assert name(mheight(3.0, 0.6, 780, fitted=True)) != "recovered-to-baseline"


def test_slow_ordinary_learning_up_to_the_baseline_is_underfit_not_a_recovery():
    e = np.arange(1, 1001, 5)
    log = {"e": e, "train": 1.3 + 130 * np.exp(-e / 100), "val": 1.4 + 140 * np.exp(-e / 100)}
    t = from_log(log, step="e", kind="regression", train_loss="train", held_out_loss="val", trivial_loss=1.36)
    assert name(t) == "underfit"


def test_recovery_in_classification():
    step = np.arange(1, 101)
    held = np.where(step < 60, 0.2, 0.5)
    v = verdict(trajectory(step, fitting(step, 5), held, trivial=0.5))
    assert v.verdict == "recovered-to-baseline"


def test_regression_groks_memorizes_and_collapses_by_r2():
    step = np.arange(1, 201)
    train = np.where(step < 10, -1.0, 0.99)
    extra = {"kind": "regression", "trivial": 0.0, "threshold": 0.9}
    assert name(trajectory(step, train, sigmoid(step, -2, 0.99, 120, 4), **extra)) == "grokked"
    assert name(trajectory(step, train, np.full(200, -2.0), **extra)) == "memorized"
    oscillating = np.where(step % 20 < 10, 0.93, 0.34)
    assert name(trajectory(step, oscillating, np.full(200, -0.9), **extra)).startswith("unstable")


def test_chance_level_data_memorize():
    rng = np.random.default_rng(3)
    for classes, n in ((2, 600), (10, 600), (59, 1740)):
        held = rng.binomial(n, 1 / classes, size=61) / n
        t = trajectory(PUBLISHED_GRID, fitting(PUBLISHED_GRID, 100), held, trivial=1 / classes, n={"id_val": n})
        assert verdict(t, neighbors=False).verdict == "memorized"


def test_an_imbalanced_trivial_predictor_shortens_the_way():
    grid = PUBLISHED_GRID
    late = np.where(grid < 1500, 0.9, 0.97)
    assert name(trajectory(grid, fitting(grid, 100), noisy(late, 0.004), trivial=0.9, n={"id_val": 5000})) == "grokked"
    flat = np.full(61, 0.9)
    assert (
        name(trajectory(grid, fitting(grid, 100), noisy(flat, 0.004), trivial=0.9, n={"id_val": 5000})) == "memorized"
    )
    with pytest.raises(ValueError, match=r"trivial predictor has 0\.96.*set a threshold above it"):
        verdict(trajectory(grid, fitting(grid, 100), late, trivial=0.96))
    assert name(trajectory(grid, fitting(grid, 100), late, trivial=0.96), Criteria(generalize=0.99)) == "semi-grokked"


@pytest.mark.parametrize(
    ("step", "train", "held", "expected"),
    [
        ([100], [1.0], [0.99], None),
        ([100], [1.0], [0.1], "memorized"),
        ([100], [0.5], [0.5], "underfit"),
        ([0], [1.0], [1.0], None),
        ([1, 100], [0.2, 1.0], [0.1, 0.1], "memorized"),
        ([1, 100], [1.0, 1.0], [0.9, 0.2], "memorized"),
        ([1, 100, 10000], [0.2, 1.0, 1.0], [0.1, 0.1, 1.0], "grokked"),
        ([1, 100, 110], [0.2, 1.0, 1.0], [0.1, 0.1, 1.0], "generalized"),
    ],
)
def test_logs_of_one_to_three_rows(step: Any, train: Any, held: Any, expected: str | None):
    v = verdict(trajectory(step, train, held))
    assert v.verdict == expected
    if len(step) < 3:
        assert not v.robust


def test_a_coarse_grid_is_not_robust_about_the_delay():
    """T_fit in (1, 50], T_gen in (50, 100]: the delay may be one step."""
    v = verdict(trajectory([1, 50, 100, 150, 200], [0.5, 1, 1, 1, 1], [0.1, 0.1, 1, 1, 1]))
    assert v.verdict == "grokked"
    assert v.neighbors["grid=shortest"] == "generalized"
    assert not v.robust


def test_reaching_it_only_in_the_last_row_is_not_robust():
    t = grokked(FINE)
    row = int(np.argmax(t.held_out["id_val"] >= 0.95))
    v = verdict(t.head(row + 1))
    assert v.verdict == "grokked"
    assert v.neighbors["last_row=dropped"] != "grokked"
    assert not v.robust


def test_sparse_held_out_evaluations():
    t = grokked(FINE)
    held = np.where(np.arange(len(FINE)) % 7 == 0, t.held_out["id_val"], np.nan)
    assert name(trajectory(FINE, t.train, held)) == "grokked"


def test_verdict_is_plain_data_with_everything_needed_to_check_it():
    v = verdict(early_peak())
    plain = json.loads(json.dumps(v.to_dict(), allow_nan=False))
    assert plain["verdict"] in VERDICTS
    assert plain["criteria"]["dwell"] == 3
    assert plain["milestones"]["T_gen"]["censored"] is True
    assert plain["evidence"]["peak_step"] == 350
    assert plain["neighbors"]["noise_sigmas=4"] == "ungrokked"
    assert str(v).startswith("id_val: ungrokked (early-peak)")
    for t in (grokked(), memorized(), digits(), trajectory([0], [1], [1])):
        json.dumps(verdict(t).to_dict(), allow_nan=False)


def test_all_splits_at_once_and_in_any_order():
    t = grokked()
    both = {"id_val": t.held_out["id_val"], "ood_val": np.full(len(LOG_GRID), 0.02)}
    make = lambda held: Trajectory(step=t.step, train=t.train, held_out=held, threshold=0.95, trivial=t.trivial)  # noqa: E731
    a, b = verdicts(make(both)), verdicts(make(dict(reversed(both.items()))))
    assert list(a) == ["id_val", "ood_val"]
    assert {k: v.to_dict() for k, v in a.items()} == {k: v.to_dict() for k, v in b.items()}
    with pytest.raises(ValueError, match="which split"):
        verdict(make(both))


def test_every_class_can_be_reached():
    """The table has no unreachable line: the classes named in this file are all of them."""
    found = {
        verdict(t, neighbors=False).verdict
        for t in (
            grokked(),
            memorized(),
            digits(13),
            trajectory(LOG_GRID, fitting(LOG_GRID, 40), sigmoid(LOG_GRID, 0.02, 0.7, 400, 30)),
            early_peak(),
            mheight(3.0, 1.3, 780),
            trajectory([1, 2], [0, 1], [0, 1]),
            trajectory([1], [0], [0]),
            trajectory([1], [0], [0], train_loss=np.array([np.inf])),
            trajectory(np.arange(20), np.arange(20) % 4 > 0, np.full(20, 0.1)),
        )
    }
    assert found == set(VERDICTS)
