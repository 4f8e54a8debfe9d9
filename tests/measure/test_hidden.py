"""Hidden layers: dead units, ranks, sparsity and the head's alignment, planted and absent."""

import math

import pytest
import torch
from torch import nn

from grokscope.measure.fourier import gini
from grokscope.measure.hidden import (
    activation_gini,
    dead_share,
    head_alignment,
    hidden_layers,
    layer_ranks,
    weight_gini,
)
from grokscope.measure.spectra import spectra

pytestmark = pytest.mark.usefixtures("one_thread")


def net(seed=0, width=40):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3))


def inputs(n=200, seed=1):
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))


def test_every_layer_but_the_one_that_reads_the_input_is_seen():
    assert list(hidden_layers(net(), inputs())) == ["2", "4"]


def test_codes_made_inside_the_network_are_no_hidden_layer():
    class Coded(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(5, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.head(self.body(nn.functional.one_hot(x, 5).float()))

    assert list(hidden_layers(Coded(), torch.arange(5))) == ["head"]
    assert hidden_layers(nn.Linear(6, 3), inputs()) == {}


def test_looking_changes_nothing():
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2)).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    rng = torch.get_rng_state()
    hidden_layers(model, inputs())
    assert model.training
    assert torch.equal(rng, torch.get_rng_state())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_planted_dead_units_are_counted():
    model = net()
    base = float(dead_share(hidden_layers(model, inputs()).values()))
    assert base < 0.05
    with torch.no_grad():
        model[0].weight[:10] = 0
        model[0].bias[:10] = -1  # silent for every input
        model[2].weight[:5] = 0
        model[2].bias[:5] = 1  # the same for every input is as dead
    assert float(dead_share(hidden_layers(model, inputs()).values())) == pytest.approx(15 / 80, abs=0.05)
    assert math.isnan(float(dead_share([])))


def test_a_channel_is_one_unit_and_alive_where_any_position_is():
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(72, 2))
    with torch.no_grad():
        model[0].weight[0], model[0].bias[0] = 0, -1
    layers = hidden_layers(model, torch.randn(30, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert layers["2"].pooled.shape == (30, 4)
    assert layers["2"].dead.tolist() == [True, False, False, False]


def test_the_rank_is_that_of_the_features_own_spectrum():
    for n in (30, 200):
        layers = hidden_layers(net(), inputs(n))
        wanted = {name: float(spectra(layer.pooled)["rank_effective"]) for name, layer in layers.items()}
        assert {k: float(v) for k, v in layer_ranks(layers).items()} == pytest.approx(wanted, rel=1e-5)
    constant = hidden_layers(net(), torch.ones(50, 6))
    assert all(math.isnan(float(rank)) for rank in layer_ranks(constant).values())


def test_the_rank_of_a_planted_bottleneck():
    model = net()
    wide = float(layer_ranks(hidden_layers(model, inputs()))["4"])
    with torch.no_grad():
        model[2].weight[:] = torch.outer(torch.ones(40), torch.rand(40))  # every unit says the same
        model[2].bias[:] = 100
    narrow = float(layer_ranks(hidden_layers(model, inputs()))["4"])
    assert narrow == pytest.approx(1.0, abs=0.01)
    assert wide > 3


@pytest.mark.parametrize(
    ("values", "wanted"), [([1.0, 2, 3, 4], 0.25), ([5.0] * 7, 0.0), ([0.0, 0, 0, 1], 0.75)], ids=str
)
def test_gini_against_its_textbook_values(values, wanted):
    assert gini(torch.tensor(values)) == pytest.approx(wanted)
    signs = torch.tensor([(-1.0) ** i * v for i, v in enumerate(values)])
    assert weight_gini([signs[:2], signs[2:]]) == pytest.approx(wanted), "of sizes, and of all tensors together"
    assert activation_gini(signs[None].repeat(3, 1)) == pytest.approx(wanted)


def test_rows_without_activity_have_no_sparsity():
    h = torch.tensor([[1.0, 2, 3, 4], [0, 0, 0, 0]])
    assert activation_gini(h) == pytest.approx(0.25)
    assert math.isnan(activation_gini(h[1:]))


def planted_features(head, spread, seed=0, per_class=50):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(head)).repeat(per_class)
    noise = torch.randn(len(labels), head.shape[1], generator=generator)
    return head[labels] + spread * noise, labels


def test_class_means_that_are_the_rows_are_aligned():
    head = torch.randn(4, 60, generator=torch.Generator().manual_seed(3))
    features, labels = planted_features(head, 0.0)
    a = head_alignment(features, labels, head)
    assert float(a.classes) == pytest.approx(1.0, abs=1e-6)
    assert float(a.variance) == pytest.approx(1.0, abs=1e-6)
    assert a.chance == pytest.approx(3 / 60)
    assert float(head_alignment(-features, labels, head).classes) == pytest.approx(-1.0, abs=1e-6)


def test_random_features_are_not_aligned_and_hold_the_share_of_chance():
    head = torch.randn(4, 60, generator=torch.Generator().manual_seed(3))
    features = torch.randn(20_000, 60, generator=torch.Generator().manual_seed(4))
    labels = torch.arange(20_000) % 4
    a = head_alignment(features, labels, head)
    assert abs(float(a.classes)) < 0.3
    assert float(a.variance) == pytest.approx(a.chance, rel=0.1)


def test_one_output_stands_for_class_one_against_class_zero():
    row = torch.randn(1, 20, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(40) % 2
    features = (2 * labels[:, None] - 1) * row
    a = head_alignment(features, labels, row)
    assert float(a.classes) == pytest.approx(1.0)
    assert float(a.variance) == pytest.approx(1.0)
    assert a.chance == 1 / 20


def test_constant_features_are_aligned_with_nothing():
    a = head_alignment(torch.full((10, 5), 0.1), torch.arange(10) % 2, torch.randn(2, 5))
    assert math.isnan(float(a.classes))
    assert math.isnan(float(a.variance))
