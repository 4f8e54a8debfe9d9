"""Parameter groups: found by test, disjoint, complete, and their norms add up."""

import copy

import pytest
import torch
from torch import nn

from grokscope.measure.groups import GROUPS, find_head, group_norms, parameter_groups, scale_invariant
from grokscope.models.resnet import SmallResNet, timm_classifier
from grokscope.models.transformer import Transformer as TransformerNet
from tiny import assert_same

X = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def seeded(*modules):
    torch.manual_seed(0)
    model = nn.Sequential(*modules)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))  # biases and gains away from 0 and 1
    return model


class Residual(nn.Module):
    """A block as in timm: the last norm of the branch starts with gain zero."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3, bias=False)
        self.stem_norm = nn.BatchNorm2d(8)
        self.conv1 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.unused = nn.Parameter(torch.ones(3, 3))
        self.fc = nn.Linear(8, 2)
        nn.init.zeros_(self.bn2.weight)

    def forward(self, x):
        x = torch.relu(self.stem_norm(self.stem(x)))
        x = x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return self.fc(x.mean((2, 3)))


def test_a_matrix_before_a_layer_norm_is_scale_invariant():
    model = seeded(nn.Linear(6, 8, bias=False), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3))
    assert parameter_groups(model, X) == {
        "head": ["5.weight", "5.bias"],
        "scale_invariant": ["0.weight"],
        "weights": ["3.weight"],
        "normalization": ["1.weight", "1.bias"],
        "biases": ["3.bias"],
    }


def test_a_bias_breaks_it_before_a_layer_norm_and_not_before_a_batch_norm():
    """A batch norm removes the bias; a layer norm sees scale x weight + bias, another direction."""
    layer = seeded(nn.Linear(6, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3))
    batch = seeded(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    assert scale_invariant(layer, X, ["0.weight"]) == set()
    assert scale_invariant(batch, X, ["0.weight"]) == {"0.weight"}


def test_without_a_norm_nothing_is():
    model = seeded(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    assert scale_invariant(model, X, ["0.weight"]) == set()
    assert "scale_invariant" not in parameter_groups(model, X)


def test_what_follows_the_norm_is_not_invariant():
    model = seeded(nn.LayerNorm(6), nn.Linear(6, 8, bias=False), nn.Tanh(), nn.Linear(8, 3))
    assert parameter_groups(model, X)["weights"] == ["1.weight"]


def test_a_gain_that_starts_at_zero_hides_nothing():
    """With gain zero the logits feel nothing of the branch, so everything in it would look invariant."""
    model = Residual()
    assert model.bn2.weight.abs().max() == 0
    groups = parameter_groups(model, IMAGES)
    assert groups["scale_invariant"] == ["stem.weight", "conv1.weight", "conv2.weight"]
    assert groups["weights"] == ["unused"], "a tensor the logits do not feel at all is not invariant"


def test_the_test_of_invariance_changes_nothing():
    model = Residual().eval()
    before, outside = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    parameter_groups(model, IMAGES)
    assert_same(before, model.state_dict())
    assert torch.equal(outside, torch.get_rng_state())
    assert not model.training


def test_dropout_does_not_hide_invariance():
    model = seeded(nn.Linear(6, 8, bias=False), nn.LayerNorm(8), nn.Dropout(0.5), nn.Linear(8, 3))
    assert parameter_groups(model, X)["scale_invariant"] == ["0.weight"]


def test_in_an_embedding_before_a_norm():
    """Token and position tables add up before a pre-norm transformer's first norm: neither alone is invariant."""
    torch.manual_seed(0)
    shape = {"layers": 1, "width": 8, "heads": 2, "mlp_width": 16}
    kind = {"norm": "layer", "norm_position": "pre", "activation": "relu", "residual": "free", "cosine_scale": None}
    model = TransformerNet(7, 2, 5, **shape, **kind)
    groups = parameter_groups(model, torch.randint(7, (8, 2)))
    assert "scale_invariant" not in groups
    assert {"embedding.weight", "position.weight"} <= set(groups["weights"])


@pytest.mark.parametrize("norm", ["batch", "layer", "group", "none"])
def test_all_convolutions_of_a_resnet_are_invariant_if_and_only_if_it_has_norms(norm):
    torch.manual_seed(0)
    model = SmallResNet(3, 8, 1, 2, norm)
    groups = parameter_groups(model, torch.randn(8, 3, 32, 32))
    convolutions = [n for n, p in model.named_parameters() if p.dim() == 4]
    if norm == "none":
        assert "scale_invariant" not in groups
    else:
        assert groups["scale_invariant"] == convolutions


def test_resnet_18_of_timm():
    """At 32 x 32 the last maps are single pixels and some channels hardly vary: an eps would blur the answer."""
    torch.manual_seed(0)
    model = timm_classifier("resnet18", 3, 2, "batch")
    groups = parameter_groups(model, torch.randn(4, 3, 32, 32))
    assert groups["head"] == ["fc.weight", "fc.bias"]
    assert len(groups["scale_invariant"]) == 20
    assert "weights" not in groups
    check_partition(model, groups)


