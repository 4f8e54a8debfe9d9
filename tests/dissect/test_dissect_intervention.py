import json

import numpy as np
import pytest
import torch
from networks import stained, step_along, tiny_resnet

from grokscope.dissect.features import collect, state_hash
from grokscope.dissect.intervention import (
    Ablate,
    Erase,
    Steer,
    applied,
    from_data,
    load,
    save,
    to_data,
)
from grokscope.dissect.subspaces import mean_diff
from grokscope.dissect.through import logits_with

E0 = np.eye(16)[0]


def examples(site: str = "pooled", d: int = 16):
    rng = np.random.default_rng(0)
    eraser = mean_diff(rng.standard_normal((50, d)), np.arange(50) % 3)
    return [
        eraser.intervention(site),
        step_along(site, rng.standard_normal(d), 1.7),
        Ablate(site=site, neurons=(3, 1), values=(0.25, -1e-9)),
    ]


@pytest.fixture
def images():
    return stained(24)[0]


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_data_round_trip(kind, tmp_path):
    one = examples()[kind]
    assert from_data(json.loads(json.dumps(to_data(one)))) == one
    for ending in ("toml", "json"):
        save(one, tmp_path / f"edit.{ending}")
        assert load(tmp_path / f"edit.{ending}") == one


@pytest.mark.parametrize("site", ["pooled", "layer4", "global_pool"])
@pytest.mark.parametrize("kind", [0, 1, 2])
def test_strength_zero_is_the_identity_bit_for_bit(kind, site, images):
    model = tiny_resnet()
    one = examples(site)[kind]
    off = from_data({**to_data(one), "strength": 0.0})
    plain = logits_with(model, images)
    np.testing.assert_array_equal(logits_with(model, images, off), plain)
    assert np.abs(logits_with(model, images, one) - plain).max() > 1e-4


@pytest.mark.parametrize("site", ["pooled", "layer4"])
def test_edits_through_the_network_equal_edits_of_its_features(site, images):
    # the average over positions of an edited map is the edited average, and the head is linear
    model = tiny_resnet()
    h = collect(model, images, ["pooled"]).sites["pooled"].astype(np.float64)
    weight, bias = (t.detach().double().numpy() for t in (model.fc.weight, model.fc.bias))
    erase, steer, ablate = examples(site)
    left, right = np.array(erase.left), np.array(erase.right)
    wanted = h - (h - np.array(erase.mean)) @ right.T @ left.T
    np.testing.assert_allclose(logits_with(model, images, erase), wanted @ weight.T + bias, atol=1e-5)
    wanted = h + 1.7 * np.array(steer.direction)
    np.testing.assert_allclose(logits_with(model, images, steer), wanted @ weight.T + bias, atol=1e-5)
    wanted = h.copy()
    wanted[:, [3, 1]] = ablate.values
    np.testing.assert_allclose(logits_with(model, images, ablate), wanted @ weight.T + bias, atol=1e-5)


def test_hooks_are_removed_also_after_an_error_and_weights_stay(images):
    model = tiny_resnet()
    before = state_hash(model)
    with pytest.raises(KeyError), applied(model, *examples()):
        raise KeyError
    with (
        pytest.raises(ValueError, match="unknown site"),
        applied(model, examples()[0], Steer(site="no", direction=(1.0,), step=1)),
    ):
        pass
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert state_hash(model) == before


def test_edits_apply_in_order_and_to_another_checkpoint(images):
    a = Ablate(site="pooled", neurons=(0,), values=(5.0,))
    b = Steer(site="pooled", direction=tuple(E0.tolist()), step=1.0)
    for seed in (1, 2):
        model = tiny_resnet(seed)
        h = collect(model, images, ["pooled"]).sites["pooled"]
        h[:, 0] = 6.0
        with torch.no_grad():
            wanted = model.fc(torch.from_numpy(h)).numpy()
        np.testing.assert_allclose(logits_with(model, images, a, b), wanted, atol=1e-5)


def test_partial_strength_goes_part_of_the_way():
    h = torch.tensor([[2.0, 4.0]])
    erase = Erase(site="x", left=((1.0,), (0.0,)), right=((1.0, 0.0),), mean=(0.0, 0.0), strength=0.5)
    assert erase.edit(h).tolist() == [[1.0, 4.0]]
    assert Ablate(site="x", neurons=(1,), values=(0.0,), strength=0.25).edit(h).tolist() == [[2.0, 3.0]]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"kind": "erease"}, "did you mean 'erase'"),
        ({"kind": "steer", "site": "a", "direction": [1.0], "steps": 1.0}, "steps: unknown key; did you mean 'step'"),
        ({"kind": "steer", "site": "a", "direction": [2.0], "step": 1.0}, "length 1, got 2"),
        ({"kind": "ablate", "site": "a", "neurons": [1, 1], "values": [0.0, 0.0]}, "must not repeat"),
        ({"kind": "ablate", "site": "a", "neurons": [-1], "values": [0.0]}, "counted from 0"),
        ({"kind": "erase", "site": "a", "left": [[1.0]], "right": [[1.0, 0.0]], "mean": [0.0]}, "right must be"),
    ],
)
def test_bad_data_is_refused(raw, message):
    with pytest.raises(ValueError, match=message):
        from_data(raw)


def test_a_network_of_another_width_is_refused(images):
    with pytest.raises(ValueError, match="made for 16 channels, this network has 12"):
        logits_with(tiny_resnet(), images, examples("layer3")[0])
    with pytest.raises(ValueError, match="neuron 40 is asked for, the site has 16"):
        logits_with(tiny_resnet(), images, Ablate(site="pooled", neurons=(40,), values=(0.0,)))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nothing.toml: no such file"):
        load(tmp_path / "nothing.toml")
