"""Duplicate runs: two folders of one run, or a run and its import, are one seed; counting both would narrow every
interval."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from grokscope import registry
from grokscope.report.read.subjects import Subject, differs_freely, flat
from grokscope.store.duplicates import Held, same_run
from grokscope.vocabulary.text import plural

EQUAL = 1e-9
"""Scores this close are the same number, written down twice."""


@dataclass(frozen=True)
class Copy:
    """A run that is left out, and the run that is counted in its place."""

    copy: Subject
    original: Subject


def set_aside(subjects: Sequence[Subject]) -> tuple[list[Subject], list[Copy]]:
    """(subjects that count, in their order; those that are one of them once more). Of several folders of one run the
    furthest counts; of several imports of one run the first, if the run itself is not there."""
    twice = same_run([_held(s) for s in subjects])
    copies = [Copy(subjects[i], subjects[counts]) for i, counts in twice.items()]
    subjects = [s for i, s in enumerate(subjects) if i not in twice]
    imports = [s for s in subjects if is_import(s)]
    if not imports:
        return subjects, copies
    counted = [s for s in subjects if not is_import(s)]
    settings = {id(s): _settings(s) for s in subjects}
    by_seed: dict[int | None, list[Subject]] = {}
    for s in counted:
        by_seed.setdefault(s.seed, []).append(s)
    for s in imports:
        beside = by_seed.setdefault(s.seed, [])
        original = next((o for o in beside if _same_run(s, o, settings)), None)
        if original is None:
            beside.append(s)
        else:
            copies.append(Copy(s, original))
    gone = {id(c.copy) for c in copies}
    return [s for s in subjects if id(s) not in gone], copies


def _held(subject: Subject) -> Held:
    """A foreign log, and a run whose config cannot be read, has an empty record: it is nobody's copy."""
    step = (subject.status or {}).get("step", 0) if subject.problem is None else -1
    return Held(Path(subject.path or subject.name), subject.record, step)


def is_import(subject: Subject) -> bool:
    """Whether the run was read from an archive."""
    return (subject.record.get("lineage") or {}).get("kind") == "archive"


def copies_note(copies: Iterable[Copy]) -> str:
    """Which runs are not counted, and why; by folder where several have one name. Empty where there are none."""
    every = list(copies)
    imports = [c for c in every if is_import(c.copy)]
    others = [c for c in every if not is_import(c.copy)]
    notes = [
        _note(imports, "an imported copy of a run that is", "imported copies of runs that are"),
        _note(others, "another folder of a run that is", "other folders of runs that are"),
    ]
    return " ".join(note for note in notes if note)


def _note(copies: Sequence[Copy], one: str, several: str) -> str:
    if not copies:
        return ""
    they = one if len(copies) == 1 else several
    named = Counter(s.name for s in {id(s): s for c in copies for s in (c.copy, c.original)}.values())

    def designation(s: Subject) -> str:
        return s.path if named[s.name] > 1 and s.path is not None else s.name

    listing = "; ".join(f"{designation(c.copy)} (of {designation(c.original)})" for c in copies)
    return f"{plural(len(copies), 'run')} excluded from this page ({they} already counted): {listing}."


def _same_run(one: Subject, two: Subject, settings: Mapping[int, Mapping[str, Any]]) -> bool:
    """The same files of an archive; or the same settings (where both say; the seed is known to agree) and no
    evaluation that contradicts. Who trains an archive's settings again gets other numbers, and that is no copy."""
    digest = _digest(one)
    if digest is not None and digest == _digest(two):
        return True
    a, b = settings[id(one)], settings[id(two)]
    if not a or not b or any(a[k] != b[k] for k in a.keys() & b.keys()):
        return False
    return _branched(a) == _branched(b) and _agree(one, two)


def _settings(subject: Subject) -> dict[str, Any]:
    """Settings of the run's identity, as dotted keys; where a task keeps its files is none, and no archive tells it."""
    config = subject.config or {}
    local = _local(str((config.get("task") or {}).get("name")))
    return {k: v for k, v in flat(config).items() if k not in local and not differs_freely(k)}


def _local(task: str) -> set[str]:
    try:
        known = fields(registry.load("task", task))
    except ValueError:  # recorded by another loop, or a plug-in's that is not here
        return set()
    return {f"task.{f.name}" for f in known if not f.metadata.get("identity", True)}


def _branched(settings: Mapping[str, Any]) -> Any:
    """The weights that a run started from: a branch has the settings of its parent and is another run."""
    return settings.get("start.digest")


def _digest(subject: Subject) -> Any:
    return (subject.record.get("lineage") or {}).get("digest") if is_import(subject) else None


def _agree(one: Subject, two: Subject) -> bool:
    """Whether every score that both have is the same; a run without evaluations contradicts nobody."""
    a, b = one.trajectory, two.trajectory
    if a is None or b is None:
        return True
    _, i, j = np.intersect1d(a.step, b.step, return_indices=True)
    pairs = [(a.train, b.train), *((a.held_out[s], b.held_out[s]) for s in a.held_out if s in b.held_out)]
    return len(i) > 0 and all(np.allclose(x[i], y[j], rtol=0, atol=EQUAL, equal_nan=True) for x, y in pairs)
