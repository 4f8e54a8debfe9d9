"""Movement of weights: direction of a step relative to them, angle of rotation, distance from initialization.

Everywhere tensors are given by the names of parameters; sums are float64 and stay on the device.
"""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]


@torch.no_grad()
def inner(a: Weights, b: Weights, names: Iterable[str]) -> Tensor:
    """Sum of products over the named tensors."""
    products = [(a[n].double() * b[n].double()).sum() for n in names]
    return torch.stack(products).sum()


@torch.no_grad()
def cosine(a: Weights, b: Weights, names: Iterable[str]) -> Tensor:
    """Cosine of the named tensors, taken as one vector; NaN where either is zero."""
    names = list(names)
    return inner(a, b, names) / (inner(a, a, names) * inner(b, b, names)).sqrt()


@torch.no_grad()
def update_cosines(after: Weights, update: Weights, groups: Mapping[str, list[str]]) -> dict[str, Tensor]:
    """Cosines of a step's change with the weights that it changed (those before it): +1 where they only grow, -1 where
    they only shrink, 0 where they turn.

    ``total`` is over all weights, each group's within the group; ``head_growth`` is the whole update's with the
    direction in which the head alone grows.
    """
    before = {name: after[name] - change for name, change in update.items()}
    out = {"total": cosine(update, before, update)}
    for group, names in groups.items():
        moved = [n for n in names if n in update]
        if moved:
            out[group] = cosine(update, before, moved)
    head = [n for n in groups.get("head", ()) if n in update]
    if head:
        sizes = (inner(update, update, update) * inner(before, before, head)).sqrt()
        out["head_growth"] = inner(update, before, head) / sizes
    return out


@torch.no_grad()
def rotations(after: Weights, update: Weights, names: Iterable[str]) -> dict[str, Tensor]:
    """Angle in radians by which one step turned each named tensor; NaN for one that is or was zero.

    The half-angle form: the arc cosine of a cosine near 1 would lose all digits of a small angle.
    """
    angles = {}
    for name in names:
        new = after[name].double()
        old = new - update[name].double()
        chord = (new / new.norm() - old / old.norm()).norm()
        angles[name] = 2 * torch.asin((chord / 2).clamp_max(1.0))
    return angles


def equilibrium_rotation(lr: float, decay: float, memory: float) -> float:
    """Angle per step at which decoupled decay and the growth by steps that are orthogonal to the weights balance:
    ``sqrt(2 lr decay (1 - memory) / (1 + memory))`` radians, memory being beta1 of Adam or SGD's momentum (Kosson,
    Messmer & Jaggi, arXiv:2305.17212). NaN without decay, where there is no balance.

    Steps that repeat each other through the average turn the weights less in one step than they do over many: over long
    times the angle grows as that of independent steps of sqrt(2 lr decay).
    """
    if lr * decay <= 0:
        return math.nan
    return math.sqrt(2 * lr * decay * (1 - memory) / (1 + memory))


@torch.no_grad()
def distances(weights: Weights, start: Weights, groups: Mapping[str, list[str]]) -> dict[str, tuple[Tensor, Tensor]]:
    """``total`` and each group -> (L2 distance from the start, the same over the start's norm: NaN from zero)."""
    way = {name: weights[name] - start[name] for name in weights}
    parts = {"total": list(weights)} | {group: [n for n in names if n in weights] for group, names in groups.items()}
    out = {}
    for part, names in parts.items():
        if names:
            far = inner(way, way, names).sqrt()
            norm = inner(start, start, names).sqrt()
            out[part] = (far, torch.where(norm > 0, far / norm, float("nan")))
    return out
