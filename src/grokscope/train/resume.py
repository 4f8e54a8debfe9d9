"""Choice of the saved state from which a run resumes, without losing rows silently.

A state is taken when its bytes are those that were written, when it fits the engine, and when every row that the
cadences ask for up to its step is there: a run that went on past a gap would be a run with a hole in it.
"""

from collections.abc import Callable, Collection, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from grokscope.store.checkpoints import load_state
from grokscope.store.run import METRICS, Run
from grokscope.store.states import state_paths
from grokscope.train.plan import Plan

ELEMENTWISE = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer")
"""What optimizers keep for each weight, by their names."""
FORK = "fork"
"""Entry of the first state of an exact fork: the settings under which its parent saved it."""
WEIGHTS = ("model", "w", "w0")
"""Entries of a state whose tensors have the shapes of the network."""


class CannotResume(ValueError):
    """The run cannot go on from what its folder holds. Nothing was changed."""


@dataclass
class Resumed:
    """Where a run goes on, and what its user should know of it."""

    state: bool
    """False: from the beginning."""
    warnings: list[str] = field(default_factory=list)


def resume(
    run: Run,
    plan_of: Callable[[int], Plan],
    template: dict[str, Any],
    load: Callable[[dict[str, Any]], int],
    forked_at: int = 0,
    at_most: int | None = None,
) -> Resumed:
    """Load the newest state that can be gone on from. `load` puts a state into the engine and returns its step;
    `template` is the engine's state at step 0; `plan_of` gives the plan of a run that is at a step; up to the step
    `forked_at` the checkpoints are its parent's; states of steps beyond `at_most` are passed over.

    Raises:
        CannotResume: when states exist and none will do, when they are gone although some had been saved, or when the
            metrics are damaged; with the remedy.
    """
    logged = _logged_steps(run)
    paths = [p for p in state_paths(run.path / "resume") if at_most is None or step_of(p) <= at_most]
    if not paths:
        return _begin(run, logged)
    unreadable: list[str] = []
    gaps: list[str] = []
    for path in paths:  # the newest first
        try:
            step = _load_into(path, template, load)
        except _Unreadable as error:
            unreadable.append(str(error))
            continue
        plan = plan_of(step)
        # The rows lie in a file of their own, which may have lost more than the state knows: an older state, from
        # before the gap, writes the missing rows again; this one never would.
        if gap := _gap(plan, set(logged), step):
            gaps.append(gap)
            continue
        passed_over = [f"{text}; using the state before it" for text in (*unreadable, *gaps)]
        return Resumed(True, passed_over + _lost_checkpoints(run, plan, step, forked_at))
    raise _none_will_do(run, unreadable, gaps)


def step_of(state: Path) -> int:
    """The step of a resume state, by its name."""
    return int(state.stem.removeprefix("state"))


class _Unreadable(ValueError):
    """A state that cannot be gone on from, in words that name its file."""


def _logged_steps(run: Run) -> list[int]:
    try:
        return [row["step"] for row in run.rows()]
    except ValueError as error:
        raise CannotResume(
            f"{error}; restore the complete file, branch from a checkpoint, or delete the run to train it again"
        ) from None


def _load_into(path: Path, template: dict[str, Any], load: Callable[[dict[str, Any]], int]) -> int:
    """Put one state into the engine; its step."""
    try:
        state = load_state(path)
        _require_form(template, state)
        step = load(state)
        if path.stem != f"state{step:010d}":
            raise ValueError(f"it contains the state of step {step}")
        return step
    except torch.OutOfMemoryError:  # no fault of the file: an older state would need as much
        raise
    except KeyError as error:
        raise _Unreadable(f"{path.name} is of another version of grokscope (it lacks {error})") from None
    except (ValueError, RuntimeError, TypeError, AttributeError, IndexError) as error:  # whatever torch makes of damage
        raise _Unreadable(_damaged(path, error)) from None


def _none_will_do(run: Run, unreadable: list[str], gaps: list[str]) -> CannotResume:
    if gaps:
        return CannotResume(
            f"{run.path / METRICS}: {gaps[0]}, and no resume state is from before that; restore the complete file, "
            f"branch from a checkpoint, or delete the run to train it again"
        )
    return CannotResume(
        f"{run.path / 'resume'}: no resume state is readable ({'; '.join(unreadable)}); continue with the version "
        f"that wrote it, branch from a checkpoint, or delete the run to start again"
    )


def _damaged(path: Path, error: Exception) -> str:
    words = str(error).splitlines()[0] if str(error) else type(error).__name__
    if words.startswith(path.name):
        return words
    return f"{path.name} is damaged ({words})"


# -- rows and checkpoints ---------------------------------------------------------------------------------------------


def _due(plan: Plan, steps: Container[int], last: int) -> Iterator[int]:
    """The steps up to `last` at which one of the cadences is due."""
    step = -1
    while step < min(last, plan.total):
        step = plan.next_event(step)
        if step <= last and step in steps:
            yield step


