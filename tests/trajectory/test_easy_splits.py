"""A split on which a constant reaches the threshold gets no verdict, and does not cost the others theirs."""

import numpy as np
import pytest

from grokscope.train.driver import train
from grokscope.trajectory import from_log, verdict, verdicts
from grokscope.verdicts import run_verdicts
from tiny import fitting, tiny

ROWS = [{"step": i, "train": min(1.0, i / 10), "easy": 0.97, "hard": 0.5 + 0.4 * (i > 80)} for i in range(160)]


def log(trivial):
    names = {name: name for name in trivial}
    return from_log(ROWS, step="step", train="train", held_out=names, trivial=trivial, threshold=0.9)


def test_the_other_splits_keep_their_verdicts_and_the_caller_is_told():
    trajectory = log({"easy": 0.95, "hard": 0.5})
    with pytest.warns(UserWarning, match="no verdict on easy: the trivial predictor has 0.95"):
        found = verdicts(trajectory)
    assert list(found) == ["hard"]
    with pytest.raises(ValueError, match=r"easy: the trivial predictor has 0\.95"):
        verdict(trajectory, "easy")


def test_without_any_other_split_it_is_an_error():
    with pytest.raises(ValueError, match="the trivial predictor has"):
        verdicts(log({"easy": 0.95}))


def test_training_says_so_before_it_begins(tmp_path):
    task = {**fitting("task", "hospitals"), "task.hospitals": 4, "task.correlation": 1.0}
    with pytest.warns(UserWarning, match="id_val: the trivial predictor has 1, so reaching the threshold"):
        run = train(tiny(task), tmp_path)
    assert sum("this split gets no verdict" in note for note in run.facts["notes"]) == 1
    with pytest.warns(UserWarning, match="no verdict on id_val"):
        found = run_verdicts(run)
    assert set(found) == {"ood_val", "ood_test"}
    assert np.isfinite(run.rows()[-1]["id_val_acc"])
