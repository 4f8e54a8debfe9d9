"""Cached verdicts, stored next to the metrics as ``results/verdict.json``.

The store only keeps and returns them; judging is the trajectory's business. An entry counts as long as the metrics file
and the run's outcome are what they were. The file's ctime is part of that: no copy keeps it, so that a verdict that
came with a run from elsewhere is not believed but judged anew.
"""

import json
import os
import zlib
from contextlib import suppress
from typing import Any

from grokscope.files import plain_file, to_json
from grokscope.results.verdict import VerdictRecord
from grokscope.store.run import METRICS, Run

VERSION = 8
"""Raise it when a verdict's rules, fields or sentences change: what older versions kept is then judged anew."""
DEFAULT = "default"
"""Key of the default criteria."""

Splits = dict[str, VerdictRecord]
"""Held-out split -> its verdict."""


def stamp(run: Run, state: str | None = None, metrics: list[int] | None = None) -> dict[str, Any] | None:
    """What the evidence looks like now; None before the first row. `state` spares reading the status again, `metrics`
    (size, mtime and ctime of the file) looking at it.

    Raises:
        ValueError: where the metrics are no regular file.
    """
    size, mtime_ns, ctime_ns = metrics or looked_at(run)
    if not size:
        return None
    diverged = (state or run.status["state"]) == "diverged"
    return {"size": size, "mtime_ns": mtime_ns, "ctime_ns": ctime_ns, "diverged": diverged}


def looked_at(run: Run) -> list[int]:
    """Size, mtime and ctime of the metrics; a size of 0 where there are none."""
    try:
        stat = plain_file(run.path, METRICS).lstat()
    except FileNotFoundError:
        return [0, 0, 0]
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def recall(run: Run, now: dict[str, Any] | None, *keys: str) -> Splits | None:
    """The kept verdicts by held-out split, by the first of the keys of criteria (the default ones if none is given)
    that there are any of; None where none fit the present evidence, or they are no verdicts of this version."""
    kept = _kept(run, now)
    plain = next((kept[key] for key in keys or (DEFAULT,) if key in kept), None)
    if plain is None:
        return None
    try:
        return {split: VerdictRecord.from_dict(verdict) for split, verdict in plain.items()}
    except ValueError:
        return None


def keep(run: Run, now: dict[str, Any], splits: Splits, key: str = DEFAULT) -> None:
    """Keep verdicts; those by other criteria stay while the evidence is the same. A folder that cannot be written is
    left as it is."""
    path = run.path / "results" / "verdict.json"
    plain = json.loads(to_json({split: verdict.to_dict() for split, verdict in splits.items()}))
    kept = {**_kept(run, now), key: plain}
    data = {"version": VERSION, "evidence": now, "check": _check(kept), "by_criteria": kept}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:  # whole or absent, but not pushed to disk: what a crash loses is judged again
        plain_file(run.path, "results/verdict.json")
        temporary.unlink(missing_ok=True)
        with open(temporary, "x", encoding="utf-8") as file:  # never through a link that lies there
            file.write(to_json(data) + "\n")
        os.replace(temporary, path)
    except (OSError, ValueError):
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _kept(run: Run, now: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    try:
        with open(plain_file(run.path, "results/verdict.json"), "rb") as file:
            text = file.read()
        data = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return {}
    fits = isinstance(data, dict) and data.get("version") == VERSION and data.get("evidence") == now
    if not fits or now is None or data.get("check") != _check_of(text):
        return {}
    return data["by_criteria"]


def _check(kept: Any) -> int:
    """A checksum of what is kept, so that a damaged file is judged anew and not read."""
    return zlib.crc32(json.dumps(kept).encode())


def _check_of(text: bytes) -> int:
    """The checksum of what is kept, from the file as it was written: what is kept stands last in it."""
    return zlib.crc32(text.partition(b'"by_criteria": ')[2].rstrip().removesuffix(b"}"))
