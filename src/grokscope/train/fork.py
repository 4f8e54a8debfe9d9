"""Exact forks: a new run that starts from the full state of its parent at some step, and continues counting steps.

The fork's folder gets the parent's state as its first resume state and the parent's rows up to there; training it is
then nothing but resuming. So a fork without a change is bit-identical to its parent, its milestones are those of a
whole trajectory, and those before the fork are the parent's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from grokscope import configio
from grokscope.components import Intervention
from grokscope.config import RunConfig
from grokscope.files import to_json, write_atomic
from grokscope.overlay import written_out
from grokscope.store import lock
from grokscope.store.checkpoints import keep_state, load_state
from grokscope.store.folders import Folders, find_run
from grokscope.store.run import METRICS, Run
from grokscope.store.same_data import require_digests, require_version
from grokscope.store.states import kept_steps
from grokscope.tasks.digest import split_digests
from grokscope.train.fork_rules import require_forkable
from grokscope.train.fork_source import NotForked, asking_for, moment_step, whether_ready
from grokscope.train.names import renamed
from grokscope.train.plan import make_plan
from grokscope.train.resume import FORK


@dataclass(frozen=True)
class _Source:
    """A full state of the parent."""

    path: Path
    step: int


def fork(
    run: Run, changes: Mapping[str, Any], *, at: int | str | None = None, root: str | Path | None = None
) -> RunConfig:
    """Prepare an exact fork of `run`, with dotted `changes` to its config, from the full state at a moment: a step,
    ``"T_fit"``, ``"T_fit + 50"``; None takes the newest. Train the returned config in the same root.

    Everything is taken over: weights, optimizer, gradient filter, generators, batch order, step count, what its
    interventions remember, and the rows up to there. A changed optimizer or filter begins without memory, everything
    else goes on; the budget counts from the parent's first step.

    Raises:
        ValueError: where no full state of that moment was kept (those that were are named), where a change would make
            the steps before the fork other steps, or where the data are no longer the parent's.
    """
    source = _source(run, at)
    config = _forked_config(run, changes, source)
    _begin(run, config, source, root or run.path.parent)
    return config


def begin_planned(config: RunConfig, root: str | Path) -> RunConfig:
    """Prepare a fork that a study has planned, from its parent's state under the same root; the config then says at
    which step it begins. Does nothing to one that has begun.

    Raises:
        NotForked: (a ValueError) where the parent has no such state, or none yet, with the remedy.
        ValueError: as `fork`.
    """
    start = config.start
    if start is None or not start.planned or start.begun:
        return config
    assert start.at is not None
    parent = Folders(root).parent(config)
    ready = whether_ready(parent, start.at)
    if ready.step is None:
        raise NotForked(ready.why, ready.waits)
    source = _Source(kept_steps(parent.path)[ready.step], ready.step)
    begun = replace(start, run=parent.id, step=source.step, digest=_digest(source.path))
    config = replace(config, start=begun)
    _begin(parent, config, source, root)
    return config


def _begin(run: Run, config: RunConfig, source: _Source, root: str | Path) -> None:
    """Check that the fork is possible, and write its first state and rows."""
    parent = configio.load_run(run.config)
    state = load_state(source.path)
    require_forkable(parent, config, f"up to {source.step:,}")
    require_version(run, config)
    data = config.task.build(config.seed)
    require_digests(run, split_digests(data))
    total = make_plan(config, len(data.splits["train"])).total
    if total <= source.step:
        raise ValueError(
            f"$.budget: {total:,} steps end before the fork begins, at step {source.step:,}; the budget of a fork "
            "counts from the first step of its parent"
        )
    _prepare(run, find_run(root, config).path, source.step, _handed_over(state, parent, config))


# -- the parent -------------------------------------------------------------------------------------------------------


def _source(run: Run, at: int | str | None) -> _Source:
    """The state at a moment. Raises ValueError naming those that there are."""
    states = kept_steps(run.path)
    if at is None:
        if not states:
            raise ValueError(f"{run.id} has no full state to fork from; branch from a checkpoint, without exact")
        return _Source(states[max(states)], max(states))
    step = moment_step(run, at)
    if step is None:
        raise ValueError(f"{run.id} was not fitted in any evaluation, so it has no state at {at}")
    if step in states:
        return _Source(states[step], step)
    there = ", ".join(f"{s:,}" for s in sorted(states)) or "none"
    word = f"step {step:,}" if str(at) == str(step) else f"{at} (step {step:,})"
    raise ValueError(
        f"{run.id} has no full state at {word}; it has {there}. A run keeps only requested states: "
        f"{asking_for('T_fit', 800)}; for weights alone, branch without exact"
    )


# -- the fork ---------------------------------------------------------------------------------------------------------


def _forked_config(run: Run, changes: Mapping[str, Any], source: _Source) -> RunConfig:
    start = {"run": run.id, "step": source.step, "digest": _digest(source.path), "exact": True}
    written = written_out(changes)
    raw = configio.overlay(run.config, {"regime.name": renamed(run, written), **written, "start": start})
    return configio.load_run(raw)


def _digest(state: Path) -> str:
    return blake2b(state.read_bytes(), digest_size=8).hexdigest()


def _handed_over(state: dict[str, Any], parent: RunConfig, config: RunConfig) -> dict[str, Any]:
    """The parent's state as the fork's first: with the settings under which it was saved, and with what the parent's
    interventions remember under the numbers that they have in the fork."""
    regime = parent.regime
    remembered: list[dict[str, Any]] = state.get("interventions", [])
    for intervention, memory in zip(parent.regime.interventions, remembered, strict=True):
        if memory["began"] is not None and memory["ended"] is None:
            regime = intervention.settings(regime)
    out = {**state, FORK: {"regime": configio.dump(regime)}}
    out.pop("interventions", None)
    if config.regime.interventions:
        out["interventions"] = _kept_memories(parent.regime.interventions, remembered, config.regime.interventions)
    return out


def _kept_memories(
    before: Sequence[Intervention], memories: Sequence[dict[str, Any]], after: Sequence[Intervention]
) -> list[dict[str, Any] | None]:
    """For each intervention of the fork what the same one of its parent remembers; None for a new one."""
    left = list(zip(before, memories, strict=True))
    out: list[dict[str, Any] | None] = []
    for intervention in after:
        index = next((i for i, (old, _) in enumerate(left) if old == intervention), None)
        out.append(None if index is None else left.pop(index)[1])
    return out


def _prepare(run: Run, folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write the fork's first state and its parent's rows; a fork that has begun is left as it is."""
    with lock.exclusive(folder):
        if (folder / "config.json").exists():
            return
        rows = "".join(to_json(row) + "\n" for row in run.rows() if row["step"] <= step).encode()
        write_atomic(folder / METRICS, lambda file: file.write(rows))
        start = run.path / "checkpoints" / "start.safetensors"
        if start.exists():
            write_atomic(folder / "checkpoints" / start.name, lambda file: file.write(start.read_bytes()))
        keep_state(folder / "resume", step, state)
