"""A tracker of somebody's own that writes a text file, and does on request whatever a tracker can do wrong."""

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from grokscope.components import MirroredRun, Tracker
from grokscope.registry import register

Fault = Literal["none", "open", "rows", "close", "hang", "killed", "exit"]


@dataclass(frozen=True, kw_only=True)
class Paper(Tracker):
    """Lines of JSON in ``paper/KEY.jsonl`` of a folder: ``{"step": t, ...}``. Cost: a line. Misleads: it is a toy."""

    name: ClassVar[str] = "paper"
    dir: str | None = None
    fault: Fault = "none"
    endless: bool = False
    """Whether a mirror is gone on with; otherwise the file is written anew."""

    def continues(self) -> bool:
        return self.endless

    def open(self, run: MirroredRun) -> "_Sheet":
        if self.fault == "open":
            raise OSError(28, "No space left on device", str(run.folder / "paper"))
        return _Sheet(run, self)


class _Sheet:
    def __init__(self, run: MirroredRun, paper: Paper):
        folder = (run.folder if paper.dir is None else Path(paper.dir) / run.name) / "paper"
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.fault = folder / f"{run.key}.jsonl", paper.fault
        self.where = str(self.path)
        if not run.resumed:
            self.path.unlink(missing_ok=True)
        self._write({"opened": run.resumed, "name": run.name, "group": run.group, "task": run.config["task"]["name"]})

    def rows(self, rows: Any) -> None:
        if self.fault == "rows":
            raise RuntimeError("the server\nsays no")
        if self.fault == "hang":
            time.sleep(3600)
        if self.fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "exit":
            raise SystemExit("not logged in")
        for step, values in rows:
            self._write({"step": step, **values})

    def close(self, summary: Any) -> None:
        if self.fault == "close":
            raise RuntimeError("cannot finish")
        self._write({"closed": dict(summary)})

    def _write(self, line: dict[str, Any]) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def sheets(run: Path) -> list[list[dict[str, Any]]]:
    """Lines of every file that there is of a run, by key."""
    paths = sorted((run / "paper").glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    return [[json.loads(line) for line in path.read_text().splitlines()] for path in paths]


@dataclass(frozen=True, kw_only=True)
class Absent(Paper):
    """Needs a package that nobody has."""

    name: ClassVar[str] = "absent"
    package: ClassVar[str] = "no_such_package"
    extra: ClassVar[str] = "mine[absent]"


if os.environ.get("REGISTER_LAB_TRACKERS"):  # in worker processes of the tests that use it; other tests do not see it
    register(Paper)
