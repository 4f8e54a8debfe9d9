"""The compiled engine against the general one, step by step, and what it refuses."""

import numpy as np
import pytest
import torch

from grokscope import configio
from grokscope.train.driver import make_engine

RAW = {
    "task": {"name": "competing-features", "n_train": 40, "n_test": 20, "memorization_scale": 3.0},
    "model": {"name": "linear", "signal_dims": 5, "signal_init": 2.0},
    "regime": {"optimizer": "sgd", "loss": "logistic", "batch_size": 1, "lr": 0.05, "weight_decay": 1e-2},
    "budget": {"epochs": 5},
    "engine": "compiled",
}


def engine_of(**changes):
    config = configio.load_run(configio.overlay(RAW, {k.replace("__", "."): v for k, v in changes.items()}))
    return make_engine(config, config.task.build(config.seed))[1]


def weights(engine):
    return engine.weights()["weight"].double().numpy()[0]


@pytest.mark.parametrize("seed", [0, 1])
def test_both_engines_train_the_same_weights(seed):
    """Same data, same start, same order, same update; one in float32, the other in float64."""
    fast, slow = (engine_of(seed=seed, engine=e, regime__weight_decay=0.0) for e in ("compiled", "torch"))
    np.testing.assert_array_equal(weights(fast), weights(slow))
    for until in (1, 2, 40, 137, 200):
        for engine in (fast, slow):
            engine.advance(until, False, lambda: False)
        np.testing.assert_allclose(weights(fast), weights(slow), atol=3e-6)
    assert abs(weights(fast)).max() > 0.1


def test_decay_comes_before_the_forward_as_published():
    """The general engine decays between backward and update: its gradient is that of weights not yet decayed."""
    fast, slow = engine_of(regime__weight_decay=1.0), engine_of(regime__weight_decay=1.0, engine="torch")
    train, before = fast.data.splits["train"], fast.w.copy()
    for engine in (fast, slow):
        engine.advance(1, False, lambda: False)
    i = int(fast.order.permutation[0])
    x, sign = train.x[i].astype(np.float64), 2 * train.y[i] - 1

    def stepped(w_of_gradient):
        gradient = -sign * x / (1 + np.exp(sign * (w_of_gradient @ x)))
        return (1 - 0.05 * 1.0) * before - 0.05 * gradient

    np.testing.assert_allclose(weights(fast), stepped((1 - 0.05) * before), atol=1e-12)
    np.testing.assert_allclose(weights(slow), stepped(before), atol=1e-6)
    assert abs(stepped(before) - stepped(0.95 * before)).max() > 1e-5


def test_their_rows_agree():
    rows = []
    for name in ("compiled", "torch"):
        engine = engine_of(engine=name, regime__weight_decay=0.0)
        engine.advance(120, False, lambda: False)
        rows.append(engine.row(diagnose=True))
    fast, slow = rows
    for key in ("lr", "train_n", "id_val_n", "train_correct", "id_val_correct", "train_acc", "id_val_acc"):
        assert fast[key] == slow[key], key
    for key in ("train_loss", "id_val_loss", "norm_total"):
        assert fast[key] == pytest.approx(slow[key], rel=1e-5), key
    assert fast["norm_signal"] ** 2 + fast["norm_memorization"] ** 2 == pytest.approx(fast["norm_total"] ** 2)


def test_any_chunking_gives_the_same_weights():
    whole, parts = engine_of(), engine_of()
    whole.advance(173, False, lambda: False)
    for until in (1, 39, 40, 41, 120, 173):
        parts.advance(until, False, lambda: False)
    assert np.array_equal(whole.w, parts.w)
    assert torch.equal(whole.order.generator.get_state(), parts.order.generator.get_state())


def test_pausing_stops_and_goes_on(monkeypatch):
    from grokscope.train import compiled_engine

    whole, parts = engine_of(), engine_of()
    whole.advance(100, False, lambda: False)
    monkeypatch.setattr(compiled_engine, "CHUNK", 7)
    calls = 0
    while parts.step < 100:
        parts.advance(100, False, lambda: True)
        calls += 1
    assert calls == 15
    assert np.array_equal(whole.w, parts.w)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regime__optimizer": "adamw"}, r"\$.regime.optimizer: engine 'compiled' needs 'sgd', got 'adamw'"),
        ({"regime__loss": "hinge"}, r"\$.regime.loss: engine 'compiled' needs 'logistic'"),
        ({"regime__batch_size": 2}, r"\$.regime.batch_size: engine 'compiled' needs 1"),
        ({"regime__grad_filter": "orthogonal"}, r"\$.regime.grad_filter"),
        ({"regime__optimizer__momentum": 0.5}, r"\$.regime.optimizer.momentum: engine 'compiled' does not have it"),
        ({"regime__clip_norm": 1.0}, r"\$.regime.clip_norm: engine 'compiled' does not have it"),
        ({"regime__label_noise": 0.1}, r"\$.regime.label_noise"),
        ({"regime__init_scale": 2.0}, r"\$.regime.init_scale"),
        ({"regime__loss_dtype": "float64"}, r"\$.regime.loss_dtype"),
        ({"model__bias": True}, r"\$.engine: 'compiled' trains 'competing-features' with model 'linear'"),
    ],
)
def test_settings_it_does_not_have_are_refused_instead_of_ignored(changes, message):
    with pytest.raises(ValueError, match=message):
        engine_of(**changes)
