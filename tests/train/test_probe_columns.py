"""The probe in rows and facts: where it stands, where it does not, and that looking changes nothing."""

import numpy as np
import pytest
import torch

from grokscope.train.driver import make_engine, train
from grokscope.train.evaluate import forward, forward_with_features, has_hidden_layer
from tiny import fitting, tiny


def engine_of(changes=None, **dotted):
    config = tiny(changes, **dotted)
    engine = make_engine(config, config.task.build(0))[1]
    engine.advance(3, False, lambda: False)
    return engine


def test_a_diagnosed_row_has_the_probe_and_others_have_not():
    engine = engine_of()
    row = engine.row(True)
    assert row["id_val_probe_low"] <= row["id_val_probe_acc"] <= row["id_val_probe_high"]
    assert not [k for k in row if k.startswith("train_probe")]
    assert not [k for k in engine.row(False) if "probe" in k]


@pytest.mark.parametrize(("kind", "name"), [("model", "linear"), ("loss", "squared_error")])
def test_linear_models_and_regressions_have_none(kind, name):
    engine = engine_of(fitting(kind, name))
    assert not [k for k in engine.row(True) if "probe" in k]


@pytest.mark.parametrize(("kind", "name"), [("model", "embedding-mlp"), ("model", "small-resnet")])
def test_a_diagnosed_row_says_of_the_network_what_any_row_says(kind, name):
    engine = engine_of(fitting(kind, name))
    plain, diagnosed = engine.row(False), engine.row(True)
    assert {k: diagnosed[k] for k in plain} == plain


def test_features_of_chosen_rows_are_those_of_a_forward_over_all():
    model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.ReLU(), torch.nn.Linear(7, 2))
    x, rows = torch.randn(9000, 5), torch.tensor([0, 3, 4095, 4096, 8999])  # across the chunks of an evaluation
    logits, features = forward_with_features(model, model, x, rows)
    assert torch.equal(logits, forward(model, x))
    with torch.no_grad():
        torch.testing.assert_close(features, torch.relu(model[0](x))[rows])


def test_what_has_a_hidden_layer():
    assert not has_hidden_layer(torch.nn.Linear(3, 2))
    assert not has_hidden_layer(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 2)))
    assert has_hidden_layer(torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 2)))


def test_weights_that_are_no_longer_finite_give_null(tmp_path):
    engine = engine_of()
    for p in engine.model.parameters():
        p.data.fill_(float("nan"))
    assert np.isnan(engine.row(True)["id_val_probe_acc"])


def test_a_run_records_what_its_raw_input_tells_once(tmp_path, monkeypatch):
    run = train(tiny(), tmp_path)
    probe = run.facts["input_probe"]["id_val"]
    assert probe["low"] <= probe["acc"] <= probe["high"]
    monkeypatch.setattr("grokscope.train.torch_engine.TorchEngine.input_probe", lambda self: pytest.fail("twice"))
    train(tiny(budget__steps=70), tmp_path)


def test_digits_are_read_off_their_raw_pixels():
    config = tiny({"task": {"name": "digits"}, "model": {"name": "mlp", "hidden": [8]}, "regime.loss": "mse"})
    engine = make_engine(config, config.task.build(0))[1]
    assert 0.88 < engine.input_probe()["id_val"]["acc"] < 0.93  # a readout needs no hidden layer here
