"""Run one job in this process and turn any result into an outcome; failures are written to the run's folder."""

import os
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from grokscope import configio
from grokscope.components import Tracker
from grokscope.config import RunConfig
from grokscope.execute.protocol import Job, State
from grokscope.files import NotPlain, NotWritable, ReadOnly, explain_denied, read_json, write_json
from grokscope.storage import Storage, trouble_of
from grokscope.store import lock
from grokscope.store.ended import ENDED
from grokscope.store.folders import find_run
from grokscope.store.provenance import provenance
from grokscope.store.run import SCHEMA, Run
from grokscope.store.same_data import OtherData
from grokscope.track.mirrors import Mirrors

if TYPE_CHECKING:
    from grokscope.train.driver import Progress
    from grokscope.train.stacked.sessions import Ended


class Result(NamedTuple):
    """How an attempt went: the fields of `grokscope.execute.protocol.Outcome` after the job."""

    state: State
    step: int
    message: str = ""
    trouble: bool = False


REFUSED = (OtherData, NotPlain, NotWritable)
"""Why a folder is not written to: what it holds is for people to mend, and the run did not fail."""


def attempt(
    config: RunConfig,
    root: Path,
    passed: tuple[str, ...],
    progress: Callable[[int, int, float], None],
    track: Sequence[Tracker] = (),
) -> Result:
    """Train one run to its end, mirrored to these trackers, judge it, and say how it went. Raises nothing but
    KeyboardInterrupt and SystemExit."""
    from grokscope.train.driver import Interrupted, train
    from grokscope.train.fork_source import NotForked
    from grokscope.train.resume import CannotResume

    try:
        storage, run = Storage.of(root), find_run(root, config)
    except OSError as error:
        return _unsaved(trouble_in(root, error), 0)
    except ValueError as error:
        return Result("failed", 0, str(error))
    try:
        with Mirrors(track) as mirrors:
            watcher = mirrors.watching(lambda p: progress(p.step, p.total, p.steps_per_s))
            train(config, root, passed=passed, watcher=watcher)
            _judge(run)
    except Interrupted as stopped:
        return Result("interrupted", _step(run), str(stopped))
    except Exception as error:
        if trouble := storage.trouble(error):
            return _unsaved(trouble, _step(run))
        if isinstance(error, (CannotResume, *REFUSED)):  # the folder stays as it is, for whoever mends it
            return Result("failed", _step(run), str(error))
        if isinstance(error, NotForked):
            return Result("waiting" if error.waits else "failed", 0, str(error))
        if isinstance(error, lock.Held):
            return Result("elsewhere", _step(run), str(error))
        record_failure(config, root, passed, error)
        return Result("failed", _step(run), f"{type(error).__name__}: {error}")
    state = run.status["state"]
    return Result("diverged" if state == "diverged" else "done", _step(run))


def attempt_stack(
    configs: Sequence[RunConfig],
    root: Path,
    passed: Sequence[tuple[str, ...]],
    progress: Callable[[int, int, int, float], None],
    fall_back: bool,
    track: Sequence[Tracker] = (),
) -> list[Result]:
    """Train several runs as one stack, each mirrored to these trackers, judge each, and say how each went; `progress`
    is told the place of a run too. Runs that cannot be stacked have failed, or are trained one after the other where
    `fall_back` says so. Raises nothing but KeyboardInterrupt and SystemExit."""
    from grokscope.train.stacked.driver import train_stack
    from grokscope.train.stacked.stackable import CannotStack

    places = {_folder(root, config): i for i, config in enumerate(configs)}

    def watch(p: "Progress") -> None:
        progress(places[p.run], p.step, p.total, p.steps_per_s)

    try:
        storage = Storage.of(root)
    except OSError as error:
        return [_unsaved(trouble_in(root, error), 0)] * len(configs)
    try:
        with Mirrors(track) as mirrors:
            ended = train_stack(configs, root, passed=passed, watcher=mirrors.watching(watch))
            return [
                _result(e, config, root, keys, storage) for e, config, keys in zip(ended, configs, passed, strict=True)
            ]
    except CannotStack as error:
        if fall_back:
            return _one_by_one(configs, root, passed, progress, track)
        return [Result("failed", 0, str(error))] * len(configs)
    except Exception as error:  # of the stack as a whole: no single run is marked as failed for it
        if trouble := storage.trouble(error):
            return [_unsaved(trouble, 0)] * len(configs)
        return [Result("failed", 0, str(error))] * len(configs)


def _unsaved(trouble: str, step: int) -> Result:
    """The run stands where it was saved last, and goes on from there once something can be saved again."""
    return Result("interrupted", step, trouble, trouble=True)


