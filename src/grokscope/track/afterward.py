"""Mirror runs that are there already: finished, recorded, imported, or still in training elsewhere."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from grokscope.components import Tracker
from grokscope.store.run import Run, open_run
from grokscope.track.chosen import Tracks, read_trackers
from grokscope.track.courier import courier_of
from grokscope.track.follower import Follower

FOREVER = float(10**9)


@dataclass(frozen=True)
class Tracked:
    """What became of one run in one tracker."""

    run: str
    """Its folder."""
    tracker: str
    rows: int | None
    """Rows that are there now, those that were there before among them; None where it failed."""
    where: str = ""
    notes: tuple[str, ...] = ()
    problem: str = ""


def track_runs(
    runs: Iterable[Run | str | Path], to: Tracks, watch: Callable[[Tracked], None] | None = None
) -> list[Tracked]:
    """Mirror run folders to trackers. Rows that are there already are not written twice. A run or a tracker that fails
    has a `problem`, and the others go on.

    Args:
        runs: Runs or their folders; what is missing of a run in training follows when it is mirrored again.
        to: ``"tensorboard"``, ``"wandb:project=mine"``, a table, a component, or a list of these.
        watch: Called with every result as it comes.

    Raises:
        ValueError: for an unknown tracker, a wrong parameter, or a package that is not installed.
    """
    trackers = read_trackers(to, "to")
    results = []
    for run in runs:
        for result in _tracked(run, trackers):
            results.append(result)
            if watch is not None:
                watch(result)
    return results


def track_run(run: Run | str | Path, to: Tracks) -> list[Tracked]:
    """Mirror one run; see `track_runs`. Raises ValueError also for a folder that is no run."""
    folder = run.path if isinstance(run, Run) else Path(run)
    return track_runs([open_run(folder)], to)


def _tracked(run: Run | str | Path, trackers: Iterable[Tracker]) -> Iterator[Tracked]:
    folder = run.path if isinstance(run, Run) else Path(run)
    for tracker in trackers:
        try:
            open_run(folder)
        except ValueError as error:
            yield Tracked(str(folder), tracker.name, None, problem=str(error))
            continue
        courier = courier_of(tracker)
        courier.follow(folder)
        courier.end(folder)
        try:
            courier.wait([folder], FOREVER)
        except KeyboardInterrupt:
            courier.kill("stopped")
            raise
        if (arrived := courier.arrived.get(folder)) is not None:
            yield Tracked(str(folder), tracker.name, arrived.rows, arrived.where, arrived.notes)
        else:
            yield Tracked(str(folder), tracker.name, None, problem=courier.problems[folder])


def mirror_here(run: Run | str | Path, tracker: Tracker) -> str:
    """Mirror a run from this very process, and return where it is: for whoever writes a tracker, since errors are
    raised here, with their traceback."""
    opened = run if isinstance(run, Run) else open_run(run)
    follower = Follower(opened, tracker)
    try:
        follower.end()
    finally:
        follower.release()
    return follower.where
