"""The other end of a tracker's process: starts it, tells it which folders to follow, hears what became of them.

Nothing here waits for the tracker but `wait`, which does so for a given time: orders are written without blocking, a
line or two for each run.
"""

import atexit
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grokscope import configio
from grokscope.child import Child
from grokscope.components import Tracker

LEAVE_S = 2.0
"""Seconds that an idle process may take to end with this one."""


@dataclass(frozen=True)
class Arrived:
    """How the mirror of a run ended well."""

    rows: int
    where: str
    notes: tuple[str, ...] = ()


@dataclass
class Courier(Child):
    """One tracker's process."""

    pid: int = field(default_factory=os.getpid)
    """The process that started it; one that was forked from that leaves it alone."""
    arrived: dict[Path, Arrived] = field(default_factory=dict)
    problems: dict[Path, str] = field(default_factory=dict)
    open: set[Path] = field(default_factory=set)
    """Runs that it was told of, and has not answered for."""

    @classmethod
    def start(cls, tracker: Tracker) -> "Courier":
        courier = cls.start_module("grokscope.track.process")
        assert courier.process.stdin is not None
        os.set_blocking(courier.process.stdin.fileno(), False)
        kind = type(tracker)
        courier._say({"class": f"{kind.__module__}:{kind.__qualname__}", "parameters": parameters_of(tracker)})
        return courier

    @property
    def alive(self) -> bool:
        return self.process.poll() is None and self.pid == os.getpid()

    def follow(self, run: Path) -> None:
        self.open.add(run)
        self.arrived.pop(run, None)
        self.problems.pop(run, None)
        self._say({"follow": str(run.absolute())})

    def end(self, run: Path) -> None:
        if run in self.open:
            self._say({"end": str(run.absolute())})

    def hear(self, seconds: float = 0.0) -> None:
        """Take what it has answered; wait so long for the first word."""
        waiting = select.poll()  # select refuses file numbers above 1,023, which the members of a stack use up
        waiting.register(self.answers, select.POLLIN)
        if not waiting.poll(seconds * 1000):
            return
        answers, gone = self.lines()
        for answer in answers:
            self._take(answer)
        if gone:
            self._lost(self._last_words())

    def wait(self, runs: Collection[Path], seconds: float) -> bool:
        """Until all these runs are answered for; a process that takes longer is killed. Returns whether it was in
        time."""
        deadline = time.monotonic() + seconds
        while self.open.intersection(runs):
            left = deadline - time.monotonic()
            if left <= 0:
                self.kill(f"it did not finish within {seconds:g} s")
                return False
            self.hear(min(left, 1.0))
        return True

    def kill(self, why: str) -> None:
        """End it and all that it started, now."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._lost(why)

    def close(self) -> None:
        """Let it end; what it is not done with after a moment is lost."""
        if self.pid == os.getpid():
            with suppress(BrokenPipeError):
                assert self.process.stdin is not None
                self.process.stdin.close()
            try:
                self.process.wait(LEAVE_S)
            except subprocess.TimeoutExpired:
                self.kill("it did not end")
        for stream in (self.answers, self.said):
            stream.close()

    def _say(self, order: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            os.write(self.process.stdin.fileno(), (json.dumps(order) + "\n").encode())
        except BlockingIOError:  # it has not read for thousands of lines
            self.kill("it no longer answers")
        except OSError:
            self._lost(self._last_words())

    def _take(self, answer: dict[str, Any]) -> None:
        run = next((run for run in self.open if str(run.absolute()) == answer["run"]), None)
        if run is None:
            return
        self.open.discard(run)
        if "problem" in answer:
            self.problems[run] = answer["problem"]
        else:
            self.arrived[run] = Arrived(answer["rows"], answer["where"], tuple(answer["notes"]))

    def _lost(self, why: str) -> None:
        self.problems |= dict.fromkeys(self.open, why)
        self.open.clear()

    def _last_words(self) -> str:
        """Why it is gone: the signal, or the end of what it printed."""
        try:
            code = self.process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            self.kill("")
            code = -signal.SIGKILL
        return f"its process {self.how_it_ended(code)}"


def parameters_of(tracker: Tracker) -> dict[str, Any]:
    """Its parameters as plain data."""
    return {key: value for key, value in configio.dump(tracker).items() if key != "name"}


_AT_WORK: dict[Tracker, Courier] = {}
"""Tracker -> its process: one serves all runs that this process trains, one after the other or at once."""


def courier_of(tracker: Tracker) -> Courier:
    """The running process of a tracker, started where there is none."""
    courier = _AT_WORK.get(tracker)
    if courier is None or not courier.alive:
        if courier is not None:
            courier.close()
        courier = _AT_WORK[tracker] = Courier.start(tracker)
    return courier


@atexit.register
def _close_all() -> None:
    for courier in _AT_WORK.values():
        courier.close()
    _AT_WORK.clear()
