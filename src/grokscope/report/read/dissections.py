"""Dissections as they lie in run folders, as records; files that are damaged, outdated or of another program are named,
not guessed at."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import TypeVar

import numpy as np

from grokscope.report.read.judged_run import Reading
from grokscope.report.read.published import PUBLISHED, PublishedTable, published_tables
from grokscope.results.answer import CELLS, Cell
from grokscope.results.calibration import CALIBRATION, Calibration, shipped
from grokscope.results.dissection import (
    FOLDER,
    PARTS,
    Checkpoint,
    ErasuresFile,
    NeuronsFile,
    NotOurs,
    Outdated,
    PartFile,
    ProbesFile,
    SteeringFile,
)
from grokscope.results.erasures import M4, Erasure
from grokscope.results.neurons import M6, Ablations, summary_key
from grokscope.results.probes import M1, ProbeResult, Target
from grokscope.results.scores import Effect, Null, Score
from grokscope.results.steering import M5, Curve, Scaling
from grokscope.store.dissected import outdated
from grokscope.vocabulary.splits import UNSEEN

POOLED = "pooled"
ALWAYS: tuple[Cell, ...] = tuple(cell for cell in CELLS if "negligibly" not in cell)
"""Columns that are always shown; use below what the settings call negligible has cells of its own."""
_STEP = re.compile(r"step0*(\d+)")


@dataclass(frozen=True)
class Dissected:
    """One checkpoint's records; a part is None where its file is absent or cannot be read."""

    reading: Reading
    step: int | None
    selection: str
    shared: Checkpoint = field(repr=False)
    m1: M1 | None = field(repr=False)
    m4: M4 | None = field(repr=False)
    m5: M5 | None = field(repr=False)
    m6: M6 | None = field(repr=False)

    @property
    def oracle(self) -> bool:
        return self.selection.startswith("oracle")

    @property
    def cell(self) -> Cell:
        return self.shared.where.cell

    @property
    def sites(self) -> list[str]:
        return list(dict.fromkeys(p.site for p in self.m1.probes)) if self.m1 else []

    def probe(self, site: str, target: Target) -> ProbeResult | None:
        probes = self.m1.probes if self.m1 else ()
        return next((p for p in probes if p.site == site and p.target == target), None)

    def score(self, site: str, target: Target) -> Score | None:
        """What the probe reads on the test part."""
        probe = self.probe(site, target)
        return probe.test if probe else None

    @property
    def erasures(self) -> dict[str, Erasure]:
        return {e.eraser: e for e in self.m4.erasures} if self.m4 else {}

    @property
    def erasure(self) -> Erasure | None:
        """The one that speaks for the cells; of records that name none, LEACE, else the first."""
        by_name = self.erasures
        for name in (self.shared.where.eraser, "leace", *by_name):
            if name in by_name:
                return by_name[name]
        return None

    @property
    def gap_effect(self) -> Effect | None:
        """What that erasure takes of the environment gap."""
        erasure = self.erasure
        return erasure.effects["test"].env_gap_drop if erasure and "test" in erasure.effects else None

    @property
    def damage(self) -> Effect | None:
        """The right answers that it costs on `outside`."""
        erasure = self.erasure
        return erasure.effects[self.outside].accuracy_drop if erasure and self.outside in erasure.effects else None

    @property
    def outside(self) -> str:
        """The scene on which damage to the task is reported: an unseen environment where there is one."""
        scenes = [s.name for s in self.shared.scenes]
        return next((s for s in reversed(UNSEEN) if s in scenes), "test")

    def curve(self, on: str, scaling: Scaling) -> Curve | None:
        curves = self.m5.curves if self.m5 else ()
        return next((c for c in curves if c.on == on and c.scaling == scaling), None)

    @property
    def main_curve(self) -> Curve | None:
        """The one that speaks in words and tables."""
        return self.curve(self.outside, "relative") or self.curve("test", "relative")

    def ablation(self, on: str) -> Ablations | None:
        """Neurons ablated in the way the settings name, measured on a scene."""
        there = [a for a in self.m6.ablations if a.on == on] if self.m6 else []
        named = [a for a in there if a.ablation == self.shared.settings.ablation]
        return next(iter([*named, *there]), None)

    @property
    def beyond_random(self) -> tuple[float, Null] | None:
        """Environment gap lost beyond random neurons, and the null it stands against."""
        ablation, key = self.ablation("test"), summary_key("env_gap_drop", "random")
        if ablation is None or key not in ablation.summary.environment:
            return None
        return ablation.summary_values.environment[key], ablation.summary.environment[key]

    @property
    def at_chance(self) -> str | None:
        """Why nothing but accuracy is said of a network that does not know its task; None for one that does."""
        reasons = {part.cannot_tell if part else None for part in (self.m4, self.m5, self.m6)}
        return reasons.pop() if len(reasons) == 1 else None


