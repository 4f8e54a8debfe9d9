"""study save: what is kept of a study that ran."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.output import Result
from grokscope.study import Study
from grokscope.study.saved import SavedResult, read_saved, save_study
from grokscope.vocabulary.text import plural, size

if TYPE_CHECKING:
    from rich.console import Console


@dataclass
class Saved(Result):
    """A study that was saved."""

    result: SavedResult

    def data(self) -> Any:
        manifest = self.result.manifest
        states = [run.state for run in manifest.runs]
        return {
            "study": manifest.study, "folder": str(self.result.folder), "bytes": self._bytes(),
            "runs": {state: states.count(state) for state in dict.fromkeys(states)},
            "rows": sum(run.kept for run in manifest.runs), "rows_recorded": self._recorded(),
        }  # fmt: skip

    def _bytes(self) -> int:
        return sum(path.stat().st_size for path in self.result.folder.iterdir())

    def _recorded(self) -> int:
        return sum(run.evaluations for run in self.result.manifest.runs)

    def show(self, console: "Console") -> None:
        d = self.data()
        console.print(
            f"{d['folder']}: {plural(len(self.result.manifest.runs), 'run')}, {d['rows']:,} of {d['rows_recorded']:,} "
            f"rows, {size(d['bytes'])}; judged from them again, with the same outcome"
        )
        console.print(self.result.outcome.standing)


def save(file: Path, /, *, root: Path = Path("runs"), to: Path = Path("studies/results")) -> Saved:
    """Keep a study that ran, as text without weights, so that its outcome can be judged again from it.

    Kept is every planned run with machine, versions and commit, its rows and verdicts, and what came of expectations
    and hypotheses. Rows are thinned where nothing changes by it; what was written is judged again before it counts.

    Args:
        file: Study file, or the name of a shipped study.
        root: Folder that holds the runs.
        to: The study gets a folder of its name in here.

    Raises:
        ValueError: where no run has begun.
    """
    study = Study.load(file)
    folder = save_study(study, root, to, lambda words: print(f"{study.name}: {words}", file=sys.stderr))
    return Saved(read_saved(folder))
