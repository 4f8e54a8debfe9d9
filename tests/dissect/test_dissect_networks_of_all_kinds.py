"""Networks as people have them: in-place modules, half precision, fixed input sizes, other heads, timm's families."""

import numpy as np
import pytest
import torch
from networks import stained, step_along, tiny_resnet
from torch import nn

from grokscope.dissect.battery import dissect
from grokscope.dissect.features import collect
from grokscope.dissect.head import head_of
from grokscope.dissect.intervention import Ablate, Steer
from grokscope.dissect.sites import candidates, default_sites, resolve
from grokscope.dissect.subspaces import mean_diff
from grokscope.dissect.through import logits_with
from grokscope.results.settings import Settings

QUICK = Settings(draws=9, permutations=19, resamples=49, probe_controls=1, halves=2, regularization=(1e-2,))


def mlp(inplace: bool) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(inplace=inplace), nn.Linear(16, 2)).eval()


def conv(inplace: bool) -> nn.Module:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=inplace), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(4, 2)).eval()


@pytest.mark.parametrize("reduction", ["mean", "flat", "grid2", "grid8"])
def test_a_site_keeps_what_it_gave_also_when_the_next_module_works_in_place(reduction):
    torch.manual_seed(1)
    for build, x in ((mlp, torch.randn(32, 10)), (conv, torch.randn(16, 3, 8, 8))):
        plain, edited = (collect(build(inplace), x, ["0", "pooled"], reduction=reduction) for inplace in (False, True))
        assert plain.sites["0"].min() < 0
        np.testing.assert_array_equal(plain.sites["0"], edited.sites["0"])
        np.testing.assert_array_equal(plain.logits, edited.logits)


def test_images_of_the_caller_are_not_edited_by_a_network_that_begins_in_place():
    x = torch.randn(8, 10)
    before = x.clone()
    collect(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(10, 2)), x, ["pooled"])
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_fed_in_their_own_and_kept_in_float32(dtype):
    images = stained(60)[0]
    plain = tiny_resnet().eval()
    full = collect(plain, images, ["layer1", "pooled"])
    model = tiny_resnet().eval().to(dtype)
    half = collect(model, images, ["layer1", "pooled"])
    assert half.sites["layer1"].dtype == half.logits.dtype == np.float32
    scale = np.abs(full.logits).max()
    np.testing.assert_allclose(half.logits, full.logits, atol=scale * (0.05 if dtype.itemsize < 4 else 1e-5))
    head_of(model, half.sites["pooled"], half.logits)


class Fixed(nn.Module):
    """Reads 16 pixels a side and nothing else."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * 16 * 16, 2)

    def forward(self, x):
        assert x.shape[-1] == 16, "input height (8) does not match the model's (16)"
        return self.fc(x.flatten(1))


def test_a_fixed_input_size_gets_words():
    with pytest.raises(ValueError, match=r"fails on inputs of 3 x 8 x 8 \(input height .*--image-size"):
        collect(Fixed(), stained(8)[0], ["pooled"])


def test_the_head_can_be_named():
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module("body", nn.Flatten())
    model.add_module("classifier", nn.Sequential(nn.Identity(), nn.Linear(192, 2)))
    model.add_module("auxiliary", nn.Identity())
    model.auxiliary.add_module("spare", nn.Linear(3, 3))
    x, y, e, g = stained(120)
    found = collect(model, x, ["pooled"], head="classifier.1")
    with pytest.raises(ValueError, match="give its name with --head"):
        head_of(model, found.sites["pooled"], found.logits * 2, "classifier.1")
    with pytest.raises(ValueError, match="is not run by one forward pass"):
        dissect(model, x, y, e, g, settings=QUICK)
    with torch.no_grad():
        model.classifier[1].weight[1] = torch.from_numpy(x[y == 1].mean(0) - x[y == 0].mean(0)).flatten()
        model.classifier[1].weight[0] = -model.classifier[1].weight[1]
        margin = 2 * x.reshape(120, -1) @ model.classifier[1].weight[1].numpy()
        model.classifier[1].bias[:] = torch.tensor([0.5, -0.5]) * float(np.median(margin))
    found = dissect(model, x, y, e, g, settings=QUICK, head="classifier.1")
    assert found.sites["pooled"].site.module == "classifier.1"
    assert any("only what the head reads was probed; other sites can be named: body, " in w for w in found.warnings)
    with pytest.raises(ValueError, match=r"head: no module 'fc'.*linear layers: classifier.1, auxiliary.spare"):
        resolve(model, "pooled", "fc")
    assert candidates(model).startswith("body, classifier")


TIMM = {
    "mobilenetv3_small_050": (32, ("bn1", "blocks.0", "blocks.1", "blocks.3", "blocks.5")),
    "regnetx_002": (32, ("stem", "s1", "s2", "s3", "s4")),
    "convnext_atto": (32, ("stages.0", "stages.1", "stages.2", "stages.3")),
    "efficientnet_lite0": (32, ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6")),
    "vit_tiny_patch16_224": (32, ("blocks.0", "blocks.3", "blocks.6", "blocks.8", "blocks.11")),
    "swin_tiny_patch4_window7_224": (56, ("layers.0", "layers.1", "layers.2", "layers.3")),
}


@pytest.mark.parametrize("name", list(TIMM))
def test_stages_of_timm_networks_are_sites_by_default(name):
    timm = pytest.importorskip("timm")
    side, stages = TIMM[name]
    size = {"img_size": side} if name.startswith(("vit", "swin")) else {}
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False, num_classes=2, **size).eval()
    assert default_sites(model) == (*stages, "pooled")
    found = collect(model, torch.randn(3, 3, side, side))
    widths = [s["num_chs"] for s in model.feature_info if s["module"] in stages]
    assert [found.sites[s].shape[1] for s in stages] == widths  # channels, not rows of pixels
    head_of(model, found.sites["pooled"], found.logits)


def test_default_sites_without_any_information_are_what_the_head_reads():
    assert default_sites(mlp(False)) == ("pooled",)


class TwoLinear(nn.Module):
    """The head is named by nobody, and a linear layer that is not it comes last."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head, self.spare = nn.Flatten(), nn.Linear(192, 2), nn.Linear(3, 3)

    def forward(self, x):
        return self.head(self.body(x))


