"""Look at a network that another loop trains, and leave everything of that training as it was."""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@contextmanager
def undisturbed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """The network in eval mode and uncompiled. Afterward each module's own mode, gradients, buffers, and the generators
    of torch, numpy and Python are as before.

    Misleads: what a network keeps as a plain attribute is not restored.
    """
    modes = [(module, module.training) for module in model.modules()]
    gradients = [(p, p.grad) for p in model.parameters()]
    with ExitStack() as after:
        after.enter_context(torch.random.fork_rng(devices=[device] if device.type == "cuda" else []))
        after.callback(np.random.set_state, np.random.get_state())  # noqa: NPY002 - the generator that networks use
        after.callback(random.setstate, random.getstate())
        after.enter_context(_uncompiled())
        after.callback(_restore_buffers, _buffers(model))
        model.eval()
        for p, _ in gradients:
            p.grad = None
        try:
            yield
        finally:
            for p, gradient in gradients:
                p.grad = gradient
            for module, training in modes:
                module.training = training


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Compiled networks run as they were written: a compiled one runs past the hook on its head, and would be compiled
    again for the shapes of evaluation."""
    if "torch._dynamo" not in sys.modules:  # nothing was compiled, and importing the compiler takes seconds
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


Buffers = list[tuple[nn.Module, str, Tensor, int, Tensor]]
"""Module, name, buffer, its version, and a copy of its values."""


def _buffers(model: nn.Module) -> Buffers:
    return [
        (module, name, buffer, buffer._version, buffer.clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]


def _restore_buffers(buffers: Buffers) -> None:
    """Only what changed is written: backward refuses a tensor that was written after the forward, whatever values."""
    for module, name, buffer, version, values in buffers:
        module._buffers[name] = buffer
        if buffer._version != version:
            with torch.no_grad():
                buffer.copy_(values)


def outside_inference_mode(call: Callable[[Tensor], Any], x: Tensor) -> Any:
    """What a network keeps from a call (masks, tables of positions) must stay usable in training; autograd refuses
    tensors made in inference mode."""
    with torch.inference_mode(False), torch.no_grad():
        return call(x)
