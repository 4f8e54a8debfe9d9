"""Branch from a checkpoint with changed settings, as a new run that records its parent."""

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from grokscope import configio
from grokscope.config import RunConfig
from grokscope.files import write_atomic
from grokscope.overlay import written_out
from grokscope.store.checkpoints import load_weights
from grokscope.store.folders import find_run
from grokscope.store.run import Run
from grokscope.train.driver import make_engine
from grokscope.train.names import renamed


def branch(
    run: Run, changes: Mapping[str, Any], *, step: int | None = None, root: str | Path | None = None
) -> RunConfig:
    """Prepare a run that starts from `run`'s weights at `step` (its last ones when None) with dotted `changes` to its
    config.

    Only weights are taken over (`grokscope.train.fork.fork` takes all): optimizer, filter and batch order start fresh,
    the init scale is not applied, steps count from 0, and decay toward ``init`` means toward these weights. Train the
    returned config in the same root.

    Raises:
        ValueError: when there is no checkpoint at that step (the nearest ones are named), a change does not fit, or the
            weights do not fit the changed network.
    """
    source = _checkpoint(run, step)
    weights = load_weights(source)  # a damaged file is an error now, not when the branch trains
    taken = run.status["step"] if step is None else step
    start = {"run": run.id, "step": taken, "exact": False}
    start["digest"] = blake2b(source.read_bytes(), digest_size=8).hexdigest()
    written = written_out(changes)
    raw = configio.overlay(run.config, {"regime.name": renamed(run, written), **written, "start": start})
    config = configio.load_run(raw)
    parent = configio.load_run(run.config)
    if (config.model, config.task) != (parent.model, parent.task):  # before there is a folder
        make_engine(config, config.task.build(config.seed))[1].load_weights(weights)
    folder = find_run(root or run.path.parent, config).path
    write_atomic(folder / "checkpoints" / "start.safetensors", lambda file: file.write(source.read_bytes()))
    return config


def _checkpoint(run: Run, step: int | None) -> Path:
    if step is None:
        final = run.path / "checkpoints" / "final.safetensors"
        if final.exists():
            return final
        raise ValueError(f"{run.id} has no final checkpoint yet; finish it, or name a step: {_steps(run)}")
    checkpoints = run.checkpoints()
    if step not in checkpoints:
        raise ValueError(f"{run.id} has no checkpoint at step {step}; it has {_steps(run)}")
    return checkpoints[step]


def _steps(run: Run) -> str:
    return ", ".join(str(s) for s in run.checkpoints()) or "none"
