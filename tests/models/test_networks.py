"""The networks: shapes, sizes, initial distributions, and what each refuses to read."""

import numpy as np
import pytest
import torch
from torch import nn

from grokscope.measure.groups import parameter_groups
from grokscope.models.config import MLP, EmbeddingMLP, Linear, QuadraticMLP, Transformer
from grokscope.models.resnet import timm_classifier
from grokscope.models.vision import CodeResNet, SmallResNet, Timm
from grokscope.task_data import Split, TaskData
from tiny import assert_same


def data_of(x, classes=5, vocabulary=None, meta=None):
    y = np.arange(len(x), dtype=np.int64) % classes
    return TaskData(
        kind="classification",
        splits={"train": Split(x, y)},
        classes=classes,
        threshold=0.9,
        vocabulary=vocabulary,
        meta=meta or {},
    )


FEATURES = data_of(np.random.default_rng(0).standard_normal((12, 6)).astype(np.float32))
TOKENS = data_of(np.random.default_rng(0).integers(0, 7, (12, 2)), vocabulary=7)
IMAGES = data_of(np.zeros((12, 3, 16, 16), np.uint8))


def build(config, data, outputs=5, seed=0):
    torch.manual_seed(seed)
    return config.build(data, outputs)


def size(model):
    return sum(p.numel() for p in model.parameters())


FITTING = [
    (Linear(), FEATURES),
    (MLP(hidden=(8, 9)), FEATURES),
    (MLP(hidden=(8,), norm="layer", activation="gelu"), FEATURES),
    (MLP(hidden=(8,), norm="batch", activation="tanh", bias=False), FEATURES),
    (EmbeddingMLP(embedding=3, hidden=(8, 8)), TOKENS),
    (QuadraticMLP(width=8), TOKENS),
    (Transformer(width=8, heads=2, mlp_width=16), TOKENS),
    (Transformer(width=8, heads=2, mlp_width=16, norm="layer", layers=2), TOKENS),
    (Transformer(width=8, heads=4, mlp_width=16, norm="rms", norm_position="post"), TOKENS),
    (Transformer(width=8, heads=2, mlp_width=16, layers=2, residual="sphere", head="cosine"), TOKENS),
    (SmallResNet(width=8), IMAGES),
    (SmallResNet(width=8, blocks=2, norm="group"), IMAGES),
    (SmallResNet(width=4, norm="none"), IMAGES),
    (SmallResNet(width=4, norm="layer"), IMAGES),
]


@pytest.mark.parametrize(("config", "data"), FITTING, ids=lambda v: getattr(v, "name", ""))
def test_logits_have_a_row_for_each_example_and_depend_on_it_alone(config, data):
    model = build(config, data).eval()
    x = torch.as_tensor(data.splits["train"].x)
    x = torch.rand(x.shape) if x.dtype == torch.uint8 else x
    with torch.no_grad():
        logits = model(x)
        assert logits.shape == (12, 5)
        assert logits.isfinite().all()
        torch.testing.assert_close(model(x[3:7]), logits[3:7], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("config", "data"), FITTING, ids=lambda v: getattr(v, "name", ""))
def test_every_parameter_gets_a_gradient(config, data):
    if isinstance(config, Linear):
        config = Linear(bias=True)
    model = build(config, data).train()
    x = torch.as_tensor(data.splits["train"].x)
    model(torch.rand(x.shape) if x.dtype == torch.uint8 else x).square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(("config", "data"), FITTING, ids=lambda v: getattr(v, "name", ""))
def test_the_initial_weights_are_a_function_of_the_seed(config, data):
    one, same, other = (torch.cat([p.flatten() for p in build(config, data, seed=s).parameters()]) for s in (1, 1, 2))
    assert torch.equal(one, same)
    starts_at_zero = isinstance(config, Linear)
    assert torch.equal(one, other) == starts_at_zero


# -- sizes that are published -----------------------------------------------------------------------------------------


def test_the_network_of_e1():
    model = build(EmbeddingMLP(), data_of(np.zeros((9, 2), np.int64), vocabulary=59), outputs=59)
    assert size(model) == 59 * 64 + (128 * 128 + 128) + (128 * 59 + 59)
    assert model.embedding.weight.std().item() == pytest.approx(1.0, abs=0.03)


def test_the_quadratic_network_starts_with_its_standard_deviation():
    width = 256
    model = build(QuadraticMLP(width=width), data_of(np.zeros((9, 2), np.int64), vocabulary=59), outputs=59)
    assert size(model) == 2 * 59 * width + width * 59
    std = 0.5 / (2 * width) ** (1 / 3)
    for layer in (model.body, model.head):
        assert layer.weight.std().item() == pytest.approx(std, rel=0.02)
        assert layer.bias is None


def test_the_quadratic_network_is_its_formula():
    model = build(QuadraticMLP(width=4), TOKENS)
    a, b = 3, 6
    w = model.body.weight
    hidden = (w[:, a] + w[:, 7 + b]).square()
    torch.testing.assert_close(model(torch.tensor([[a, b]]))[0], model.head.weight @ hidden)


