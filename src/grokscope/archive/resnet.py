"""The published network: expected weights, parameter groups, and norms."""

from collections.abc import Mapping
from functools import cache
from itertools import chain

import torch

from grokscope.measure.groups import group_norms
from grokscope.models.resnet import timm_classifier
from grokscope.store.weights import Weights, shapes


@cache
def resnet18(classes: int) -> tuple[dict[str, tuple[int, ...]], dict[str, list[str]], int] | None:
    """(shape of every tensor of timm's ResNet-18, its parameter groups, number of parameters); None without timm.

    Its groups are known: each convolution has a batch norm behind it and so no scale. A test compares them with
    `grokscope.measure.groups.parameter_groups`, which finds them by trying, at half a minute a run.
    """
    try:
        import timm  # noqa: F401
    except ImportError:
        return None
    with torch.device("meta"):
        model = timm_classifier("resnet18", 3, classes, "batch")
    groups: dict[str, list[str]] = {"head": [], "scale_invariant": [], "normalization": []}
    for name, parameter in model.named_parameters():
        if name.startswith("fc."):
            groups["head"].append(name)
        elif parameter.dim() > 1:  # a batch norm follows every convolution, so its scale changes nothing
            groups["scale_invariant"].append(name)
        else:
            groups["normalization"].append(name)
    return shapes(model.state_dict()), groups, sum(p.numel() for p in model.parameters())


def norms(weights: Weights, groups: Mapping[str, list[str]]) -> dict[str, float]:
    """L2 norms of the parameters by group and in total, under the columns' names."""
    members = {name: weights[name].float() for name in chain.from_iterable(groups.values())}
    return {key: float(value) for key, value in group_norms(members, groups, "norm").items()}
