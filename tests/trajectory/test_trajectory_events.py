"""Events: spikes, slingshots, norm collapses, transitions, and what a log cannot show."""

import json
from pathlib import Path

import numpy as np
import pytest
from trajectory_shapes import FINE_STEP as STEP
from trajectory_shapes import early_peak, grokked, memorized, sigmoid, trajectory

from grokscope.trajectory import (
    Criteria,
    Trajectory,
    events,
    from_log,
    loss_spikes,
    norm_collapses,
    onset,
    slingshots,
    spike_links,
    transition,
    unseen,
    verdict,
)
from grokscope.trajectory.event import medians, trailing_median
from grokscope.trajectory.loss_spikes import _last_digit, _trailing_jitter
from grokscope.trajectory.onset import CANDIDATE, _candidates, judged_from
from grokscope.trajectory.peak_bias import ar1


def with_loss(loss: np.ndarray, norm: np.ndarray | None = None, head: np.ndarray | None = None) -> Trajectory:
    flat = np.full(len(loss), 0.1)
    groups = {} if head is None else {"head": head}
    return trajectory(STEP[: len(loss)], flat, flat, train_loss=loss, norm=norm, norm_groups=groups)


def test_a_spike_stands_out_of_itstrailing_median():
    loss = np.full(100, 0.01)
    loss[50:52] = [0.3, 0.12]
    (spike,) = loss_spikes(with_loss(loss))
    assert (spike.start, spike.at, spike.end) == (STEP[49], STEP[50], STEP[51])
    assert spike.numbers["ratio"] == pytest.approx(30)
    assert spike.numbers["median"] == pytest.approx(0.01)
    assert "norm_change" not in spike.numbers
    loss[50:52] = 0.0119  # however quiet the rest, less than a fifth is a trifle
    assert loss_spikes(with_loss(loss)) == []
    assert len(loss_spikes(with_loss(loss), Criteria(spike_rise=1.1))) == 1


@pytest.mark.parametrize("factor", [1.3, 1.5])
def test_a_brief_rise_by_a_third_at_a_loss_near_two_is_a_spike(factor: float):
    """A factor of ten over the median never sees these."""
    rng = np.random.default_rng(0)
    for at in (30, 75, 140):
        loss = 2 * np.exp(-0.002 * np.arange(150) + 0.02 * rng.normal(size=150))
        loss[at : at + 2] *= factor
        (spike,) = loss_spikes(with_loss(loss))
        assert spike.at in STEP[at : at + 2]
        assert spike.numbers["ratio"] == pytest.approx(factor, rel=0.1)
        assert spike.numbers["sigmas"] > 6


@pytest.mark.parametrize("rho", [0.0, 0.8, 0.95])
@pytest.mark.parametrize("sd", [0.02, 0.5])
def test_jitter_is_no_spike(rho: float, sd: float):
    """By a factor of 2 to 3 as full-batch Adam does; 5,000 rows."""
    rng = np.random.default_rng(1)
    for _ in range(5):
        loss = np.exp(sd * ar1(rng, rho, 1, 1000)[0])
        assert loss_spikes(long_log(loss)) == []
        assert loss_spikes(long_log(1e-7 * loss)) == []


def long_log(loss: np.ndarray) -> Trajectory:
    return trajectory(np.arange(len(loss)), np.ones(len(loss)), np.full(len(loss), 0.1), train_loss=loss)


def test_a_curve_that_starts_to_jitter_has_no_spike_there():
    rng = np.random.default_rng(2)
    for _ in range(5):
        sd = np.where(np.arange(1000) < 500, 0.01, 0.5)
        assert loss_spikes(long_log(np.exp(sd * rng.normal(size=1000)))) == []


def test_a_rise_that_stays_is_no_spike():
    loss = np.r_[np.full(60, 0.01), np.full(90, 1.0)]
    assert loss_spikes(with_loss(loss)) == []
    (spike,) = loss_spikes(with_loss(loss[:80]))  # it may still come back
    assert spike.note == "the log ends before it is over"


def test_nothing_is_judged_in_the_first_descent():
    rows = np.arange(len(STEP))
    loss = np.exp(-rows / 10.0) + 0.01
    loss[20] *= 20
    norm = np.where(rows < 20, 9.0, 5.0)
    held = np.minimum(0.8 * rows / 60, 0.8)
    late = trajectory(STEP, np.minimum(rows / 60, 1.0), held, train_loss=loss, norm=norm)
    start = judged_from(late)
    assert start is not None
    assert 550 <= start <= 600
    assert events(late) == []
    fitted = trajectory(STEP, np.ones(len(STEP)), held, train_loss=loss, norm=norm)
    assert [e.kind for e in events(fitted)] == ["loss spike", "norm collapse", "transition"]


