"""TensorBoard: event files, by the small package of that name."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from socket import gethostname
from typing import Any, ClassVar

from grokscope import configio
from grokscope.components import MirroredRun, Tracker
from grokscope.registry import register

OURS = ".grokscope"
"""End of the names of our event files: no others are deleted."""


@register
@dataclass(frozen=True, kw_only=True)
class TensorBoard(Tracker):
    """Event files for TensorBoard: ``tensorboard --logdir runs``. Column ``c`` at step ``t`` is the scalar of tag
    ``c`` at step ``t``; settings are in HPARAMS, settings and verdict in TEXT, milestones the scalars ``summary/...``
    at the last step. No network. Cost: 55 MB on disk to install; of another process half a CPU second for its start and
    the first 400 rows. Misleads: the dashboard draws a sample of the points of a curve
    (``--samples_per_plugin scalars=0`` draws all) and smooths by default."""

    name: ClassVar[str] = "tensorboard"
    summary: ClassVar[str] = "event files for TensorBoard, in the run's folder"
    package: ClassVar[str] = "tensorboard"
    extra: ClassVar[str] = "grokscope[tensorboard]"

    dir: str | None = None
    """Folder in which each run gets a folder of its name; without it, ``tensorboard/`` in the run's own folder."""

    def open(self, run: MirroredRun) -> "_EventFile":
        folder, old = run.folder / "tensorboard", f"*{OURS}"
        if self.dir is not None:
            folder, old = Path(self.dir) / run.name, f"*.{run.key}{OURS}"
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob(old):
            path.unlink()
        return _EventFile(folder, run)


class _EventFile:
    """One file, open only while something is written: a stack has more members than a process may have open files."""

    def __init__(self, folder: Path, run: MirroredRun):
        self._event: Any = import_module("tensorboard.compat.proto.event_pb2")  # as generated, without types
        self._summary: Any = import_module("tensorboard.compat.proto.summary_pb2").Summary
        self._text: Any = import_module("tensorboard.plugins.text.summary_v2").text_pb
        settings: Any = import_module("tensorboard.plugins.hparams.summary_v2").hparams_pb
        log: Any = self._event.SessionLog
        self.where = str(folder)
        self._path = folder / f"events.out.tfevents.{time.time():.6f}.{gethostname()}.{os.getpid()}.{run.key}{OURS}"
        self._last = 0
        self._write(
            [
                {"file_version": "brain.Event:2"},
                # a dashboard that is open forgets what it had read of a file that this one replaces
                {"step": 0, "session_log": log(status=log.START)},
                {"summary": settings(_flat(run.config), trial_id=run.name)},
                {"summary": self._text("config", f"```json\n{json.dumps(run.config, indent=1)}\n```")},
            ]
        )

    def rows(self, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        self._write([{"step": step, "summary": self._scalars(values)} for step, values in rows])
        self._last = rows[-1][0]

    def close(self, summary: Mapping[str, Any]) -> None:
        if not summary:
            return
        numbers = {f"summary/{key}": float(v) for key, v in summary.items() if isinstance(v, int | float)}
        table = "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in summary.items())])
        both = (self._scalars(numbers), self._text("verdict", table))
        self._write([{"step": self._last, "summary": each} for each in both])

    def _scalars(self, values: Mapping[str, float]) -> Any:
        return self._summary(value=[self._summary.Value(tag=tag, simple_value=v) for tag, v in values.items()])

    def _write(self, events: Sequence[Mapping[str, Any]]) -> None:
        writer: Any = import_module("tensorboard.summary.writer.record_writer").RecordWriter
        now = time.time()
        with open(self._path, "ab") as file:
            for event in events:
                writer(file).write(self._event.Event(wall_time=now, **event).SerializeToString())


def _flat(config: Mapping[str, Any]) -> dict[str, bool | float | str]:
    """Dotted settings as HPARAMS can show them: numbers, words, and lists as text."""
    flat = configio.with_items(configio.flatten(config))
    return {key: value if isinstance(value, int | float | str) else json.dumps(value, default=str)
            for key, value in flat.items() if value is not None}  # fmt: skip
