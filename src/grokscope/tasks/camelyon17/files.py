"""The Camelyon17 folder of WILDS on disk: its names, facts, and table.

Source: WILDS, arXiv:2012.07421; Bandi et al. 2019, doi:10.1109/TMI.2018.2867350. The data are CC0.
"""

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

RELEASE = "RELEASE_v1.0.txt"
METADATA = "metadata.csv"
COLUMNS = ("patient", "node", "x_coord", "y_coord", "tumor", "slide", "center", "split")
HEADER = "," + ",".join(COLUMNS)
"""The first column is an unnamed row number."""
PIXELS = 96
CENTERS = 5
OOD_VAL, OOD_TEST = 1, 2
"""The two hospitals that never train. WILDS gives them split 3 (val) and 2 (test); the file holds only 0 and 1."""
SPLITS = ("train", "id_val", "ood_test", "ood_val")
"""Names of the split numbers 0 to 3 of WILDS, in grokscope's words."""
COUNTS = {"train": 302_436, "id_val": 33_560, "ood_test": 85_054, "ood_val": 34_904}
CENTER_COUNTS = (59_436, 34_904, 85_054, 129_838, 146_722)
"""Patches of centers 0 to 4, train and id_val together."""
SLIDES, PATIENTS = 50, 43
VARIABLE = "GROKSCOPE_CAMELYON17"
"""Environment variable that says where the folder is."""


@dataclass(frozen=True, eq=False)
class Patches:
    """Rows of metadata.csv, one array (n,) per column under WILDS's names; `row` is the unnamed row number, `patient`
    is text such as ``004``, all else int64. `split` is WILDS's: 0 train, 1 id_val, 2 test (center 2), 3 val (center
    1)."""

    row: np.ndarray
    patient: np.ndarray
    node: np.ndarray
    x_coord: np.ndarray
    y_coord: np.ndarray
    tumor: np.ndarray
    slide: np.ndarray
    center: np.ndarray
    split: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    def take(self, which: np.ndarray) -> "Patches":
        """The patches at these positions, or where a mask holds."""
        return Patches(*(getattr(self, f.name)[which] for f in fields(self)))

    def names(self) -> list[str]:
        """Where each patch lies below the folder."""
        places = zip(self.patient, self.node, self.x_coord, self.y_coord, strict=True)
        return [f"patches/patient_{p}_node_{n}/patch_patient_{p}_node_{n}_x_{x}_y_{y}.png" for p, n, x, y in places]


def find_folder(root: str | Path | None = None) -> Path:
    """The folder that holds the release note: `root`, or ``camelyon17_v1.0`` in it; without `root`, what the
    environment variable names. Raises ValueError saying what is missing and how to get it."""
    chosen = root or os.environ.get(VARIABLE)
    if not chosen:
        raise ValueError(f"no folder for camelyon17: give root, or set {VARIABLE} to the camelyon17_v1.0 folder")
    top = Path(chosen).expanduser()
    if not top.exists():
        raise ValueError(f"{top}: no such folder; if camelyon17_v1.0 was moved, set {VARIABLE} to where it is now")
    for folder in (top, top / "camelyon17_v1.0"):
        if (folder / RELEASE).is_file():
            return folder
    cut = ""
    if (top / METADATA).is_file():
        cut = "; there is a metadata.csv, so the copy or download is incomplete"
    raise ValueError(f"{top}: no {RELEASE} here or in camelyon17_v1.0{cut}; expected the WILDS camelyon17 folder")


def read_metadata(folder: Path) -> Patches:
    """metadata.csv, every fact checked. Raises ValueError with the first five faults, each with its line."""
    patches, faults = parse_metadata(folder)
    if faults:
        more = f"\n... and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ValueError("\n".join(faults[:5]) + more)
    return patches


def parse_metadata(folder: Path) -> tuple[Patches, list[str]]:
    """The patches of all lines without a fault, and a sentence for every fault."""
    file = folder / METADATA
    try:
        columns = _columns(file)
    except ValueError as error:
        return _checked({c: np.empty(0, str) for c in ("row", *COLUMNS)})[0], [f"{file}: {error}"]
    patches, faults = _checked(columns)
    return patches, [f"{file} line {i + 2}: {what}" for i, what in sorted(faults)]


