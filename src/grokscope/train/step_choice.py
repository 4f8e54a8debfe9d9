"""Choice between eager steps and steps replayed from a CUDA graph: tried on the run's own network before training, and
recorded.

Both make the same steps from the same start. A graph is used where its weights are the same and its steps are faster;
where `hardware.step` asks for one and none can be had, the run goes on without and says why.
"""

import copy
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from grokscope.config import Hardware, Regime
from grokscope.train.graphed import GraphedSteps, Record, Stepped
from grokscope.train.process_state import deterministic, precision

COMPARED = 4
"""Steps after which the weights of the two ways are compared."""
BLOCK = 20
"""Steps timed at once; the fastest block counts, for the others may have waited for something else."""
TRIAL_S = 0.3
"""Seconds of timing for each way."""
WORTH = 1.05
"""A graph must be faster by this factor: a tie is no reason to train through one."""
TOLERANCE = 1e-3
"""Largest difference of a weight, as a share of the largest weight, up to which a graph that was asked for is used.
Chosen by itself it must differ by nothing."""


class Choosing(Stepped, Protocol):
    """An engine whose steps can be made either way."""

    model: nn.Module
    regime: Regime
    graph: GraphedSteps | None

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class StepChoice:
    """How a run makes its steps, and what was tried: seconds of a step each way, and the largest difference of a weight
    as a share of the largest weight."""

    asked: str
    used: str
    why: str
    eager_s: float | None = None
    graph_s: float | None = None
    difference: float | None = None
    nondeterministic: tuple[str, ...] = ()
    """Operations of the step that have no deterministic form on this device."""

    def facts(self) -> dict[str, Any]:
        """For the run's record; what was not tried is left out."""
        values = {k: v for k, v in vars(self).items() if v is not None and v != ()}
        if self.eager_s is not None and self.graph_s is not None:
            values["ratio"] = self.eager_s / self.graph_s
        return values


@dataclass(frozen=True)
class _Trial:
    weights: list[Tensor]
    step_s: float
    random: bool
    """Whether the network itself drew random numbers."""


def choose_step(engine: Choosing, hardware: Hardware, record: Record | None = None) -> StepChoice | None:
    """Sets ``engine.graph`` where steps are to be made from graphs. None on a CPU where nobody asked for one: there is
    nothing to choose. `record` captures in place of CUDA.

    Leaves weights, states and generators as they were. Warns where a graph was asked for and none is used.
    """
    on_gpu = engine.device.type == "cuda"
    if not on_gpu and record is None and hardware.step != "graph":
        return None
    choice = StepChoice(hardware.step, "eager", "asked for")
    if hardware.step != "eager":
        why = None if on_gpu or record else f"graphs are captured on a GPU, this run is on the {engine.device.type}"
        why = why or refusal(engine)
        choice = replace(choice, why=why) if why else _tried(engine, hardware, record)
    if choice.used == "graph":
        engine.graph = GraphedSteps(engine, record)
    elif hardware.step == "graph":
        warnings.warn(f"$.hardware.step: training without a graph: {choice.why}", stacklevel=4)
    return choice


def refusal(engine: Choosing) -> str | None:
    """Why an engine's step cannot be captured; None where it can be tried."""
    if engine.regime.interventions:
        return "interventions change what a step is made of"
    if engine.regime.irm_weight:
        return "the weight of the invariance penalty changes from step to step"
    return None


def _tried(engine: Choosing, hardware: Hardware, record: Record | None) -> StepChoice:
    """Both ways from the present state, which is restored; the warnings about kernels are recorded, all others go on
    to whoever listens."""
    start = copy.deepcopy(engine.state_dict())
    with (
        warnings.catch_warnings(record=True) as caught,
        deterministic(0, hardware.deterministic),
        precision(hardware.tf32),
    ):
        warnings.simplefilter("always")
        try:
            choice = _compared(engine, hardware, record, start)
        finally:
            engine.load_state_dict(copy.deepcopy(start))
            for parameter in engine.parameters:
                parameter.grad = None
    lacking = [w for w in caught if "deterministic" in str(w.message)]
    for w in caught:
        if w not in lacking:
            warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)
    names = tuple(dict.fromkeys(str(w.message).split(" does not have")[0] for w in lacking))
    return replace(choice, nondeterministic=names)


def _compared(engine: Choosing, hardware: Hardware, record: Record | None, start: dict[str, Any]) -> StepChoice:
    choice = StepChoice(hardware.step, "eager", "")
    eager = _trial(engine, start, engine.eager_step)
    if eager.random:
        return replace(choice, why="the network draws random numbers in its step", eager_s=eager.step_s)
    try:
        graph = _trial(engine, start, GraphedSteps(engine, record).one_step)
    except Exception as error:  # whatever a step does that cannot be captured
        said = str(error).strip().splitlines() or [type(error).__name__]
        return replace(choice, why=f"the step cannot be captured: {said[0]}", eager_s=eager.step_s)
    tried = replace(
        choice,
        eager_s=eager.step_s,
        graph_s=graph.step_s,
        difference=largest_difference(eager.weights, graph.weights),
    )
    return _decided(tried)


def _decided(tried: StepChoice) -> StepChoice:
    """Which of two tried ways is used."""
    assert tried.eager_s is not None
    assert tried.graph_s is not None
    assert tried.difference is not None
    allowed = TOLERANCE if tried.asked == "graph" else 0.0
    if not tried.difference <= allowed:
        what = f"its weights differ by {tried.difference:.2g} of the largest after {COMPARED} steps"
        return replace(tried, why=f"a graph does not make the same steps: {what}")
    if tried.asked == "graph":
        return replace(tried, used="graph", why="asked for")
    ratio = tried.eager_s / tried.graph_s
    if ratio < WORTH:
        return replace(tried, why=f"a graph is not faster here ({ratio:.2f} times as fast)")
    return replace(tried, used="graph", why=f"{ratio:.2f} times as fast, with the same numbers")


def _trial(engine: Choosing, start: dict[str, Any], one_step: Callable[[], None]) -> _Trial:
    """Some steps from `start`: the weights after the first few, and the time of one in the fastest block."""
    engine.load_state_dict(copy.deepcopy(start))
    before = _generator(engine.device)
    for _ in range(COMPARED):
        one_step()
    random = not torch.equal(before, _generator(engine.device))
    weights = [t.detach().clone() for t in engine.model.state_dict().values()]
    times: list[float] = []
    while sum(times) < TRIAL_S or len(times) < 3:
        _wait(engine.device)
        begin = time.perf_counter()
        for _ in range(BLOCK):
            one_step()
        _wait(engine.device)
        times.append(time.perf_counter() - begin)
    return _Trial(weights, min(times) / BLOCK, random)


def largest_difference(one: list[Tensor], two: list[Tensor]) -> float:
    """Largest absolute difference, as a share of the largest absolute value: 0 for equal tensors, NaN where a value is
    not finite."""
    most, size = 0.0, 0.0
    for a, b in zip(one, two, strict=True):
        if a.numel():
            most = max(most, (a.double() - b.double()).abs().max().item(), key=_nan_first)
            size = max(size, a.double().abs().max().item(), key=_nan_first)
    return most / size if size else most


def _nan_first(value: float) -> float:
    return float("inf") if value != value else value


def _generator(device: torch.device) -> Tensor:
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.get_rng_state()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
