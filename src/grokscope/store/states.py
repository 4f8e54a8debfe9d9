"""Location of a run's full states. Imports no torch."""

from pathlib import Path

KEPT = "states"
"""Folder of a run with the full states that it was asked to keep, for ever."""
RESUME = "resume"
"""Folder of a run with the newest two, from which it goes on."""


def state_path(folder: Path, step: int) -> Path:
    return folder / f"state{step:010d}.pt"


def state_paths(folder: Path) -> list[Path]:
    """The full states in a folder, newest first."""
    numbered = [path for path in folder.glob("state*.pt") if path.stem[5:].isdecimal()]
    return sorted(numbered, key=lambda path: int(path.stem[5:]), reverse=True)


def kept_steps(run: Path) -> dict[int, Path]:
    """Step -> file of every full state in a run's folder, those that it resumes from included."""
    return {int(path.stem[5:]): path for path in (*state_paths(run / RESUME), *state_paths(run / KEPT))}
