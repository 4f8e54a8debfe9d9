"""The residual network for m-heights. Shapes: n codes, s side of the zero-padded matrix, c channels, k outputs."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PARAMETERS = 3
"""n, k and m of a code."""
PARAMETER_WIDTH = 64


class Block(nn.Module):
    """conv - norm - ReLU - conv - norm, plus the input, ReLU: (n, c, s, s) -> (n, c, s, s)."""

    def __init__(self, channels: int, side: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = nn.LayerNorm([channels, side, side])
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.LayerNorm([channels, side, side])

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(inner)) + x)


class CodeResNet(nn.Module):
    """(n, s^2 + 3) -> matrix (n, 1, s, s) and parameters (n, 3) -> (n, c s^2 + 64) -> hidden -> (n, k)."""

    def __init__(self, side: int, channels: int, blocks: int, hidden: int, outputs: int):
        super().__init__()
        self.side = side
        self.stem = nn.Conv2d(1, channels, 3, padding=1)
        self.stem_norm = nn.LayerNorm([channels, side, side])
        self.blocks = nn.Sequential(*(Block(channels, side) for _ in range(blocks)))
        self.parameter_projection = nn.Linear(PARAMETERS, PARAMETER_WIDTH)
        self.hidden = nn.Linear(channels * side * side + PARAMETER_WIDTH, hidden)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        matrix, parameters = x[:, : self.side**2], x[:, self.side**2 :]
        maps = F.relu(self.stem_norm(self.stem(matrix.view(-1, 1, self.side, self.side))))
        read = torch.cat([self.blocks(maps).flatten(1), self.parameter_projection(parameters)], dim=1)
        return self.head(F.relu(self.hidden(read)))
