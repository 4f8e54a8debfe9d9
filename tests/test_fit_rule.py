"""T_fit: one rule for training and verdicts, in classification and in regression."""

import numpy as np
import pytest

from grokscope.fit_rule import FIT_ACCURACY, FIT_R2, first_in_a_row, fit_rule, fit_step, reaches
from grokscope.trajectory import Criteria, Trajectory
from grokscope.trajectory.milestones import milestones


def rows(scores, key):
    return [{"step": 10 * i, key: s} for i, s in enumerate(scores)]


@pytest.mark.parametrize(
    ("kind", "key", "level"), [("classification", "train_acc", 0.99), ("regression", "train_r2", 0.9)]
)
def test_the_first_row_at_the_threshold_is_the_fit(kind, key, level):
    below = np.nextafter(level, 0)
    assert fit_step(rows([0.1, below, level, 0.2, 1.0], key), kind) == 20
    assert fit_step(rows([0.1, below], key), kind) is None
    assert fit_step([], kind) is None
    assert fit_rule(kind) == f"{key} >= {level}"


def test_a_row_without_a_score_never_fits():
    assert fit_step([{"step": 0}, {"step": 1, "train_acc": None}, {"step": 2, "train_acc": 1.0}], "classification") == 2


def test_in_a_row_counts_evaluations_and_the_first_of_them_is_the_time():
    holds = np.array([False, True, False, True, True, True])
    assert [first_in_a_row(holds, k) for k in (1, 2, 3, 4)] == [1, 3, 3, None]
    assert first_in_a_row(np.zeros(4, dtype=bool)) is None


def test_slack_is_for_scores_that_are_no_counts():
    assert reaches([0.98999999], 0.99, slack=1e-6).all()
    assert not reaches([0.98999999], 0.99).any()


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_training_and_verdict_find_the_same_step_at_the_usual_criteria(kind):
    key = "train_acc" if kind == "classification" else "train_r2"
    rng = np.random.default_rng(0)
    assert (Criteria().fit, Criteria().fit_r2) == (FIT_ACCURACY, FIT_R2)
    for _ in range(50):
        train = np.clip(np.linspace(0.2, 1.05, 40) + rng.normal(0, 0.05, 40), 0, 1)
        trajectory = Trajectory(
            step=10 * np.arange(40), train=train, held_out={"id_val": np.full(40, 0.3)}, kind=kind, threshold=0.95
        )
        judged = milestones(trajectory).T_fit
        trained = fit_step(rows(train.tolist(), key), kind)
        assert (None if judged.censored else judged.at) == trained
