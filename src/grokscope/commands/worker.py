"""worker: one of many processes that train a study, started by hand or by any launcher."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.study import Ran
from grokscope.config import require
from grokscope.execute.protocol import Board, Silent
from grokscope.execute.settings import DURATION, duration_s
from grokscope.execute.stacks import Way, require_engine_for
from grokscope.store.folders import Folders
from grokscope.study import Study
from grokscope.study.entries import Entry
from grokscope.study.run_state import StudyRun, read_study_run
from grokscope.study.study import stopped
from grokscope.study.together import Together
from grokscope.study.worker import Worker, listening, stopping_at

if TYPE_CHECKING:
    from rich.console import Console

AGAIN = "with --retry, a worker tries failed runs again, from their last saved state"


@dataclass
class Worked(Ran):
    """The runs of one worker, and those it skipped because they are marked failed."""

    left: list[StudyRun] = field(default_factory=list)

    def data(self) -> Any:
        return {**super().data(), "left_failed": [{"run": s.run.id, "error": s.message} for s in self.left]}

    def show(self, console: "Console") -> None:
        super().show(console)
        for s in self.left:
            console.print(f"skipped, marked failed earlier: {s.run.path}: {s.message}")
        if self.left:
            console.print(AGAIN)

    def how_to_retry(self) -> str:
        return AGAIN


def worker(
    file: Path,
    /,
    *,
    root: Path = Path("runs"),
    arms: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (),
    runs: tuple[str, ...] = (),
    until: str | None = None,
    wait: bool = False,
    retry: bool = False,
    engine: Way = "one",
    stack: int | None = None,
    track: tuple[str, ...] = (),
    board: Board | None = None,
) -> Worked:
    """Train the runs of a study that no other process is training, one after the other, until none is left.

    The folder of runs is the queue: start any number of workers, on every machine that shares the folder. Each run is
    claimed by one worker. The run of a worker that died is taken over at once on the same machine, and two minutes
    after its last heartbeat on another. Three deaths in a row on one run mark it as failed.

    Args:
        file: Study file, or the name of a shipped study.
        root: Folder of the runs.
        arms: Only these arms or regimes.
        seeds: Only these seeds.
        runs: Only these runs, by the names that `study plan` prints.
        until: Save the state and stop by this time (08:30, 2030-01-31T08:30) or after this duration (90m, 11h30m).
        wait: Stay until every run is finished, to take over runs that other workers abandon.
        retry: Also train runs that are marked failed.
        engine: ``one`` trains every run alone, ``stacked`` trains several runs of one architecture together, ``auto``
            does so if a short probe shows that it is faster.
        stack: Maximum number of runs taken at once; by default 16 on a CPU and 1,024 on a GPU, and at most half of the
            remaining runs of a kind, which leaves some for other workers.
        track: Also mirror every run to trackers, as for ``study run``; by default those in the file.

    Raises:
        ValueError: before anything trains, if ``--engine stacked`` is given and a run cannot be stacked.
        grokscope.study.Stopped: after Ctrl-C, SIGTERM, SIGHUP or at `until`, with everything saved.
        grokscope.study.NotSaved: (a Stopped) if the disk is full, read-only or gone; no run is marked as failed.
    """
    study = Study.load(file).only(arms, seeds)
    if track:
        study = study.tracked(track)
    finished = sum(s.finished for s in study.declared(root))
    entries = _chosen(study, runs)
    seconds = None
    if until is not None:
        seconds = seconds_until(until, datetime.now().astimezone())
    require_engine_for(stack, engine)
    one = Worker(entries, root, board or Silent(), wait=wait, retry=retry, together=Together(engine, stack))
    try:
        with listening(one), stopping_at(seconds):
            outcomes = one.work()
    except KeyboardInterrupt:  # stopped before it had listed the remaining runs
        outcomes = one.not_begun()
    finally:
        one.board.close()
    if one.stopping and any(o.state in ("interrupted", "waiting") for o in outcomes):
        raise stopped(outcomes)
    tried = {outcome.job.run for outcome in outcomes}
    folders = Folders(root)
    now = [read_study_run(entry, folders) for entry in entries]
    return Worked(study, root, outcomes, finished, [s for s in now if s.state == "failed" and s.run.path not in tried])


def _chosen(study: Study, runs: Sequence[str]) -> Sequence[Entry]:
    """The entries with these ids, all without any. Raises ValueError naming one that the study does not have."""
    if not runs:
        return study.entries
    by_id = {entry.config.run_id(): entry for entry in study.entries}
    for name in runs:
        require(
            name in by_id,
            f"--runs: {study.name!r} has no run {name!r}; see grokscope study plan (editing the settings of a study "
            "changes its runs)",
        )
    return [by_id[name] for name in dict.fromkeys(runs)]


def seconds_until(text: str, now: datetime) -> float:
    """Seconds from `now` to a time of day (the next such), a date with time, or the end of a duration.

    Raises:
        ValueError: for any other text, and for a date in the past.
    """
    if text and DURATION.fullmatch(text):
        return duration_s(text)
    then = _time_of_day(text, now) or _date(text, now)
    require(then > now, f"--until: {text} is in the past; it is {now:%Y-%m-%dT%H:%M}")
    return (then - now).total_seconds()


def _time_of_day(text: str, now: datetime) -> datetime | None:
    if not re.fullmatch(r"\d{1,2}:\d{2}", text):
        return None
    hour, minute = map(int, text.split(":"))
    require(hour < 24 and minute < 60, f"--until: {text} is not a time of day")
    then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return then if then > now else then + timedelta(days=1)


def _date(text: str, now: datetime) -> datetime:
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"--until: {text!r} is not a time: give 08:30, 2030-01-31T08:30, or a duration such as 90m or 11h30m"
        ) from None
    if then.tzinfo:
        return then
    return then.replace(tzinfo=now.tzinfo)
