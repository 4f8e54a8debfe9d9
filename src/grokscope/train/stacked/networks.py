"""The forward pass of K networks of one architecture: (K, n, ...) -> (K, n, outputs).

Networks made of known layers are computed with batched matrix products, which is fastest; every other one is mapped by
`torch.vmap`, which computes the same from the network's own code.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grokscope.models import mlp, transformer

Leaves = Mapping[str, Tensor]
"""Name of a parameter or buffer -> its values in all members (K, ...)."""
Forward = Callable[[Leaves, Leaves, Tensor], Tensor]
"""(parameters, buffers, inputs) -> outputs. Buffers are updated in place, as the network itself does."""


def stacked_forward(model: nn.Module) -> Forward:
    """The forward pass of networks like `model`, in the mode (training or not) that it is in at each call."""
    if is_known(model):
        return lambda parameters, buffers, x: _run(model, "", parameters, x)
    return _mapped(model)


def _mapped(model: nn.Module) -> Forward:
    def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(model, (parameters, buffers), (x,))

    over_members = torch.vmap(one, randomness="error")
    return lambda parameters, buffers, x: over_members(dict(parameters), dict(buffers), x)


def random_layers(model: nn.Module) -> list[str]:
    """Names of the layers that draw random numbers while they train: members would share one generator."""
    kinds = (nn.modules.dropout._DropoutNd, nn.RReLU)  # pyright: ignore[reportPrivateUsage]
    layers = [(name, m) for name, m in model.named_modules() if isinstance(m, kinds)]
    return [name for name, m in layers if getattr(m, "p", 1.0) > 0]


# -- layers with batched products -------------------------------------------------------------------------------------

Layer = Callable[[nn.Module, str, Leaves, Tensor], Tensor]


class _Product(torch.autograd.Function):
    """``x w' (+ b)`` for each member: (K, n, i), (K, o, i), (K, o) -> (K, n, o). Autograd's own gradient of ``w`` would
    lie transposed in memory, and fused optimizers need it as the weights lie: one copy of all weights in each step."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        if bias is None:
            return torch.bmm(x, weight.mT)
        return torch.baddbmm(bias[:, None], x, weight.mT)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (g,) = grads
        of_x = torch.bmm(g, weight) if ctx.needs_input_grad[0] else None
        of_weight = torch.bmm(g.mT, x) if ctx.needs_input_grad[1] else None
        of_bias = g.sum(1) if ctx.needs_input_grad[2] else None
        return of_x, of_weight, of_bias


def _linear(layer: nn.Module, at: str, leaves: Leaves, x: Tensor) -> Tensor:
    """(K, n, ..., i) -> (K, n, ..., o)."""
    out = _Product.apply(x.flatten(1, -2), leaves[f"{at}weight"], leaves.get(f"{at}bias"))
    return out.unflatten(1, x.shape[1:-1])


def _embedding(layer: nn.Module, at: str, leaves: Leaves, x: Tensor) -> Tensor:
    """Tokens (K, n, ...) -> (K, n, ..., w): one table of K vocabularies, one behind the other."""
    table = leaves[f"{at}weight"]
    first = torch.arange(len(table), device=x.device) * table.shape[1]
    return F.embedding(x + first.view(-1, *[1] * (x.dim() - 1)), table.flatten(0, 1))


def _layer_norm(layer: nn.Module, at: str, leaves: Leaves, x: Tensor) -> Tensor:
    assert isinstance(layer, nn.LayerNorm)
    return _scaled(F.layer_norm(x, layer.normalized_shape, eps=layer.eps), at, leaves)


def _rms_norm(layer: nn.Module, at: str, leaves: Leaves, x: Tensor) -> Tensor:
    assert isinstance(layer, nn.RMSNorm)
    return _scaled(F.rms_norm(x, layer.normalized_shape, eps=layer.eps), at, leaves)


def _scaled(x: Tensor, at: str, leaves: Leaves) -> Tensor:
    """Times the members' gains, plus their offsets where they have any."""
    between = [1] * (x.dim() - 2)
    for name, combine in (("weight", torch.mul), ("bias", torch.add)):
        leaf = leaves.get(f"{at}{name}")
        if leaf is not None:
            x = combine(x, leaf.view(len(leaf), *between, -1))
    return x


def _itself(layer: nn.Module, at: str, leaves: Leaves, x: Tensor) -> Tensor:
    """Layers without parameters that treat every number, or every row of the last axis, by itself."""
    return layer(x)


