"""Check the content of a Camelyon17 folder and report all problems."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grokscope.tasks.camelyon17.files import (
    CENTER_COUNTS,
    COUNTS,
    METADATA,
    PATIENTS,
    PIXELS,
    SLIDES,
    SPLITS,
    Patches,
    find_folder,
    parse_metadata,
)
from grokscope.tasks.images.files import read_rgb
from grokscope.vocabulary.text import percent


@dataclass(frozen=True)
class Camelyon17Report:
    """What a folder holds: counts, and every fault found."""

    folder: str
    splits: dict[str, int]
    """Patches in each split, as WILDS assigns them."""
    centers: list[dict[str, Any]]
    """Per center: n, normal, tumor, prevalence, slides, patients."""
    slides: list[dict[str, Any]]
    """Per slide: center, patient, n, normal, tumor, prevalence."""
    patients: int
    complete: bool
    """All counts are those of the release, no patch is missing and nothing is wrong."""
    differences: list[str]
    """What is not as in the complete release: found and expected counts. A part of the release has some, too."""
    decoded: int
    """How many patches were opened."""
    missing: list[str]
    """Patches that metadata.csv lists and the folder lacks."""
    problems: list[str]

    @property
    def ok(self) -> bool:
        """Nothing contradicts the release; the folder may still be a part of it (see `complete`)."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"ok": self.ok}

    def to_text(self) -> str:
        """Plain lines for a terminal."""
        lines = [self.folder, *(f"  {name:<8} {n:>7} patches" for name, n in self.splits.items())]
        lines += [
            f"  center {c['center']}: {_tumor(c)}, {c['slides']} slides, {c['patients']} patients" for c in self.centers
        ]
        lines += [f"  slide {s['slide']:>2}: {_tumor(s)}, patient {s['patient']}" for s in self.slides]
        state = "complete" if self.complete else "not the complete release"
        lines += [f"{state}; {self.decoded:,} patches opened; {len(self.problems):,} problems", *self.problems]
        lines += [f"differs: {words}" for words in self.differences]
        lines += [f"missing: {name}" for name in self.missing[:20]]
        if len(self.missing) > 20:
            lines.append(f"... and {len(self.missing) - 20} more missing")
        return "\n".join(lines)


def _tumor(row: dict[str, Any]) -> str:
    return f"{row['tumor']:>7} tumor of {row['n']:>7} ({percent(row['prevalence'], 1)})"


def check_camelyon17(root: str | Path | None = None, decode: int | None = 200) -> Camelyon17Report:
    """Looks at everything a folder claims and lists what is wrong, instead of stopping at the first fault.

    `decode` patches, evenly spread, are opened (None: all, which takes minutes). Prevalence is given per slide because
    labels are balanced per center but not per slide. Raises ValueError only when there is no such folder at all.
    """
    folder = find_folder(root)
    patches, problems = parse_metadata(folder)
    names = patches.names()
    there = _patch_files(folder)
    missing = [name for name in names if name not in there]
    if missing:
        problems.append(f"{len(missing):,} of {len(names):,} patches are missing, the first is {folder / missing[0]}")
    chosen = _spread([name for name in names if name in there], decode)
    problems += _undecodable(folder, chosen)
    splits = {name: int((patches.split == k).sum()) for k, name in enumerate(SPLITS)}
    slides, patients = len(np.unique(patches.slide)), len(np.unique(patches.patient))
    whole = splits == COUNTS and slides == SLIDES and patients == PATIENTS
    differences = []
    if not whole:
        differences = list(_differences(patches, splits, slides, patients))
    if unlisted := len(there.difference(names)):
        differences.append(f"{unlisted:,} patches in the folder are not listed in {METADATA}: is it incomplete?")
    return Camelyon17Report(
        folder=str(folder),
        splits=splits,
        centers=[_center(patches, c) for c in np.unique(patches.center)],
        slides=[_slide(patches, s) for s in np.unique(patches.slide)],
        patients=patients,
        complete=whole and not problems,
        differences=differences,
        decoded=len(chosen),
        missing=missing,
        problems=problems,
    )


def _differences(patches: Patches, splits: dict[str, int], slides: int, patients: int) -> Iterator[str]:
    """Every count that is not the release's."""
    counts = [(f"{name}:", "patches", n, COUNTS[name]) for name, n in splits.items()]
    for center, expected in enumerate(CENTER_COUNTS):
        counts.append((f"center {center}:", "patches", int((patches.center == center).sum()), expected))
    counts += [("in all", "slides", slides, SLIDES), ("in all", "patients", patients, PATIENTS)]
    for what, unit, counted, expected in counts:
        if counted != expected:
            yield f"{what} {counted:,} {unit}, expected {expected:,}"


def _patch_files(folder: Path) -> set[str]:
    """All PNG files in the folders of the slides: one directory listing per slide instead of a look at each patch."""
    files: set[str] = set()
    for slide in (folder / "patches").glob("*"):
        if slide.is_dir():
            files |= {f"patches/{slide.name}/{e.name}" for e in os.scandir(slide) if e.name.endswith(".png")}
    return files


def _spread(names: list[str], count: int | None) -> list[str]:
    if count is None or count >= len(names):
        return names
    return [names[i] for i in np.linspace(0, len(names) - 1, count).astype(int)]


def _undecodable(folder: Path, names: list[str]) -> Iterator[str]:
    for name in names:
        try:
            read_rgb(folder / name, stored=(PIXELS, PIXELS))
        except ValueError as error:
            yield str(error)


def _center(patches: Patches, center: int) -> dict[str, Any]:
    part = patches.take(patches.center == center)
    many = {"slides": len(np.unique(part.slide)), "patients": len(np.unique(part.patient))}
    return {"center": int(center), **_labels(part), **many}


def _slide(patches: Patches, slide: int) -> dict[str, Any]:
    part = patches.take(patches.slide == slide)
    patient = " ".join(np.unique(part.patient))
    return {"slide": int(slide), "center": int(part.center[0]), "patient": patient, **_labels(part)}


def _labels(part: Patches) -> dict[str, Any]:
    tumor = int(part.tumor.sum())
    return {"n": len(part), "normal": len(part) - tumor, "tumor": tumor, "prevalence": tumor / len(part)}