def _columns(file: Path) -> dict[str, np.ndarray]:
    """All cells as text, column by column."""
    try:
        with file.open(encoding="utf-8") as f:
            header = f.readline().rstrip("\r\n")
        if header != HEADER:
            raise ValueError(f"wrong header {header[:200]!r}, expected {HEADER!r}")
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            names = ["row", *COLUMNS]
            table = pd.read_csv(file, dtype=str, keep_default_na=False, index_col=False, header=0, names=names)
    except FileNotFoundError:
        raise ValueError("no such file; restore it from the release") from None
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise ValueError(f"not a table of {len(COLUMNS) + 1} columns ({str(error).strip()})") from None
    return {name: table[name].fillna("").to_numpy(object) for name in names}


def _checked(columns: dict[str, np.ndarray]) -> tuple[Patches, list[tuple[int, str]]]:
    """Numbers out of text, and (position in the file, what is wrong) for each faulty line."""
    patient = columns["patient"]
    wrong = {"patient": np.array([not (p.isascii() and p.isdigit() and len(p) == 3) for p in patient], bool)}
    numbers = {"patient": patient.astype(str)}
    for name in ("row", *COLUMNS[1:]):
        value = np.asarray(pd.to_numeric(pd.Series(columns[name], dtype=object), errors="coerce"), np.float64)
        wrong[name] = ~(np.isfinite(value) & (value == np.floor(value)))
        numbers[name] = np.where(wrong[name], -1, value).astype(np.int64)
    broken = np.logical_or.reduce(list(wrong.values()))
    faults = [
        (i, _cells({name: columns[name][i] for name in ("row", *COLUMNS) if wrong[name][i]}))
        for i in np.flatnonzero(broken).tolist()
    ]
    good = np.flatnonzero(~broken)
    patches = Patches(**numbers).take(good)
    against = dict(_contradictions(patches))
    faults += [(int(good[i]), what) for i, what in against.items()]
    keep = np.ones(len(patches), bool)
    keep[list(against)] = False
    patches = patches.take(keep)
    patches.split[patches.center == OOD_TEST] = 2
    patches.split[patches.center == OOD_VAL] = 3
    return patches, faults


def _cells(bad: dict[str, str]) -> str:
    """One sentence on the wrong cells of a line, however many there are."""
    name, cell = next(iter(bad.items()))
    wanted = "three digits such as '004'" if name == "patient" else "a whole number"
    others = ", ".join(other for other in bad if other != name)
    cut = ": the line was cut" if bad.get("split") == "" else ""
    return f"{name} is {cell!r}, expected {wanted}" + (f"; also wrong: {others}{cut}" if others else "")


def _contradictions(p: Patches) -> Iterator[tuple[int, str]]:
    """(position, what is wrong) for patches that break a fact of the release."""
    number = p.patient.astype(np.int64) if len(p) else p.row
    place = pd.MultiIndex.from_arrays([p.patient, p.node, p.x_coord, p.y_coord])
    rules = (
        ((p.center < 0) | (p.center >= CENTERS), "center is {center}, expected 0 to 4"),
        ((p.tumor < 0) | (p.tumor > 1), "tumor is {tumor}, expected 0 or 1"),
        ((p.split < 0) | (p.split > 1), "split is {split}, the file holds only 0 (train) and 1 (validation)"),
        (p.slide // 10 != p.center, "slide {slide} is not of center {center} (slide // 10 is the center)"),
        (number // 20 != p.center, "patient {patient} is not of center {center} (patient // 20 is the center)"),
        (place.duplicated(), "patient {patient} node {node} x {x_coord} y {y_coord} is listed twice"),
        (pd.Index(p.row).duplicated(), "row number {row} is used twice"),
    )
    for bad, words in reversed(rules):  # a line with several faults is reported by the first rule that it breaks
        for i in np.flatnonzero(bad).tolist():
            yield i, words.format(**{f.name: getattr(p, f.name)[i] for f in fields(p)})
