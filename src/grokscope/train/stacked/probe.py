"""Measure the speedup of a stack over single runs, in memory."""

import time
from collections.abc import Callable, Sequence

import torch

from grokscope.config import RunConfig
from grokscope.train.driver import make_engine
from grokscope.train.plan import make_plan
from grokscope.train.stacked.engine import Stack
from grokscope.train.stacked.member import Member
from grokscope.train.stacked.stackable import require_stackable
from grokscope.train.torch_engine import TorchEngine

ROUNDS = 5
"""Turns of each way, one after the other, so that what else the machine does meets both; the best of each counts."""


def speedup(configs: Sequence[RunConfig], seconds: float = 1.0, most: int = 64) -> float:
    """Run-steps in a second of a stack of (at most `most` of) these runs, in units of those of one run alone. Trains
    nothing that is kept.

    Raises:
        CannotStack: where they cannot be stacked.
        ValueError: for a run that cannot be trained at all.
    """
    configs = configs[:most]
    before = torch.get_num_threads()
    torch.set_num_threads(configs[0].hardware.threads)
    try:
        _, alone = make_engine(configs[0], configs[0].task.build(configs[0].seed))
        assert isinstance(alone, TorchEngine)  # no other engine can be stacked
        members = [_member(config) for config in configs]
        require_stackable(members, configs)
        stack = Stack(members)
        each = seconds / (2 * ROUNDS)

        def step_alone() -> None:
            alone.advance(alone.step + 1, False, _never)

        def step_stacked() -> None:
            stack.advance(stack.step + 1, (), _never)

        clock = _clock(alone.device, configs[0].hardware.threads)
        times = [
            (_seconds(step_alone, alone.device, each, clock), _seconds(step_stacked, alone.device, each, clock))
            for _ in range(ROUNDS)
        ]
    finally:
        torch.set_num_threads(before)
    one, many = (min(column) for column in zip(*times, strict=True))
    return len(configs) * one / many


def _member(config: RunConfig) -> Member:
    data = config.task.build(config.seed)
    return Member(config, data, make_plan(config, len(data.splits["train"])).total)


def _never() -> bool:
    return False


def _clock(device: torch.device, threads: int) -> Callable[[], float]:
    """Of one thread on a CPU its own time, in which other work on the machine counts for little; else that of the
    wall."""
    return time.process_time if device.type == "cpu" and threads == 1 else time.perf_counter


def _seconds(step: Callable[[], None], device: torch.device, least: float, clock: Callable[[], float]) -> float:
    """Seconds of a step, over at least two steps and this time."""
    step()
    count, start = 0, clock()
    while count < 2 or clock() - start < least:
        step()
        count += 1
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # until it has done what it was told
    return (clock() - start) / count
