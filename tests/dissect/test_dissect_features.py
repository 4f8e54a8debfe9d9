import numpy as np
import pytest
import torch
from networks import stained, tiny_resnet
from torch import nn

from grokscope.dissect.features import collect, state_hash
from grokscope.dissect.head import head_of, make_head
from grokscope.dissect.sites import RESNET_STAGES, default_sites, resolve


@pytest.fixture
def model():
    return tiny_resnet()


@pytest.fixture
def images():
    return stained(40)[0]


def test_six_stages_in_one_pass_equal_a_forward_by_hand(model, images):
    found = collect(model, images, batch=16)
    assert tuple(found.sites) == RESNET_STAGES == default_sites(model)
    model.eval()
    with torch.no_grad():
        x = torch.from_numpy(images)
        stem = model.maxpool(model.act1(model.bn1(model.conv1(x))))
        deep = model.layer4(model.layer3(model.layer2(model.layer1(stem))))
    np.testing.assert_allclose(found.sites["stem"], stem.mean((2, 3)), atol=1e-6)
    np.testing.assert_allclose(found.sites["layer4"], deep.mean((2, 3)), atol=1e-6)
    np.testing.assert_allclose(found.sites["pooled"], deep.mean((2, 3)), atol=1e-6)
    assert found.info["stem"].site.module == "maxpool"
    assert found.info["stem"].reduction == "mean"
    assert found.info["layer1"].shape == (8, 4, 4)


def test_hooks_do_not_change_a_bit_and_modes_are_restored(model, images):
    model.train()
    model.layer2.eval()
    before = state_hash(model)
    found = collect(model, images, batch=40)
    assert model.training
    assert not model.layer2.training
    assert state_hash(model) == before
    model.eval()
    with torch.inference_mode():
        assert torch.equal(model(torch.from_numpy(images)), torch.from_numpy(found.logits))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_reductions(model, images):
    grid = collect(model, images, ["layer1"], reduction="grid2").sites["layer1"]
    assert grid.shape == (40, 8 * 4)
    np.testing.assert_allclose(
        grid.reshape(40, 8, 4).mean(2), collect(model, images, ["layer1"]).sites["layer1"], atol=1e-6
    )
    assert collect(model, images, ["layer1"], reduction="flat").sites["layer1"].shape == (40, 8 * 16)
    with pytest.raises(ValueError, match="reduction: unknown 'max'"):
        collect(model, images, ["layer1"], reduction="max")


def test_too_large_sites_are_refused_before_they_fill_the_memory(model, images, monkeypatch):
    monkeypatch.setattr("grokscope.dissect.features.MAX_BYTES", 4 * 40 * 100)
    with pytest.raises(ValueError, match="use reduction 'mean'"):
        collect(model, images, ["layer1"], reduction="flat")


@pytest.mark.parametrize(
    ("site", "message"),
    [
        ("layer5", "nearest: layer"),
        ("zzz", "known: conv1"),
        ("", "unknown site ''"),
        ("spare", "is not run by one forward pass"),
    ],
)
def test_bad_sites(model, images, site, message):
    with pytest.raises(ValueError, match=message):
        collect(model, images, [site])


def test_a_module_that_runs_twice_is_not_a_site():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.act, self.fc = nn.ReLU(), nn.Linear(4, 2)

        def forward(self, x):
            return self.fc(self.act(self.act(x)))

    with pytest.raises(ValueError, match="more than once"):
        collect(Twice(), torch.randn(4, 4), ["act"])


def test_bad_inputs(model, images):
    with pytest.raises(ValueError, match="the set is empty"):
        collect(model, images[:0])
    with pytest.raises(ValueError, match="batch must be at least 1"):
        collect(model, images, batch=0)
    with pytest.raises(ValueError, match="give `prepare`"):
        collect(model, (images * 10).astype(np.uint8))
    images[3, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite features in 1 of 40"):
        collect(model, images)


def test_a_network_that_edits_itself_is_refused(images):
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(192, 2)
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            self.seen = self.seen + 1
            return self.fc(x.flatten(1))

    with pytest.raises(RuntimeError, match="changed its own state"):
        collect(Counter(), images)


def test_cache_is_by_content(model, images, tmp_path, monkeypatch):
    first = collect(model, images, ["layer1", "pooled"], cache=tmp_path)
    calls = []
    monkeypatch.setattr(type(model), "forward", lambda *a: calls.append(1) or pytest.fail("the network was run"))
    again = collect(model, images, ["layer1", "pooled"], cache=tmp_path)
    np.testing.assert_array_equal(first.sites["layer1"], again.sites["layer1"])
    np.testing.assert_array_equal(first.logits, again.logits)
    assert again.info == first.info
    monkeypatch.undo()
    files = len(list(tmp_path.rglob("*.safetensors")))
    with torch.no_grad():
        model.fc.bias += 1
    other = collect(model, images, ["layer1", "pooled"], cache=tmp_path)
    assert not np.array_equal(first.logits, other.logits)
    collect(model, images[:20], ["pooled"], cache=tmp_path)
    collect(model, images[:20], ["pooled"], cache=tmp_path, prepare=lambda x: 2 * x)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2 * files + 4
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_damaged_cache_file_is_collected_again_with_a_warning(model, images, tmp_path):
    first = collect(model, images, ["pooled"], cache=tmp_path)
    path = next(tmp_path.rglob("fc.input*.safetensors"))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.warns(UserWarning, match="damaged cache file"):
        again = collect(model, images, ["pooled"], cache=tmp_path)
    np.testing.assert_array_equal(first.sites["pooled"], again.sites["pooled"])


def test_the_hash_sees_every_tensor(model):
    before = state_hash(model)
    model.bn1.running_mean[0] += 1e-3
    assert state_hash(model) != before


def test_head_reproduces_the_logits_and_refuses_another(model, images):
    found = collect(model, images, ["pooled"])
    head = head_of(model, found.sites["pooled"], found.logits)
    np.testing.assert_allclose(head.logits(found.sites["pooled"]), found.logits, atol=1e-5)
    with pytest.raises(ValueError, match="another operation follows it"):
        head_of(model, found.sites["pooled"], found.logits * 2)
    head_of(model, found.sites["pooled"], found.logits - np.log(np.exp(found.logits).sum(1, keepdims=True)))


def test_one_output_becomes_two_logits():
    head = make_head(np.array([[1.0, -2.0]]), np.array([0.5]))
    z = head.logits(np.array([[3.0, 1.0]]))
    assert z.shape == (1, 2)
    assert z[0, 1] - z[0, 0] == pytest.approx(3 - 2 + 0.5)
    with pytest.raises(ValueError, match="diverged"):
        make_head(np.array([[np.nan, 1.0], [0, 0]]))


def test_pooled_is_the_input_of_the_last_linear_layer():
    network = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    assert resolve(network, "pooled").module == "2"
    assert default_sites(network) == ("pooled",)
    x = torch.randn(6, 3)
    np.testing.assert_allclose(collect(network, x).sites["pooled"], network[:2](x).detach(), atol=1e-6)
