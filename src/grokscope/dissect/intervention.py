"""Interventions as data: an edit of the activations at one site, stored as TOML or JSON, applied to a live network.

Activations (n, d), (n, t, d) tokens and maps, (n, d, H, W) or (n, H, W, d), are edited alike at every position,
so that what was fitted on averages over positions acts on those averages as fitted. At strength 0 nothing is touched,
bit for bit.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from grokscope import tomlio
from grokscope.config import require
from grokscope.configio import dump, read_file, structure
from grokscope.dissect.sites import channels_last, resolve
from grokscope.files import write_atomic
from grokscope.registry import nearest

Vector = tuple[float, ...]
Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Intervention(ABC):
    """What to do at `site`; `strength` 1 is the full edit, 0 the identity."""

    kind: ClassVar[str]
    site: str
    strength: float = 1.0

    def __post_init__(self) -> None:
        require(np.isfinite(self.strength), f"strength must be finite, got {self.strength}")
        self.check()

    @abstractmethod
    def check(self) -> None:
        """Raises ValueError for values that contradict each other."""

    @property
    @abstractmethod
    def width(self) -> int | None:
        """Number of channels the site must have; None when any will do."""

    @abstractmethod
    def change(self, h: Tensor) -> Tensor:
        """The edited activations, channels last (..., d), for strength 1 or as `strength` says."""

    def edit(self, h: Tensor, channels_last: bool = False) -> Tensor:
        """Edit (n, d), (n, t, d) or (n, d, H, W); with `channels_last` maps are (n, H, W, d).

        Raises:
            ValueError: when the channels are not those it was made for.
        """
        if self.strength == 0:
            return h
        move = h.dim() == 4 and not channels_last
        last = h.movedim(1, -1) if move else h
        if self.width is not None and last.shape[-1] != self.width:
            raise ValueError(
                f"intervention at {self.site!r}: made for {self.width} channels, this network has {last.shape[-1]}"
            )
        out = self.change(last).to(h.dtype)
        return out.movedim(-1, 1) if move else out


def _like(values: Any, h: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).to(h.device, torch.promote_types(h.dtype, torch.float32))


@dataclass(frozen=True, kw_only=True)
class Erase(Intervention):
    """h - strength * left @ right @ (h - mean): removes a subspace, orthogonally or obliquely.

    left (d, r), right (r, d), mean (d,). Strength above 1 overshoots.
    """

    kind: ClassVar[str] = "erase"
    left: Matrix
    right: Matrix
    mean: Vector

    def check(self) -> None:
        d, r = len(self.mean), len(self.right)
        require(len(self.left) == d and all(len(row) == r for row in self.left), f"left must be {d} rows of {r}")
        require(all(len(row) == d for row in self.right), f"right must be {r} rows of {d}, as long as mean")

    @property
    def width(self) -> int:
        return len(self.mean)

    def change(self, h: Tensor) -> Tensor:
        left, right = _like(self.left, h).reshape(self.width, -1), _like(self.right, h).reshape(-1, self.width)
        return h - self.strength * ((h - _like(self.mean, h)) @ right.T @ left.T)


@dataclass(frozen=True, kw_only=True)
class Steer(Intervention):
    """h + strength * step * direction, with a direction (d,) of length 1 and a step in the site's own units."""

    kind: ClassVar[str] = "steer"
    direction: Vector
    step: float

    def check(self) -> None:
        length = float(np.linalg.norm(self.direction))
        require(abs(length - 1) < 1e-6, f"direction must have length 1, got {length:.6g}")
        require(np.isfinite(self.step), f"step must be finite, got {self.step}")

    @property
    def width(self) -> int:
        return len(self.direction)

    def change(self, h: Tensor) -> Tensor:
        return h + self.strength * self.step * _like(self.direction, h)


