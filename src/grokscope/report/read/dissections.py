"""Read dissections from run folders as records; damaged, outdated and external files are listed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TypeVar

from grokscope.figures.checkpoint_view import CheckpointView
from grokscope.report.read.judged_run import Reading
from grokscope.report.read.published import PUBLISHED, PublishedTable, published_tables
from grokscope.results.answer import CELLS, Cell
from grokscope.results.calibration import CALIBRATION, Calibration, shipped
from grokscope.results.dissection import (
    FILES,
    FOLDER,
    PARTS,
    NotOurs,
    Outdated,
    PartFile,
    parts_of,
)
from grokscope.store.dissected import outdated

POOLED = "pooled"
ALWAYS: tuple[Cell, ...] = tuple(cell for cell in CELLS if "negligibly" not in cell)
"""Columns that are always shown; use below what the settings call negligible has cells of its own."""
_STEP = re.compile(r"step0*(\d+)")


@dataclass(frozen=True, kw_only=True)
class Dissected(CheckpointView):
    """A dissected checkpoint of a run on this page."""

    reading: Reading


@dataclass(frozen=True)
class Dissections:
    """All dissections of a group of runs."""

    main: list[Dissected] = field(default_factory=list)
    """One per run: the one that lies in ``mechinterp/`` itself, else the last checkpoint's."""
    along: dict[str, list[Dissected]] = field(default_factory=dict)
    """Run -> its dissected checkpoints in order of step, where there are several."""
    foreign: list[str] = field(default_factory=list)
    """Files that another program wrote."""
    damaged: list[str] = field(default_factory=list)
    """Files of ours that cannot be read: which, and why."""
    outdated: list[str] = field(default_factory=list)
    """Commands that redo what older rules left."""
    published: dict[str, list[PublishedTable]] = field(default_factory=dict)
    """Run -> what another program published of it."""


def find_dissections(readings: Sequence[Reading]) -> Dissections:
    dissections = Dissections()
    for reading in readings:
        if reading.subject.path is not None and (Path(reading.subject.path) / FOLDER).is_dir():
            _add(dissections, reading, Path(reading.subject.path))
    return dissections


def _add(dissections: Dissections, reading: Reading, run: Path) -> None:
    """What one run's folder holds."""
    name, root = reading.subject.name, run / FOLDER
    tables, unread = published_tables(run)
    if tables:
        dissections.published[name] = tables
    dissections.foreign.extend(f"{name}/{FOLDER}/{PUBLISHED}/{file}" for file in unread)
    places = {path.parent for path in chain.from_iterable(root.rglob(f"{part}.json") for part in PARTS)}
    ours = sorted(p for p in places if p != root / PUBLISHED and root / PUBLISHED not in p.parents)
    read = {folder: d for folder in ours if (d := _read(folder, reading, run, dissections)) is not None}
    steps = sorted((d for folder, d in read.items() if folder != root), key=lambda d: d.step or 0)
    if root in read or steps:
        dissections.main.append(read[root] if root in read else steps[-1])
    if len(steps) > 1:
        dissections.along[name] = steps
    dissections.outdated.extend(outdated(run).values())


def _read(folder: Path, reading: Reading, run: Path, dissections: Dissections) -> Dissected | None:
    """The records of one checkpoint; what cannot be read is noted in `dissections`."""
    files = [file for kind in FILES if (file := _part(kind, folder, reading, run, dissections)) is not None]
    if not files:
        return None
    shared = files[0]
    selection = _one_spelling(shared.selection)
    return Dissected(
        reading=reading,
        step=_step(folder, selection, reading),
        selection=selection,
        shared=shared,
        **parts_of(*files),
    )


File = TypeVar("File", bound=PartFile)


def _part(kind: type[File], folder: Path, reading: Reading, run: Path, dissections: Dissections) -> File | None:
    path = folder / f"{kind.NAME}.json"
    if not path.is_file():
        return None
    try:
        return kind.read(path)
    except NotOurs:
        dissections.foreign.append(f"{reading.subject.name}/{path.relative_to(run)}")
    except Outdated:
        pass  # `store.dissected.outdated` has the command that redoes it
    except ValueError as error:
        dissections.damaged.append(
            f"{reading.subject.name}/{str(error).replace(f'{path}', str(path.relative_to(run)))}"
        )
    return None


def _one_spelling(selection: str) -> str:
    """Older records say ``peak:ood_val`` where newer ones say ``peak_ood_val``."""
    from grokscope.trajectory.selection import parse_rule

    try:
        return parse_rule(selection).name
    except ValueError:
        return selection


def _step(folder: Path, selection: str, reading: Reading) -> int | None:
    named = _STEP.fullmatch(folder.name) or re.fullmatch(r"step[:=](\d+)", selection)
    if named:
        return int(named[1])
    return int(reading.last) if selection == "final" and reading.last is not None else None


def calibration_of(readings: Sequence[Reading]) -> Calibration:
    """The first calibration that a dissection left beside its records and this version reads, else its own."""
    for reading in readings:
        if reading.subject.path is None:
            continue
        try:
            return Calibration.read(Path(reading.subject.path) / FOLDER / CALIBRATION)
        except ValueError:  # none there, or an older version's
            continue
    return shipped()
