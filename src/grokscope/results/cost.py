"""Cost of a run: seconds and floating-point operations, as recorded in its status.

``seconds`` is the wall-clock time of all processes that trained it, evaluations and steps that were made twice after a
kill included. ``flops`` lists the operations of one step, each entry from its step on: ``products`` (matrix products,
convolutions, attention) and ``elementwise`` (all else, one for each element; see `grokscope.train.flops`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

Counts = Sequence[Mapping[str, Any]]


def merged(before: Counts, now: Counts) -> list[dict[str, Any]]:
    """The counts of a run that went on, in order of step, without those that say the same as the one before."""
    out: list[dict[str, Any]] = []
    for entry in (*before, *now):
        if not out or _per_step(out[-1]) != _per_step(entry):
            out.append(dict(entry))
    return out


def flops_until(counts: Counts, step: float) -> float | None:
    """Operations of the steps up to `step`; None where none were counted. Before the first count a step is taken to
    cost as much as it did then."""
    if not counts:
        return None
    begins = [0.0, *(float(entry["step"]) - 1 for entry in counts[1:])]
    ends = [*begins[1:], float("inf")]
    return sum(
        _per_step(entry) * max(min(end, step) - begin, 0.0)
        for entry, begin, end in zip(counts, begins, ends, strict=True)
    )


def flops_per_step(counts: Counts) -> float | None:
    """Operations of one of the last steps."""
    return _per_step(counts[-1]) if counts else None


def seconds_per_step(config: Mapping[str, Any], status: Mapping[str, Any]) -> float | None:
    """Wall-clock seconds of a step, evaluations included, mean over the run; of an exact fork over the steps that it
    trained itself. None where it was not recorded, and of the members of a stack, whose time is that of all."""
    start = config.get("start") or {}
    forked_at = (start.get("step") or 0) if start.get("exact") else 0
    seconds, steps = status.get("seconds"), (status.get("step") or 0) - forked_at
    if seconds and steps > 0:
        return seconds / steps
    return None


def _per_step(entry: Mapping[str, Any]) -> float:
    return float(entry["products"]) + float(entry["elementwise"])
