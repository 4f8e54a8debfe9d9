"""Index of the small files of all runs, so that queries over ten thousand runs parse none of them.

Kept as ``<root>/.index/runs.json``, which can be deleted at any time. An entry counts as long as size and times of the
four files that it was read from are what they were; their ctime is set by the system and kept by no copy, so an index
that came with runs from elsewhere fits none of them. What can change without its files (a run that is being trained),
what is damaged, and what depends on plug-ins is never kept. A file of another version or with another checksum is
ignored, and written anew.

The process that trains leaves the entry of each run that ends in its folder, ``results/row.json``: the first question
about all of them reads one small file each.
"""

import json
import os
import stat
import zlib
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from grokscope import configio, identity
from grokscope.config import RunConfig
from grokscope.files import plain_file
from grokscope.store import kept_verdicts
from grokscope.store.index import FOLDER
from grokscope.store.run import METRICS, SCHEMA, Run
from grokscope.store.same_data import Data
from grokscope.store.sql_text import text_id

VERSION = 1
"""Raise it when entries change their form."""
FILES = ("config.json", "status.json", METRICS, "results/verdict.json")
ROW = "results/row.json"
WORTH = 64
"""Runs that had to be read, at least, before the index is written: fewer are read again as fast."""

Stamps = list[list[int] | None]
"""Size, mtime and ctime (ns) of each of `FILES`; None for one that is not there."""


@dataclass(frozen=True)
class Known:
    """What one run's files said."""

    row: dict[str, Any]
    """As `grokscope.store.query.run_rows` gives it; `path` is made anew."""
    config: dict[str, Any]
    """The columns of its config, which most runs of a study share."""
    status: dict[str, Any]
    identity: str | None
    """Hash of the identity that the config tells; None for an import."""
    data: Data
    """What it learned from (`grokscope.store.same_data.data_of`)."""
    judged: bool
    """Whether somebody judged the run who could; else a row without a verdict says nothing."""
    metrics: list[int] | None = None
    """Size, mtime and ctime (ns) of its metrics, where they were looked at just now."""


