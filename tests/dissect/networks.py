"""Tiny networks and images for the tests of the dissection."""

import numpy as np
import torch
from torch import nn

from grokscope.dissect.intervention import Steer
from grokscope.dissect.planted import Planted


class TinyResNet(nn.Module):
    """The module names of a ResNet, a few channels wide."""

    def __init__(self, classes: int = 2):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.act1 = nn.ReLU()
        self.maxpool = nn.MaxPool2d(2)
        widths = (6, 8, 8, 12, 16)
        for i in range(4):
            block = nn.Sequential(
                nn.Conv2d(widths[i], widths[i + 1], 3, padding=1), nn.BatchNorm2d(widths[i + 1]), nn.ReLU()
            )
            setattr(self, f"layer{i + 1}", block)
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(16, classes)
        self.spare = nn.Linear(2, 2)  # never run

    def get_classifier(self) -> nn.Module:
        return self.fc

    def forward(self, x):
        x = self.maxpool(self.act1(self.bn1(self.conv1(x))))
        for i in range(4):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.fc(self.global_pool(x))


def tiny_resnet(seed: int = 0, classes: int = 2) -> TinyResNet:
    torch.manual_seed(seed)
    model = TinyResNet(classes)
    with torch.no_grad():  # running statistics that are not the trivial ones
        model.train()
        model(torch.randn(32, 3, 8, 8))
    return model


def stained(n: int = 240, size: int = 8, seed: int = 0):
    """(images, labels, environments, groups): hospitals tint the image, the class adds a bright square."""
    rng = np.random.default_rng(seed)
    groups = np.arange(n) % 24
    environments = groups % 3
    labels = rng.integers(0, 2, n)
    x = rng.standard_normal((n, 3, size, size)).astype(np.float32)
    tint = np.array([[1.0, 0, -1.0], [0, 0, 0], [-1.0, 0, 1.0]], dtype=np.float32)
    x += tint[environments][:, :, None, None]
    x[labels == 1, :, 2:5, 2:5] += 1.5
    return x, labels, np.array([3, 0, 4])[environments], np.array([f"p{g:02d}" for g in groups])


def planted_network(planted: Planted) -> nn.Module:
    """A network whose input is the planted features (n, d) and whose last layer, ``fc``, is the planted head; its
    module ``body`` is the identity."""
    fc = nn.Linear(planted.features.shape[1], len(planted.head.weight))
    with torch.no_grad():
        fc.weight.copy_(torch.from_numpy(planted.head.weight))
        fc.bias.copy_(torch.from_numpy(planted.head.bias))
    network = nn.Sequential()
    network.add_module("body", nn.Identity())
    network.add_module("fc", fc)
    return network


def step_along(site: str, v: np.ndarray, step: float) -> Steer:
    """One unit of steering along v (d,) of any length."""
    return Steer(site=site, direction=tuple((v / np.linalg.norm(v)).tolist()), step=step)
