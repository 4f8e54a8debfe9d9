"""Residual networks for images. Shapes: n images, c channels, h x w pixels, k outputs."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grokscope.checks import require
from grokscope.models.config import Norm
from grokscope.registry import nearest

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


def timm_classifier(architecture: str, channels: int, outputs: int, norm: Norm, side: int | None = None) -> nn.Module:
    """A freshly initialized timm network for images of `side` pixels (square; None: whatever the architecture expects).

    Raises:
        ValueError: for an unknown name, one that takes no other norm layer, or one that cannot be built for images of
            that size (transformers that cut an image into patches).
    """
    try:
        import timm
    except ImportError:
        raise ValueError("$.model.name: 'timm' needs the package timm: pip install timm") from None
    known = timm.list_models()
    require(
        architecture in known,
        f"$.model.architecture: timm has no {architecture!r}{nearest(architecture, known)}"[:300],
    )
    kwargs: dict[str, Any] = {} if norm == "batch" else {"norm_layer": partial(_timm_norm, kind=norm)}
    create = partial(timm.create_model, architecture, pretrained=False, in_chans=channels, num_classes=outputs)
    try:
        model = create(**kwargs)
    except TypeError as error:
        raise ValueError(
            f"$.model.norm: {architecture!r} takes no other norm layer ({error}); use norm = 'batch'"
        ) from None
    if side is None or _takes(model, channels, side):
        return model
    return _resized(partial(create, **kwargs), architecture, channels, side)


def _resized(create: Callable[..., nn.Module], architecture: str, channels: int, side: int) -> nn.Module:
    """The same architecture told the size of its images, which most networks that fix one can be."""
    try:
        model = create(img_size=side)
    except Exception as error:
        model, why = None, str(error).splitlines()[0] if str(error) else type(error).__name__
    else:
        why = "it fails on such an image"
    if model is None or not _takes(model, channels, side):
        raise ValueError(
            f"$.model.architecture: {architecture!r} cannot read images of {side} x {side} pixels ({why}); set "
            "$.task.image_size to a size it takes, or choose another architecture"
        )
    return model


@torch.no_grad()
def _takes(model: nn.Module, channels: int, side: int) -> bool:
    """Whether the network runs on one image of this size. In eval mode, which leaves its averages alone."""
    training = model.training
    try:
        model.eval()(torch.zeros(1, channels, side, side))
    except Exception:
        return False
    finally:
        model.train(training)
    return True


def _timm_norm(channels: int, *, kind: Norm, **unused: object) -> nn.Module:
    """What timm calls for each normalization it would build; its device and dtype hints are the defaults anyway."""
    del unused
    return norm_layer(kind, channels)
