"""Updates from stacked gradients: the code of a single run applied to slices of the stack.

Members that differ in seed and data only form a cluster. What acts on each weight by itself (torch's elementwise
optimizers, decay, averages of gradients) is called once for a cluster, on slices (k, ...) of the leaves. What looks at
a whole tensor or network (the orthogonal gradient, clipping) has a form here for k of them. Whatever else is registered
is called for each member on its own slice, which is exact for every piece and fast for none.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from grokscope.limits import require_memory
from grokscope.train.decay import Decay, Optimizers
from grokscope.train.gradient_filters import PARALLEL, AddedAverage, AddedWindow, Unchanged
from grokscope.train.gradient_filters import Orthogonal as OneOrthogonal
from grokscope.train.torch_engine import TorchEngine

ELEMENTWISE: tuple[type[torch.optim.Optimizer], ...] = (torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD)
"""Optimizers whose update of a weight depends on that weight's own gradients alone."""
STATE_DIMS = {"average": 0, "total": 0, "ring": 1}
"""Where the members' axis lies in what the elementwise filters remember; numbers beside them are common to all."""


class Cluster:
    """Members ``first`` to ``first + k`` of a stack, alike in all that happens to a gradient."""

    def __init__(self, engines: Sequence[TorchEngine], leaves: Sequence[Tensor], first: int):
        self.engines = engines
        self.first, self.last = first, first + len(engines)
        self.slices = [leaf.detach()[self.first : self.last] for leaf in leaves]
        self.rate = engines[0].rate
        self.clip_norm = engines[0].regime.clip_norm
        self.filter = _stacked_filter(engines)
        self.decay = _StackedDecay(engines, self.slices)
        self.optimizer = _StackedOptimizer(engines, self.slices)
        self.one_by_one = isinstance(self.filter, _EachFilter) or self.optimizer.one_by_one
        """Whether members' own parameters must hold their gradients in every step."""

    def take(self, gradients: Sequence[Tensor | None]) -> None:
        """Look at the cluster's share of stacked gradients (K, ...); None where a weight has none."""
        for tensor, gradient in zip(self.slices, gradients, strict=True):
            tensor.grad = None if gradient is None else gradient[self.first : self.last]

    def clip(self) -> None:
        if self.clip_norm is not None:
            _clip([tensor.grad for tensor in self.slices if tensor.grad is not None], self.clip_norm)

    def update(self, step: int) -> None:
        lr = self.rate(step)
        self.decay.apply(lr)
        self.optimizer.step(lr)

    def write_back(self) -> None:
        """Put what is remembered of each member where its own engine looks for it."""
        self.filter.write_back()
        self.optimizer.write_back()


