"""trackio: a local-first tracker with a small database, which can live in a Hugging Face Space."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from grokscope.components import MirroredRun, Tracker
from grokscope.registry import register

REMOTE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")


@register
@dataclass(frozen=True, kw_only=True)
class Trackio(Tracker):
    """Runs in trackio, in a database on this machine: ``trackio show``. Column ``c`` at step ``t`` is the metric ``c``
    at step ``t``; settings are the run's config; verdict and milestones are a last entry at the last step, under
    ``summary/...``. With `space_id`, or the variables ``TRACKIO_SPACE_ID`` and ``TRACKIO_SERVER_URL``, it goes there
    instead. Cost: 40 MB on disk to install, some threads for each run. Misleads: its warnings about rows that it could
    not write are no errors; for the local database the rows are counted in the end, elsewhere they are not."""

    name: ClassVar[str] = "trackio"
    summary: ClassVar[str] = "runs in trackio's local database, or a Hugging Face Space"
    package: ClassVar[str] = "trackio"
    extra: ClassVar[str] = "grokscope[trackio]"

    project: str = "grokscope"
    space_id: str | None = None
    """``user/space`` of Hugging Face."""
    private: bool = True
    """Whether a Space that does not exist yet is made private."""
    dir: str | None = None
    """Folder of the databases; without it, that of ``TRACKIO_DIR``, or trackio's own."""

    def continues(self) -> bool:
        return self.space_id is not None or any(os.environ.get(name) for name in REMOTE)

    def open(self, run: MirroredRun) -> "_TrackioRun":
        if self.dir is not None:
            os.environ["TRACKIO_DIR"] = str(Path(self.dir).absolute())  # read once, when it is imported
        trackio: Any = import_module("trackio")
        context: Any = import_module("trackio.context_vars")
        name = f"{run.name}-{run.key[:4]}"  # runs of one name in two folders are two
        local = not self.continues()
        if local:
            _delete(trackio, self.project, name)
        opened = trackio.init(
            self.project,
            name=name,
            group=run.group,
            space_id=self.space_id,
            private=self.private,
            config={"settings": json.loads(json.dumps(run.config, default=str))},
            resume="allow" if run.resumed else "never",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        context.current_run.set(None)  # else the next init would end this run, and a stack has several
        return _TrackioRun(opened, self.project, local)


def _delete(trackio: Any, project: str, name: str) -> None:
    """Delete the run of this name from the local database, where there is one."""
    try:
        runs = list(trackio.Api().runs(project))
    except ValueError:  # there is no such project yet
        return
    for run in runs:
        if run.name == name:
            run.delete()


class _TrackioRun:
    def __init__(self, run: Any, project: str, local: bool):
        folder = import_module("trackio.utils").TRACKIO_DIR
        self._run, self._project, self._local = run, project, local
        self._rows, self._last = 0, 0
        self.where = f"{folder}: {project}/{run.name}" if local else f"{project}/{run.name}"

    def rows(self, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        for step, values in rows:
            self._run.log(dict(values), step=step)
        self._rows += len(rows)
        self._last = rows[-1][0]

    def close(self, summary: Mapping[str, Any]) -> None:
        if summary:
            self._run.log({f"summary/{name}": value for name, value in summary.items()}, step=self._last)
            self._rows += 1
        self._run.finish()
        if self._local:
            self._require_all()

    def _require_all(self) -> None:
        """trackio only warns of what it could not write."""
        storage: Any = import_module("trackio.sqlite_storage").SQLiteStorage
        kept = storage.get_log_count(self._project, self._run.name, run_id=self._run.id)
        if kept < self._rows:
            raise OSError(f"trackio kept {kept:,} of {self._rows:,} rows")