@dataclass(frozen=True, kw_only=True)
class Ablate(Intervention):
    """Set the channels `neurons` to `values` (zeros, or their means); strength between 0 and 1 goes part of the way."""

    kind: ClassVar[str] = "ablate"
    neurons: tuple[int, ...]
    values: Vector

    def check(self) -> None:
        require(len(self.neurons) == len(self.values), "neurons and values must have the same length")
        require(len(set(self.neurons)) == len(self.neurons), "neurons must not repeat")
        require(all(j >= 0 for j in self.neurons), "neurons are counted from 0")

    @property
    def width(self) -> None:
        return None

    def change(self, h: Tensor) -> Tensor:
        if self.neurons and max(self.neurons) >= h.shape[-1]:
            raise ValueError(
                f"intervention at {self.site!r}: neuron {max(self.neurons)} is asked for, the site has {h.shape[-1]}"
            )
        chosen = torch.tensor(self.neurons, dtype=torch.long, device=h.device)
        now = h[..., chosen]
        out = h.clone()
        out[..., chosen] = (now + self.strength * (_like(self.values, h) - now)).to(h.dtype)
        return out


KINDS: dict[str, type[Intervention]] = {c.kind: c for c in (Erase, Steer, Ablate)}


@contextmanager
def applied(model: nn.Module, *interventions: Intervention, head: str | None = None) -> Iterator[nn.Module]:
    """The same network, whose activations are edited inside the block; several at one site act in the order given.
    `head` names the layer whose input is ``pooled`` where it is not the network's last linear one.

    Weights and the training mode are not touched, and the hooks are removed however the block ends.

    Raises:
        ValueError: for an unknown site, or at the first forward pass when the site's width does not fit.
    """
    modules = dict(model.named_modules())
    places = [(resolve(model, i.site, head), i) for i in interventions]
    with ExitStack() as stack:
        for site, intervention in places:
            last = channels_last(model, site)
            stack.callback(_attach(modules[site.module], site.side, intervention, last).remove)
        yield model


def _attach(module: nn.Module, side: str, intervention: Intervention, last: bool):
    if side == "input":

        def before(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            if intervention.strength == 0:
                return None
            return (intervention.edit(inputs[0], last), *inputs[1:])

        return module.register_forward_pre_hook(before)

    def after(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor | None:
        if not isinstance(output, Tensor):
            raise ValueError(f"intervention at {intervention.site!r}: the site gives a {type(output).__name__}")
        if intervention.strength == 0:
            return None
        return intervention.edit(output, last)

    return module.register_forward_hook(after)


def to_data(intervention: Intervention) -> dict[str, Any]:
    """Plain data: ``kind``, ``site``, ``strength`` and the numbers, which `from_data` reads back to an equal object."""
    return {"kind": intervention.kind, **dump(intervention)}


def from_data(raw: dict[str, Any]) -> Intervention:
    """Raises ValueError for an unknown kind or key, naming the nearest right one, or impossible values."""
    kind = raw.get("kind")
    if kind not in KINDS:
        raise ValueError(f"$.kind: unknown intervention {kind!r}{nearest(str(kind), list(KINDS))}")
    return structure({k: v for k, v in raw.items() if k != "kind"}, KINDS[kind])


def to_toml(intervention: Intervention) -> str:
    """One ``key = value`` a line. Numbers are written with all their digits."""
    return tomlio.to_toml(to_data(intervention))


def save(intervention: Intervention, path: str | Path) -> None:
    """Write as TOML or JSON, by the ending of `path`."""
    path = Path(path)
    text = json.dumps(to_data(intervention)) if path.suffix == ".json" else to_toml(intervention)
    write_atomic(path, lambda file: file.write(text.encode()) and None)


def load(path: str | Path) -> Intervention:
    """Raises ValueError naming the file when it is absent, not readable, or no intervention."""
    try:
        return from_data(read_file(path))
    except ValueError as error:
        raise ValueError(f"{path}: {error}" if not str(error).startswith(str(path)) else str(error)) from None
