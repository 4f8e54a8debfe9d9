"""Mirrors of the runs that this process trains: begun with the first news of a run, ended after the last.

A tracker that fails, hangs or dies costs its mirror and one warning; whoever trains neither notices nor waits for it
longer than `WAIT` says.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from grokscope.checks import require
from grokscope.components import Tracker
from grokscope.store.ended import ENDED
from grokscope.store.run import Run
from grokscope.track.chosen import spelled
from grokscope.track.courier import Courier, courier_of

if TYPE_CHECKING:
    from grokscope.train.driver import Progress

WAIT = "GROKSCOPE_TRACK_WAIT_S"
"""Environment variable: seconds that a finished training waits for its mirrors to finish."""
USUAL_S = 30.0
HURRY_S = 3.0
"""The same for a training that was stopped, and for a tracker that did not finish in time once."""

_hung: set[str] = set()
"""Trackers that did not finish in time: others of this process do not wait that long again."""
_told: set[tuple[Tracker, str]] = set()
"""What was warned of."""


class Mirrors:
    """The mirrors of one training: of a run, or of the members of a stack.

    with Mirrors(trackers) as mirrors:
        train(config, root, watcher=mirrors.watching(watcher))
    """

    def __init__(self, trackers: Sequence[Tracker]):
        """Raises ValueError where the environment's patience is no number."""
        self.trackers = trackers
        self._couriers: dict[Tracker, Courier] = {}
        self._runs: dict[Path, None] = {}
        self._warned: set[Tracker] = set()
        self._usual_s = _usual_patience() if trackers else USUAL_S
        self._never_began: dict[Tracker, str] = {}
        """Trackers whose process could not be started, and why."""

    def watching(self, watcher: "Callable[[Progress], None] | None") -> "Callable[[Progress], None] | None":
        """`watcher`, and with it the mirrors: each run is followed from its first news on, when what a resumed run
        forgets is gone from its folder."""
        if not self.trackers:
            return watcher

        def watch(progress: "Progress") -> None:
            self.follow(progress.run)
            if watcher is not None:
                watcher(progress)

        return watch

    def follow(self, run: Path) -> None:
        """Mirror this run from now on; asked again, say what has gone wrong meanwhile. Never raises."""
        with self._harmless():
            if run in self._runs:
                self._hear()
                return
            self._runs[run] = None
            for tracker in self.trackers:
                if courier := self._courier(tracker):
                    courier.follow(run)

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        """What goes wrong inside is the end of the mirrors, were it a fault of ours, and not of the training."""
        try:
            yield
        except Exception as error:
            for tracker in self.trackers:
                self._warn(tracker, dict.fromkeys(self._runs, f"{type(error).__name__}: {error}"))
            self.trackers = ()
            self._couriers.clear()

    def _courier(self, tracker: Tracker) -> Courier | None:
        if tracker not in self._couriers and tracker not in self._never_began:
            try:
                self._couriers[tracker] = courier_of(tracker)
            except OSError as error:  # no memory, no process, no file left
                self._never_began[tracker] = f"its process could not be started ({error.strerror or error})"
        return self._couriers.get(tracker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """End all mirrors, and wait for them a while. Raises nothing but KeyboardInterrupt."""
        with self._harmless():
            try:
                self._end()
            except KeyboardInterrupt:
                for courier in self._couriers.values():
                    if courier.open:
                        courier.kill("it was not waited for")
                raise
            self._hear()

    def _end(self) -> None:
        for courier in self._couriers.values():
            for run in self._runs:
                courier.end(run)
        for tracker, courier in self._couriers.items():
            seconds = self._patience(tracker)
            if not courier.wait(self._runs, seconds) and seconds == self._usual_s:
                _hung.add(tracker.name)  # who had the time of a stopped training only may just be slow

    def _patience(self, tracker: Tracker) -> float:
        if tracker.name in _hung or not all(map(_is_over, self._runs)):
            return min(self._usual_s, HURRY_S)
        return self._usual_s

    def places(self) -> dict[str, str]:
        """Tracker -> where to look at what was mirrored: one run's place, the first of several."""
        places = {}
        for tracker, courier in self._couriers.items():
            where = [courier.arrived[run].where for run in self._runs if run in courier.arrived]
            if where:
                places[spelled(tracker)] = where[0]
        return places

    def _hear(self) -> None:
        for tracker, why in self._never_began.items():
            self._warn(tracker, dict.fromkeys(self._runs, why))
        for tracker, courier in self._couriers.items():
            if courier.open:
                courier.hear()
            self._warn(tracker, {run: courier.problems[run] for run in self._runs if run in courier.problems})
            for run in self._runs:
                if run in courier.arrived and courier.arrived[run].notes:
                    _tell(tracker, "note", f"{tracker.name}: {courier.arrived[run].notes[0]}")

    def _warn(self, tracker: Tracker, problems: Mapping[Path, str]) -> None:
        """Say what is missing of which runs, why, and the way to mirror it."""
        if not problems:
            return
        run, why = next(iter(problems.items()))
        more = f" and {len(problems) - 1:,} more" if len(problems) > 1 else ""
        text = (
            f"{tracker.name}: the mirror of {run}{more} is not complete: {why}. The run itself is not affected; mirror "
            f"later with: grokscope track {run} --to {spelled(tracker)}"
        )
        if tracker not in self._warned:
            self._warned.add(tracker)
            _tell(tracker, why, text)


def _tell(tracker: Tracker, why: str, text: str) -> None:
    """Warn, once for a tracker and a reason: a worker may train a thousand runs without a network."""
    if (tracker, why) in _told:
        return
    _told.add((tracker, why))
    with suppress(UserWarning):  # where warnings are errors, this one is none: the training goes on
        warnings.warn(text, stacklevel=6)


def _usual_patience() -> float:
    text = os.environ.get(WAIT) or str(USUAL_S)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    require(seconds >= 0, f"{WAIT}: expected a number of seconds, got {text!r}")
    return seconds


def _is_over(run: Path) -> bool:
    try:
        return Run(run).status["state"] in ENDED
    except (ValueError, OSError):
        return False
