"""data ...: check, generate, download and inspect data sets; codes show."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from grokscope import configio
from grokscope.commands.output import Result, Rows
from grokscope.config import TaskConfig, require
from grokscope.vocabulary.text import size

if TYPE_CHECKING:
    from rich.console import Console


@dataclass
class Made(Result):
    """Files that were written."""

    paths: list[Path]
    facts: dict[str, Any] = field(default_factory=dict)

    def data(self) -> Any:
        return {"written": [str(p) for p in self.paths], **self.facts}

    def show(self, console: "Console") -> None:
        for key, value in self.facts.items():
            console.print(f"{key}: {value}")
        for path in self.paths:
            console.print(f"wrote {path}")


@dataclass
class Checked(Result):
    """Contents of a data folder, and problems with it."""

    report: Any

    @property
    def exit_code(self) -> int:
        return 0 if self.report.ok else 1

    def data(self) -> Any:
        return self.report.to_dict()

    def show(self, console: "Console") -> None:
        for line in self.report.to_text().split("\n"):
            console.print(line)


def camelyon17_check(folder: Path | None = None, /, *, all_patches: bool = False) -> Checked:
    """Check a camelyon17_v1.0 folder: counts by center, slide and label, prevalence by slide, and all problems.

    If the folder is not the complete release, every differing count is listed with the expected one.

    Args:
        folder: The folder, or its parent; by default $GROKSCOPE_CAMELYON17.
        all_patches: Open every patch instead of 200; takes minutes.
    """
    from grokscope.tasks.camelyon17.check import check_camelyon17

    return Checked(check_camelyon17(folder, decode=None if all_patches else 200))


def camelyon17_fetch(dest: Path, /, *, url: str | None = None, keep_archive: bool = False) -> Made:
    """Download and unpack Camelyon17-WILDS (10.7 GB); resumes an interrupted download and verifies sizes.

    Args:
        dest: Folder in which camelyon17_v1.0 is created.
        url: A mirror of the archive (camelyon17_v1.0.tar.gz); by default CodaLab's copy.
        keep_archive: Keep the archive after unpacking.
    """
    from grokscope.tasks.camelyon17.fetch import URL, fetch_camelyon17

    return Made([fetch_camelyon17(dest, url=url or URL, progress=_progress(), keep_archive=keep_archive)])


def _progress() -> Callable[[int, int], None]:
    """A line on stderr for every whole percent."""
    import sys

    last = -1

    def tell(done: int, total: int) -> None:
        nonlocal last
        percent = 100 * done // total
        if percent != last:
            last = percent
            print(f"{percent:3d} %  {size(done)} of {size(total)}", file=sys.stderr)

    return tell


def hospitals_write(
    folder: Path,
    /,
    *,
    layout: Literal["camelyon17", "csv", "parquet"] = "camelyon17",
    n_train: int = 300,
    n_eval: int = 200,
    image_size: int | None = None,
    correlation: float = 0.9,
    seed: int = 0,
    overrides: Mapping[str, Any] | None = None,
) -> Made:
    """Write synthetic hospitals as image files for the loaders of real data.

    Every parameter of the task can be set, as in ``--task.stain_shift 2 --task.patients 7``: hospitals, patients,
    slides, correlation, stain_shift, slide_shift, morphology, colour_cue, id_val, image_size, n_train, n_eval,
    world_seed.

    Args:
        folder: Output folder.
        layout: The WILDS folder of Camelyon17 (96 x 96 RGBA, ten patients per hospital), or a table (CSV or Parquet)
            with its images.
        n_train: Number of training patches.
        n_eval: Number of patches in each held-out split.
        image_size: Pixels per side; by default 96 for camelyon17, otherwise 48.
        correlation: Correlation of label and hospital in train and id_val, 0 to 1.
        seed: Seed of the training patches.
    """
    from grokscope.tasks.hospitals import Hospitals
    from grokscope.tasks.hospitals.files import SLIDES_PER_HOSPITAL, write_camelyon17, write_table

    pixels = image_size or (96 if layout == "camelyon17" else 48)
    settings = {"n_train": n_train, "n_eval": n_eval, "image_size": pixels, "correlation": correlation}
    if layout == "camelyon17":
        settings |= {"patients": SLIDES_PER_HOSPITAL, "slides": SLIDES_PER_HOSPITAL}
    raw = configio.overlay({"task": settings}, overrides or {})
    task = configio.structure(raw["task"], Hospitals, "$.task")
    if layout == "camelyon17":
        return Made([write_camelyon17(folder, task, seed)])
    return Made([write_table(folder, task, seed, layout)])


def sheet(task: str, out: Path, /, *, per_cell: int = 6, seed: int = 0) -> Made:
    """Draw a contact sheet: patches of every split, hospital and label.

    Args:
        task: A task's name (hospitals), a camelyon17_v1.0 folder, a table of images, or a TOML file with a [task].
        out: PNG file to write.
        per_cell: Number of patches for each hospital and label.
        seed: Seed of the training subset.
    """
    from grokscope.tasks.images.contact_sheet import contact_sheet

    chosen = _task(task)
    images = getattr(chosen, "look", chosen.build)  # tasks that cannot be evaluated can still be drawn
    return Made([contact_sheet(images(seed), out, per_cell)])


def _task(text: str) -> TaskConfig:
    """The task for a command-line argument."""
    path = Path(text)
    if path.suffix == ".toml":
        raw = configio.read_file(path)
        require("task" in raw, f"{path}: has no [task]")
        return configio.structure(raw["task"], TaskConfig, "$.task")
    if path.is_dir():
        from grokscope.tasks.camelyon17.files import find_folder, read_metadata

        can_train = int((read_metadata(find_folder(path)).split == 0).sum())
        few = {"n_train": max(1, min(100, can_train)), "n_eval": 200}
        return configio.structure({"name": "camelyon17", "root": text, **few}, TaskConfig)
    if path.suffix in (".csv", ".parquet"):
        return configio.structure({"name": "table", "path": text}, TaskConfig)
    return configio.structure({"name": text}, TaskConfig)


def mheight_make(
    out: Path,
    /,
    *,
    per_group: int = 40_000,
    seed: int = 0,
    distribution: Literal["uniform", "integers", "gaussian"] = "uniform",
) -> Made:
    """Generate the m-height data set: 21 groups (n, k, m) of random codes with exact heights, in one file.

    Args:
        out: safetensors file to write.
        per_group: Number of codes per group; 40,000 gives the published 840,000.
        seed: Random seed.
        distribution: Distribution of the matrix entries; the published one is uniform on (-100, 100).
    """
    from grokscope.codes.dataset import make_dataset, write_dataset

    codes = make_dataset(seed, per_group, distribution)
    write_dataset(codes, out)
    return Made([out], {"codes": len(codes), "redrawn": codes.meta["redrawn"]})


def mheight_show(file: Path, /) -> Rows:
    """Show the mean and standard deviation of log2 h by group, for a file written by `data mheight make`.

    Args:
        file: The safetensors file.
    """
    from grokscope.codes.dataset import group_table, read_dataset

    require(file.exists(), f"{file}: no such file; make it with: grokscope data mheight make {file}")
    return Rows(group_table(read_dataset(file)))


@dataclass
class Code(Result):
    """One code: its heights and the codewords that attain them."""

    P: Any

    def data(self) -> Any:
        from grokscope.codes.show import describe_code

        return describe_code(self.P)

    def show(self, console: "Console") -> None:
        from grokscope.codes.show import show_code

        for line in show_code(self.P).split("\n"):
            console.print(line)


def codes_show(matrix: str, /) -> Code:
    """Show the m-heights of the linear code with generator [I | P], each with a codeword that attains it.

    Args:
        matrix: P row by row; numbers separated by commas or spaces, rows by semicolons: "1 2 -1; 0 3 5".
    """
    import numpy as np

    rows = [re.split(r"[,\s]+", row.strip()) for row in matrix.strip().strip("[];").split(";")]
    try:
        numbers = [[float(cell.strip("[]")) for cell in row] for row in rows]
    except ValueError as error:
        raise ValueError(f'matrix: {error}; write rows of numbers, for example "1 2 -1; 0 3 5"') from None
    require(
        len({len(r) for r in numbers}) == 1, f"matrix: rows have {[len(r) for r in numbers]} entries, not all equal"
    )
    code = Code(np.array(numbers))
    code.data()  # a matrix out of range is an error now
    return code
