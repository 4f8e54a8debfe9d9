"""Whether built engines can be trained as one stack: their shapes, and the gradients of a trial.

A network of unknown making could compute something else when it is stacked, and nobody would see it. So members are
tried: their stacked gradients must be their own.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from grokscope.config import RunConfig
from grokscope.train.interventions.base import Acting
from grokscope.train.stacked.engine import summed_loss
from grokscope.train.stacked.networks import is_known, random_layers, stacked_forward
from grokscope.train.torch_engine import TorchEngine

EXAMPLES = 16
"""Of each member that is tried."""
ROUNDING = {torch.float64: 1e-8, torch.float32: 1e-3}
"""Largest difference between a stacked gradient and a member's own, in units of its largest entry, that is rounding."""


class CannotStack(ValueError):
    """These runs cannot be trained as one stack. The message says which key is in the way."""


def require_stackable(engines: Sequence[TorchEngine], configs: Sequence[RunConfig]) -> None:
    """Raise CannotStack for networks or data of different shapes, for a network that draws random numbers while it
    trains, and for one that computes something else when it is stacked. Changes none of the engines."""
    if random := random_layers(engines[0].model):
        raise CannotStack(f"$.model: {random[0]} draws random numbers, which members of a stack would share")
    for engine in engines:
        _require_plain_interventions(engine)
        _require_alike(engines[0], engine)
    tried = [engines[0], engines[-1]] if is_known(engines[0].model) else engines
    _require_equal_gradients(tried, configs[0].model.name)


def _require_alike(first: TorchEngine, engine: TorchEngine) -> None:
    if _shapes(engine.model) != _shapes(first.model):
        raise CannotStack("$.model: the networks have other shapes")
    if (type(engine.loss), engine.loss.dtype) != (type(first.loss), first.loss.dtype):
        raise CannotStack("$.regime.loss: must be the same in a stack, with its dtype")
    one, other = (e.splits["train"] for e in (first, engine))
    if one.x.shape != other.x.shape or one.target.shape != other.target.shape:
        sizes = " and ".join(str(list(s.x.shape)) for s in (one, other))
        raise CannotStack(f"$.task: the training sets have other sizes ({sizes})")
    if engine.order.batch_size != first.order.batch_size:
        raise CannotStack("$.regime.batch_size: must be the same in a stack")


def _require_plain_interventions(engine: TorchEngine) -> None:
    for i, slot in enumerate(engine.interventions.slots):
        if type(slot.acting).batch is not Acting.batch:
            name = slot.component.name
            raise CannotStack(f"$.regime.interventions[{i}]: {name!r} draws its own batches of a different size")
    if any(m._forward_hooks or m._forward_pre_hooks for m in engine.model.modules()):
        raise CannotStack("$.regime.interventions: one reads inside the network, which a stack computes at once")


def _shapes(model: nn.Module) -> list[tuple[str, torch.Size]]:
    return [(name, t.shape) for name, t in model.state_dict(keep_vars=True).items()]


def _require_equal_gradients(engines: Sequence[TorchEngine], name: str) -> None:
    models = [copy.deepcopy(e.model) for e in engines]
    batches = [
        (e.network.prepare(e.splits["train"].x[:EXAMPLES]), e.splits["train"].target[:EXAMPLES]) for e in engines
    ]
    with _drawing_the_same():
        alone = [_own_gradients(e, model, *batch) for e, model, batch in zip(engines, models, batches, strict=True)]
    try:
        with _drawing_the_same():
            together = _stacked_gradients(engines, batches)
    except (RuntimeError, NotImplementedError, KeyError, TypeError) as error:
        raise CannotStack(f"$.model: {name!r} cannot be stacked ({_first_line(error)})") from None
    for k, single in enumerate(alone):
        if not all(_equal(a, b if b is None else b[k]) for a, b in zip(single, together, strict=True)):
            raise CannotStack(f"$.model: {name!r} computes another gradient when it is stacked")


@contextmanager
def _drawing_the_same() -> Iterator[None]:
    """A loss of other people's may draw random numbers: here the same each time, and nobody else's."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def _own_gradients(engine: TorchEngine, model: nn.Module, x: Tensor, target: Tensor) -> Sequence[Tensor | None]:
    wanted = [p for p in model.parameters() if p.requires_grad]
    return torch.autograd.grad(engine.loss(model(x), target), wanted, allow_unused=True)


def _stacked_gradients(
    engines: Sequence[TorchEngine], batches: Sequence[tuple[Tensor, Tensor]]
) -> Sequence[Tensor | None]:
    models = [copy.deepcopy(e.model) for e in engines]
    trained = {name for name, p in models[0].named_parameters() if p.requires_grad}
    leaves = {
        name: torch.stack([m.get_parameter(name).detach() for m in models]).requires_grad_(name in trained)
        for name, _ in models[0].named_parameters()
    }
    buffers = {name: torch.stack([m.get_buffer(name) for m in models]) for name, _ in models[0].named_buffers()}
    x, target = (torch.stack(parts) for parts in zip(*batches, strict=True))
    loss = summed_loss(engines[0].loss, stacked_forward(models[0])(leaves, buffers, x), target)
    return torch.autograd.grad(loss, [leaves[name] for name in leaves if name in trained], allow_unused=True)


def _equal(alone: Tensor | None, stacked: Tensor | None) -> bool:
    """Up to rounding. What is not finite alone says nothing."""
    if alone is None or stacked is None:
        return alone is stacked
    if not alone.isfinite().all():
        return True
    most = ROUNDING.get(alone.dtype, 1e-2) * alone.abs().max().clamp_min(1e-6)
    return bool((alone - stacked).abs().max() <= most)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
