"""One run's mirror in one tracker: brings the tracker to what the run folder says, and keeps it there."""

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grokscope.components import Mirror, MirroredRun, Tracker
from grokscope.files import require_plain_folder
from grokscope.store.ended import ENDED
from grokscope.store.run import METRICS, Run
from grokscope.track.ledger import Ledger
from grokscope.track.summary import summary_of
from grokscope.track.tail import Line, Tail

AT_ONCE = 256
"""Rows that are handed on together, at most: what was handed on is noted after each such part."""


class Follower:
    """Any error in it is one of this run's mirror alone."""

    def __init__(self, run: Run, tracker: Tracker):
        """
        Raises:
            ValueError: for a folder with links, which could lead anywhere, and as `Ledger`.
        """
        require_plain_folder(run.path)
        self.run, self.tracker = run, tracker
        self.notes: list[str] = []
        """What the user has to know of it."""
        self._tail = Tail(run.path / METRICS)
        self._mirror: Mirror | None = None
        self._ledger = Ledger(run.path, tracker)

    @property
    def count(self) -> int:
        """Rows that arrived."""
        return len(self._ledger.sent)

    @property
    def where(self) -> str:
        return self._ledger.where if self._mirror is None else self._mirror.where

    def look(self) -> None:
        """Hand on the rows that are new."""
        lines = self._tail.new()
        if self._contradicted(lines) or (self._left_behind and self._fresh(lines)):
            self._begin_again()
            lines = self._tail.new()
        self._send(self._fresh(lines))

    def end(self) -> None:
        """Hand on what is left, and what the run came to."""
        self.look()
        over = self.run.status["state"] in ENDED
        if over and self._ledger.sent.keys() - self._tail.steps:  # rows that a resumed run did not write again
            self._begin_again()
            self.look()
        summary = summary_of(self.run)
        digest = zlib.crc32(json.dumps(summary, sort_keys=True, default=str).encode())
        if self._is_there(digest):
            return
        if self._left_behind:
            self._begin_again()
            self.look()
        mirror = self._opened()
        mirror.close(summary)
        self._ledger.close(digest, mirror.where)

    def release(self) -> None:
        self._ledger.release()

    @property
    def _left_behind(self) -> bool:
        """Whether there is only what an earlier process wrote, and the tracker writes that anew before anything is
        added."""
        return self._mirror is None and bool(self._ledger.sent) and not self.tracker.continues()

    def _is_there(self, digest: int) -> bool:
        """Whether an earlier process mirrored all of it, and nobody deleted that since."""
        if self._mirror is not None or self._ledger.closed != digest:
            return False
        return self.tracker.continues() or Path(self._ledger.where).exists()

    def _fresh(self, lines: Sequence[Line]) -> list[Line]:
        return [line for line in lines if line.step not in self._ledger.sent]

    def _contradicted(self, lines: Sequence[Line]) -> bool:
        """Whether a row says otherwise than when it was mirrored, or comes before one that was. A resumed run repeats
        its last rows to the bit, unless it was resumed on another machine or by other versions."""
        sent, last = self._ledger.sent, self._ledger.last
        return any(sent.get(line.step, line.crc) != line.crc or (line.step not in sent and line.step < last)
                   for line in lines)  # fmt: skip

    def _begin_again(self) -> None:
        before = self.where
        if self._mirror is not None:
            self._mirror.close({})
            self._mirror = None
        if self.tracker.continues():
            self.notes.append(
                f"{before or self._ledger.key} has rows that the run no longer has, and they cannot be deleted from "
                "here: the run was mirrored anew, beside it"
            )
            self._ledger.begin()
        else:
            self._ledger.begin(self._ledger.key)
        self._tail.rewind()

    def _send(self, lines: Sequence[Line]) -> None:
        for i in range(0, len(lines), AT_ONCE):
            part = lines[i : i + AT_ONCE]
            self._opened().rows([(line.step, line.values) for line in part])
            self._ledger.note(part)

    def _opened(self) -> Mirror:
        """The mirror, opened when there is something to write."""
        if self._mirror is None:
            resumed = bool(self._ledger.sent)
            if not self._ledger.key:
                self._ledger.begin()
            self._mirror = self.tracker.open(described(self.run, self._ledger.key, resumed))
        return self._mirror


def described(run: Run, key: str, resumed: bool) -> MirroredRun:
    """A run as trackers are told of it."""
    config: dict[str, Any] = run.config
    regime = config.get("regime")
    group = regime.get("name") if isinstance(regime, dict) else None
    return MirroredRun(
        folder=run.path, name=run.id, group=str(group or run.id), config=config, key=key, resumed=resumed
    )
