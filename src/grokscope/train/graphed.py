"""Training steps captured as a CUDA graph and replayed: a small network's step is mostly launch overhead, and a replay
is one launch.

A graph holds addresses, not objects. So batches are copied into buffers that stay where they are, the first step after
a start runs without a graph (optimizers make their state in it), and whatever puts other tensors in place of a run's
own (`forget`) makes the graphs be captured anew. What a graph replays are the kernels of the plain step with their
arguments, the learning rate among them: the numbers are the same.

- Batch size and learning rate are part of a graph. The last, smaller batch of an epoch has a graph of its own.
- Where the learning rate moves, or the filter or the optimizer decides in Python what to do, the graph ends after the
  gradient, and the update runs without it.
- Random changes of a batch are drawn before the graph begins.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from grokscope.train.augment import Augmentation
from grokscope.train.decay import Optimizers
from grokscope.train.evaluate import TensorSplit
from grokscope.train.order import BatchOrder

CAPTURED_BY_TORCH = (torch.optim.SGD, torch.optim.Muon)
"""Optimizers whose steps are the same kernels every time, although they have no setting ``capturable``."""


class Stepped(Protocol):
    """What is captured: an engine whose step is a batch, its gradient, and an update."""

    device: torch.device
    splits: dict[str, TensorSplit]
    order: BatchOrder
    augment: Augmentation
    rate: Callable[[int], float]
    filter: Any
    optimizer: Optimizers
    parameters: list[nn.Parameter]
    step: int

    def gradient(self, x: Tensor, target: Tensor, env: Tensor | None) -> None: ...
    def update(self, lr: float) -> None: ...
    def eager_step(self) -> None: ...


class Replayed(Protocol):
    """A captured piece of work."""

    def replay(self) -> None: ...


Record = Callable[[Callable[[], None]], Replayed]
"""Captures what a function does on the device without doing it."""


class CudaGraphs:
    """Captures on a stream of its own; all graphs of a run share their memory, for only one of them is at work."""

    def __init__(self, device: torch.device):
        self.device = device
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Callable[[], None]) -> Replayed:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self.device):
            before = torch.cuda.current_stream()
            try:
                with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
                    work()
            finally:
                torch.cuda.set_stream(before)  # torch stays on the other stream where a capture fails
        return graph


@dataclass(frozen=True)
class _Captured:
    """A graph, and the gradients that it leaves for an update outside of it; none where it updates by itself."""

    graph: Replayed
    gradients: list[Tensor | None] | None


class GraphedSteps:
    """Makes an engine's steps from graphs. It has no state of its own that a run would have to save."""

    def __init__(self, engine: Stepped, record: Record | None = None):
        self.engine = engine
        self.record = record or CudaGraphs(engine.device)
        self.captures_update = captures_update(engine.filter, engine.optimizer.parts)
        self.forget()

    def forget(self) -> None:
        """Drop every graph: the tensors it works on are no longer the run's."""
        self.captured: dict[tuple[int, float | None], _Captured] = {}
        self.indices: dict[int, Tensor] = {}
        self.batches: dict[int, tuple[Tensor, Tensor]] = {}
        self.last_lr: float | None = None
        self.first = True

    def one_step(self) -> None:
        engine = self.engine
        lr = engine.rate(engine.step + 1)
        if self.first:
            engine.eager_step()
            self.first, self.last_lr = False, lr
            return
        index = engine.order.next()
        # The rate is a number inside the graph. Only one that was the same twice is worth a capture of the whole step;
        # while a schedule moves it, every step would be captured anew, so the graph ends before the update.
        steady, self.last_lr = lr == self.last_lr, lr
        captured = self._captured(index, lr if steady and self.captures_update else None)
        captured.graph.replay()
        engine.step += 1
        if captured.gradients is not None:
            # Each size of batch has a graph, and each graph gradients of its own: those of this one are meant.
            for parameter, gradient in zip(engine.parameters, captured.gradients, strict=True):
                if gradient is not None:
                    parameter.grad = gradient
            engine.update(lr)

    def _captured(self, index: Tensor | None, lr: float | None) -> _Captured:
        """The graph for a batch of this size, its buffers filled with this batch."""
        size = -1 if index is None else len(index)
        batch = self._batch(size, index)
        key = (size, lr)
        if key not in self.captured:
            if lr is not None:  # a graph of an earlier rate is not needed again soon, and holds memory
                self.captured = {k: v for k, v in self.captured.items() if k[1] in (None, lr)}
            self.captured[key] = self._capture(batch, lr)
        return self.captured[key]

    def _batch(self, size: int, index: Tensor | None) -> Callable[[], tuple[Tensor, Tensor]]:
        """How the graph comes by its inputs and targets: all examples, those at the indices in a buffer, or, where they
        were changed at random, buffers of the examples themselves."""
        train = self.engine.splits["train"]
        if self.engine.augment.changes:
            x, target, _ = train.take(index)
            return self._buffered(size, self.engine.augment(x), target)
        if index is None:
            return lambda: (train.x, train.target)
        if size not in self.indices:
            self.indices[size] = torch.empty(size, dtype=index.dtype, device=self.engine.device)
        buffer = self.indices[size]
        buffer.copy_(index)
        return lambda: train.take(buffer)[:2]

    def _buffered(self, size: int, x: Tensor, target: Tensor) -> Callable[[], tuple[Tensor, Tensor]]:
        if size not in self.batches:
            self.batches[size] = (torch.empty_like(x), torch.empty_like(target))
        for buffer, value in zip(self.batches[size], (x, target), strict=True):
            buffer.copy_(value)
        return lambda: self.batches[size]

    def _capture(self, batch: Callable[[], tuple[Tensor, Tensor]], lr: float | None) -> _Captured:
        engine = self.engine

        def gradient() -> None:
            engine.gradient(*batch(), None)

        def whole_step() -> None:
            gradient()
            assert lr is not None
            engine.update(lr)

        for parameter in engine.parameters:
            parameter.grad = None  # the graph makes its own, where they stay
        if lr is not None:
            with _capturable(engine.optimizer.parts):
                return _Captured(self.record(whole_step), None)
        graph = self.record(gradient)
        gradients = [parameter.grad for parameter in engine.parameters]
        for parameter in engine.parameters:
            parameter.grad = None
        return _Captured(graph, gradients)


def captures_update(gradient_filter: Any, optimizers: Sequence[torch.optim.Optimizer]) -> bool:
    """Whether filter and optimizers run the same kernels in every step, so that the update can be part of a graph. A
    filter says so by an attribute ``capturable``; one of a plug-in that says nothing runs outside."""
    if not getattr(gradient_filter, "capturable", False):
        return False
    return all(
        isinstance(optimizer, CAPTURED_BY_TORCH) or all("capturable" in group for group in optimizer.param_groups)
        for optimizer in optimizers
    )


@contextmanager
def _capturable(optimizers: Sequence[torch.optim.Optimizer]) -> Iterator[None]:
    """Torch refuses to capture its Adam unless it is told so; afterward the setting is as before, for it is saved with
    the run."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups if "capturable" in group]
    before = [group["capturable"] for group in groups]
    for group in groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group, value in zip(groups, before, strict=True):
            group["capturable"] = value
