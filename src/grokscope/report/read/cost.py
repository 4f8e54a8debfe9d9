"""Cost per step of each group, and cost of generalization: in steps, operations and time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from grokscope.report.read.judged_run import Reading
from grokscope.report.read.subjects import Subject
from grokscope.report.read.survival import Arm
from grokscope.results.cost import flops_per_step, flops_until, seconds_per_step


@dataclass(frozen=True)
class GroupCost:
    """Medians over the runs of one group; None where nothing was recorded."""

    group: str
    runs: int
    arrived: bool
    """Whether half of the runs generalized; else `steps` is where they ended, and all costs are at least these."""
    steps: float | None
    """Median T_gen."""
    flops_per_step: float | None
    flops: float | None
    """Operations up to that step."""
    seconds_per_step: float | None
    seconds: float | None
    """Time up to that step."""


def costs(groups: Mapping[str, Sequence[Reading]], times: Sequence[Arm]) -> list[GroupCost]:
    """Of every group in which any run recorded what it cost."""
    rows = [_cost(arm, [r.subject for r in groups[arm.group]]) for arm in times]
    return [row for row in rows if row.flops_per_step is not None or row.seconds_per_step is not None]


def _cost(arm: Arm, subjects: Sequence[Subject]) -> GroupCost:
    k = arm.estimate
    at = None
    if k is not None:
        at = k.bound if k.median is None else k.median
    counts = [(s.status or {}).get("flops") or [] for s in subjects]
    each = _median([flops_per_step(c) for c in counts])
    seconds = _median([seconds_per_step(s.config or {}, s.status or {}) for s in subjects])
    return GroupCost(
        arm.group,
        len(subjects),
        k is not None and k.median is not None,
        at,
        each,
        None if at is None else _median([flops_until(c, at) for c in counts]),
        seconds,
        None if at is None or seconds is None else at * seconds,
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return median(known) if known else None