def test_a_named_head_is_where_pooled_is_edited_and_steered():
    x, y, e, g = stained(120)
    model = TwoLinear().eval()
    h = collect(model, x, ["pooled"], head="head").sites["pooled"]
    push = Steer(site="pooled", direction=tuple(np.eye(192)[5].tolist()), step=2.0)
    with torch.no_grad():
        wanted = model.head(torch.from_numpy(h + 2 * np.eye(192, dtype=np.float32)[5])).numpy()
    np.testing.assert_allclose(logits_with(model, x, push, head="head"), wanted, atol=1e-5)
    with torch.no_grad():  # the two classes, so that the network is not at chance
        model.head.weight[1] = torch.from_numpy(x[y == 1].mean(0) - x[y == 0].mean(0)).flatten()
        model.head.weight[0] = -model.head.weight[1]
        model.head.bias[:] = torch.tensor([0.5, -0.5]) * float(np.median(2 * h @ model.head.weight[1].numpy()))
    found = dissect(model, x, y, e, g, settings=QUICK, head="head", steer_sites=["pooled"])
    (curve,) = found.m5.sites
    # at the head's input the curve through the network is the analytic one
    assert curve.shift_value > 0
    assert curve.unit == pytest.approx(found.m5.sigma, rel=0.2)


class ChannelsLast(nn.Module):
    """Maps (n, H, W, d) as Swin has them, as many channels as rows so that no width gives the mistake away."""

    output_fmt = "NHWC"

    def __init__(self, d: int = 8):
        super().__init__()
        torch.manual_seed(1)
        self.proj, self.mix, self.fc = nn.Conv2d(3, d, 1), nn.Identity(), nn.Linear(d, 2)

    def forward(self, x):
        return self.fc(self.mix(self.proj(x).movedim(1, -1)).mean((1, 2)))


@pytest.mark.parametrize("site", ["mix", "proj", "pooled"])
def test_edits_of_maps_with_channels_last_edit_channels(site):
    model, x = ChannelsLast().eval(), stained(24)[0]
    h = collect(model, x, ["pooled", site])
    np.testing.assert_allclose(h.sites[site], h.sites["pooled"], atol=1e-6)
    v = np.random.default_rng(0).standard_normal(8)
    push = step_along(site, v, 1.7)
    eraser = mean_diff(h.sites[site], np.arange(24) % 3)
    off = Ablate(site=site, neurons=(2,), values=(0.5,))
    edited = {
        push: h.sites["pooled"] + 1.7 * v / np.linalg.norm(v),
        eraser.intervention(site): eraser.apply(h.sites["pooled"]),
        off: np.where(np.arange(8) == 2, 0.5, h.sites["pooled"]),
    }
    for intervention, features in edited.items():
        with torch.no_grad():
            wanted = model.fc(torch.from_numpy(features.astype(np.float32))).numpy()
        np.testing.assert_allclose(logits_with(model, x, intervention), wanted, atol=1e-5)
