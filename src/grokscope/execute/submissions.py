"""Submissions to a cluster, stored next to the runs: the submitted runs, frozen, and the job ids.

    <root>/jobs/<study>/<time>-<random>/submission.json   who sent what where, and the ids
                                        runs.jsonl        one line a run: its config and its folder's root
                                        *_log.out, ...    what the jobs printed

Jobs read the runs from here and not from the study file, which somebody may edit while they wait in the queue.
"""

import json
import os
import re
import socket
import sys
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from grokscope import configio, registry
from grokscope.checks import require
from grokscope.execute.protocol import Job
from grokscope.execute.stacks import ALONE, Stacking
from grokscope.files import read_json, write_atomic, write_json
from grokscope.store.claims import this_machine

FOLDER = "jobs"
"""Below the root of the runs."""
SCHEMA = 1
_IDS = {
    "slurm": re.compile(r"\d+(_\d+)?"),
    "background": re.compile(r"\d+:[\w-]+"),
    "ray": re.compile(r"\d+:[\w-]+"),
}
"""Engine -> the form of its ids: what is handed to a command must not be an option of it."""
_RECORD, _RUNS = "submission.json", "runs.jsonl"


@dataclass(frozen=True)
class Submission:
    """One sending of runs to an engine. `ids` are its jobs', in the words of the engine; of an engine whose jobs this
    machine runs, process ids."""

    folder: Path
    study: str
    engine: str
    submitted: str
    """Date and time, UTC."""
    host: str
    machine: str
    """The boot of that host, for process ids mean nothing elsewhere."""
    ids: tuple[str, ...] = ()
    cluster: str = ""
    """The name of the Slurm, or Ray's address: an id means nothing in another one."""
    cancelled: str | None = None
    """When it was cancelled."""
    settings: dict[str, Any] | None = None
    runs: int = 0

    def write(self) -> None:
        data = {key: value for key, value in asdict(self).items() if key != "folder"}
        write_json(self.folder / _RECORD, {"schema": SCHEMA, **data, "ids": list(self.ids)})

    @property
    def job_name(self) -> str:
        """What its jobs are called in the queue."""
        return f"grokscope-{self.folder.name}"

    def with_ids(self, ids: Sequence[str], cluster: str = "") -> "Submission":
        """The same, with its jobs; also on disk."""
        new = replace(self, ids=tuple(ids), cluster=cluster)
        new.write()
        return new

    def cancel(self) -> "Submission":
        """The same, marked as cancelled, also on disk: a job that begins in spite of it ends at once."""
        new = replace(self, cancelled=_now())
        new.write()
        return new


def new_submission(
    study: str,
    root: Path,
    engine: str,
    jobs: Sequence[Job],
    settings: dict[str, Any],
    stacking: Stacking = ALONE,
    retry_failed: bool = True,
) -> Submission:
    """A folder with these runs as they are now, before any job knows of it."""
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = study_folder(root, study).absolute() / f"{now}-{uuid.uuid4().hex[:6]}"
    folder.mkdir(parents=True)
    head = {
        "schema": SCHEMA,
        "plugins": registry.modules_here(),
        "path": [os.path.abspath(p) for p in sys.path if p],
        "retry_failed": retry_failed,
        "stacking": asdict(stacking),
        "track": [configio.dump(tracker) for tracker in jobs[0].track] if jobs else [],
    }
    lines = [head, *({"config": configio.dump(j.config), "passed": list(j.passed)} for j in jobs)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    submission = Submission(folder, study, engine, _now(), socket.gethostname(), this_machine(), settings=settings,
                            runs=len(jobs))  # fmt: skip
    submission.write()
    write_atomic(folder / _RUNS, lambda file: file.write(text.encode()))  # last: without it nothing was sent
    return submission


def read_submission(folder: Path) -> Submission:
    """Raises ValueError naming the file where it is damaged or of a newer version."""
    path = folder / _RECORD
    data = read_json(path)
    require(isinstance(data, dict) and isinstance(data.get("schema"), int), f"{path}: no record of sent jobs")
    require(data["schema"] <= SCHEMA, f"{path}: of a newer grokscope ({data['schema']}); upgrade grokscope")
    values = {key: data.get(key) for key in Submission.__dataclass_fields__ if key != "folder"}
    ids, form = values["ids"], _IDS.get(str(values["engine"]))
    whole = form is not None and isinstance(ids, list) and all(isinstance(i, str) and form.fullmatch(i) for i in ids)
    texts = ("study", "submitted", "host", "machine", "cluster")
    whole = whole and all(isinstance(values[key], str) for key in texts)
    require(whole, f"{path}: damaged; its jobs cannot be queried")
    return Submission(folder, **{**values, "ids": tuple(ids or ())})


def read_runs(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What all runs of a submission share, and each run's config and the keys that were given."""
    lines = (folder / _RUNS).read_text(encoding="utf-8").splitlines()
    head, *runs = (json.loads(line) for line in lines)
    return head, runs


def sent_before(folder: Path) -> float:
    """When the runs were written, by the file system's clock: what failed later has failed for these jobs."""
    return (folder / _RUNS).stat().st_mtime


def submissions(root: str | Path, study: str) -> tuple[list[Submission], list[str]]:
    """All that was sent of a study, oldest first; and what is wrong with those that cannot be read."""
    above, read, problems = study_folder(Path(root), study), [], []
    for folder in sorted(above.iterdir()) if above.is_dir() else []:
        if not (folder / _RUNS).exists():
            continue
        try:
            read.append(read_submission(folder))
        except ValueError as error:
            problems.append(str(error))
    return read, problems


def study_folder(root: Path, study: str) -> Path:
    """The folder of a study's submissions; the hash keeps names apart that differ in signs only."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", study)[:80]
    name = plain if plain == study else f"{plain}-{configio.content_hash(study)[:8]}"
    return root / FOLDER / name


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
