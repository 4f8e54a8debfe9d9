"""study save: save the results of a study as text."""

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
            f"rows, {size(d['bytes'])}; verified: they give the same outcome"
        )
        console.print(self.result.outcome.standing)


def save(file: Path, /, *, root: Path = Path("runs"), to: Path = Path("studies/results")) -> Saved:
    """Save the results of a study as text without weights, from which its outcome can be evaluated again.

    The saved files contain every planned run with hardware, versions and commit, its rows and verdicts, and the results
    of expectations and hypotheses. Rows are thinned if this changes no result; the saved files are verified.

    Args:
        file: Study file, or the name of a shipped study.
        root: Folder of the runs.
        to: Folder in which a folder with the name of the study is created.

    Raises:
        ValueError: if no run has begun.
    """
    study = Study.load(file)
    folder = save_study(study, root, to, lambda words: print(f"{study.name}: {words}", file=sys.stderr))
    return Saved(read_saved(folder))
