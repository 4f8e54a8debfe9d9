"""Losses by environment are those of the environment's examples, and add up to the split's."""

import numpy as np
import pytest
import torch

from grokscope.train.torch_engine import TorchEngine
from tiny import tiny


def test_losses_by_environment_add_up():
    task = {
        "task": {"name": "hospitals", "n_train": 30, "n_eval": 30, "image_size": 8},
        "model": {"name": "small-resnet"},
    }
    config = tiny(task)
    engine = TorchEngine(config, config.task.build(0), 1)
    row = engine.row(False)
    env = engine.splits["train"].env
    parts = [(row[f"train_env{e}_loss"], row[f"train_env{e}_n"]) for e in env.unique().tolist()]
    assert len(parts) > 1
    assert sum(loss * n for loss, n in parts) / len(env) == pytest.approx(row["train_loss"], rel=1e-5)
    chosen = env == int(env[0])
    with torch.inference_mode():
        logits = engine.network(engine.splits["train"].x)
    assert np.isfinite(row["train_loss"])
    assert len(logits[chosen]) == row[f"train_env{int(env[0])}_n"]


def test_a_regression_leaves_its_predictions(tmp_path):
    from grokscope.results.predictions import PREDICTIONS, Predictions
    from grokscope.train.driver import train

    task = {"name": "mheight", "train_per_group": 6, "val_per_group": 9, "pool_per_group": 60, "groups": [[9, 4, 2]]}
    model = {"name": "code-resnet", "channels": 2, "blocks": 1, "hidden": 4}
    run = train(tiny({"task": task, "model": model, "regime.loss": "squared_error"}), tmp_path)
    kept = Predictions.read(run.path / PREDICTIONS)
    errors = np.subtract(kept.true, kept.predicted)
    assert len(errors) == 9
    assert (errors**2).mean() == pytest.approx(run.rows()[-1]["id_val_loss"], rel=1e-4)
    assert set(kept.group or ()) == {942}
    assert kept.split == "id_val"