def _clip(gradients: list[Tensor], most: float) -> None:
    """`torch.nn.utils.clip_grad_norm_` for each of k members."""
    norms = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients])
    factors = (most / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
    for g in gradients:
        g.mul_(_along(factors, g))


def _along(values: Tensor, like: Tensor) -> Tensor:
    """One value for each member (k,), in a shape that multiplies (k, ...)."""
    return values.view(-1, *[1] * (like.dim() - 1))


# -- gradient filters -------------------------------------------------------------------------------------------------


def _stacked_filter(engines: Sequence[TorchEngine]) -> "_Filter":
    kind = type(engines[0].filter)
    if kind in (Unchanged, AddedAverage, AddedWindow):
        return _Elementwise(engines)
    if kind is OneOrthogonal:
        return _EachTensor()
    return _EachFilter(engines)


class _Filter:
    """Edits the gradients of a cluster in place."""

    def __call__(self, slices: list[Any]) -> None:
        raise NotImplementedError

    def write_back(self) -> None:
        """Nothing is remembered, or members remember it themselves."""


class _Elementwise(_Filter):
    """One filter for all: what it remembers is stacked."""

    def __init__(self, engines: Sequence[TorchEngine]):
        self.engines = engines
        self.filter = engines[0].regime.grad_filter.build()
        states = [e.filter.state_dict() for e in engines]
        merged = {key: _merged(key, [state[key] for state in states]) for key in states[0]}
        if isinstance(self.filter, AddedWindow):
            size = sum(p.numel() * p.element_size() for e in engines for p in e.parameters)
            require_memory(self.filter.window * size, "$.regime.grad_filter.window", "gradients of a whole stack")
        self.filter.load_state_dict(merged)

    def __call__(self, slices: list[Any]) -> None:
        self.filter(slices)

    def write_back(self) -> None:
        state = self.filter.state_dict()
        for k, engine in enumerate(self.engines):
            engine.filter.load_state_dict({key: _share(key, value, k) for key, value in state.items()})


def _merged(key: str, values: list[Any]) -> Any:
    """One entry of the members' states: lists of tensors are stacked, numbers are the same in all."""
    if not isinstance(values[0], list):
        return values[0]
    return [torch.stack(tensors, STATE_DIMS[key]) for tensors in zip(*values, strict=True)]


def _share(key: str, value: Any, k: int) -> Any:
    if not isinstance(value, list):
        return value
    return [tensor.select(STATE_DIMS[key], k) for tensor in value]


class _EachTensor(_Filter):
    """The orthogonal gradient of `grokscope.train.gradient_filters`, for each tensor of each member."""

    @torch.no_grad()
    def __call__(self, slices: list[Any]) -> None:
        for p in slices:
            if p.grad is None:
                continue
            w, g = p.flatten(1), p.grad.flatten(1)
            along = (w * g).sum(1, keepdim=True) / (w * w).sum(1, keepdim=True).clamp_min(1e-30)
            part = g - along * w
            size, left = g.norm(dim=1, keepdim=True), part.norm(dim=1, keepdim=True)
            p.grad.copy_((part * torch.where(left > PARALLEL * size, size / left, 0)).view_as(p))


class _EachFilter(_Filter):
    """A filter that nothing more is known of: each member's own, on its own gradients."""

    def __init__(self, engines: Sequence[TorchEngine]):
        self.engines = engines

    def __call__(self, slices: list[Any]) -> None:
        for k, engine in enumerate(self.engines):
            with engine.own_random():
                engine.filter(engine.parameters)
            for p, tensor in zip(engine.parameters, slices, strict=True):
                if p.grad is not None and p.grad.data_ptr() != tensor.grad[k].data_ptr():  # it put a new one there
                    tensor.grad[k].copy_(p.grad)
                    p.grad = tensor.grad[k]


# -- decay and update -------------------------------------------------------------------------------------------------


class _StackedDecay:
    """`grokscope.train.decay.Decay` on slices. Targets are stacked once and never change."""

    def __init__(self, engines: Sequence[TorchEngine], slices: Sequence[Tensor]):
        members: list[Decay] = [e.decay for e in engines]
        self.rate = members[0].rate
        place = {id(p): i for i, p in enumerate(engines[0].parameters)}
        decayed = [place[id(p)] for p in members[0].parameters if id(p) in place]
        self.slices = [slices[i] for i in decayed]
        targets = zip(*(d.targets for d in members), strict=True)
        self.targets = [torch.stack(t) for t in targets]

    @torch.no_grad()
    def apply(self, lr: float) -> None:
        if not self.slices:
            return
        if self.targets:
            torch._foreach_lerp_(self.slices, self.targets, min(1.0, lr * self.rate))
        else:
            torch._foreach_mul_(self.slices, max(0.0, 1 - lr * self.rate))


class _StackedOptimizer:
    """The torch optimizers of a cluster: elementwise ones once on slices, others once for each member."""

    def __init__(self, engines: Sequence[TorchEngine], slices: list[Tensor]):
        self.engines = engines
        self.place = {id(p): i for i, p in enumerate(engines[0].parameters)}
        self.slices = slices
        self.stacked: dict[int, torch.optim.Optimizer] = {}
        single: list[int] = []
        for number, part in enumerate(engines[0].optimizer.parts):
            if type(part) in ELEMENTWISE:
                self.stacked[number] = self._on_slices(number, part)
            else:
                single.append(number)
        self.one_by_one = bool(single)
        self.common = Optimizers(list(self.stacked.values()))
        self.own = [(e, Optimizers([e.optimizer.parts[number] for number in single])) for e in engines if single]

    def step(self, lr: float) -> None:
        self.common.step(lr)
        for engine, optimizers in self.own:
            with engine.own_random():
                optimizers.step(lr)

    def _on_slices(self, number: int, part: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """The same optimizer with slices for parameters, and with the members' states stacked."""
        groups = []
        for group in part.param_groups:
            slices = [self.slices[self.place[id(p)]] for p in group["params"]]
            groups.append({**group, "params": slices})
        optimizer = type(part)(groups)  # pyright: ignore[reportCallIssue] - each of ELEMENTWISE takes groups alone
        for tensor, states in self._states(number):
            if states[0]:
                optimizer.state[tensor] = {key: _together([s[key] for s in states]) for key in states[0]}
        return optimizer

    def _states(self, number: int) -> Iterator[tuple[Tensor, list[dict[str, Any]]]]:
        """(slice, the members' states of its parameter) for every parameter of one of the optimizers."""
        parts = [e.optimizer.parts[number] for e in self.engines]
        for parameter in _parameters(parts[0]):
            i = self.place[id(parameter)]
            members = zip(parts, self.engines, strict=True)
            yield self.slices[i], [part.state.get(e.parameters[i], {}) for part, e in members]

    def write_back(self) -> None:
        for number, optimizer in self.stacked.items():
            for parameter in _parameters(self.engines[0].optimizer.parts[number]):
                i = self.place[id(parameter)]
                state = optimizer.state.get(self.slices[i], {})
                for k, engine in enumerate(self.engines):
                    if state:
                        engine.optimizer.parts[number].state[engine.parameters[i]] = _alone(state, k)


def _parameters(optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    for group in optimizer.param_groups:
        yield from group["params"]


def _together(values: list[Any]) -> Any:
    """Members' values of one entry of an optimizer's state; counts of steps are the same in all."""
    if not isinstance(values[0], Tensor):
        return values[0]
    if values[0].dim():
        return torch.stack(values)
    return values[0].clone()


def _alone(state: dict[str, Any], k: int) -> dict[str, Any]:
    """Member k's share. A count of steps is a copy: the stack's own goes on."""
    return {key: v[k] if isinstance(v, Tensor) and v.dim() else _copy(v) for key, v in state.items()}


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    return value