def _gap(plan: Plan, rows: Collection[int], step: int) -> str:
    """What is missing of the rows that a state at `step` has seen; empty where nothing is. The closing row of a run
    stands apart: where it lies off the grid it is written when the run is closed, from the state itself."""
    missing = [due for due in _due(plan, plan.grid, step) if due not in rows]
    if not missing:
        return ""
    count = "1 row is" if len(missing) == 1 else f"{len(missing):,} rows are"
    return f"{count} missing up to step {step:,} (the first at step {missing[0]:,})"


def _lost_checkpoints(run: Run, plan: Plan, step: int, forked_at: int) -> list[str]:
    """A note on checkpoints that were deleted: nothing depends on them, but they will not come back."""
    there = run.checkpoints()
    since = forked_at or -1
    lost = [due for due in _due(plan, plan.checkpoint, step) if due not in there and due > since]
    if not lost:
        return []
    some = ", ".join(f"{s:,}" for s in lost[:6]) + (f" and {len(lost) - 6:,} more" if len(lost) > 6 else "")
    return [f"the checkpoints of these steps are no longer there: {some}"]


def _begin(run: Run, rows: Collection[int]) -> Resumed:
    """Begin at step 0 where no state was ever saved. Rows that a killed process left are put aside, not cut."""
    if not rows and not _has_saved(run):
        return Resumed(False)
    if _has_saved(run):
        raise CannotResume(
            f"{run.path}: its resume states are missing, so training would begin at step 0 and replace its "
            f"{len(rows):,} rows; restore its folder resume, branch from its final or another checkpoint, or delete "
            f"the run to train it again"
        )
    return Resumed(
        False,
        [f"no resume state had been saved, so the run begins again; its {len(rows):,} rows are in {put_aside(run)}"],
    )


def _has_saved(run: Run) -> bool:
    """Whether the run has ever saved a state. Runs of before this was recorded: whether they ended in order, or were
    at work for longer than the time between two states."""
    status = run.status
    if "saved_step" in status:
        return status["saved_step"] is not None
    if status["state"] in ("done", "diverged"):
        return True
    at_work = status.get("heartbeat", 0.0) - status.get("started", 0.0)
    every = 0.0
    if (run.path / "config.json").exists():
        every = run.config.get("hardware", {}).get("resume_every_s", 0.0)
    return status["step"] > 0 and at_work > every


def put_aside(run: Run) -> str:
    """Rename the metrics, so that they are kept beside new ones; returns the new name, from the run's folder."""
    number = 1
    while (target := run.path / "results" / f"metrics.before-restart-{number}.jsonl").exists():
        number += 1
    (run.path / METRICS).rename(target)
    return f"results/{target.name}"


# -- the form of a state ----------------------------------------------------------------------------------------------


def _require_form(template: dict[str, Any], state: dict[str, Any]) -> None:
    """Raise KeyError for an entry that is missing, ValueError for one of another kind or shape. States have digests
    now; this is for those that were written before, and for those of another network."""
    for key, expected in template.items():
        if key == "cuda_rng" or (FORK in state and key not in WEIGHTS):  # a parent's optimizer may be another one
            continue
        _require_kind(expected, state[key], key, shapes=key in WEIGHTS)
    if isinstance(state.get("model"), dict) and "optimizer" in state:
        known = {tensor.shape for tensor in state["model"].values()}
        for name, tensor in _tensors(state["optimizer"]):
            if name in ELEMENTWISE and tensor.shape not in known:
                raise ValueError(f"{name} of the optimizer has the shape of no weight")


def _require_kind(expected: Any, given: Any, where: str, shapes: bool) -> None:
    if isinstance(expected, Tensor):
        if not isinstance(given, Tensor) or expected.dtype != given.dtype:
            raise ValueError(f"{where} is {_kind(given)}, not {expected.dtype}")
        if shapes and expected.shape != given.shape:
            raise ValueError(f"{where} has the shape {list(given.shape)}, not {list(expected.shape)}")
    elif isinstance(expected, dict):
        if not isinstance(given, dict):
            raise ValueError(f"{where} is {_kind(given)}, not a table")
        for key, value in expected.items():
            _require_kind(value, given[key], f"{where}.{key}", shapes)
    elif isinstance(expected, list) and not isinstance(given, list):
        raise ValueError(f"{where} is {_kind(given)}, not a list")
    elif isinstance(expected, int | float) and not isinstance(given, int | float):
        raise ValueError(f"{where} is {_kind(given)}, not a number")


def _kind(given: Any) -> str:
    if isinstance(given, Tensor):
        return str(given.dtype)
    return type(given).__name__


def _tensors(data: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """(the key it stands under, the tensor) for all in nested tables and lists."""
    if isinstance(data, Tensor):
        yield name, data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from _tensors(value, str(key))
    elif isinstance(data, list):
        for value in data:
            yield from _tensors(value, name)