def hardest(effect: Effect | None) -> Null | None:
    """The control that an effect beats least: the one with the largest p; of equals, the one that reaches farthest."""
    controls = effect.controls.values() if effect else ()
    return max(controls, key=lambda c: (_or_zero(c.p), max(abs(_or_zero(c.low)), abs(_or_zero(c.high)))), default=None)


def _or_zero(value: float) -> float:
    return value if isfinite(value) else 0.0


@dataclass(frozen=True)
class Found:
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


def find_dissections(readings: Sequence[Reading]) -> Found:
    found = Found()
    for reading in readings:
        if reading.subject.path is not None and (Path(reading.subject.path) / FOLDER).is_dir():
            _add(found, reading, Path(reading.subject.path))
    return found


def _add(found: Found, reading: Reading, run: Path) -> None:
    """What one run's folder holds."""
    name, root = reading.subject.name, run / FOLDER
    tables, unread = published_tables(run)
    if tables:
        found.published[name] = tables
    found.foreign.extend(f"{name}/{FOLDER}/{PUBLISHED}/{file}" for file in unread)
    places = {path.parent for part in PARTS for path in root.rglob(f"{part}.json")}
    ours = sorted(p for p in places if p != root / PUBLISHED and root / PUBLISHED not in p.parents)
    read = {folder: d for folder in ours if (d := _read(folder, reading, run, found)) is not None}
    steps = sorted((d for folder, d in read.items() if folder != root), key=lambda d: d.step or 0)
    if root in read or steps:
        found.main.append(read[root] if root in read else steps[-1])
    if len(steps) > 1:
        found.along[name] = steps
    found.outdated.extend(outdated(run).values())


def _read(folder: Path, reading: Reading, run: Path, found: Found) -> Dissected | None:
    """The records of one checkpoint; what cannot be read is told in `found`."""
    probes = _part(ProbesFile, folder, reading, run, found)
    erasures = _part(ErasuresFile, folder, reading, run, found)
    steering = _part(SteeringFile, folder, reading, run, found)
    neurons = _part(NeuronsFile, folder, reading, run, found)
    shared = next((file for file in (probes, erasures, steering, neurons) if file is not None), None)
    if shared is None:
        return None
    selection = _one_spelling(shared.selection)
    return Dissected(
        reading,
        _step(folder, selection, reading),
        selection,
        shared,
        m1=probes.m1 if probes else None,
        m4=erasures.m4 if erasures else None,
        m5=steering.m5 if steering else None,
        m6=neurons.m6 if neurons else None,
    )


File = TypeVar("File", bound=PartFile)


def _part(kind: type[File], folder: Path, reading: Reading, run: Path, found: Found) -> File | None:
    path = folder / f"{kind.NAME}.json"
    if not path.is_file():
        return None
    try:
        return kind.read(path)
    except NotOurs:
        found.foreign.append(f"{reading.subject.name}/{path.relative_to(run)}")
    except Outdated:
        pass  # `store.dissected.outdated` has the command that redoes it
    except ValueError as error:
        found.damaged.append(f"{reading.subject.name}/{str(error).replace(f'{path}', str(path.relative_to(run)))}")
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


def finite(values: Iterable[float | None]) -> list[float]:
    """The values that are known."""
    return [v for v in values if v is not None and isfinite(v)]


def median(values: Iterable[float | None]) -> float:
    """Of the values that are known; NaN where none is."""
    known = finite(values)
    return float(np.median(known)) if known else float("nan")
