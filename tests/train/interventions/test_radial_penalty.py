"""The radial penalty: its gradient is that of the sum written out, recorded losses are without it, radii go where it
draws them."""

import math

import pytest
import torch

from grokscope.measure.groups import find_head
from grokscope.train.driver import train
from grokscope.train.interventions.radial import radial_penalty
from grokscope.train.torch_engine import TorchEngine
from tiny import tiny


def engine_of(strength, **changes):
    item = {"name": "radial_penalty", "strength": strength}
    config = tiny({"regime.batch_size": 0, "regime.interventions": [item], **changes})
    return TorchEngine(config, config.task.build(config.seed), 60)


def features_of(engine):
    seen = []
    _, head = find_head(engine.model)
    handle = head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    engine.network(engine.splits["train"].x)
    handle.remove()
    return seen[0]


def test_the_penalty_is_zero_on_the_sphere_and_nowhere_else():
    on = 2 * torch.nn.functional.normalize(torch.randn(5, 4), dim=1)
    assert float(radial_penalty(on)) == pytest.approx(0, abs=1e-12)
    assert float(radial_penalty(2 * on)) == pytest.approx(1.0)
    assert float(radial_penalty(0 * on)) == pytest.approx(1.0)


def test_the_gradient_is_that_of_loss_plus_penalty():
    engine, plain = engine_of(3.0), engine_of(0.0)
    x, target, _ = engine.splits["train"].take(None)
    engine.interventions.before_step(0)
    engine.loss(engine.interventions.logits(engine.network(x)), target).backward()
    features = features_of(plain)
    whole = plain.loss(plain.network(x), target) + 3.0 * radial_penalty(features)
    whole.backward()
    for p, q in zip(engine.parameters, plain.parameters, strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-5, atol=1e-7)


def test_radii_go_to_the_sphere_and_recorded_losses_are_without_it(tmp_path):
    engine = engine_of(100.0)
    first = engine.row(False)
    assert first == engine_of(0.0).row(False)
    engine.advance(60, watch_last=False, paused=lambda: False)
    drawn = features_of(engine).detach()
    radius = drawn.norm(dim=1) / math.sqrt(drawn.shape[1])
    free = engine_of(0.0)
    free.advance(60, watch_last=False, paused=lambda: False)
    other = features_of(free).detach().norm(dim=1) / math.sqrt(drawn.shape[1])
    assert (radius - 1).abs().mean() < 0.5 * (other - 1).abs().mean()


def test_a_network_without_hidden_features_is_refused(tmp_path):
    changes = {"task": {"name": "parity", "n": 8, "k": 2, "n_train": 40, "n_val": 20}, "model": {"name": "linear"}}
    with pytest.raises(ValueError, match="reads the data directly"):
        train(tiny({**changes, "regime.interventions": ["radial_penalty"]}), tmp_path)
