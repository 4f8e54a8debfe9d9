"""Trajectories: what a run's metrics become, exact counts, what is refused."""

import types
from typing import Any

import numpy as np
import pytest
from trajectory_shapes import trajectory

from grokscope.trajectory import Trajectory, from_run, milestones, verdict


def run(metrics: dict[str, Any], facts: dict[str, Any], state: str = "done") -> Any:
    columns = {k: np.asarray(v) for k, v in metrics.items()}
    return types.SimpleNamespace(id="r", facts=facts, metrics=lambda: columns, config={}, status={"state": state})


CLASSES = {
    "kind": "classification",
    "threshold": 0.9,
    "splits": {"train": {"n": 3, "trivial_acc": 0.4}, "id_val": {"n": 10, "trivial_acc": 0.1}},
}
NAN = float("nan")


def test_counts_stand_in_for_float_means():
    metrics = {
        "step": [0, 10],
        "train_acc": [0.3, 0.99999994],
        "train_correct": [1.0, 3.0],
        "train_n": [3.0, 3.0],
        "id_val_acc": [0.1, 0.89999998],
        "id_val_correct": [1.0, 9.0],
        "id_val_n": [10.0, 10.0],
    }
    t = from_run(run(metrics, CLASSES))
    assert t.train[-1] == 1.0
    assert t.counted == {"train", "id_val"}
    assert t.trivial == {"train": 0.4, "id_val": 0.1}
    assert t.threshold == 0.9
    found = milestones(t)
    assert (found.T_fit.at, found.T_gen.at) == (10, 10)


