"""One run of a stack: an engine of its own except for the step.

Everything that it is asked (its row, state, weights, facts) it answers as the general engine does, from slices of the
stack's tensors. Its state has the form of a run that was trained alone.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from grokscope.config import RunConfig
from grokscope.seeds import derive
from grokscope.task_data import TaskData
from grokscope.train.evaluate import Row
from grokscope.train.torch_engine import TorchEngine


class Member(TorchEngine):
    """A `TorchEngine` that a stack trains. Torch's own generator belongs to all members, so each keeps the state that
    it would have alone."""

    def __init__(self, config: RunConfig, data: TaskData, total_steps: int, kin: "Member | None" = None):
        """`kin` is another member of the same architecture, whose parameter groups are this one's too: the test that
        finds them takes longer than all else that is built."""
        self.kin = kin
        super().__init__(config, data, total_steps)
        self.write_back: Callable[[], None] = _nothing
        """Puts what the stack remembers of this member where `state_dict` looks for it."""
        self.may_draw = bool(config.plugins())
        """Whether pieces of other people's take part in its steps: ours draw from generators of their own."""
        self.stack: dict[str, Any] = {}
        """Of the stack that it is trained in: how many members, and an id of them all."""
        self.prepared: Row | None = None
        """Its next row, where all members' were taken at once."""
        seed = derive(config.seed, "training")
        self.generators = {"rng": torch.Generator().manual_seed(seed).get_state()}
        if self.device.type == "cuda":
            self.generators["cuda_rng"] = torch.Generator(self.device).manual_seed(seed).get_state()

    def find_groups(self) -> dict[str, list[str]]:
        if self.kin is None:
            return super().find_groups()
        groups, self.kin = self.kin.groups, None
        return groups

    def row(self, diagnose: bool) -> Row:
        if self.prepared is not None:
            row, self.prepared = self.prepared, None
            return row
        return super().row(diagnose)

    def row_values(self, diagnose: bool) -> dict[str, Any]:
        if not (diagnose or self.may_draw):
            return super().row_values(diagnose)
        with self._swapped_generators():
            return super().row_values(diagnose)

    def _use_own_generators(self) -> None:
        torch.set_rng_state(self.generators["rng"])
        if "cuda_rng" in self.generators:
            torch.cuda.set_rng_state(self.generators["cuda_rng"], self.device)

    def own_random(self) -> AbstractContextManager[None]:
        """Meanwhile torch's generator is this member's, and goes on where it was, as in a run alone."""
        if self.may_draw:
            return self._swapped_generators()
        return nullcontext()

    @contextmanager
    def _swapped_generators(self) -> Iterator[None]:
        self._use_own_generators()
        yield
        self.generators["rng"] = torch.get_rng_state()
        if "cuda_rng" in self.generators:
            self.generators["cuda_rng"] = torch.cuda.get_rng_state(self.device)

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "stacked": self.stack}

    def state_dict(self) -> dict[str, Any]:
        self.write_back()
        return _apart({**super().state_dict(), **self.generators})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.generators = {key: state[key] for key in self.generators if key in state}


def _nothing() -> None:
    """A member of no stack remembers everything itself."""


def _apart(state: Any) -> Any:
    """A nested state with tensors of its own: a slice would be saved with the whole stack behind it."""
    if isinstance(state, Tensor):
        return state.clone()
    if isinstance(state, dict):
        return {key: _apart(value) for key, value in state.items()}
    if isinstance(state, list):
        return [_apart(value) for value in state]
    return state
