"""Dissections as they lie in run folders: ``mechinterp/m1.json`` and so on, read without importing the room that wrote
them. Fields that are missing are None; files in another format are counted, not guessed at."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from grokscope.report.read.judged_run import Reading
from grokscope.report.read.published import PUBLISHED, PublishedTable, published_tables
from grokscope.store.dissected import outdated

BATTERIES = ("m1", "m4", "m5", "m6")
POOLED = "pooled"
CELLS = ("readable and used", "readable but unused", "used but not readable", "neither", "cannot tell")
"""Columns that are always shown."""
ALL_CELLS = (
    "readable and used", "readable and used, negligibly", "readable but unused", "used but not readable",
    "used, negligibly, but not readable", "neither", "cannot tell",
)  # fmt: skip
"""In the order of the columns; use below what the settings call negligible has cells of its own."""
_STEP = re.compile(r"step0*(\d+)")


@dataclass(frozen=True)
class Dissected:
    """One checkpoint's records."""

    reading: Reading
    step: int | None
    selection: str
    parts: Mapping[str, Mapping[str, Any]]
    """``m1``, ``m4``, ``m5``, ``m6``: what was found there."""
    whole: Mapping[str, Any] = field(repr=False, default_factory=dict)
    """What all of them share: ``where``, ``reliance``, ``settings``, ``warnings``."""

    @property
    def oracle(self) -> bool:
        return self.selection.startswith("oracle")

    def probe(self, site: str, target: str) -> Mapping[str, Any] | None:
        probes = dig(self.parts, "m1", "probes") or []
        return next((p for p in probes if p.get("site") == site and p.get("target") == target), None)

    @property
    def sites(self) -> list[str]:
        return list(dict.fromkeys(str(p.get("site")) for p in dig(self.parts, "m1", "probes") or []))

    @property
    def erasures(self) -> dict[str, Mapping[str, Any]]:
        return {str(e.get("eraser")): e for e in dig(self.parts, "m4", "erasures") or []}

    @property
    def eraser(self) -> str | None:
        """The one that speaks for the four cells."""
        named = dig(self.whole, "where", "eraser")
        return (
            named
            if named in self.erasures
            else "leace"
            if "leace" in self.erasures
            else next(iter(self.erasures), None)
        )

    @property
    def scenes(self) -> list[str]:
        return [str(s.get("name")) for s in self.whole.get("scenes") or []]

    @property
    def outside(self) -> str:
        """The scene on which damage to the task is reported: an unseen environment where there is one."""
        return next((s for s in ("ood_test", "ood_val") if s in self.scenes), "test")

    def curve(self, on: str, scaling: str) -> Mapping[str, Any] | None:
        curves = dig(self.parts, "m5", "curves") or []
        return next((c for c in curves if c.get("on") == on and c.get("scaling") == scaling), None)

    def ablation(self, on: str) -> Mapping[str, Any] | None:
        """Neurons ablated in the way the settings name, measured on a scene."""
        kind = dig(self.whole, "settings", "ablation")
        found = [a for a in dig(self.parts, "m6", "ablations") or [] if a.get("on") == on]
        return next((a for a in found if a.get("ablation") == kind), found[0] if found else None)

    @property
    def at_chance(self) -> str | None:
        """Why nothing but accuracy is said of a network that does not know its task; None for one that does."""
        reasons = {dig(self.parts, name, "cannot_tell") for name in ("m4", "m5", "m6")}
        silent = set(BATTERIES[1:]) <= set(self.parts) and len(reasons) == 1
        return str(reasons.pop()) if silent and None not in reasons else None

    @property
    def cell(self) -> str:
        return str(dig(self.whole, "where", "cell") or "cannot tell")


@dataclass(frozen=True)
class Found:
    """All dissections of a group of runs."""

    main: list[Dissected]
    """One per run: the one that lies in ``mechinterp/`` itself, else the last checkpoint's."""
    along: dict[str, list[Dissected]]
    """Run -> its dissected checkpoints in order of step, where there are several."""
    foreign: list[str]
    """Files that are not in this format."""
    outdated: list[str]
    """Commands that redo what older rules left."""
    published: dict[str, list[PublishedTable]] = field(default_factory=dict)
    """Run -> what another program published of it."""


def dig(value: Any, *keys: str) -> Any:
    """A nested value, or None where any level is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def find_dissections(readings: Sequence[Reading]) -> Found:
    found = Found([], {}, [], [])
    for reading in readings:
        root = Path(reading.subject.path or "") / "mechinterp"
        if reading.subject.path is None or not root.is_dir():
            continue
        tables, unread = published_tables(Path(reading.subject.path))
        if tables:
            found.published[reading.subject.name] = tables
        found.foreign.extend(f"{reading.subject.name}/{root.name}/{PUBLISHED}/{name}" for name in unread)
        theirs = root / PUBLISHED
        places = {p.parent for name in BATTERIES for p in root.rglob(f"{name}.json")}
        folders = sorted(p for p in places if p != theirs and theirs not in p.parents)
        read = {f: d for f in folders if (d := _read(f, reading, root, found.foreign)) is not None}
        steps = sorted((d for f, d in read.items() if f != root), key=lambda d: d.step or 0)
        if root in read or steps:
            found.main.append(read[root] if root in read else steps[-1])
        found.outdated.extend(outdated(root.parent).values())
        if len(steps) > 1:
            found.along[reading.subject.name] = steps
    return found


def _read(folder: Path, reading: Reading, root: Path, foreign: list[str]) -> Dissected | None:
    parts, whole = {}, {}
    for name in BATTERIES:
        path = folder / f"{name}.json"
        if not path.is_file():
            continue
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raw = None
        if isinstance(raw, dict) and isinstance(raw.get(name), dict):
            parts[name] = raw[name]
            whole = whole or {k: v for k, v in raw.items() if k != name}
        else:
            foreign.append(f"{reading.subject.name}/{path.relative_to(root.parent)}")
    if not parts:
        return None
    selection = _one_spelling(str(whole.get("selection") or "not recorded"))
    return Dissected(reading, _step(folder, selection, reading), selection, parts, whole)


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


def calibration_of(readings: Sequence[Reading]) -> Mapping[str, Any] | None:
    """The calibration that a dissection left beside its records, else the one that comes with this version."""
    import grokscope

    places = [Path(r.subject.path) / "mechinterp" / "calibration.json" for r in readings if r.subject.path is not None]
    for path in [*places, Path(grokscope.__file__).parent / "results" / "calibration.json"]:
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(dig(raw, "conditions"), Mapping):
            return raw
    return None


def numbers(values: Sequence[Any]) -> np.ndarray:
    """Floats, NaN for None."""
    return np.array([np.nan if v is None else float(v) for v in values], float)