class RunIndex:
    """The index of the runs in one folder. Whoever has read what it lacks tells it, and saves it at the end."""

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self._configs: list[dict[str, Any]] = []
        self._entries: dict[str, list[Any]] = {}
        self._new = 0
        self._places: dict[str, int] = {}
        self._load()

    def recall(self, run: Run, stamps: Stamps | None, judged: bool = False) -> Known | None:
        """What is known of a run whose files look like this; None where it has to be read. With `judged` only what was
        read by somebody who judges."""
        if stamps is None:
            return None
        entry = self._entries.get(run.id)
        if (entry is None or entry[0] != stamps) and (left := _left(run, stamps)) is not None:
            self._take(run.id, *left)
            entry = self._entries[run.id]
        if entry is None or entry[0] != stamps or (judged and not entry[1]):
            return None
        _, was_judged, name, status, (key, digests), row, place = entry
        row = {**row, "path": str(run.path)}
        return Known(row, self._configs[place], status, name, (key, digests), was_judged, stamps[FILES.index(METRICS)])

    def note(self, run: Run, stamps: Stamps | None, known: Known) -> None:
        """Remember what a run's files said, if they still look as they did before they were read."""
        if stamps is None or text_id(run) != run.id or stamps_of(run) != stamps:
            return
        self._take(run.id, _entry(stamps, known), known.config)

    def _take(self, name: str, entry: list[Any], config: dict[str, Any]) -> None:
        place = self._places.setdefault(json.dumps(config), len(self._configs))
        if place == len(self._configs):
            self._configs.append(config)
        self._entries[name] = [*entry, place]
        self._new += 1

    def save(self, present: Collection[str] | None = None) -> None:
        """Write the index where that is worth it, without the runs that are not `present` any more. A folder that
        cannot be written stays as it is. Of two processes the later one's stays, and both are right."""
        gone = []
        if present is not None:
            gone = [name for name in self._entries if name not in present]
        if self._new < max(WORTH, len(self._entries) // 50) and len(gone) < max(WORTH, len(self._entries) // 2):
            return
        for name in gone:
            del self._entries[name]
        text = json.dumps({"configs": self._configs, "runs": self._entries}).encode()
        folder = self.root / FOLDER
        temporary = folder / f".{os.getpid()}-{uuid4().hex}.tmp"
        try:
            folder.mkdir(exist_ok=True)
            path = plain_file(self.root, f"{FOLDER}/runs.json")
            with open(temporary, "xb") as file:
                file.write(json.dumps(_head(text)).encode() + b"\n" + text)
            os.replace(temporary, path)
        except (OSError, ValueError):
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            return
        self._new = 0

    def _load(self) -> None:
        try:
            with open(plain_file(self.root, f"{FOLDER}/runs.json"), "rb") as file:
                head = json.loads(file.readline())
                text = file.read()
            if head != _head(text):
                return
            data = json.loads(text)
        except (OSError, ValueError, RecursionError):
            return
        self._configs, self._entries = data["configs"], data["runs"]
        self._places = {json.dumps(config): place for place, config in enumerate(self._configs)}


def leave(run: Run, stamps: Stamps | None, known: Known) -> None:
    """Leave the entry in the run's folder, for the index to find. A folder that cannot be written stays as it is."""
    if stamps is None or text_id(run) != run.id:
        return
    text = json.dumps([_rules(), run.id, _entry(stamps, known), known.config]).encode()
    temporary = run.path / "results" / f".row.json.{os.getpid()}.tmp"
    try:
        path = plain_file(run.path, ROW)
        temporary.unlink(missing_ok=True)
        with open(temporary, "xb") as file:
            file.write(b"%d %s\n" % (zlib.crc32(text), text))
        os.replace(temporary, path)
    except (OSError, ValueError):
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _left(run: Run, stamps: Stamps) -> tuple[list[Any], dict[str, Any]] | None:
    """(entry, config) that was left in a run's folder; None where none was, it is damaged or made by other rules, or
    the run's files have changed since."""
    try:
        check, _, text = plain_file(run.path, ROW).read_bytes().rstrip(b"\n").partition(b" ")
        if check != b"%d" % zlib.crc32(text):
            return None
        rules, name, entry, config = json.loads(text)
    except (OSError, ValueError):
        return None
    if (rules, name, entry[0]) != (_rules(), run.id, stamps):
        return None
    return (entry, config)


def _entry(stamps: Stamps, known: Known) -> list[Any]:
    row = {key: value for key, value in known.row.items() if key != "path"}
    return [stamps, known.judged, known.identity, known.status, known.data, row]


def stamps_of(run: Run) -> Stamps | None:
    """What a run's files look like now; None where one of them is no plain file."""
    top = str(run.path)
    try:
        if not stat.S_ISDIR(os.lstat(f"{top}/results").st_mode):
            return None
    except OSError:
        return None
    stamps: Stamps = []
    for name in FILES:
        try:
            now = os.lstat(f"{top}/{name}")
        except FileNotFoundError:
            stamps.append(None)
            continue
        except OSError:
            return None
        if not stat.S_ISREG(now.st_mode):
            return None
        stamps.append([now.st_size, now.st_mtime_ns, now.st_ctime_ns])
    return stamps


def _head(text: bytes) -> dict[str, Any]:
    """What the first line says: by which rules the entries were made, and the checksum of what follows."""
    return {"version": VERSION, "rules": _rules(), "size": len(text), "check": zlib.crc32(text)}


@cache
def _rules() -> str:
    """Changes with whatever a row is made by: this version, its schemas, the fields of a config."""
    from importlib.metadata import version

    defaults = configio.content_hash(identity.frozen_defaults(RunConfig))
    return f"grokscope {version('grokscope')}, runs {SCHEMA}, verdicts {kept_verdicts.VERSION}, {defaults[:16]}"
