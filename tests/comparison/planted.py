"""Two sides whose differences are known: run folders with planted times and scores, without training anything."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from grokscope.trajectory import Trajectory

LAST = 1000
DIGESTS = {"train": "a" * 32, "id_val": "b" * 32}


def write(
    root: Path,
    arm: str,
    seed: int,
    T_gen: float,
    *,
    T_fit: float = 50,
    every: int = 10,
    last: int = LAST,
    state: str = "done",
    held: float = 0.99,
    digests: dict[str, str] | None = None,
    task: str = "modular",
    split: str = "id_val",
    jitter: float = 0.0,
    **regime: Any,
) -> Path:
    """A run that fits at the first evaluation from `T_fit` on and generalizes at that from `T_gen` on (inf: never)."""
    folder = root / f"{task}_{arm.replace(' ', '-')}_n100_s{seed}-{seed:08x}"
    (folder / "results").mkdir(parents=True)
    config = {
        "task": {"name": task}, "model": {"name": "mlp"}, "regime": {"name": arm, "lr": 1e-3, **regime},
        "budget": {"steps": last, "epochs": None}, "seed": seed,
    }  # fmt: skip
    facts = {
        "kind": "classification", "threshold": 0.9, "steps_per_epoch": 4,
        "splits": {s: {"n": 100, "trivial_acc": 0.1} for s in ("train", split)},
        "data": {"version": 1, "digests": DIGESTS if digests is None else digests},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps({"schema": 3, "config": config, "facts": facts, "passed": []}))
    steps = np.arange(0, last + 1, every)
    lines = [row(int(step), step >= T_fit, held if step >= T_gen else 0.15, split, jitter) for step in steps]
    (folder / "results" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    status = {"state": state, "step": int(steps[-1]), "total_steps": LAST if state == "running" else last}
    error = {"type": "E", "message": "planted failure"} if state == "failed" else None
    (folder / "status.json").write_text(json.dumps({**status, "error": error}))
    return folder


def row(step: int, fitted: bool, held: float, split: str, jitter: float) -> dict[str, Any]:
    train = 1.0 if fitted else 0.2
    return {
        "step": step, "train_acc": train, f"{split}_acc": held, "train_loss": 1.0001 - train, f"{split}_loss": 1.0,
        "norm_total": 10.0 + jitter,
    }  # fmt: skip


def arm(root: Path, name: str, times: list[float], **more: Any) -> list[Path]:
    """One run for each time, seeds 0, 1, ..."""
    return [write(root, name, seed, T_gen, **more) for seed, T_gen in enumerate(times)]


def log(T_gen: float, *, last: int = LAST, every: int = 10) -> Trajectory:
    """The same curve as somebody's log."""
    step = np.arange(0, last + 1, every)
    held = np.where(step >= T_gen, 0.99, 0.15)
    train = np.where(step >= 50, 1.0, 0.2)
    return Trajectory(step=step, train=train, held_out={"id_val": held}, threshold=0.9, train_loss=1.0001 - train)


def number(found: Any, name: str, split: str | None = None) -> Any:
    """A row of the leading split, or of another one."""
    chosen = next(s for s in found.splits if s.split == (split or found.split))
    return next(r for r in (*chosen.milestones, *chosen.phases, *chosen.levels) if r.name == name)


def answer(found: Any, quantity: str) -> Any:
    """The test of one quantity."""
    return next(t for t in found.tests if t.quantity.endswith(quantity))