def _sequential(layer: nn.Module, at: str, leaves: Leaves, x: Tensor) -> Tensor:
    for name, part in layer.named_children():
        x = _run(part, f"{at}{name}.", leaves, x)
    return x


# -- whole networks ---------------------------------------------------------------------------------------------------


def _mlp(net: nn.Module, at: str, leaves: Leaves, x: Tensor) -> Tensor:
    assert isinstance(net, mlp.MLP)
    return _run(net.head, f"{at}head.", leaves, _run(net.body, f"{at}body.", leaves, x))


def _embedding_mlp(net: nn.Module, at: str, leaves: Leaves, x: Tensor) -> Tensor:
    assert isinstance(net, mlp.EmbeddingMLP)
    embedded = _run(net.embedding, f"{at}embedding.", leaves, x).flatten(2)
    return _run(net.head, f"{at}head.", leaves, _run(net.body, f"{at}body.", leaves, embedded))


def _quadratic_mlp(net: nn.Module, at: str, leaves: Leaves, x: Tensor) -> Tensor:
    assert isinstance(net, mlp.QuadraticMLP)
    one_hot = F.one_hot(x, net.vocabulary).flatten(2).to(leaves[f"{at}body.weight"].dtype)
    return _run(net.head, f"{at}head.", leaves, _run(net.body, f"{at}body.", leaves, one_hot).square())


def _attention(part: nn.Module, at: str, leaves: Leaves, x: Tensor) -> Tensor:
    """(K, n, t, w) -> (K, n, t, w); members and examples are one axis while positions are mixed."""
    assert isinstance(part, transformer.Attention)
    qkv = _run(part.qkv, f"{at}qkv.", leaves, x).flatten(0, 1)
    q, k, v = qkv.unflatten(-1, (3, part.heads, -1)).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    return _run(part.out, f"{at}out.", leaves, mixed.unflatten(0, x.shape[:2]))


def _block(part: nn.Module, at: str, leaves: Leaves, x: Tensor) -> Tensor:
    assert isinstance(part, transformer.Block)

    def run(name: str, y: Tensor) -> Tensor:
        return _run(getattr(part, name), f"{at}{name}.", leaves, y)

    if part.pre:
        x = x + run("attention", run("norm1", x))
        return x + run("mlp", run("norm2", x))
    x = run("norm1", x + run("attention", x))
    return run("norm2", x + run("mlp", x))


def _transformer(net: nn.Module, at: str, leaves: Leaves, x: Tensor) -> Tensor:
    assert isinstance(net, transformer.Transformer)

    def run(name: str, y: Tensor) -> Tensor:
        return _run(getattr(net, name), f"{at}{name}.", leaves, y)

    closed = F.pad(x, (0, 1), value=net.equals)
    positions = torch.arange(closed.shape[-1], device=x.device).expand(len(x), 1, -1)
    read = run("blocks", run("embedding", closed) + run("position", positions))[:, :, -1]
    return run("head", run("norm", read))


_KNOWN: dict[type[nn.Module], Layer] = {
    nn.Linear: _linear,
    nn.Embedding: _embedding,
    nn.LayerNorm: _layer_norm,
    nn.RMSNorm: _rms_norm,
    nn.ReLU: _itself,
    nn.GELU: _itself,
    nn.Tanh: _itself,
    nn.Identity: _itself,
    nn.Sequential: _sequential,
    mlp.MLP: _mlp,
    mlp.EmbeddingMLP: _embedding_mlp,
    mlp.QuadraticMLP: _quadratic_mlp,
    transformer.Attention: _attention,
    transformer.Block: _block,
    transformer.Transformer: _transformer,
}


def _run(layer: nn.Module, at: str, leaves: Leaves, x: Tensor) -> Tensor:
    """One layer of all members; `at` is its name with a closing dot, empty for the whole network."""
    return _KNOWN[type(layer)](layer, at, leaves, x)


def is_known(model: nn.Module) -> bool:
    """Whether every part is a layer above, used in its plain form."""
    return all(type(m) in _KNOWN and not _special(m) for m in model.modules())


def _special(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Embedding):
        return layer.padding_idx is not None or layer.max_norm is not None or layer.scale_grad_by_freq or layer.sparse
    if isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        return len(layer.normalized_shape) > 1
    return False
