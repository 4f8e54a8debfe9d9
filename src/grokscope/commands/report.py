"""report: an HTML page on any runs."""

import shlex
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.output import Result
from grokscope.commands.verdict import runs_at
from grokscope.config import require
from grokscope.store import Run

if TYPE_CHECKING:
    from rich.console import Console


@dataclass
class Written(Result):
    """A file that was written."""

    path: Path

    def data(self) -> Any:
        return {"path": str(self.path)}

    def show(self, console: "Console") -> None:
        console.print(str(self.path.resolve()))


def report(
    paths: Sequence[Path],
    /,
    *,
    out: Path = Path("report.html"),
    title: str | None = None,
    split: str | None = None,
    formats: tuple[str, ...] = ("png", "pdf"),
) -> Written:
    """Write a self-contained HTML page on runs: figures, verdicts, milestones, and survival over seeds.

    Args:
        paths: Run folders, or folders of runs.
        out: The page to write; figures go into a folder next to it.
        title: Title of the page.
        split: The held-out split on which all runs are judged; by default each group on the one that its runs have.
        formats: Formats of the figure files: png, pdf, svg. Each figure comes with its caption and its numbers.

    Raises:
        ValueError: for a path without runs.
    """
    from grokscope.report import build_report

    require(bool(paths), "report needs run folders, or folders of runs")
    runs = _readable(list(chain.from_iterable(map(runs_at, paths))))
    remake = shlex.join(["grokscope", "report", *map(str, paths), "--out", str(out), *formats_option(formats)])
    return Written(build_report(runs, out, title=title, split=split, formats=formats, remake=remake))


def formats_option(formats: Sequence[str]) -> list[str]:
    """The command-line option; empty for the default formats."""
    if tuple(formats) == ("png", "pdf"):
        return []
    return ["--formats", *formats]


def _readable(runs: Sequence[Run]) -> list[Run]:
    """The runs whose config can be read; warnings list the others. The page lists damaged metrics.

    Raises:
        ValueError: if no config can be read.
    """
    readable, problems = [], []
    for run in runs:
        try:
            _ = run.label, run.seed
            readable.append(run)
        except ValueError as error:
            problems.append(str(error))
    require(bool(readable), "\n".join(problems))
    for problem in problems:
        warnings.warn(f"{problem}; this run is excluded", stacklevel=3)
    return readable
