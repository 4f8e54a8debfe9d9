"""Stopping rules on one trajectory: what a trainer with early stopping would have done, evaluation by evaluation."""

import math

import numpy as np
import pytest

from grokscope.results.stopping import StopRule
from grokscope.trajectory import Trajectory
from grokscope.trajectory.stopping import longest_wait, stop_step, watchable, watched


def log(step, loss, acc=None, **more) -> Trajectory:
    """Train loss and held-out loss are the same column; accuracy is flat unless given."""
    step, loss = np.asarray(step), np.asarray(loss, dtype=float)
    acc = np.full(len(step), 0.5) if acc is None else np.asarray(acc, dtype=float)
    return Trajectory(
        step=step, train=acc, held_out={"id_val": acc}, train_loss=loss, held_out_loss={"id_val": loss},
        threshold=0.95, **more,
    )  # fmt: skip


def patience(p, on="id_val_loss", **more) -> StopRule:
    return StopRule(kind="patience", on=on, patience=p, **more)


def by_hand(step, values, p, min_delta, smaller):
    """The loop of a training script, with nothing clever in it."""
    best, waited, at_best = None, 0, 0.0
    for at, value in zip(step, values, strict=True):
        if math.isnan(value):
            continue
        if best is None or (value < best - min_delta if smaller else value > best + min_delta):
            best, waited, at_best = value, 0, at
            continue
        waited += 1
        if p["evaluations"] is not None and waited >= p["evaluations"]:
            return at
        if p["steps"] is not None and at - at_best >= p["steps"]:
            return at
    return None


@pytest.mark.parametrize("min_delta", [0.0, 0.05])
@pytest.mark.parametrize("unit", ["evaluations", "steps"])
@pytest.mark.parametrize("on", ["id_val_loss", "id_val_acc"])
def test_patience_does_what_the_loop_of_a_training_script_does(min_delta, unit, on):
    rng = np.random.default_rng(0)
    stops = set()
    for _ in range(60):
        step = np.cumsum(rng.integers(1, 9, 40))
        values = np.clip(np.cumsum(rng.normal(0, 0.08, 40)) + 0.5, 0, 1).round(2)  # ties are part of it
        values[rng.random(40) < 0.1] = math.nan
        if np.isnan(values).all():
            continue
        t = log(step, values, values)
        p = int(rng.integers(1, 36)) if unit == "evaluations" else int(rng.integers(5, 150))
        wait = {"evaluations": None, "steps": None, unit: p}
        expected = by_hand(step, values, wait, min_delta, on.endswith("_loss"))
        assert stop_step(t, patience(p, on, unit=unit, min_delta=min_delta)) == expected
        stops.add(expected is None)
    assert stops == {True, False}  # both ends of the question were met


def test_equal_values_are_no_improvement_and_small_ones_add_up():
    climb = log(range(6), [1.0, 0.99, 0.98, 0.97, 0.96, 0.95])
    assert stop_step(climb, patience(2)) is None
    assert stop_step(log(range(6), [1.0] * 6), patience(2)) == 2
    assert stop_step(climb, patience(2, min_delta=0.02)) == 2  # 1.00 -> .98 is not more than .02
    assert stop_step(climb, patience(3, min_delta=0.02)) is None  # but 1.00 -> .97 is


def test_a_loss_that_overflows_never_improves():
    t = log(range(5), [1.0, 0.5, np.inf, np.inf, np.inf])
    assert stop_step(t, patience(2)) == 3
    assert stop_step(log(range(4), [np.inf] * 4), patience(3)) == 3


def test_a_threshold_stops_at_the_first_evaluation_that_lies_far_enough():
    t = log([0, 10, 20, 30, 40], [3.0, 1.0, 0.4, 0.2, 0.1], [0.1, 0.5, 0.99, 1.0, 1.0])
    at = [stop_step(t, StopRule(kind="threshold", on="train_acc", level=0.99, then=then)) for then in (0, 5, 10, 21)]
    assert at == [20, 30, 30, None]
    assert stop_step(t, StopRule(kind="threshold", on="train_loss", level=0.4)) == 20
    assert stop_step(t, StopRule(kind="threshold", on="train_loss", level=0.01)) is None


def test_all_but_one_of_a_hundred_reaches_99_percent():
    """A float32 mean of booleans can give 0.98999995 for 99 of 100."""
    t = log([0, 1], [1, 1], [0.5, float(np.float32(0.98999995))])
    assert stop_step(t, StopRule(kind="threshold", on="train_acc", level=0.99)) == 1


def test_columns_that_can_be_watched_are_those_that_were_logged():
    t = log([0, 1], [math.nan, math.nan])
    assert watchable(t) == ["train_acc", "id_val_acc"]
    with pytest.raises(ValueError, match="no column 'id_val_loss' to monitor"):
        watched(t, "id_val_loss")
    regression = Trajectory(step=np.arange(2), train=np.zeros(2), held_out={"id_val": np.zeros(2)},
                            kind="regression", threshold=0.9)  # fmt: skip
    assert watchable(regression) == ["train_r2", "id_val_r2"]


def test_the_longest_wait_before_a_step_is_what_patience_must_exceed():
    t = log([0, 1, 2, 3, 4, 5, 6], [1.0, 1.1, 1.2, 0.9, 1.0, 1.1, 1.2])
    assert longest_wait(t, "id_val_loss", 0.0, 4) == (2, 2)
    assert stop_step(t, patience(2)) == 2
    assert stop_step(t, patience(3)) == 6
    assert longest_wait(t, "id_val_loss", 0.0, 0) == (0, 0)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"on": "id_val_los", "patience": 3}, "cannot watch 'id_val_los'"),
        ({"on": "id_val_loss", "patience": 0}, "patience must be above 0"),
        ({"on": "id_val_loss", "patience": 2.5}, "expected a whole number"),
        ({"on": "id_val_loss"}, "patience must be above 0"),
        ({"on": "id_val_loss", "patience": 3, "min_delta": -0.1}, "min_delta must be >= 0"),
        ({"on": "id_val_loss", "patience": 3, "level": 0.9}, "has no level"),
        ({"on": "train_acc", "kind": "threshold"}, "needs a level"),
        ({"on": "train_acc", "kind": "threshold", "level": 0.9, "then": -1}, "a number of steps >= 0"),
        ({"on": "train_acc", "kind": "threshold", "level": 0.9, "patience": 3}, "has no patience"),
    ],
)
def test_rules_that_are_none_are_refused(rule, words):
    with pytest.raises(ValueError, match=words):
        StopRule(**{"kind": "patience", **rule})


@pytest.mark.parametrize(
    ("on", "oracle"), [("train_loss", False), ("id_val_acc", False), ("ood_val_loss", False), ("ood_test_acc", True),
                       ("test_acc", True)]
)  # fmt: skip
def test_who_may_stop_by_what(on, oracle):
    """As for the choice of a checkpoint: `ood_test`, and a split of an unknown name, are an oracle's."""
    rule = patience(5, on)
    assert rule.oracle == oracle
    assert ("oracle (chosen on" in rule.label) == oracle
