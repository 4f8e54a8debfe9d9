"""Rows that stand in train and in held-out are counted when a run begins, and explain names them."""

import numpy as np
import pytest

import grokscope as gs
from grokscope import configio
from grokscope.task_data import Split, TaskData
from grokscope.tasks import digest
from grokscope.tasks.digest import rows_in_train
from grokscope.train.driver import train
from tiny import TINY, tiny


def data(train_x, held_x):
    make = lambda x: Split(np.asarray(x, np.float32), np.zeros(len(x), np.int64))  # noqa: E731
    return TaskData(
        kind="classification", splits={"train": make(train_x), "id_val": make(held_x)}, classes=2, threshold=0.9
    )


def test_equal_rows_are_counted_and_near_ones_are_not():
    assert rows_in_train(data([[1, 2], [3, 4]], [[3, 4], [1, 2], [3, 4], [4, 3], [1, 2.000001]])) == {"id_val": 3}
    assert rows_in_train(data([[1, 2]], [[2, 1]])) == {"id_val": 0}


def test_inputs_too_large_to_be_compared_are_unknown(monkeypatch):
    monkeypatch.setattr(digest, "COMPARED", 8)
    assert rows_in_train(data([[1, 2]], [[1, 2]])) == {}


def test_a_run_records_that_its_splits_share_nothing(tmp_path):
    run = train(tiny(), tmp_path / "runs")
    assert run.facts["data"]["rows_in_train"] == {"id_val": 0}
    finding = {f.check: f for f in gs.explain(run).findings}["leakage"]
    assert finding.word == "against"
    assert "no row of id_val is in train" in finding.evidence


@pytest.fixture
def leaking(monkeypatch):
    """Modular addition whose held-out rows are half from train."""
    from grokscope.tasks.modular import Modular

    honest = Modular.build

    def build(self, seed):
        clean = honest(self, seed)
        train_split, held = clean.splits["train"], clean.splits["id_val"]
        half = len(held) // 2  # 12 of 25
        x, y = held.x.copy(), held.y.copy()
        x[:half], y[:half] = train_split.x[:half], train_split.y[:half]
        return TaskData(
            kind=clean.kind, splits={"train": train_split, "id_val": Split(x, y)}, classes=clean.classes,
            threshold=clean.threshold, vocabulary=clean.vocabulary, meta=clean.meta,
        )  # fmt: skip

    monkeypatch.setattr(Modular, "build", build)


def test_a_planted_leak_is_found_in_the_data(leaking, tmp_path):
    run = train(configio.load_run({**TINY, "seed": 5}), tmp_path / "runs")
    finding = {f.check: f for f in gs.explain(run).findings}["leakage"]
    assert finding.word == "supports"
    assert finding.numbers["share_in_train"] == pytest.approx(12 / 25)