def test_a_log_that_only_descends_says_that_it_shows_nothing():
    held = np.linspace(0, 0.8, len(STEP))
    t = trajectory(STEP, np.linspace(0, 0.9, len(STEP)), held, train_loss=np.linspace(3, 1, len(STEP)))
    assert judged_from(t) is None
    assert events(t) == []
    assert set(unseen(t)) == {"loss spike", "slingshot", "norm collapse", "transition"}
    assert "first descent" in unseen(t)["transition"]


def test_a_log_without_scores_has_no_events_and_says_why():
    nothing = np.full(len(STEP), np.nan)
    for train, held in ((nothing, np.full(len(STEP), 0.1)), (np.ones(len(STEP)), nothing)):
        t = trajectory(STEP, train, held, train_loss=np.ones(len(STEP)))
        assert events(t) == []
        assert spike_links(t) == []
        assert "without scores" in unseen(t)["loss spike"]


def test_a_negative_loss_has_no_logarithm():
    t = with_loss(np.r_[np.full(99, 0.01), -1.0])
    assert loss_spikes(t) == []
    assert "no logarithm" in unseen(t)["loss spike"]


def test_decimals_of_a_log_are_no_jitter():
    """A loss of 0.002 written with three decimals: 0.003 is rounding."""
    loss = np.full(150, 0.002)
    loss[[50, 90]] = 0.003
    assert loss_spikes(with_loss(loss)) == []
    loss[51] = 0.03
    assert [s.at for s in loss_spikes(with_loss(loss))] == [STEP[51]]


def told() -> Trajectory:
    """The m-height run with decay .01 as its author tells it: held-out falls from 13 to 3 in 100 epochs, rests, and
    drops to the trivial predictor's 1.3 at 780, with a brief rise of the train loss and a falling norm."""
    return from_log(
        Path(__file__).parents[1] / "cases/logs/mheight_told_01.csv",
        step="epoch",
        train_loss="train_loss",
        held_out_loss="val_loss",
        norm="weight_norm",
        kind="regression",
        trivial_loss={"train": 1.35, "held_out": 1.36},
    )


def test_the_log_that_the_m_height_document_tells():
    t = told()
    start = judged_from(t)
    assert start is not None
    assert 80 <= start <= 150
    found = events(t)
    assert sorted(e.kind for e in found) == ["loss spike", "norm collapse", "transition"]
    spike, collapse, moved = (
        next(e for e in found if e.kind == k) for k in ("loss spike", "norm collapse", "transition")
    )
    assert (spike.start, spike.at, spike.end) == (765, 775, 775)
    assert spike.numbers["ratio"] == pytest.approx(1.33, abs=0.02)
    assert spike.numbers["norm_change"] < -0.05
    assert 780 <= moved.at <= 790
    assert moved.numbers["loss_ratio"] == pytest.approx(1.3 / 3.0, rel=0.05)
    assert collapse.at == 780
    assert verdict(t).verdict == "recovered-to-baseline"
    assert all(verdict(t.head(rows)).verdict not in ("memorized", "grokked") for rows in range(40, 301, 20))
    (link,) = spike_links(t)
    assert link.near
    assert link.lag is not None
    assert -20 <= link.lag <= 0
    assert link.norm_drop_rank is not None
    assert link.norm_drop_rank < 0.025
    assert link.verdict == "supports"
    assert "across the spike" in link.reason


def test_a_falling_loss_and_rounding_noise_near_zero_are_no_spikes():
    assert loss_spikes(with_loss(np.exp(-np.arange(100) / 3.0))) == []
    tiny = np.where(np.arange(100) % 7 == 0, 1e-6, 0.0)
    assert loss_spikes(with_loss(tiny)) == []


def test_neighboring_spikes_are_one_distant_ones_two():
    loss = np.full(100, 0.01)
    loss[[40, 42, 70]] = 1.0
    spikes = loss_spikes(with_loss(loss))
    assert [(s.at, s.end) for s in spikes] == [(STEP[40], STEP[42]), (STEP[70], STEP[70])]


def test_the_first_rows_are_not_judged():
    loss = np.full(30, 0.01)
    loss[3] = 1.0
    assert loss_spikes(with_loss(loss)) == []
    loss[3], loss[6] = 0.01, 1.0
    assert len(loss_spikes(with_loss(loss))) == 1


