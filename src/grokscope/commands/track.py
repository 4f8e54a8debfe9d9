"""track: mirror runs that are there already to W&B, trackio or TensorBoard."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.output import Result
from grokscope.config import require
from grokscope.results.record import plain
from grokscope.store import find_runs
from grokscope.terminal import one_line
from grokscope.track.afterward import Tracked, track_runs
from grokscope.track.chosen import read_trackers
from grokscope.vocabulary.text import plural

if TYPE_CHECKING:
    from rich.console import Console


@dataclass
class Mirrored(Result):
    """What became of each run in each tracker."""

    results: list[Tracked]

    @property
    def exit_code(self) -> int:
        return int(any(result.problem for result in self.results))

    def data(self) -> Any:
        return [plain(result) for result in self.results]

    def show(self, console: "Console") -> None:
        for result in self.results:
            if result.problem:
                console.print(f"{result.tracker}: {result.run}: not mirrored: {result.problem}")
                continue
            console.print(f"{result.tracker}: {result.run}: {plural(result.rows or 0, 'row')} in {result.where}")
            for note in result.notes:
                console.print(f"note: {note}")


def track(runs: tuple[Path, ...], /, *, to: tuple[str, ...]) -> Mirrored:
    """Mirror runs to TensorBoard, W&B or trackio: trained, recorded or imported ones, finished or not.

    ``grokscope track runs/NAME --to tensorboard``, ``grokscope track runs --to wandb:project=mine``. Rows that are
    there already are not written twice, so the same command brings a mirror up to date. A run that cannot be mirrored
    does not stop the others, and sets the exit code to 1.

    Args:
        runs: Run folders, or folders that contain runs.
        to: Trackers: tensorboard, wandb, trackio, with parameters as in wandb:project=NAME,entity=NAME.
    """
    require(bool(runs), "name at least one run folder")
    require(bool(to), "--to: name at least one tracker, such as tensorboard")
    trackers, folders = read_trackers(to, "--to"), _folders(runs)
    return Mirrored(track_runs(folders, trackers, _progress_line if len(folders) > 1 else None))


def _folders(runs: tuple[Path, ...]) -> list[Path]:
    """The runs in these folders. A folder without any stays, so that it is reported as what it is."""
    folders: list[Path] = []
    for folder in runs:
        folders += [run.path for run in find_runs(folder)] or [folder]
    return list(dict.fromkeys(folders))


def _progress_line(result: Tracked) -> None:
    print(one_line(f"{result.tracker}: {result.run}: {result.problem or 'mirrored'}"), file=sys.stderr, flush=True)