def test_resnet_18_has_the_published_size_and_norm():
    model = build(Timm(), IMAGES, outputs=2)
    assert size(model) == 11_177_538
    from grokscope.train.torch_engine import scale_weights

    scale_weights(model, 4.0)
    norm = torch.stack([p.detach().double().square().sum() for p in model.parameters()]).sum().sqrt()
    assert norm.item() == pytest.approx(355, abs=2)


def test_the_code_network_has_the_published_size():
    data = data_of(np.zeros((4, 39), np.float32), meta={"side": 6})
    model = build(CodeResNet(), data, outputs=1)
    assert size(model) == 1_027_585
    assert model(torch.randn(4, 39)).shape == (4, 1)


def test_a_linear_model_starts_at_zero_but_for_its_signal():
    model = build(Linear(bias=True, signal_dims=2, signal_init=50.0), FEATURES, outputs=1)
    assert model.bias.item() == 0
    assert model.weight[0, 2:].abs().max() == 0
    assert model.weight[0, :2].abs().min() > 0
    drawn = torch.cat(
        [build(Linear(signal_dims=6, signal_init=50.0), FEATURES, 1, s).weight[0].detach() for s in range(100)]
    )
    assert drawn.std().item() == pytest.approx(50, rel=0.1)


def test_the_mlp_puts_norm_before_activation():
    model = build(MLP(hidden=(8, 9), norm="layer"), FEATURES)
    kinds = [type(m) for m in model.body]
    assert kinds == [nn.Linear, nn.LayerNorm, nn.ReLU] * 2


# -- the transformer --------------------------------------------------------------------------------------------------


def test_without_positions_the_transformer_cannot_tell_the_order():
    model = build(Transformer(width=8, heads=2, mlp_width=16), TOKENS)
    ab, ba = torch.tensor([[1, 5]]), torch.tensor([[5, 1]])
    assert not torch.allclose(model(ab), model(ba))
    with torch.no_grad():
        model.position.weight.zero_()
    torch.testing.assert_close(model(ab), model(ba))


def test_the_transformer_is_its_formula():
    """One layer, one head's worth of arithmetic written out in numpy-like steps, read at ``=``."""
    model = build(Transformer(width=4, heads=2, mlp_width=6), TOKENS).double()
    tokens = torch.tensor([2, 6, 7])  # 7 is ``=``
    x = model.embedding.weight[tokens] + model.position.weight
    block = model.blocks[0]
    q, k, v = (x @ w.T for w in block.attention.qkv.weight.chunk(3))
    heads = []
    for h in range(2):
        part = slice(2 * h, 2 * h + 2)
        scores = q[:, part] @ k[:, part].T / 2**0.5
        heads.append(scores.softmax(1) @ v[:, part])
    x = x + torch.cat(heads, 1) @ block.attention.out.weight.T
    first, _, last = block.mlp
    x = x + (x @ first.weight.T + first.bias).relu() @ last.weight.T + last.bias
    torch.testing.assert_close(model(tokens[None, :2])[0], x[-1] @ model.head.weight.T)


@pytest.mark.parametrize(("position", "count"), [("pre", 3), ("post", 2)])
def test_norms_stand_where_they_were_asked_for(position, count):
    model = build(Transformer(width=8, heads=2, norm="layer", norm_position=position), TOKENS)
    assert sum(isinstance(m, nn.LayerNorm) for m in model.modules()) == count


@pytest.mark.parametrize("position", ["pre", "post"])
def test_on_the_sphere_every_residual_sum_has_one_length(position):
    model = build(Transformer(width=8, heads=2, layers=2, residual="sphere", norm_position=position), TOKENS)
    lengths = []
    for block in model.blocks:
        block.register_forward_hook(lambda _, inputs, out: lengths.extend([inputs[0].norm(dim=-1), out.norm(dim=-1)]))
    model(torch.tensor([[1, 5], [3, 3]]))
    assert len(lengths) == 4
    for length in lengths:
        torch.testing.assert_close(length, torch.full_like(length, 8**0.5))


def test_a_cosine_head_gives_bounded_logits_that_no_weight_norm_moves():
    model = build(Transformer(width=8, heads=2, head="cosine", cosine_scale=4.0), TOKENS)
    tokens = torch.tensor([[1, 5], [3, 3], [6, 0]])
    seen = []
    model.head.register_forward_hook(lambda _, inputs, out: seen.append(inputs[0]))
    logits = model(tokens)
    (h,), w = seen, model.head.weight
    torch.testing.assert_close(logits, 4 * (h @ w.T) / h.norm(dim=1, keepdim=True) / w.norm(dim=1))
    with torch.no_grad():
        model.head.weight.mul_(50)
    torch.testing.assert_close(model(tokens), logits)
    assert float(logits.detach().abs().max()) <= 4
    assert parameter_groups(model, tokens)["head"] == ["head.weight"]