def test_an_infinite_row_in_between_is_a_spike_but_the_diverged_end_is_not():
    loss = np.full(60, 0.01)
    loss[30] = np.inf
    (spike,) = loss_spikes(with_loss(loss))
    json.dumps(spike.to_dict(), allow_nan=False)
    loss = np.full(60, 0.01)
    loss[40:] = np.inf
    assert loss_spikes(with_loss(loss)) == []


@pytest.mark.parametrize("width", [1, 2, 9, 10, 50])
def test_medians_are_those_of_numpy(width):
    rows = np.random.default_rng(width).normal(size=(40, width))
    np.testing.assert_array_equal(medians(rows), np.median(rows, axis=1))


@pytest.mark.parametrize(
    ("loss", "digit"),
    [([1.2, 3.4], 0.1), ([5, 7], 1.0), ([0.1234, 2.0], 1e-4), ([0.123456789], 0.0), ([1e300, 3.0], 1.0), ([], 1.0)],
)
def test_the_last_digit_of_a_log_is_the_first_that_all_values_need(loss, digit):
    assert _last_digit(np.array(loss, dtype=float)) == digit


@pytest.mark.parametrize(
    "step", [np.arange(300), np.arange(0, 3000, 7) / 10, np.unique(np.geomspace(1, 1e6, 400).astype(int))]
)
@pytest.mark.parametrize("since", [0.0, 11.0, 1e9])
def test_candidates_for_a_plateau_are_so_far_apart(step, since):
    wanted, row = [], int(np.searchsorted(step, since))
    while row < len(step):
        wanted.append(row)
        row = max(row + 1, int(np.searchsorted(step, step[row] * CANDIDATE)))
    assert list(_candidates(step, since)) == wanted


def test_trailing_median_by_hand():
    x = np.random.default_rng(0).normal(size=30)
    found = trailing_median(x, 10)
    assert np.isinf(found[:5]).all()
    for i in range(5, 30):
        assert found[i] == np.median(x[max(0, i - 10) : i])
    assert np.isinf(trailing_median(x[:3], 10)).all()


def test_the_norm_change_across_a_spike():
    loss, norm = np.full(60, 0.01), np.full(60, 10.0)
    loss[30] = 1.0
    norm[30:] = 6.0
    (spike,) = loss_spikes(with_loss(loss, norm))
    assert spike.numbers["norm_change"] == pytest.approx(-0.4)


