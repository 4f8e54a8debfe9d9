"""Study files of tiny runs, for tests of engines, and what their logs tell."""

from collections.abc import Iterable
from pathlib import Path

from tiny import TINY_TOML

FILE = (
    "seeds = {seeds}\n"
    + TINY_TOML
    + """
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
)
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