def trouble_in(root: Path, error: OSError) -> str:
    """Why there is no folder of runs to begin with."""
    try:
        explain_denied(error, root)
    except ReadOnly:
        return trouble_of(error, root)
    except NotWritable as denied:
        return str(denied)
    return trouble_of(error, root) or f"{root}: the folder of runs cannot be made ({error.strerror})"


def interrupted(job: Job) -> Result:
    """How a job went that was stopped before or after its training: the run may have ended, and lack only its
    verdict, which is read when somebody asks."""
    try:
        status = Run(job.run).status
    except (ValueError, OSError):
        return Result("interrupted", job.step)
    state, step = status["state"], int(status.get("step") or 0)
    if state == "diverged" or (state == "done" and step >= job.total):
        return Result(state, step)
    return Result("interrupted", step)


def _one_by_one(
    configs: Sequence[RunConfig],
    root: Path,
    passed: Sequence[tuple[str, ...]],
    progress: Callable[[int, int, int, float], None],
    track: Sequence[Tracker],
) -> list[Result]:
    results: list[Result] = []
    for i, (config, keys) in enumerate(zip(configs, passed, strict=True)):
        if results and results[-1][0] in ("interrupted", "waiting"):
            results.append(Result("waiting", 0))
        else:
            results.append(attempt(config, root, keys, lambda *news, i=i: progress(i, *news), track))
    return results


def _folder(root: Path, config: RunConfig) -> Path:
    """The folder that holds this run, or would."""
    try:
        return find_run(root, config).path
    except ValueError:
        return root / config.run_id()


def _result(ended: "Ended", config: RunConfig, root: Path, passed: tuple[str, ...], storage: Storage) -> Result:
    """How one member of a stack went."""
    from grokscope.train.resume import CannotResume

    if ended.state in ("done", "diverged"):
        _judge(ended.run)
    if ended.error is None:
        return Result(ended.state, ended.step)
    if trouble := storage.trouble(ended.error):
        return _unsaved(trouble, ended.step)
    if ended.state == "failed" and not isinstance(ended.error, (CannotResume, *REFUSED)):
        record_failure(config, root, passed, ended.error)
        return Result("failed", ended.step, f"{type(ended.error).__name__}: {ended.error}")
    return Result(ended.state, ended.step, str(ended.error))


def _judge(run: Run) -> None:
    """Read the verdict while the process is warm, and leave the run's row for the index, so that tables over many runs
    find both; what cannot be judged is said when somebody asks."""
    from grokscope.store.query import remember
    from grokscope.verdicts import run_verdicts

    try:
        run_verdicts(run)
    except ValueError:
        return
    remember(run)


def _step(run: Run) -> int:
    try:
        return run.status.get("step", 0)
    except (ValueError, OSError):
        return 0


def record_failure(config: RunConfig, root: Path, passed: tuple[str, ...], error: BaseException | str) -> bool:
    """See to it that a failed run is in the manifest: with its config, and a status that says what went wrong.

    Training records its own failures; this covers what happens before it (data that cannot be built) and to it (a
    worker that was killed). Nothing is written where another process holds the run, on a full disk, or over a run that
    has ended: what it ended with stays true although it could not be trained longer. Returns whether the run is now
    known to have failed.
    """
    try:
        path = find_run(root, config).path
        provenance()  # before the lock, of which a process that is started has a copy for a moment
        with lock.exclusive(path):
            if not (path / "config.json").exists():
                write_json(path / "config.json", _record(config, passed))
            old, said = _status(path), _describe(error)
            known = old.get("error") or {}
            if old.get("state") in ENDED:
                return False
            # what training wrote of the same failure stays: its traceback is the better one
            if old.get("state") != "failed" or known.get("message") != said["message"]:
                write_json(path / "status.json", {**old, "state": "failed", "error": said})
            return True
    except (OSError, ValueError):
        return False


def _record(config: RunConfig, passed: tuple[str, ...]) -> dict[str, Any]:
    hardware = config.hardware
    return {
        "schema": SCHEMA,
        "config": configio.dump(config),
        "passed": list(passed),
        "facts": {},
        "provenance": provenance() | {"threads": hardware.threads, "device": hardware.device},
        "lineage": config.start.lineage() if config.start else None,
    }


def _status(path: Path) -> dict[str, Any]:
    try:
        return read_json(path / "status.json")
    except ValueError:
        return {"step": 0, "host": socket.gethostname(), "pid": os.getpid(), "heartbeat": time.time()}


def _describe(error: BaseException | str) -> dict[str, str]:
    if isinstance(error, str):
        return {"type": "WorkerDied", "message": error, "traceback": ""}
    tail = "".join(traceback.format_exception(error))[-4000:]
    return {"type": type(error).__name__, "message": str(error), "traceback": tail}