def check_partition(model, groups):
    listed = [n for names in groups.values() for n in names]
    assert sorted(listed) == sorted(n for n, _ in model.named_parameters()), "disjoint and complete"
    assert set(groups) <= set(GROUPS)
    assert all(groups.values()), "empty groups are left out"


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (Residual(), IMAGES),
        (seeded(nn.Linear(6, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3)), X),
        (nn.Linear(6, 3), X),
        (SmallResNet(3, 8, 1, 2, "group"), IMAGES),
    ],
    ids=["residual", "mlp", "linear", "resnet"],
)
def test_groups_are_disjoint_and_complete_and_norms_square_to_the_total(model, x):
    groups = parameter_groups(model, x)
    check_partition(model, groups)
    tensors = {n: p.detach() for n, p in model.named_parameters()}
    norms = group_norms(tensors, groups, "norm")
    assert set(norms) == {"norm_total", *(f"norm_{g}" for g in groups)}
    total = sum(p.detach().double().square().sum() for p in model.parameters())
    assert norms["norm_total"].item() ** 2 == pytest.approx(total.item(), rel=1e-6)
    parts = sum(v.item() ** 2 for k, v in norms.items() if k != "norm_total")
    assert parts == pytest.approx(norms["norm_total"].item() ** 2, rel=1e-12)


def test_norms_of_some_tensors_only():
    norms = group_norms(
        {"a": torch.tensor([3.0]), "b": torch.tensor([4.0])}, {"head": ["a", "c"], "biases": ["d"]}, "g"
    )
    assert {k: v.item() for k, v in norms.items()} == {"g_total": 5.0, "g_head": 3.0}


def test_the_head_is_what_the_network_names_or_its_last_linear_layer():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 2)
            self.later = nn.Linear(2, 2)

        def get_classifier(self):
            return self.fc

    assert find_head(Named())[0] == "fc"
    assert find_head(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)))[0] == "1"
    assert find_head(nn.Linear(4, 2))[0] == ""
    with pytest.raises(ValueError, match="no linear layer"):
        find_head(nn.Conv2d(1, 1, 1))


class HandWritten(nn.Module):
    """Root-mean-square norm in a forward, with a gain that starts at zero on its residual branch."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Parameter(torch.randn(6, 8, generator=torch.Generator().manual_seed(1)))
        self.gain = nn.Parameter(torch.zeros(8))
        self.free = nn.Parameter(torch.randn(6, 8, generator=torch.Generator().manual_seed(2)))
        self.out = nn.Linear(8, 3)

    def forward(self, x):
        h = x @ self.inner
        h = self.gain * h / (h.square().mean(1, keepdim=True) + 1e-8).sqrt()
        return self.out(torch.relu(x @ self.free) + h)


class Standardized(nn.Conv2d):
    """A convolution whose weights are standardized at each forward (1903.10520)."""

    def forward(self, x):
        w = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return nn.functional.conv2d(x, w / (w.std((1, 2, 3), keepdim=True) + 1e-6), self.bias, padding=1)


def invariant(model, x):
    return parameter_groups(model, x).get("scale_invariant", [])


def test_a_hand_written_norm_is_found_behind_a_gain_of_zero():
    assert invariant(HandWritten(), X) == ["inner"]


def test_standardized_weights_are_scale_invariant():
    torch.manual_seed(0)
    net = nn.Sequential(Standardized(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))
    assert invariant(net, IMAGES) == ["0.weight"]


def test_directions_of_weight_norm_are_scale_invariant_and_magnitudes_are_normalization():
    torch.manual_seed(0)
    new = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 8)), nn.ReLU(), nn.Linear(8, 3))
    groups = parameter_groups(new, X)
    assert groups["scale_invariant"] == ["0.parametrizations.weight.original1"]
    assert groups["normalization"] == ["0.parametrizations.weight.original0"]


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_old_weight_norm_is_found_too_also_after_a_forward():
    torch.manual_seed(0)
    old = nn.Sequential(nn.utils.weight_norm(nn.Linear(6, 8)), nn.ReLU(), nn.Linear(8, 3))
    before = old(X)  # leaves a weight behind that is no leaf
    groups = parameter_groups(old, X)
    assert (groups["scale_invariant"], groups["normalization"]) == (["0.weight_v"], ["0.weight_g"])
    assert torch.equal(old(X), before)


def test_a_weight_normed_head_is_the_head_and_no_norm_means_nothing_invariant():
    torch.manual_seed(0)
    head = nn.utils.parametrizations.weight_norm(nn.Linear(8, 3))
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), head)
    groups = parameter_groups(net, X)
    assert set(groups["head"]) == {
        "2.bias", "2.parametrizations.weight.original0", "2.parametrizations.weight.original1"
    }  # fmt: skip
    assert "scale_invariant" not in groups


def test_a_layer_whose_units_are_all_dead_is_not_scale_invariant():
    """Its scale changes nothing and a far direction something, as of a normalized layer; a near direction does not."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    with torch.no_grad():
        model[2].weight.copy_(-model[2].weight.abs())
        model[2].bias.fill_(-0.01)
    groups = parameter_groups(model, torch.rand(8, 5))
    assert "scale_invariant" not in groups
    assert "2.weight" in groups["weights"]
