"""Read a saved study: verify it, unpack it into runs without weights, and judge them again."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grokscope import configio
from grokscope.files import to_json
from grokscope.results.dissection import FOLDER
from grokscope.results.saved import DECLARED, MANIFEST, OUTCOME, ROWS, SavedOutcome, SavedRun, SavedStudy
from grokscope.store.run import METRICS, SCHEMA
from grokscope.study import dissected
from grokscope.study.declared import declarations_path
from grokscope.study.saved.digests import changed_files
from grokscope.study.saved.rows import Kept, as_rows, read_rows

if TYPE_CHECKING:
    from grokscope.study.spec import Entry
    from grokscope.study.study import Study


@dataclass(frozen=True)
class SavedResult:
    """A saved study in its folder."""

    folder: Path
    manifest: SavedStudy
    outcome: SavedOutcome
    """As it was when it was saved."""

    @contextmanager
    def unpacked(self, study: "Study") -> Iterator[Path]:
        """A root with its runs, as long as the context lasts, in which `study` can be checked, tested and reported. A
        run that the study file no longer has is left out.

        Raises:
            ValueError: naming file and line of what cannot be read.
        """
        with tempfile.TemporaryDirectory() as root:
            unpack(study, self.manifest, self.folder, Path(root))
            yield Path(root)

    def gone(self, study: "Study") -> list[str]:
        """Saved runs that the study file no longer has: their settings were changed since."""
        known = {entry.config.identity_hash for entry in study.entries}
        return [run.run for run in self.manifest.runs if run.identity not in known and run.state != "new"]


def read_saved(folder: str | Path) -> SavedResult:
    """The saved study in a folder.

    Raises:
        ValueError: naming a file that is missing, is not what was saved, or is of a newer version.
    """
    folder = Path(folder)
    manifest = SavedStudy.read(folder / MANIFEST)
    if changed := changed_files(folder, manifest.digests):
        raise ValueError(
            f"{folder}: {' and '.join(changed)} changed after the study was saved; save it again from its runs: "
            f"grokscope study save {manifest.study} --to {folder.parent}"
        )
    return SavedResult(folder, manifest, SavedOutcome.read(folder / OUTCOME))


def saved_results(folder: str | Path) -> list[Path]:
    """Folders of saved studies in a folder, by name; none where it is not there."""
    return sorted(path.parent for path in Path(folder).glob(f"*/{MANIFEST}"))


def unpack(study: "Study", saved: SavedStudy, folder: Path, root: Path) -> None:
    """Write every saved run that the study has into `root`, as a run folder without weights."""
    rows = read_rows(folder / ROWS)
    entries = {entry.config.identity_hash: entry for entry in study.entries}
    for index, run in enumerate(saved.runs):
        if run.state != "new" and run.identity in entries:
            columns = rows.get(index)
            kept = None if columns is None else Kept(columns, run.constants)
            _write_run(root, entries[run.identity], run, saved, kept)
    if (folder / DECLARED).exists():
        path = declarations_path(root, study.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / DECLARED, path)


STATES = {"done": "done", "diverged": "diverged", "partial": "interrupted", "running": "interrupted"}
"""State of a saved run -> that of its folder; all others failed."""


def _write_run(root: Path, entry: "Entry", run: SavedRun, saved: SavedStudy, kept: Kept | None) -> None:
    folder = root / entry.config.run_id()
    (folder / "results").mkdir(parents=True)
    record = {
        "schema": SCHEMA,
        "config": configio.dump(entry.config),
        "passed": list(entry.passed),
        "facts": {} if run.facts is None else saved.facts[run.facts],
        "provenance": {} if run.machine is None else saved.machines[run.machine],
        "lineage": None,
    }
    status = {"state": STATES.get(run.state, "failed"), "step": run.step, "total_steps": run.total, "host": None,
              "error": {"message": run.message} if run.message else None}  # fmt: skip
    rows = [] if kept is None else as_rows(kept.metrics())
    _write(folder / "config.json", to_json(record))
    _write(folder / "status.json", to_json(status))
    _write(folder / METRICS, "".join(json.dumps(row) + "\n" for row in rows))
    if run.numbers:
        (folder / FOLDER).mkdir()
        _write(folder / FOLDER / dissected.SAVED, to_json(run.numbers))


def _write(path: Path, text: str) -> None:
    """Plainly, and not pushed to disk: the folder is gone again in seconds."""
    path.write_text(text, encoding="utf-8", newline="\n")
