"""Whether a completed run still has all of its rows."""

import json
from typing import Any

from grokscope.files import plain_file, read_json
from grokscope.store.metrics import Damaged
from grokscope.store.run import METRICS, Run

ENDED = ("done", "diverged")
TAIL = 1 << 16
"""Bytes read from the end of the metrics for the last row."""


def changed_since(run: Run, status: dict[str, Any], *, thorough: bool = False) -> str:
    """What is wrong with the metrics of a run that has ended; empty where nothing is, for a run that has not ended, and
    for imports, whose rows are what their archive had.

    Costs one look at the file's size. A run of before the size was recorded is asked for its last row, and with
    `thorough` for the number of its rows.

    Raises:
        ValueError: where the metrics are no regular file, or with `thorough` are damaged.
    """
    if status.get("state") not in ENDED or status.get("host") is None:
        return ""
    path = plain_file(run.path, METRICS)
    size = path.stat().st_size if path.exists() else 0
    if isinstance(recorded := status.get("metrics_bytes"), int):
        if size == recorded:
            return ""
        return f"{path}: {size:,} bytes, but {recorded:,} when the run ended: rows are missing or were changed"
    last = _last_step(run) if size else None
    if last != status["step"] and (last is not None or status["step"] > 0):
        where = "there are no rows"
        if last is not None:
            where = f"the last row is of step {last:,}"
        return f"{path}: {where}, but the run ended at step {status['step']:,}: rows are missing"
    return _fewer_rows(run) if thorough else ""


def require_whole(run: Run) -> None:
    """Raise Damaged (a ValueError) where a run that has ended no longer has the rows it ended with: what can be read of
    them is another curve."""
    if changed := changed_since(run, run.status):
        raise Damaged(changed)


def _last_step(run: Run) -> int | None:
    """The step of the last whole row; None where there is none that can be read."""
    with open(plain_file(run.path, METRICS), "rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - TAIL))
        line = file.read().rpartition(b"\n")[0].rpartition(b"\n")[2]
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return step if isinstance(step, int) else None


def _fewer_rows(run: Run) -> str:
    rows = len(run.rows())
    try:
        recorded = read_json(plain_file(run.path, "results/summary.json"))["evaluations"]
    except (ValueError, KeyError, TypeError):
        return ""
    if rows == recorded:
        return ""
    return f"{run.path / METRICS}: {rows:,} rows, but {recorded} when the run ended"
