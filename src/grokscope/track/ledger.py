"""What of a run was mirrored to one place: ``track/<tracker>.jsonl`` in its folder, one line a row that arrived.

{"tracker": "wandb", "key": "3f2a..."}     where: under which key
{"step": 40, "crc": 2891336453}            a row, and a checksum of what it said
{"closed": 81263, "where": "https://..."}  a checksum of the summary that ended it
"""

import fcntl
import json
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from grokscope import configio
from grokscope.checks import require
from grokscope.components import Tracker
from grokscope.identity import short_form
from grokscope.track.tail import Line

FOLDER = "track"


class Ledger:
    """Held by the one process that mirrors the run there."""

    def __init__(self, run: Path, tracker: Tracker):
        """
        Raises:
            ValueError: for a damaged file, and where another process holds it.
            OSError: where it cannot be written.
        """
        self.path = run / FOLDER / f"{place_of(tracker)}.jsonl"
        self.sent: dict[int, int] = {}
        """Step -> checksum of every row that arrived."""
        self.closed: int | None = None
        self.where = ""
        self.key = ""
        self._tracker = tracker.name
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = open(self.path, "a+", encoding="utf-8")  # noqa: SIM115 - held as long as the mirror
        try:
            self._lock()
            self._read()
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{self.path}: another process mirrors this run there already") from None
        except OSError:
            pass  # a file system without locks: two at once are then not noticed

    def _read(self) -> None:
        self._file.seek(0)
        *lines, cut = self._file.read().split("\n")
        if cut:  # by a crash; what is written next begins a line
            self._file.truncate(self._file.tell() - len(cut.encode()))
        for number, line in enumerate(lines, 1):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError):
                raise ValueError(
                    f"{self.path}, line {number}: damaged, so nobody knows what was mirrored; delete the file to "
                    "mirror the run anew"
                ) from None

    def _take(self, entry: dict[str, Any]) -> None:
        if "key" in entry:
            self.key = str(entry["key"])
        elif "closed" in entry:
            self.closed, self.where = int(entry["closed"]), str(entry["where"])
        else:
            self.sent[int(entry["step"])] = int(entry["crc"])
            self.closed = None

    @property
    def last(self) -> int:
        """The last step that arrived, -1 without any."""
        return max(self.sent, default=-1)

    def begin(self, key: str = "") -> None:
        """Forget what arrived: from here on all of it is under this key, a new one if none is given."""
        self.key = key or uuid.uuid4().hex[:12]
        self.sent, self.closed = {}, None
        self._file.seek(0)
        self._file.truncate()
        self._write([{"tracker": self._tracker, "key": self.key}])

    def note(self, lines: Iterable[Line]) -> None:
        """Rows arrived."""
        entries = [{"step": line.step, "crc": line.crc} for line in lines]
        for entry in entries:
            self._take(entry)
        self._write(entries)

    def close(self, summary: int, where: str) -> None:
        """The mirror was ended with this summary."""
        self.closed, self.where = summary, where
        self._write([{"closed": summary, "where": where}])

    def release(self) -> None:
        self._file.close()

    def _write(self, entries: Iterable[dict[str, Any]]) -> None:
        self._file.write("".join(json.dumps(entry) + "\n" for entry in entries))
        self._file.flush()


def place_of(tracker: Tracker) -> str:
    """A name for where a tracker writes to: its own, and a hash of its parameters where they are not the defaults."""
    form = short_form(tracker)
    if isinstance(form, str):
        return form
    require("/" not in tracker.name, f"{tracker.name}: a tracker's name names a file")
    return f"{tracker.name}-{configio.content_hash(form)[:8]}"
