"""Count the arithmetic operations of one training step: products by torch's own counter, the rest by their elements."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

FUSED = 12
"""Operations for an element of a fused Adam step: two averages, their corrections, a root, a quotient, the update."""
MOVES = frozenset(
    {
        *("copy_", "clone", "detach", "detach_", "alias", "_to_copy", "lift_fresh", "set_", "resize_"),
        *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "zeros", "zeros_like", "new_zeros"),
        *(
            "ones",
            "ones_like",
            "new_ones",
            "full",
            "full_like",
            "fill_",
            "zero_",
            "arange",
            "randperm",
            "scalar_tensor",
        ),
        *("index", "index_select", "gather", "scatter", "embedding", "cat", "stack"),
        *("slice_backward", "select_backward", "_foreach_copy_", "_foreach_zero_", "_local_scalar_dense"),
        *("is_same_size", "equal", "record_stream", "scalar_tensor"),
    }
)
"""Operations that move or fill numbers and compute none."""


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of one step."""

    products: int
    """Of matrix products, convolutions and attention, a multiplication and an addition counted as two."""
    elementwise: int
    """One for each element that any other operation reads or writes, whichever is more; `FUSED` for a fused Adam."""


def count(step: Callable[[], None]) -> Flops:
    """Make one step, and count what it computed. Every operation is carried out as it is, so the step is bit for bit
    the one that it would be.

    Misleads: elementwise operations are bound by memory, and take far longer than their number says beside products.
    What a compiled or replayed step does is not seen.
    """
    products, rest = FlopCounterMode(display=False), _Elements()
    with products, rest:
        step()
    return Flops(products.get_total_flops(), rest.total)


class _Elements(TorchDispatchMode):
    """Adds up the elements of all operations that the product counter has no formula for."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        out = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        name = packet.__name__
        if packet not in flop_registry and name not in MOVES and not func.is_view:
            weight = FUSED if name.startswith("_fused_adam") else 1
            self.total += weight * max(map(_numel, (*args, out)), default=0)
        return out


def _numel(value: Any) -> int:
    """Elements of a tensor, or of all in a list."""
    if isinstance(value, Tensor):
        return value.numel()
    if isinstance(value, list | tuple):
        return sum(v.numel() for v in value if isinstance(v, torch.Tensor))
    return 0
