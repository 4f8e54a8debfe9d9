"""Study files of tiny runs, for tests of engines, and what their logs tell."""

from collections.abc import Iterable
from pathlib import Path

FILE = """
seeds = {seeds}
[task]
name = "modular"
p = 7
[model]
name = "embedding-mlp"
embedding = 4
hidden = [8]
[regime]
lr = 1e-2
weight_decay = 0.1
batch_size = 8
[budget]
steps = {steps}
[evaluate]
every = {every}
[checkpoint]
every = {every}
[hardware]
resume_every_s = 0.5
[execute]
{execute}
"""
FOREVER = 10_000_000
"""Steps that no test waits for."""


def write_study(
    folder: Path, name: str = "study", *, seeds: Iterable[int] = (0,), steps: int = 60, execute: str = ""
) -> Path:
    path = folder / f"{name}.toml"
    every = max(20, steps // 20)
    path.write_text(FILE.format(seeds=list(seeds), steps=steps, every=every, execute=execute))
    return path


def log_of(run: Path) -> str:
    return (run / "logs" / "train.log").read_text()


def trained_once(run: Path, steps: int = 60) -> bool:
    """Whether the run's log says once that it was done."""
    return log_of(run).count(f"done at step {steps}") == 1
