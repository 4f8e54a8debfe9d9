"""Estimated cost of a study before it trains: seconds by a short probe of the training loop, bytes by count."""

import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from grokscope import configio
from grokscope.config import RunConfig
from grokscope.study.run_state import StudyRun
from grokscope.train.plan import Plan

if TYPE_CHECKING:
    from grokscope.train.driver import Engine

ROW_BYTES = 700
"""A row of metrics, plain or diagnosed, on average; written twice (metrics.jsonl and history.json)."""
SPEED_KEYS = (
    "optimizer",
    "loss",
    "loss_dtype",
    "grad_filter",
    "clip_norm",
    "batch_size",
    "decay_groups",
    "decay_target",
    "interventions",
)
"""What in a regime changes the speed; its learning rate does not."""


@dataclass(frozen=True)
class Cost:
    """Of one kind of run, measured here: seconds for a step, a row and a diagnosed row; bytes of a checkpoint and of a
    resume state."""

    step_s: float
    row_s: float
    diagnosed_s: float
    weights: int
    state: int

    def seconds(self, plan: Plan, from_step: int = 0) -> float:
        rows, diagnosed = plan.evaluate.about(from_step), plan.diagnose.about(from_step)
        return (plan.total - from_step) * self.step_s + rows * self.row_s + diagnosed * self.diagnosed_s

    def bytes(self, plan: Plan) -> int:
        states = (2 + plan.kept_states) * self.state
        return (plan.checkpoint.about() + 1) * self.weights + states + 2 * plan.evaluate.about() * ROW_BYTES


def kind_of(config: RunConfig) -> str:
    """What runs of equal cost per step share."""
    regime = configio.dump(config.regime)
    shared = {
        "task": configio.dump(config.task),
        "model": configio.dump(config.model),
        "regime": {k: regime[k] for k in SPEED_KEYS},
        "engine": configio.dump(config.engine),
        "hardware": configio.dump(config.hardware),
    }
    return configio.content_hash(shared)


def probe(config: RunConfig, seconds: float = 1.0) -> Cost:
    """Train `config` for about that long in memory, and measure. Leaves no folder behind.

    Raises:
        ValueError: for a run that cannot be trained at all, which is good to know now.
    """
    import torch

    from grokscope.train.driver import make_engine
    from grokscope.train.process_state import deterministic, precision

    before, hardware = torch.get_num_threads(), config.hardware
    torch.set_num_threads(hardware.threads)
    try:
        with deterministic(0, hardware.deterministic), precision(hardware.tf32):
            return _measured(make_engine(config, config.task.build(config.seed))[1], seconds)
    finally:
        torch.set_num_threads(before)


def _measured(engine: "Engine", seconds: float) -> Cost:
    engine.advance(3, False, lambda: False)  # the first steps allocate
    end = time.perf_counter() + seconds
    first, start = engine.step, time.perf_counter()
    engine.advance(1 << 40, False, lambda: time.perf_counter() >= end)
    engine.finite()  # a GPU is behind with its work; the answer waits for it
    step_s = (time.perf_counter() - start) / max(engine.step - first, 1)
    plain, diagnosed = (_time(engine.row, flag) for flag in (False, True))
    weights = sum(t.numel() * t.element_size() for t in engine.weights().values())
    return Cost(step_s, plain, max(diagnosed - plain, 0.0), weights, _size(engine.state_dict()))


def _time(call, argument) -> float:
    call(argument)
    start = time.perf_counter()
    call(argument)
    return time.perf_counter() - start


def _size(state: object) -> int:
    """Bytes of all tensors in a nested state."""
    import torch

    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, dict):
        return sum(_size(v) for v in state.values())
    if not isinstance(state, list | tuple):
        return 0
    return sum(_size(v) for v in state)


def probe_all(runs: Sequence[StudyRun], seconds: float = 1.0, at_most: float = 20.0) -> dict[str, Cost]:
    """The cost of every kind of run among `runs`; many kinds share `at_most` seconds."""
    kinds = {kind_of(s.entry.config): s for s in runs}
    each = min(seconds, at_most / max(len(kinds), 1))
    return {kind: _probe_named(study_run, each) for kind, study_run in kinds.items()}


def _probe_named(study_run: StudyRun, seconds: float) -> Cost:
    try:
        return probe(replace(study_run.entry.config, start=None), seconds)
    except ValueError as error:
        raise ValueError(
            f"{study_run.entry.label!r} cannot be trained here: {error}; --no-probe lists the runs all the same"
        ) from None


def makespan(seconds: Sequence[float], workers: int) -> float:
    """Wall-clock seconds of jobs taken longest first by so many workers."""
    busy = [0.0] * max(workers, 1)
    for s in sorted(seconds, reverse=True):
        heapq.heappush(busy, heapq.heappop(busy) + s)
    return max(busy)
