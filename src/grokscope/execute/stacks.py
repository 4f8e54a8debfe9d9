"""Which jobs of a study are trained together: stacks of runs of one architecture, if requested or faster.

``one`` trains every run alone. ``stacked`` refuses what cannot be stacked, with the key that is in the way. ``auto``
tries, for each kind of run, both ways in memory, and stacks where that is faster.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Literal, get_args

from grokscope.checks import require, require_whole
from grokscope.config import RunConfig
from grokscope.execute.protocol import Job
from grokscope.train.stacked.alike import mixture, refusal, settings_key, stack_key

Way = Literal["one", "stacked", "auto"]
ON_CPU, ON_GPU = 16, 1024
"""Runs of a stack, at most, unless somebody says how many: a core is busy with few, a GPU with very many."""
WORTH = 1.05
"""How many times as fast a run-step must be in a stack for `auto` to choose one: less is within the noise of a probe.
"""


@dataclass(frozen=True)
class Stacking:
    """How a worker that was sent somewhere trains its runs: `way` and `size` are those of `arrange`."""

    way: Way = "one"
    size: int | None = None

    def require(self, jobs: Sequence[Job]) -> None:
        """Raises ValueError, before anything is sent or trains, for runs that cannot be stacked although that was asked
        for, and for a size where nothing is stacked."""
        require_engine_for(self.size, self.way)
        if self.way == "stacked":
            arrange(jobs, self.way, self.size, measure=False)


ALONE = Stacking()


@dataclass(frozen=True)
class Unit:
    """Jobs that one worker carries out at once."""

    jobs: tuple[Job, ...]
    speedup: float | None = None
    """How many times as many run-steps in a second a stack makes as one run alone; None where it was not measured."""
    reason: str = ""
    """Why these are not stacked, where that was asked for."""
    fall_back: bool = False
    """Whether they are trained alone where it turns out that they cannot be stacked."""

    @property
    def stacked(self) -> bool:
        return len(self.jobs) > 1

    @property
    def left(self) -> int:
        """Steps to train, of all its runs together."""
        return sum(max(job.total - job.step, 0) for job in self.jobs)


def require_engine_for(stack: int | None, engine: Way) -> None:
    """Raises ValueError for a size of stacks where nothing is stacked."""
    require(stack is None or engine != "one", f"stack = {stack} needs engine = stacked or auto: one trains runs alone")


def arrange(
    jobs: Sequence[Job], way: Way, size: int | None = None, workers: int = 1, measure: bool | None = None
) -> list[Unit]:
    """Jobs in units: in the order given where every run is trained alone, else those with most to do first. Stacks are
    made no larger than lets every worker have one, and of runs with equal settings as far as there are such; what was
    begun as a stack goes on as one, which is exact.

    Args:
        way: See this module.
        size: Runs of a stack, at most; 16 on a CPU and 1,024 on a GPU where nothing is said.
        measure: Whether to try how fast each kind is; by default where the choice depends on it.

    Raises:
        ValueError: under ``stacked``, for runs that cannot be stacked, naming run and key.
    """
    require(way in get_args(Way), f"engine: expected one, stacked or auto, got {way!r}")
    if size is not None:
        require_whole("stack", size, 1, 1 << 20)
    if way == "one":
        return [Unit((job,)) for job in jobs]
    units: list[Unit] = []
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        words = refusal(job.config)
        if words and way == "stacked":
            raise ValueError(f"{job.label!r} cannot be stacked: {words}; use --engine auto or one")
        if words:
            units.append(Unit((job,), reason=words))
        else:
            # with the id of its stack in the key, a run that was begun in one meets the others of that one only
            groups.setdefault(stack_key(job.config) + job.stack, []).append(job)
    for group in groups.values():
        sharers = 1 if group[0].stack else workers  # a stack that was begun is not divided
        parts = _split(group, size or usual_size(group[0].config), sharers)
        units += _units(parts, way, (way == "auto") if measure is None else measure)
    return sorted(units, key=lambda unit: -unit.left)  # longest first: whoever ends last then waits for a short one


@dataclass(frozen=True)
class _Tried:
    """What the probe of a stack found."""

    speedup: float | None
    reason: str = ""
    """Why runs like these are trained alone; empty where they are stacked."""


def _units(parts: Sequence[Sequence[Job]], way: Way, measure: bool) -> list[Unit]:
    """Units of jobs that may be stacked as these parts. Each mixture of settings is tried once: that stacks of one
    optimizer are fast says nothing of another one's."""
    units: list[Unit] = []
    tried: dict[str, _Tried] = {}
    for part in parts:
        if len(part) < 2:
            units += [Unit((job,), reason="there is no other run of its kind") for job in part]
            continue
        if not measure:
            units.append(Unit(tuple(part), fall_back=way == "auto"))
            continue
        kind = mixture([job.config for job in part])
        if kind not in tried:
            tried[kind] = _try(part, way)
        units += _as_tried(part, tried[kind], way)
    return units


def _try(part: Sequence[Job], way: Way) -> _Tried:
    """Raises ValueError under ``stacked`` for what turns out not to be stackable."""
    from grokscope.train.stacked.probe import speedup
    from grokscope.train.stacked.stackable import CannotStack

    try:
        measured = speedup([job.config for job in part])
    except CannotStack as error:
        if way == "stacked":
            raise ValueError(f"{part[0].label!r} cannot be stacked: {error}; use --engine auto or one") from None
        return _Tried(None, str(error))
    if way == "auto" and measured < WORTH:
        return _Tried(measured, f"a run-step in a stack is only {measured:.2f} times as fast as alone")
    return _Tried(measured)


def _as_tried(part: Sequence[Job], tried: _Tried, way: Way) -> list[Unit]:
    if tried.reason:
        return [Unit((job,), tried.speedup, tried.reason) for job in part]
    return [Unit(tuple(part), tried.speedup, fall_back=way == "auto")]


def _split(group: Sequence[Job], size: int, workers: int) -> list[Sequence[Job]]:
    """Parts of nearly equal size, none larger than `size`, one for each worker where every part still is a stack."""
    count = max(-(-len(group) // size), min(workers, len(group) // 2), 1)
    alike = _by_settings(group)
    ends = [i * len(alike) // count for i in range(count + 1)]
    return [alike[begin:end] for begin, end in pairwise(ends)]


def _by_settings(group: Sequence[Job]) -> list[Job]:
    """Jobs of equal settings side by side, in the order in which each setting comes first. What was begun as a stack
    keeps its order, so that a part of it is the same part again."""
    if group[0].stack:
        return list(group)
    places: dict[str, list[Job]] = {}
    for job in group:
        places.setdefault(settings_key(job.config), []).append(job)
    return list(chain.from_iterable(places.values()))


def usual_size(config: RunConfig) -> int:
    """Runs of a stack, at most, where nobody says how many."""
    from grokscope.train.torch_engine import pick_device

    device = config.hardware.device
    if device == "cpu" or pick_device(device).type == "cpu":
        return ON_CPU
    return ON_GPU