def test_bounded_geometry_is_off_by_default_and_starts_from_the_same_weights():
    plain = build(Transformer(width=8, heads=2), TOKENS)
    bounded = build(Transformer(width=8, heads=2, residual="sphere", head="cosine"), TOKENS)
    assert_same(dict(plain.state_dict()), dict(bounded.state_dict()))
    tokens = torch.tensor([[1, 5]])
    assert not torch.allclose(plain(tokens), bounded(tokens))


# -- image networks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("norm", "kind"),
    [("batch", nn.BatchNorm2d), ("group", nn.GroupNorm), ("layer", nn.GroupNorm), ("none", nn.Identity)],
)
@pytest.mark.parametrize("config", [SmallResNet(width=8), Timm()], ids=lambda c: c.name)
def test_the_chosen_norm_is_the_only_one(config, norm, kind):
    model = build(type(config)(**{**vars(config), "norm": norm}), IMAGES)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm)]
    if norm == "none":
        assert norms == []
        return
    assert len(norms) >= 9
    assert {type(m) for m in norms} == {kind}
    if norm == "layer":
        assert {m.num_groups for m in norms} == {1}
    if norm == "group":
        assert {m.num_channels // m.num_groups for m in norms} == {8}


def test_the_small_resnet_has_the_sites_of_the_large_one():
    small, large = (dict(build(c, IMAGES).named_modules()) for c in (SmallResNet(width=8), Timm()))
    for site in ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "global_pool", "fc", "layer1.0.conv2"):
        assert site in small
        assert site in large


# -- what does not fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "data", "message"),
    [
        (MLP(), TOKENS, "reads feature vectors, this task gives tokens; use embedding-mlp"),
        (Linear(), TOKENS, "reads feature vectors, this task gives tokens"),
        (MLP(), IMAGES, r"reads feature vectors, this task gives arrays of shape \(3, 16, 16\)"),
        (EmbeddingMLP(), FEATURES, "reads tokens, this task gives feature vectors; use mlp or linear"),
        (QuadraticMLP(), FEATURES, "reads tokens"),
        (Transformer(), FEATURES, "reads tokens"),
        (SmallResNet(), FEATURES, "reads images"),
        (Timm(), TOKENS, "reads images"),
        (CodeResNet(), FEATURES, "use it with task 'mheight'"),
        (Linear(signal_dims=7), FEATURES, "signal_dims 7 exceeds the 6 features"),
        (Timm(architecture="resnet81"), IMAGES, "timm has no 'resnet81'; did you mean 'resnet"),
    ],
    ids=lambda v: getattr(v, "name", ""),
)
def test_a_model_that_cannot_read_the_task_says_which_can(config, data, message):
    with pytest.raises(ValueError, match=message):
        build(config, data)


@pytest.mark.parametrize(
    ("cls", "keys", "message"),
    [
        (MLP, {"hidden": ()}, "hidden needs positive widths"),
        (MLP, {"hidden": (8, 0)}, "hidden needs positive widths"),
        (EmbeddingMLP, {"embedding": 0}, "embedding must be positive"),
        (QuadraticMLP, {"width": 0}, "width must be positive"),
        (Transformer, {"width": 10, "heads": 4}, "multiple of heads"),
        (Transformer, {"layers": 0}, "layers must be at least 1"),
        (Transformer, {"head": "cosine", "cosine_scale": 0}, "cosine_scale must be positive"),
        (Transformer, {"cosine_scale": 5.0}, "belongs to head = 'cosine'"),
        (Linear, {"signal_dims": -1}, "must not be negative"),
        (SmallResNet, {"width": 12, "norm": "group"}, "divisible by 8"),
        (SmallResNet, {"blocks": 0}, "at least 1"),
        (CodeResNet, {"hidden": 0}, "hidden must be at least 1"),
    ],
)
def test_impossible_sizes_are_refused(cls, keys, message):
    with pytest.raises(ValueError, match=message):
        cls(**keys)


@pytest.mark.parametrize("architecture", ["vit_tiny_patch16_224", "mixer_s16_224"])
def test_architectures_of_one_image_size_are_built_for_the_tasks(architecture):
    model = timm_classifier(architecture, 3, 2, "batch", 32)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 2)


def test_an_architecture_that_cannot_read_the_images_is_refused_with_both_keys():
    with pytest.raises(
        ValueError, match=r"\$.model.architecture: 'vit_tiny_patch16_224' cannot read images of 15 x 15"
    ):
        timm_classifier("vit_tiny_patch16_224", 3, 2, "batch", 15)


def test_trying_a_size_out_leaves_the_network_as_it_was_made():
    torch.manual_seed(0)
    plain = timm_classifier("resnet18", 3, 2, "batch")
    torch.manual_seed(0)
    tried = timm_classifier("resnet18", 3, 2, "batch", 16)
    assert tried.training
    assert_same(plain.state_dict(), tried.state_dict())
