"""The published archive's layout: which files a run has there, what they are called, and where runs are found.

    runs/<run_id>/config.json                           hyperparameters
                  checkpoints/ep00200.pt ... final.pt   plain state dicts
                  results/history.json, summary.json    rows at epochs 1, 50, 100, ...; final fields
                  logs/train.log   mechinterp/   wandb/
    figures/   paper/   code/   logs/   docs/   README.md

Source: the archive of "Interventional Analysis of Shortcut Geometry Under Grokking-Favorable Training" (2026).
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from grokscope.config import Cadence, require
from grokscope.files import plain_file

CONFIG, HISTORY, SUMMARY, LOG = "config.json", "results/history.json", "results/summary.json", "logs/train.log"
METRICS = "results/metrics.jsonl"
"""Not in the published layout: every evaluation, so that a run read back is the same to the last bit."""
DETAILS = "docs/TRAINING_DETAILS.md"
"""What a methods section needs, for the archive as a whole."""
BESIDE = ("results/interventions.json", "results/predictions.json")
"""Further records of one run, not in the published layout, that go along and come back."""
MEASURED = "measured"
"""What was measured of checkpoints after the run, a file for each measurement; goes along and comes back."""
FOREIGN = "mechinterp/published"
"""Where an imported run keeps dissections that another program made."""
ROWS = Cadence(at=(1,), every=50, unit="epochs")
"""Epochs of the rows of history.json: 1, 50, 100, ... and the last."""
CHECKPOINTS = Cadence(every=200, unit="epochs")

CONDITIONS = {"grokking": "grokking-favorable", "standard": "standard"}
"""The archive's `condition` -> the name of the same regime here; other conditions keep their name."""

_CHECKPOINT = re.compile(r"(ep\d{5,}|st\d{8,}|final|start)\.(pt|pth|ckpt|safetensors)")


@dataclass(frozen=True)
class Source:
    """One run as it lies in an archive."""

    path: Path
    shown: str
    """How messages name it: relative to the archive."""
    discovered: bool = False
    """Whether the archive was searched for it; otherwise somebody named its folder."""

    @property
    def id(self) -> str:
        return self.path.name

    @cached_property
    def odd(self) -> dict[str, str]:
        """Name -> what is wrong, of everything here that is neither a regular file nor a folder: a link may lead to any
        file of the reader's, and a FIFO never ends. None of it is opened."""
        faults = {}
        for folder, folders, files in os.walk(self.path):
            for path in (Path(folder, name) for name in (*folders, *files)):
                name = path.relative_to(self.path).as_posix()
                try:
                    plain_file(self.path, name)
                except ValueError as error:
                    if path.is_symlink() or not path.is_dir():
                        faults[name] = str(error).removeprefix(f"{path}: ")
        return faults

    def has(self, name: str) -> bool:
        """Whether there is a regular file of this name, reached through real folders."""
        try:
            return plain_file(self.path, name).is_file()
        except ValueError:
            return False

    def checkpoints(self) -> dict[str, Path]:
        """Name without ending (``ep00200``, ``final``) -> file. Where both formats exist, the safetensors file."""
        files = {}
        for path in sorted(self._checkpoint_files()):
            if _CHECKPOINT.fullmatch(path.name):
                files[path.stem] = path  # .safetensors sorts after .pt
        return files

    def strangers(self) -> list[str]:
        """Names of files among the checkpoints that are none."""
        return sorted(p.name for p in self._checkpoint_files() if not _CHECKPOINT.fullmatch(p.name))

    def _checkpoint_files(self) -> list[Path]:
        return [p for p in (self.path / "checkpoints").glob("*") if self.has(f"checkpoints/{p.name}")]

    def others(self) -> list[str]:
        """What the run's folder holds besides the known files; hidden files aside."""
        known = {CONFIG, "checkpoints", "results", "logs", "mechinterp"}
        return sorted(
            p.name + "/" * p.is_dir() for p in self.path.iterdir() if p.name not in known and p.name[0] != "."
        )


def find_sources(archive: Path) -> list[Source]:
    """The runs of an archive: of its ``runs`` folder, of a folder of runs, or of one run's own folder.

    Raises:
        ValueError: when there are none, saying what is there instead.
    """
    fault = "is a file, not a folder" if archive.exists() else "no such folder"
    require(archive.is_dir(), f"{archive}: {fault}")
    if (archive / CONFIG).is_file():
        return [Source(archive, archive.resolve().name)]
    runs = archive / "runs"
    if runs.is_dir():
        require(not runs.is_symlink(), f"{runs}: is a symbolic link and is not followed; name the folder itself")
        return [Source(p, f"runs/{p.name}", discovered=True) for p in _folders(runs)]
    beside = [Source(p, p.name, discovered=True) for p in _folders(archive) if (p / CONFIG).is_file()]
    held = ", ".join(sorted(p.name for p in archive.iterdir())[:8]) or "nothing"
    require(
        bool(beside),
        f"{archive}: not an archive: neither a folder runs/ nor folders with a config.json; it contains {held}",
    )
    return beside


def _folders(path: Path) -> Iterator[Path]:
    return (p for p in sorted(path.iterdir()) if p.is_dir() and p.name[0] != ".")


def digest(path: Path) -> str:
    """SHA-256 of a file in hex: what the Hub lists for large files."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def condition_of(regime: str) -> str:
    """The archive's word for a regime of ours."""
    return {ours: theirs for theirs, ours in CONDITIONS.items()}.get(regime, regime)
