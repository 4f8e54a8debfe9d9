"""Expand paths, folders and patterns to logs and runs."""

import glob
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from grokscope.store.run import Run, find_runs, open_run
from grokscope.trajectory.logs.reading import SUFFIXES
from grokscope.trajectory.logs.table import listed

_NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Source:
    """A log file, or a run folder."""

    name: str
    """As messages and tables call it: the path as given, or the run's id."""
    path: Path
    run: Run | None = None
    files: tuple[Path, ...] = ()
    """The files of one log that are to be joined; empty where `path` alone is the log."""


@dataclass
class Listing:
    """What paths, folders and patterns mean."""

    sources: list[Source] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    """Path or pattern -> why it means nothing."""
    left: list[str] = field(default_factory=list)
    """What was left out, and why, in words."""


def find_sources(paths: Iterable[str | Path]) -> Listing:
    """Files are logs; a folder is a run, holds runs, or else holds logs (all directly in it); a pattern
    (``logs/*.csv``, ``**`` for any depth) is expanded here, so that it may be quoted. Each source counts once, however
    often it is named; inside a folder or pattern the order is by the numbers in the names."""
    listing, seen = Listing(), set()
    for path in paths:
        try:
            inside = list(_meant(Path(path), listing))
        except ValueError as error:
            listing.errors[str(path)] = str(error)
            continue
        for source in inside:
            if (key := source.path.absolute()) not in seen:
                seen.add(key)
                listing.sources.append(source)
    return listing


def _meant(path: Path, listing: Listing) -> list[Source]:
    try:
        present = path.exists()
    except OSError as error:
        raise ValueError(f"{str(path)[:200]!r}: {error.strerror}") from None
    if not present and glob.has_magic(str(path)):
        matches = sorted((Path(p) for p in glob.glob(str(path), recursive=True)), key=_natural)
        if not matches:
            raise ValueError(f"{path}: no file matches")
        runs = [s for p in matches if p.is_dir() for s in _of_runs(p)]
        return runs + [Source(str(p), p) for p in matches if not p.is_dir()]
    if not present:
        raise ValueError(f"{path}: no such file or folder")
    if path.is_dir():
        return _of_folder(path, listing)
    return [Source(str(path), path)]


def _of_folder(folder: Path, listing: Listing) -> list[Source]:
    runs = _of_runs(folder)
    if runs:
        return runs
    files = sorted((p for p in folder.iterdir() if p.is_file() and p.name[0] != "."), key=_natural)
    logs = [p for p in files if is_log_name(p)]
    if not logs:
        open_run(folder)  # says what is wrong
    if others := [p.name for p in files if not is_log_name(p)]:
        listing.left.append(f"{folder}: excluded because of their file extensions: {listed(others, 8)}")
    return [Source(str(p), p) for p in logs]


def _of_runs(folder: Path) -> list[Source]:
    return [Source(run.id, run.path, run) for run in find_runs(folder)]


def is_log_name(path: Path) -> bool:
    """Whether a file in a folder is taken for a log: by its ending."""
    return path.name.lower().removesuffix(".gz").endswith(SUFFIXES)


def _natural(path: Path) -> list[str | int]:
    """Sorts the numbers in names by size: ``s2`` before ``s10``."""
    return [int(part) if i % 2 else part for i, part in enumerate(_NUMBER.split(str(path)))]


def plain_name(path: Path) -> str:
    """The path without the endings of its file: what patterns of groups are matched against."""
    name = path.name.removesuffix(".gz")
    stem = name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in SUFFIXES else name
    if stem:
        return (path.parent / stem).as_posix()
    return path.as_posix()
