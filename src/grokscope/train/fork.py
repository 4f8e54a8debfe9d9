"""Exact forks: a new run that begins as its parent was at some step, in everything, and counts its steps on from there.

The fork's folder gets the parent's state as its first resume state and the parent's rows up to there; training it is
then nothing but resuming. So a fork without a change is bit-identical to its parent, its milestones are those of a
whole trajectory, and those before the fork are the parent's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any

from grokscope import configio
from grokscope.components import Intervention
from grokscope.config import Regime, RunConfig
from grokscope.files import to_json, write_atomic
from grokscope.fit_rule import fit_step
from grokscope.moment import read_moment
from grokscope.overlay import written_out
from grokscope.store import lock
from grokscope.store.checkpoints import KEPT, keep_state, load_state, state_paths
from grokscope.store.folders import find_run
from grokscope.store.run import METRICS, Run
from grokscope.store.same_data import require_digests, require_version
from grokscope.tasks.digest import split_digests
from grokscope.train.interventions.of_settings import require_switchable
from grokscope.train.plan import make_plan
from grokscope.train.resume import FORK

SHARED = ("task", "model", "seed", "engine", "evaluate", "diagnose")
"""Keys that a fork has from its parent: its rows, weights and order of batches are made with them."""
FREE = ("name", "interventions")
"""Keys of the regime that may differ beside those that can be switched."""


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
    parent = configio.load_run(run.config)
    source = _source(run, at)
    state = load_state(source.path)
    config = _forked_config(run, changes, source)
    _require_possible(parent, config, source.step)
    require_version(run, config)
    data = config.task.build(config.seed)
    require_digests(run, split_digests(data))
    total = make_plan(config, len(data.splits["train"])).total
    if total <= source.step:
        raise ValueError(
            f"$.budget: {total:,} steps end before the fork begins, at step {source.step:,}; the budget of a fork "
            "counts from the first step of its parent"
        )
    _prepare(run, find_run(root or run.path.parent, config).path, source.step, _handed_over(state, parent, config))
    return config


# -- the parent -------------------------------------------------------------------------------------------------------


def _source(run: Run, at: int | str | None) -> _Source:
    """The state at a moment. Raises ValueError naming those that there are."""
    states = {int(path.stem[5:]): path for path in (*state_paths(run.path / KEPT), *state_paths(run.path / "resume"))}
    if at is None:
        if not states:
            raise ValueError(f"{run.id} holds no full state to fork from; branch from a checkpoint, without exact")
        return _Source(states[max(states)], max(states))
    step = _step(run, at)
    if step in states:
        return _Source(states[step], step)
    there = ", ".join(f"{s:,}" for s in sorted(states)) or "none"
    word = f"step {step:,}" if str(at) == str(step) else f"{at} (step {step:,})"
    raise ValueError(
        f"{run.id} has no full state at {word}; it has {there}. A run keeps those that it is asked for, when it "
        f'trains: [checkpoint] states = ["T_fit", 800]; weights alone: branch without exact'
    )


def _step(run: Run, at: int | str) -> int:
    moment = read_moment(int(at) if isinstance(at, str) and at.strip().isdecimal() else at, "at")
    grid = make_plan(configio.load_run(run.config), run.facts["splits"]["train"]["n"]).grid
    fitted_at = fit_step([row for row in run.rows() if row["step"] in grid], run.facts["kind"])
    step = moment.step(run.facts["steps_per_epoch"], fitted_at)
    if step is None:
        raise ValueError(f"{run.id} was not fitted in any evaluation, so it has no state at {at}")
    return step


# -- the fork ---------------------------------------------------------------------------------------------------------


def _forked_config(run: Run, changes: Mapping[str, Any], source: _Source) -> RunConfig:
    from grokscope.train.branch import renamed

    digest = blake2b(source.path.read_bytes(), digest_size=8).hexdigest()
    start = {"run": run.id, "step": source.step, "digest": digest, "exact": True}
    written = written_out(changes)
    raw = configio.overlay(run.config, {"regime.name": renamed(run, written), **written, "start": start})
    return configio.load_run(raw)


def _require_possible(parent: RunConfig, config: RunConfig, step: int) -> None:
    """Raise ValueError for a change that the steps before the fork, or its state, contradict."""
    for key in SHARED:
        if getattr(config, key) != getattr(parent, key):
            raise ValueError(f"$.{key}: an exact fork has that of its parent; branch without exact, or start a new run")
    changed = [f.name for f in fields(Regime) if getattr(config.regime, f.name) != getattr(parent.regime, f.name)]
    require_switchable(parent.regime, tuple(key for key in changed if key not in FREE), "$.regime.")
    if parent.regime.schedule.depends_on_length and config.budget != parent.budget:
        raise ValueError(
            f"$.budget: the schedule {parent.regime.schedule.name!r} depends on the length, so with another budget the "
            f"steps up to {step:,} would have been others; keep the budget, or branch without exact"
        )


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
