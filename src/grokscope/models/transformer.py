"""A small transformer for token tasks. Shapes: n examples, t tokens and ``=``, w width, h heads, k outputs."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grokscope.models.mlp import ACTIVATIONS

NORMS = {"none": lambda width: nn.Identity(), "layer": nn.LayerNorm, "rms": nn.RMSNorm}


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


class Block(nn.Module):
    """Attention, then an MLP, each with a residual; the norm stands before each or after each residual sum."""

    def __init__(self, width: int, heads: int, mlp_width: int, *, norm: str, norm_position: str, activation: str):
        super().__init__()
        self.pre = norm_position == "pre"
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, mlp_width), ACTIVATIONS[activation](), nn.Linear(mlp_width, width))
        self.norm1 = NORMS[norm](width)
        self.norm2 = NORMS[norm](width)

    def forward(self, x: Tensor) -> Tensor:
        if self.pre:
            x = x + self.attention(self.norm1(x))
            return x + self.mlp(self.norm2(x))
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.mlp(x))


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
    ):
        super().__init__()
        self.equals = vocabulary
        self.embedding = nn.Embedding(vocabulary + 1, width)
        self.position = nn.Embedding(length + 1, width)
        for table in (self.embedding, self.position):
            nn.init.normal_(table.weight, std=width**-0.5)
        self.blocks = nn.Sequential(
            *(
                Block(width, heads, mlp_width, norm=norm, norm_position=norm_position, activation=activation)
                for _ in range(layers)
            )
        )
        # with the norm before each part, the last residual sum has none yet
        self.norm = NORMS[norm](width) if norm_position == "pre" else nn.Identity()
        self.head = nn.Linear(width, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        closed = F.pad(x, (0, 1), value=self.equals)
        positions = torch.arange(closed.shape[1], device=x.device)
        return self.head(self.norm(self.blocks(self.embedding(closed) + self.position(positions))[:, -1]))
