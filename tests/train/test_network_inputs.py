"""What a network reads: images are standardized, precision is switched, compilation may fail but changes nothing."""

import copy
import warnings

import pytest
import torch
from torch import nn

from grokscope.train.inputs import Network
from grokscope.train.torch_engine import TorchEngine
from tiny import assert_same, fitting, tiny


class Images(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).mean((2, 3)))


PIXELS = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_images_become_standardized_floats():
    mean, std = [0.5, 0.4, 0.3], [0.1, 0.2, 0.4]
    got = Network(Images(), {"mean": mean, "std": std}).prepare(PIXELS)
    for channel in range(3):
        wanted = (PIXELS[:, channel].double() / 255 - mean[channel]) / std[channel]
        torch.testing.assert_close(got[:, channel].double(), wanted, rtol=1e-5, atol=1e-6)
    assert got.dtype == torch.float32
    assert Network(Images(), {}).prepare(PIXELS).max() <= 1


def test_everything_but_images_passes_unchanged():
    tokens = torch.arange(6).view(3, 2)
    assert Network(Images(), {}).prepare(tokens) is tokens


def test_mixed_precision_gives_float32_logits_that_are_nearly_the_same():
    model = Images().eval()
    network = Network(model, {})
    exact = network(PIXELS)
    assert network.mix(PIXELS) is None
    mixed = network(PIXELS)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, exact, rtol=0.05, atol=0.05)
    assert not torch.equal(mixed, exact), "bfloat16 was really used"


@pytest.mark.parametrize("works", [True, False])
def test_trying_to_compile_changes_no_weight_and_no_average(monkeypatch, works):
    def compiled(model):
        if works:
            return lambda x: model(x)

        def broken(x):
            raise RuntimeError("no compiler here\nlong story")

        return broken

    monkeypatch.setattr(torch, "compile", compiled)
    model = Images().train()
    before = copy.deepcopy(model.state_dict())
    network = Network(model, {})
    complaint = network.compile(PIXELS)
    assert_same(before, model.state_dict())
    assert model.training
    if works:
        assert complaint is None
    else:
        assert complaint == "$.hardware.compile: training without compilation, because it failed: no compiler here"
        assert network(PIXELS).shape == (5, 2)


def test_a_device_without_bfloat16_goes_on_in_float32(monkeypatch):
    """torch itself switches autocast off with a warning, which nobody would see."""

    class Off:
        def __init__(self, *_):
            warnings.warn("In CPU autocast, but the target dtype is not supported. Disabling autocast.", stacklevel=2)

    model = Images().eval()
    network = Network(model, {})
    exact = network(PIXELS)
    monkeypatch.setattr(torch, "autocast", Off)
    complaint = network.mix(PIXELS)
    assert complaint is not None
    assert complaint.startswith("$.regime.autocast: training in float32")
    assert torch.equal(network(PIXELS), exact)


def test_a_compiled_network_is_diagnosed_like_an_uncompiled_one(monkeypatch):
    """A compiled graph runs past hooks that were set after it was made, and features are read through one."""
    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model: compiler(model, backend="eager"))
    changes = fitting("task", "hospitals")
    rows = []
    for on in (False, True):
        config = tiny({**changes, "hardware.compile": on})
        engine = TorchEngine(config, config.task.build(0), 60)
        assert engine.network.run is engine.model if not on else engine.network.run is not engine.model
        engine.advance(2, True, lambda: False)
        rows.append(engine.row(diagnose=True))
    assert rows[1].keys() == rows[0].keys()
    assert rows[1]["rank_effective"] == pytest.approx(rows[0]["rank_effective"], rel=1e-3)
    assert rows[1]["rank_effective"] > 1
