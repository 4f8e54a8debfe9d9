"""Residual networks for images. Shapes: n images, c channels, h x w pixels, k outputs."""

from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from grokscope.models.vision import Norm, check_architecture

GROUP = 8
"""Channels to a group of group normalization."""


def norm_layer(kind: Norm, channels: int) -> nn.Module:
    """The normalization of a feature map (n, c, h, w)."""
    match kind:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "layer":
            return nn.GroupNorm(1, channels)
        case "group":
            return nn.GroupNorm(channels // GROUP, channels)
        case "none":
            return nn.Identity()


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut: (n, c, h, w) -> (n, c', h / stride, w / stride)."""

    def __init__(self, inside: int, outside: int, stride: int, norm: Norm):
        super().__init__()
        bias = norm == "none"
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=bias)
        self.bn1 = norm_layer(norm, outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=bias)
        self.bn2 = norm_layer(norm, outside)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=bias), norm_layer(norm, outside))
            if stride > 1 or inside != outside
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(inner)) + self.downsample(x))


class SmallResNet(nn.Module):
    """(n, c, h, w) -> stem (n, width, h/2, w/2) -> four stages -> mean (n, 8 width) -> (n, k)."""

    def __init__(self, channels: int, width: int, blocks: int, outputs: int, norm: Norm):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, 2, 1, bias=norm == "none")
        self.bn1 = norm_layer(norm, width)
        self.act1 = nn.ReLU()
        self.layer1 = self._stage(width, width, 1, blocks, norm)
        self.layer2 = self._stage(width, 2 * width, 2, blocks, norm)
        self.layer3 = self._stage(2 * width, 4 * width, 2, blocks, norm)
        self.layer4 = self._stage(4 * width, 8 * width, 2, blocks, norm)
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(8 * width, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def _stage(inside: int, outside: int, stride: int, blocks: int, norm: Norm) -> nn.Sequential:
        rest = (Block(outside, outside, 1, norm) for _ in range(blocks - 1))
        return nn.Sequential(Block(inside, outside, stride, norm), *rest)

    def get_classifier(self) -> nn.Module:
        return self.fc

    def forward(self, x: Tensor) -> Tensor:
        x = self.act1(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.global_pool(x))


def timm_classifier(architecture: str, channels: int, outputs: int, norm: Norm) -> nn.Module:
    """A freshly initialized timm network. Raises ValueError for an unknown name, or one that takes no other norm
    layer."""
    try:
        import timm
    except ImportError:
        raise ValueError("$.model.name: 'timm' needs the package timm; install grokscope[vision]") from None
    check_architecture(architecture, timm.list_models())
    kwargs: dict[str, Any] = {} if norm == "batch" else {"norm_layer": partial(_timm_norm, kind=norm)}
    try:
        return timm.create_model(architecture, pretrained=False, in_chans=channels, num_classes=outputs, **kwargs)
    except TypeError as error:
        raise ValueError(
            f"$.model.norm: {architecture!r} takes no other norm layer ({error}); use norm = 'batch'"
        ) from None


def _timm_norm(channels: int, *, kind: Norm, **unused: object) -> nn.Module:
    """What timm calls for each normalization it would build; its device and dtype hints are the defaults anyway."""
    del unused
    return norm_layer(kind, channels)
