"""The contract between tasks and the rest of the line, and its enforcement."""

import json

import numpy as np
import pytest

from grokscope import registry
from grokscope.task_data import Split, TaskData
from grokscope.tasks.competing import CompetingFeatures
from grokscope.tasks.digits import Digits
from grokscope.tasks.modular import Modular
from grokscope.tasks.parity import Parity
from grokscope.tasks.trivial import trivial_metrics

TASKS = [Modular(), Modular(operation="s5"), Digits(), Parity(), CompetingFeatures()]


@pytest.mark.parametrize("task", TASKS, ids=lambda t: f"{t.name}-{getattr(t, 'operation', '')}")
def test_every_task_keeps_the_contract(task):
    data, again = task.build(11), task.build(11)
    assert registry.load("task", task.name) is type(task)
    assert len(data.splits["train"]) == task.train_size()
    assert data.kind == "classification"
    for name, split in data.splits.items():
        assert split.y.dtype == np.int64
        assert split.x.dtype == (np.int64 if task.name == "modular" else np.float32)
        assert set(np.unique(split.y).tolist()) <= set(range(data.classes))
        np.testing.assert_array_equal(split.x, again.splits[name].x)
        np.testing.assert_array_equal(split.y, again.splits[name].y)
    if data.vocabulary is not None:
        assert max(int(s.x.max()) for s in data.splits.values()) == data.vocabulary - 1
    assert json.loads(json.dumps(data.meta)) == data.meta
    trivial = trivial_metrics(data)
    assert set(trivial) == set(data.splits)
    assert all(0 < row["acc"] < 0.6 for row in trivial.values())


@pytest.mark.parametrize("task", TASKS, ids=lambda t: f"{t.name}-{getattr(t, 'operation', '')}")
def test_every_docstring_says_source_cost_and_when_it_misleads(task):
    for part in ("Formula:", "Source:", "Cost:", "Misleads:"):
        assert part in (type(task).__doc__ or "")


def split(**changes):
    return Split(**({"x": np.zeros((4, 2), np.float32), "y": np.array([0, 1, 0, 1])} | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.zeros((4, 2))}, "x must be float32, int64 or uint8, got float64"),
        ({"x": np.zeros((3, 2), np.float32)}, "x and y must have as many rows"),
        ({"env": np.zeros(5, np.int64)}, "env and y must have as many rows"),
        ({"group": np.zeros(3, np.int64)}, "group and y must have as many rows"),
    ],
)
def test_a_split_refuses_arrays_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        split(**changes)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"id_val": split()}, "must have the split 'train'"),
        ({"train": split(), "id_vall": split()}, "unknown split 'id_vall'; did you mean 'id_val'"),
        ({"train": split(), "id_val": split(x=np.zeros((0, 2), np.float32), y=np.zeros(0, np.int64))}, "is empty"),
        ({"train": split(y=np.array([0, 1, 2, 0]))}, r"classes must lie in \[0, 2\), got 0 to 2"),
        ({"train": split(y=np.array([0, -1, 1, 0]))}, r"classes must lie in \[0, 2\), got -1 to 1"),
        ({"train": split(y=np.zeros(4, np.float32))}, "classes must be int64, got float32"),
    ],
)
def test_task_data_refuses_what_would_fail_later(splits, message):
    with pytest.raises(ValueError, match=message):
        TaskData("classification", splits, classes=2, threshold=0.95)


def test_regression_targets_are_float32():
    with pytest.raises(ValueError, match="targets must be float32, got int64"):
        TaskData("regression", {"train": split()}, classes=1, threshold=0.9)
