"""What a recording says of itself, read: probes without a score, and a threshold of zero."""

import torch
from torch import nn

from grokscope import open_run
from grokscope.recorder import Recorder
from grokscope.store.query import run_rows
from grokscope.trajectory.series import from_run
from grokscope.verdicts import run_verdicts


def test_inputs_that_are_not_finite_cost_the_folder_nothing(tmp_path):
    x, y = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)), torch.arange(30) % 2
    for name, inputs in (("bad", torch.where(x > 1, torch.nan, x)), ("good", x)):
        splits = {"train": (inputs, y), "id_val": (x + 1, y)}
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        with Recorder(tmp_path / name, model, splits=splits, loss="cross_entropy") as rec:
            for step in range(3):
                rec.evaluate(step)
    assert run_verdicts(open_run(tmp_path / "bad")).keys() == {"id_val"}
    assert len(run_rows(tmp_path, judge=lambda run, state: run_verdicts(run, state=state))) == 2


def test_a_threshold_of_zero_is_judged_by(tmp_path):
    with Recorder(tmp_path / "mine", task="regression", threshold=0.0, trivial={"train": 1.0, "id_val": 1.0}) as rec:
        rec.log(1, train_loss=0.5, train_r2=0.5, id_val_loss=0.9, id_val_r2=0.1)
    assert from_run(open_run(tmp_path / "mine")).threshold == 0.0