@pytest.mark.parametrize("n", [100, 200, 1597, 20_000])
@pytest.mark.parametrize("percent", [95, 99])
def test_a_count_reaches_a_threshold_exactly(n: int, percent: int):
    """The smallest count with 100 c >= percent n, in integers, is the first that reaches percent / 100 in floats."""
    enough = -(-percent * n // 100)
    for correct, holds in ((enough - 1, False), (enough, True)):
        t = trajectory([1], [1.0], [correct / n], threshold=percent / 100, counted=frozenset({"id_val"}))
        assert t.curve("id_val").reaches(percent / 100)[0] == holds


def test_float_only_accuracies_get_a_little_slack():
    """float32 means of booleans: 0.99999994 for all-correct, 0.98999995 for 99 of 100."""
    low = float(np.nextafter(np.float32(0.99), np.float32(0)))
    assert trajectory([1], [low], [0.1]).curve("train").reaches(0.99)[0]
    assert not trajectory([1], [0.9899], [0.1]).curve("train").reaches(0.99)[0]
    assert not trajectory([1], [low], [0.1], counted=frozenset({"train"})).curve("train").reaches(0.99)[0]


def test_regression_becomes_r2_and_a_null_loss_is_not_finite():
    facts = {
        "kind": "regression",
        "threshold": 0.9,
        "splits": {"train": {"n": 5, "trivial_loss": 2.0}, "id_val": {"n": 5, "trivial_loss": 1.36}},
    }
    metrics = {"step": [1, 2, 3], "train_loss": [2.0, 0.02, NAN], "id_val_loss": [1.36, 2.72, NAN]}
    t = from_run(run(metrics, facts))
    assert t.train[:2] == pytest.approx([0.0, 0.99])
    assert t.held_out["id_val"][:2] == pytest.approx([0.0, -1.0])
    assert t.trivial == {"train": 0.0, "id_val": 0.0}
    assert t.non_finite_from == 3
    assert np.isfinite(t.curve("id_val").value).all()
    assert verdict(t).verdict == "diverged"


def test_rows_without_an_evaluation_of_a_split_are_no_divergence():
    metrics = {
        "step": [1, 2],
        "train_loss": [1.0, NAN],
        "train_correct": [2.0, NAN],
        "train_n": [3.0, NAN],
        "id_val_correct": [1.0, 2.0],
    }
    t = from_run(run(metrics, CLASSES))
    assert t.non_finite_from is None
    assert len(t.curve("train")) == 1


def test_a_run_that_stopped_on_divergence_is_diverged_even_without_a_row_that_shows_it():
    metrics = {"step": [1, 2], "train_correct": [1, 3], "id_val_correct": [1, 2], "train_loss": [1.0, 0.5]}
    assert from_run(run(metrics, CLASSES, "diverged")).non_finite_from == 2
    assert from_run(run(metrics, CLASSES, "done")).non_finite_from is None


def test_norms_are_kept_by_group():
    metrics = {
        "step": [1],
        "train_correct": [1],
        "id_val_correct": [1],
        "norm_total": [5.0],
        "norm_head": [2.0],
        "norm_biases": [1.0],
    }
    t = from_run(run(metrics, CLASSES))
    assert t.norm is not None
    assert t.norm[0] == 5.0
    assert set(t.norm_groups) == {"head", "biases"}


def test_a_split_with_facts_but_no_metrics_is_noted():
    facts = {**CLASSES, "splits": {**CLASSES["splits"], "ood_val": {"n": 4}}}
    t = from_run(run({"step": [1], "train_correct": [1], "id_val_correct": [1]}, facts))
    assert t.splits == ["id_val"]
    assert any("ood_val" in note for note in t.notes)


@pytest.mark.parametrize(
    ("metrics", "facts"),
    [({}, CLASSES), ({"step": []}, CLASSES), ({"step": [1]}, {}), ({"step": [1], "train_correct": [1]}, CLASSES)],
)
def test_a_run_with_nothing_to_judge_says_so(metrics: dict[str, Any], facts: dict[str, Any]):
    with pytest.raises(ValueError, match=r"r: (no evaluations yet|metrics contain no)"):
        from_run(run(metrics, facts))


def test_nonfinite_in_the_middle_is_no_divergence():
    loss = np.array([1.0, np.inf, 0.5, np.nan])
    assert trajectory([1, 2, 3, 4], [0.1] * 4, [0.1] * 4, train_loss=loss).non_finite_from is None
    loss = np.array([1.0, 0.5, np.inf, np.inf])
    assert trajectory([1, 2, 3, 4], [0.1] * 4, [0.1] * 4, train_loss=loss).non_finite_from == 3
    assert trajectory([1, 2], [0.1] * 2, [0.1] * 2, train_loss=np.full(2, np.inf)).non_finite_from == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": np.array([1, 3, 3])}, r"row 3 has 3 after 3"),
        ({"step": np.array([])}, "no evaluations"),
        ({"train": np.zeros(2)}, r"train has shape \(2,\)"),
        ({"train": np.array([0.1, 97.0, 1])}, r"97.*scale=0\.01"),
        ({"held_out": {}}, "at least one held-out"),
        ({"held_out": {"id_val": np.array([-0.1, 0, 0])}}, "-0.1"),
        ({"held_out": {"id_val": np.zeros((3, 1))}}, "one-dimensional"),
        ({"trivial": {"id_val": 10.0}}, r"trivial\['id_val'\]"),
        ({"threshold": 95.0}, "threshold"),
        ({"kind": "ranking"}, "kind"),
    ],
)
def test_what_cannot_be_a_trajectory_is_refused(change: dict[str, Any], message: str):
    good = {
        "step": np.array([1, 2, 3]),
        "train": np.zeros(3),
        "held_out": {"id_val": np.zeros(3)},
        "threshold": 0.95,
    }
    with pytest.raises(ValueError, match=message):
        Trajectory(**{**good, **change})


def test_arrays_are_read_only_and_not_the_callers():
    train = np.zeros(2)
    t = trajectory([1, 2], train, [0.1, 0.1])
    with pytest.raises(ValueError, match="read-only"):
        t.train[0] = 1
    assert train.flags.writeable


def test_splits_are_named_with_the_nearest_on_error():
    t = trajectory([1, 2], [0.1, 1], [0.1, 0.1])
    assert t.split(None) == "id_val"
    with pytest.raises(ValueError, match="did you mean 'id_val'"):
        t.split("id_vall")
    with pytest.raises(ValueError, match="has no evaluations"):
        trajectory([1, 2], [0.1, 1], [NAN, NAN]).curve("id_val")


def test_head_is_the_run_cut_short():
    t = trajectory([1, 2, 3], [0.1, 1, 1], [0.1, 0.2, 0.3], train_loss=np.array([1.0, 0.1, 0.01]), n={"id_val": 7})
    cut = t.head(2)
    assert cut.step.tolist() == [1, 2]
    assert cut.held_out["id_val"].tolist() == [0.1, 0.2]
    assert cut.train_loss is not None
    assert cut.train_loss.tolist() == [1.0, 0.1]
    assert cut.n == {"id_val": 7}
