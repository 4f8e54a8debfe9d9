"""One job, tried here: whatever happens becomes an outcome, and a failure is written into the run's folder."""

import os
import signal
import socket
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grokscope import configio
from grokscope.config import RunConfig
from grokscope.execute.protocol import State
from grokscope.files import NotPlain, read_json, write_json
from grokscope.store import lock
from grokscope.store.ended import ENDED
from grokscope.store.folders import find_run
from grokscope.store.provenance import provenance
from grokscope.store.run import SCHEMA, Run
from grokscope.store.same_data import OtherData

Result = tuple[State, int, str]
"""State, step, message."""


def attempt(
    config: RunConfig, root: Path, passed: tuple[str, ...], progress: Callable[[int, int, float], None]
) -> Result:
    """Train one run to its end, judge it, and say how it went. Raises nothing but KeyboardInterrupt and SystemExit."""
    from grokscope.train.driver import Interrupted, train
    from grokscope.train.resume import CannotResume

    try:
        run = find_run(root, config)
    except ValueError as error:
        return "failed", 0, str(error)
    try:
        train(config, root, passed=passed, watcher=lambda p: progress(p.step, p.total, p.steps_per_s))
        _judge(run)
    except Interrupted as stopped:
        return "interrupted", _step(run), str(stopped)
    except (CannotResume, OtherData, NotPlain) as refused:  # the folder stays as it is, for whoever mends it
        return "failed", _step(run), str(refused)
    except lock.Held as held:
        return "elsewhere", _step(run), str(held)
    except Exception as error:
        record_failure(config, root, passed, error)
        return "failed", _step(run), f"{type(error).__name__}: {error}"
    state = run.status["state"]
    return ("diverged" if state == "diverged" else "done"), _step(run), ""


def _judge(run: Run) -> None:
    """Read the verdict while the process is warm, so that tables over many runs find it; what cannot be judged is said
    when somebody asks."""
    from grokscope.verdicts import run_verdicts

    try:
        run_verdicts(run)
    except ValueError:
        return


def _step(run: Run) -> int:
    try:
        return run.status.get("step", 0)
    except ValueError:
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
        with lock.exclusive(path):
            if not (path / "config.json").exists():
                write_json(path / "config.json", _record(config, passed))
            old, said = _status(path), _describe(error)
            known = old.get("error") or {}
            if old.get("state") in ENDED:
                return False
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
        "lineage": configio.dump(config.start) if config.start else None,
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


def signal_name(number: int) -> str:
    """``SIGKILL`` for 9; the number where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