def sling(growth: float = 0.02, calm: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Two cycles of 40 rows: head norm grows for 20, the loss spikes, the norm rests for 20."""
    cycle = np.r_[np.full(20, growth), np.full(20, calm)]
    head = 10 * np.exp(np.cumsum(np.tile(cycle, 2)))
    loss = np.full(80, 0.01)
    loss[[20, 60]] = 1.0
    return loss, head


def test_slingshots_are_growth_then_spike_then_plateau():
    loss, head = sling()
    found = slingshots(with_loss(loss, norm=None, head=head))
    assert [e.at for e in found] == [STEP[20], STEP[60]]
    assert found[0].numbers["growth"] > 0.1
    assert found[0].numbers["rate_after"] < 0.1 * found[0].numbers["rate_before"]
    assert found[0].note == ""
    assert "total norm" in slingshots(with_loss(loss, norm=head))[0].note


def test_growth_that_goes_on_and_rest_that_never_grew_are_no_slingshots():
    loss, head = sling(calm=0.02)
    assert slingshots(with_loss(loss, head=head)) == []
    loss, head = sling(growth=0.0)
    assert slingshots(with_loss(loss, head=head)) == []
    loss, head = sling()
    assert slingshots(with_loss(np.full(80, 0.01), head=head)) == []  # no spike, no slingshot
    assert slingshots(with_loss(loss[:23], head=head[:23])) == []  # two evaluations after it: cannot be judged


def test_a_norm_collapse_is_fast_against_its_own_past():
    steady = 50 * np.exp(-0.01 * np.arange(100))
    assert norm_collapses(with_loss(np.ones(100), steady)) == []
    broken = steady.copy()
    broken[60:] *= 0.7
    broken[59] = steady[59]
    (event,) = norm_collapses(with_loss(np.ones(100), broken))
    assert (event.start, event.at) == (STEP[59], STEP[60])
    assert event.numbers["change"] == pytest.approx(0.7 * np.exp(-0.01) - 1)
    small = steady.copy()
    small[60:] *= 0.95
    assert norm_collapses(with_loss(np.ones(100), small)) == []


def test_a_collapse_over_several_rows_is_one_event():
    norm = np.r_[np.full(30, 20.0), 20 * 0.93 ** np.arange(1, 6), np.full(30, 20 * 0.93**5)]
    (event,) = norm_collapses(with_loss(np.ones(len(norm)), norm))
    assert event.numbers["after"] == pytest.approx(20 * 0.93**5)


def test_the_transition_is_the_middle_of_the_largest_lasting_rise():
    t = grokked(STEP)
    event = transition(t)
    assert event is not None
    assert event.start <= 432 <= event.end
    assert abs(event.at - 432) <= 20
    assert event.numbers["rise"] == pytest.approx(1 - 1 / 59, abs=0.01)
    assert transition(memorized(STEP, sigma=0.005)) is None


def test_a_step_function_changes_in_one_evaluation():
    held = np.where(STEP >= 700, 1.0, 0.1)
    event = transition(trajectory(STEP, np.ones(len(STEP)), held))
    assert event is not None
    assert (event.start, event.at, event.end) == (690, 700, 700)


def test_a_single_high_row_is_no_lasting_rise():
    held = np.full(len(STEP), 0.1)
    held[40:42] = 0.9  # two rows, shorter than dwell
    assert transition(trajectory(STEP, np.ones(len(STEP)), held)) is None
    held[40:43] = 0.9
    assert transition(trajectory(STEP, np.ones(len(STEP)), held)) is not None


def test_the_transition_of_a_run_that_lost_it_again_is_still_found():
    held = np.where(STEP < 1000, sigmoid(STEP, 0.02, 1, 430, 25), sigmoid(STEP, 1, 0.3, 1200, 60))
    event = transition(trajectory(STEP, np.ones(len(STEP)), held))
    assert event is not None
    assert 400 < event.at < 470


def test_events_come_in_order_for_every_split():
    t = grokked(STEP)
    loss = np.full(len(STEP), 0.01)
    loss[[44, 120]] = 1.0
    both = Trajectory(
        step=t.step,
        train=t.train,
        held_out={"id_val": t.held_out["id_val"], "ood_val": np.where(STEP > 900, 0.9, 0.1)},
        threshold=0.95,
        train_loss=loss,
    )
    found = events(both)
    assert [e.at for e in found] == sorted(e.at for e in found)
    assert [(e.kind, e.split) for e in found if e.kind == "transition"] == [
        ("transition", "id_val"),
        ("transition", "ood_val"),
    ]
    assert sum(e.kind == "loss spike" for e in found) == 2
    json.dumps([e.to_dict() for e in found], allow_nan=False)


def test_what_a_log_cannot_show_is_said():
    assert set(unseen(early_peak())) == {"loss spike", "slingshot", "norm collapse"}
    assert set(unseen(with_loss(np.ones(20)))) == {"slingshot", "norm collapse"}
    assert set(unseen(with_loss(np.ones(20), norm=np.ones(20)))) == set()
    assert set(unseen(with_loss(np.ones(20), head=np.ones(20)))) == {"norm collapse"}
    assert events(early_peak())[0].kind == "transition"


@pytest.mark.parametrize("rows", [3, 9, 11, 40, 51, 130])
def test_medians_of_what_came_before_are_those_of_numpy(rows):
    """At the begin of a log, where fewer rows precede than the window holds, each row has a median of its own."""
    x = np.random.default_rng(rows).normal(size=rows).round(1)  # with ties
    median, jitter = trailing_median(x, 10), _trailing_jitter(x, 50, 10)
    for i in range(rows):
        before, far = x[max(i - 10, 0) : i], x[max(i - 50, 0) : i]
        assert median[i] == (np.median(before) if len(before) >= 5 else np.inf)
        robust = 1.4826 * np.median(np.abs(far - np.median(far))) if len(far) >= 10 else 0.0
        assert jitter[i] == robust


def test_where_judging_begins_is_worked_out_once_for_all_kinds_of_events(monkeypatch):
    t = grokked()
    asked: list[str] = []
    original = onset.plateau_from
    monkeypatch.setattr(onset, "plateau_from", lambda t, split, c: asked.append(split) or original(t, split, c))
    first = events(t)
    assert asked == t.splits
    assert events(t) == first
    assert asked == t.splits
    assert judged_from(t, criteria=Criteria(fit=0.9)) is not None
    assert len(asked) == 2  # other thresholds are other questions
