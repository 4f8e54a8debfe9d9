"""The trivial predictor by hand."""

import numpy as np
import pytest

from grokscope.task_data import Split, TaskData
from grokscope.tasks.trivial import trivial_metrics


def make(y, **more):
    return Split(np.zeros((len(y), 1), np.float32), np.asarray(y), **more)


def test_classification_guesses_the_majority_class_of_train():
    data = TaskData(
        "classification", {"train": make([0, 1, 1, 2]), "id_val": make([0, 0, 1])}, classes=3, threshold=0.95
    )
    assert trivial_metrics(data) == {"train": {"acc": 0.5}, "id_val": {"acc": 1 / 3}}


def test_environments_have_majorities_of_their_own_and_a_new_one_falls_back():
    train = make([0, 0, 1, 1, 1, 1], env=np.array([7, 7, 7, 8, 8, 8]))
    ood = make([1, 1, 0], env=np.array([9, 9, 9]))
    data = TaskData("classification", {"train": train, "ood_val": ood}, classes=2, threshold=0.95)
    got = trivial_metrics(data)
    assert got["train"]["acc"] == 5 / 6  # class 0 in 7, class 1 in 8
    assert got["ood_val"]["acc"] == 2 / 3  # class 1, the overall majority


def test_regression_guesses_the_mean_of_the_group():
    train = make(np.array([0, 2, 10, 14], np.float32), group=np.array([0, 0, 1, 1]))
    held_out = make(np.array([1, 12, 6.5], np.float32), group=np.array([0, 1, 5]))
    data = TaskData("regression", {"train": train, "id_val": held_out}, classes=1, threshold=0.9)
    got = trivial_metrics(data)
    assert got["train"]["loss"] == pytest.approx((1 + 1 + 4 + 4) / 4)
    assert got["id_val"]["loss"] == pytest.approx(0)  # 6.5 is the mean over all of train


def test_regression_without_groups_guesses_the_mean():
    train = make(np.array([1, 3], np.float32))
    data = TaskData("regression", {"train": train, "id_val": make(np.array([5], np.float32))}, classes=1, threshold=0.9)
    assert trivial_metrics(data) == {"train": {"loss": 1.0}, "id_val": {"loss": 9.0}}
