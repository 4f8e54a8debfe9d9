"""The rows of all members at once: one batched forward pass, one transfer from the device.

Plain rows of tasks without environments and groups are computed for all members together. Diagnosed ones, and those of
other tasks, are computed by each member as it would alone; their numbers still leave the device together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from grokscope.train.evaluate import TensorSplit, to_row
from grokscope.train.stacked.engine import MEANS, Stack
from grokscope.train.stacked.member import Member

ROWS = 1 << 17
"""Examples of all members together in one batch of an evaluation."""


class Rows:
    """Takes the rows of a stack's members."""

    def __init__(self, stack: Stack):
        self.stack = stack
        self.alike = _alike(stack)
        self.splits: dict[str, _Stacked] = {}

    def take(self, members: Sequence[Member], diagnose: bool) -> None:
        """Prepare the next row of each of these members."""
        if diagnose or not self.alike:
            values = [m.row_values(diagnose) for m in members]
        else:
            self.splits = self.splits or {name: _stack_split(self.stack, name) for name in self.stack.engines[0].splits}
            values = _common_values(self.stack, self.splits, members)
        for member, row in zip(members, _fetch(values), strict=True):
            member.prepared = to_row(row, member.trivial)


def _fetch(values: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """All numbers of all rows, moved off the device in one piece."""
    tensors = [v.double().reshape(()) for row in values for v in row.values() if isinstance(v, Tensor)]
    numbers = iter(torch.stack(tensors).tolist() if tensors else [])
    return [{key: next(numbers) if isinstance(v, Tensor) else v for key, v in row.items()} for row in values]


def _alike(stack: Stack) -> bool:
    """Whether plain rows hold losses, counts and norms alone, of splits of one size."""
    if type(stack.loss) not in MEANS or any(e.clean is not None or e.interventions for e in stack.engines):
        return False
    first = stack.engines[0]
    if any(e.groups != first.groups for e in stack.engines):
        return False
    return all(_same_form(split, [e.splits[name] for e in stack.engines]) for name, split in first.splits.items())


def _same_form(one: TensorSplit, all_of_them: Sequence[TensorSplit]) -> bool:
    plain = all(s.env is None and s.group is None for s in all_of_them)
    return plain and one.x.dtype != torch.uint8 and all(s.x.shape == one.x.shape for s in all_of_them)


@dataclass(frozen=True)
class _Stacked:
    """One split of all members: inputs (K, n, ...), labels (K, n), targets (K, n, ...)."""

    x: Tensor
    y: Tensor
    target: Tensor


def _stack_split(stack: Stack, name: str) -> _Stacked:
    """One split, stacked; members' own become views of it, so that nothing is held twice."""
    splits = [e.splits[name] for e in stack.engines]
    x, target = (stack.batches.x, stack.batches.target) if name == "train" else _stack_inputs(splits)
    if name != "train":
        for k, (engine, split) in enumerate(zip(stack.engines, splits, strict=True)):
            engine.splits[name] = replace(split, x=x[k], target=target[k])
    return _Stacked(x, torch.stack([s.y for s in splits]), target)


def _stack_inputs(splits: Sequence[TensorSplit]) -> tuple[Tensor, Tensor]:
    return torch.stack([s.x for s in splits]), torch.stack([s.target for s in splits])


@torch.no_grad()
def _common_values(stack: Stack, splits: Mapping[str, _Stacked], members: Sequence[Member]) -> list[dict[str, Any]]:
    """What `TorchEngine.row_values` says of each member, computed for all."""
    columns: dict[str, Tensor | int] = {}
    for name, split in splits.items():
        columns |= _scores(stack, name, split)
    columns |= _norms(stack)
    every = {key: value.unbind() for key, value in columns.items() if isinstance(value, Tensor)}
    place = {id(engine): k for k, engine in enumerate(stack.engines)}
    rows = []
    for member in members:
        values = {key: every[key][place[id(member)]] if key in every else value for key, value in columns.items()}
        rows.append({"lr": member.rate(max(stack.step, 1)), **values})
    return rows


def _scores(stack: Stack, name: str, split: _Stacked) -> dict[str, Tensor | int]:
    """Loss (K,), and for classes the count of right answers (K,), on one split."""
    model = stack.engines[0].model
    model.eval()
    size = max(ROWS // len(split.x), 1)
    parts = [stack.forward(stack.parameters, stack.buffers, x) for x in split.x.split(size, dim=1)]
    model.train()
    logits = torch.cat(parts, dim=1)
    losses = torch.vmap(stack.loss)(logits, split.target)
    out: dict[str, Tensor | int] = {f"{name}_loss": losses, f"{name}_n": split.y.shape[1]}
    if stack.loss.targets != "real":
        right = stack.loss.predict(logits.flatten(0, 1)).view_as(split.y) == split.y
        out[f"{name}_correct"] = right.sum(1)
    return out


def _norms(stack: Stack) -> dict[str, Tensor]:
    """L2 norm of each group of each member's weights (K,), and of all."""
    squares = {
        name: torch.linalg.vector_norm(leaf.flatten(1), dim=1).double().square()
        for name, leaf in stack.parameters.items()
    }
    out = {"norm_total": torch.stack(list(squares.values())).sum(0).sqrt()}
    for group, names in stack.engines[0].groups.items():
        out[f"norm_{group}"] = torch.stack([squares[n] for n in names]).sum(0).sqrt()
    return out
