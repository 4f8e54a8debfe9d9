"""A small transformer for token tasks. Shapes: n examples, t tokens and ``=``, w width, h heads, k outputs."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grokscope.models.mlp import ACTIVATIONS

NORMS = {"none": lambda width: nn.Identity(), "layer": nn.LayerNorm, "rms": nn.RMSNorm}


class OnSphere(nn.Module):
    """``sqrt(w) x / |x|`` at each position of (..., w): a residual stream whose length says nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return x.shape[-1] ** 0.5 * F.normalize(x, dim=-1)


class CosineHead(nn.Linear):
    """Logits ``scale * cos(h, w_k)`` of (n, w): neither what it reads nor its own weights can make them larger."""

    def __init__(self, width: int, outputs: int, scale: float):
        super().__init__(width, outputs, bias=False)
        self.scale = scale

    def forward(self, input: Tensor) -> Tensor:
        return self.scale * F.linear(F.normalize(input, dim=-1), F.normalize(self.weight, dim=-1))


class Attention(nn.Module):
    """Every position sees every position; (n, t, w) -> (n, t, w)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each (n, h, t, w/h)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).flatten(2))


STREAMS = {"free": nn.Identity, "sphere": OnSphere}


class Block(nn.Module):
    """Attention, then an MLP, each with a residual; the norm stands before each or after each residual sum, and last
    the sum goes to where the stream lives."""

    def __init__(
        self, width: int, heads: int, mlp_width: int, *, norm: str, norm_position: str, activation: str, residual: str
    ):
        super().__init__()
        self.pre = norm_position == "pre"
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, mlp_width), ACTIVATIONS[activation](), nn.Linear(mlp_width, width))
        self.norm1 = NORMS[norm](width)
        self.norm2 = NORMS[norm](width)
        self.settle = STREAMS[residual]()

    def forward(self, x: Tensor) -> Tensor:
        if self.pre:
            x = self.settle(x + self.attention(self.norm1(x)))
            return self.settle(x + self.mlp(self.norm2(x)))
        x = self.settle(self.norm1(x + self.attention(x)))
        return self.settle(self.norm2(x + self.mlp(x)))


class Transformer(nn.Module):
    """(n, t) tokens -> (n, t + 1, w) -> blocks -> (n, w) at ``=`` -> head -> (n, k).

    Only the last position is read, so no causal mask is needed.
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        outputs: int,
        *,
        layers: int,
        width: int,
        heads: int,
        mlp_width: int,
        norm: str,
        norm_position: str,
        activation: str,
        residual: str,
        cosine_scale: float | None,
    ):
        """`cosine_scale`: of a cosine head; None has a linear one."""
        super().__init__()
        self.equals = vocabulary
        self.embedding = nn.Embedding(vocabulary + 1, width)
        self.position = nn.Embedding(length + 1, width)
        for table in (self.embedding, self.position):
            nn.init.normal_(table.weight, std=width**-0.5)
        self.settle = STREAMS[residual]()
        options = {"norm": norm, "norm_position": norm_position, "activation": activation, "residual": residual}
        self.blocks = nn.Sequential(*(Block(width, heads, mlp_width, **options) for _ in range(layers)))
        # with the norm before each part, the last residual sum has none yet
        self.norm = NORMS[norm](width) if norm_position == "pre" else nn.Identity()
        if cosine_scale is None:
            self.head = nn.Linear(width, outputs, bias=False)
        else:
            self.head = CosineHead(width, outputs, cosine_scale)

    def forward(self, x: Tensor) -> Tensor:
        closed = F.pad(x, (0, 1), value=self.equals)
        positions = torch.arange(closed.shape[1], device=x.device)
        start = self.settle(self.embedding(closed) + self.position(positions))
        return self.head(self.norm(self.blocks(start)[:, -1]))
