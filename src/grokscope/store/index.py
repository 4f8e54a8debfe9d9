"""The evaluations of all runs in one table, re-read only where a run's metrics have changed.

What was read is kept as Parquet in ``<root>/.index``. That folder may have come with the runs from somebody else, so it
is believed only as far as it looks exactly like what is written here: a plain file of our naming, with the bytes that
its digest promises and the columns that metrics have; and of a run only as long as the times of its metrics are those
that this system gave them. Anything else is read again from the run folders.
"""

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from hashlib import blake2b, file_digest
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from grokscope import configio
from grokscope.files import plain_file, read_json, to_json
from grokscope.store.gathering import gather
from grokscope.store.run import METRICS, Run
from grokscope.store.sql_text import literal, pattern, text_id

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Stamps = dict[str, list[int]]
"""Run id -> size and times of its metrics when they were read: that of the last change of the content, and that of the
inode (ctime), which the system sets and nobody can choose: an index that came with the runs from elsewhere fits none of
them, whatever it says."""
FOLDER = ".index"
_NAME = re.compile(r"metrics-[0-9a-f]{16}\.parquet")


def load_metrics(connection: "DuckDBPyConnection", root: Path, runs: Sequence[Run], scratch: Path) -> list[Path]:
    """Make the view `metrics` and return the files that it reads.

    Warns of every run whose metrics are damaged, which is left out, and of values that are no numbers, which are NULL:
    such runs are never kept in the index, so that each question says so again.
    """
    stamps = _stamps(runs)
    index = root / FOLDER
    known, file = _read_index(connection, index)
    changed = [run for run in runs if text_id(run) in stamps and known.get(text_id(run)) != stamps[text_id(run)]]
    stale = {name for name in known if name not in stamps} | {text_id(run) for run in changed}
    connection.execute("set threads = 1")  # each thread that writes Parquet holds a quarter of a gigabyte
    gathered = gather(connection, changed, scratch)
    files, sources = [], []
    if file is not None:
        connection.execute("create schema kept")
        connection.execute("create table kept.stale as select unnest(?::varchar[]) as run", [sorted(stale)])
        files, sources = [file], [f"{_parquet([file])} where run not in (select run from kept.stale)"]
    if gathered.whole:
        files, sources = [*files, *gathered.whole], [*sources, _parquet(gathered.whole)]
    if gathered.whole or any(name not in stamps for name in known):
        kept = {name: stamp for name, stamp in stamps.items() if name not in gathered.not_kept}
        if (written := _write_index(connection, index, _union(sources), kept)) is not None:
            files, sources = [written], [_parquet([written])]
    if gathered.mended:
        files, sources = [*files, *gathered.mended], [*sources, _parquet(gathered.mended)]
    connection.execute("reset threads")
    connection.execute(f"create view metrics as {_union(sources)}")
    return files


def _union(sources: Sequence[str]) -> str:
    empty = "select ''::varchar as run, 0::bigint as step where false"
    return " union all by name ".join([f"select * from {source}" for source in sources] or [empty])


def _parquet(files: Sequence[Path]) -> str:
    names = ", ".join(literal(pattern(file)) for file in files)
    return f"read_parquet([{names}], union_by_name = true)"


def _stamps(runs: Iterable[Run]) -> Stamps:
    stamps = {}
    for run in runs:
        try:
            stat = plain_file(run.path, METRICS).lstat()
        except FileNotFoundError:
            continue
        except ValueError as error:
            warnings.warn(f"{error}; this run has no rows in metrics", stacklevel=4)
            continue
        if stat.st_size:
            stamps[text_id(run)] = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    return stamps


# -- the index --------------------------------------------------------------------------------------------------------


def _read_index(connection: "DuckDBPyConnection", index: Path) -> tuple[Stamps, Path | None]:
    """(what was read, the Parquet file), or nothing where there is no index that can be believed."""
    try:
        data = read_json(plain_file(index.parent, f"{FOLDER}/metrics.json"))
        name, known = data["file"], data["runs"]
        if not (isinstance(name, str) and _NAME.fullmatch(name) and _are_stamps(known)):
            return {}, None
        file = plain_file(index.parent, f"{FOLDER}/{name}")
        if _digest(file) != data["digest"] or not _holds_metrics(connection, file):
            return {}, None
    except (ValueError, KeyError, TypeError, OSError):
        return {}, None
    return known, file


def _are_stamps(known: Any) -> bool:
    if not isinstance(known, dict):
        return False
    triples = (isinstance(stamp, list) and len(stamp) == 3 for stamp in known.values())
    return all(triples) and all(type(number) is int for number in chain.from_iterable(known.values()))


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()


def _holds_metrics(connection: "DuckDBPyConnection", file: Path) -> bool:
    import duckdb

    try:
        kinds = [row[:2] for row in connection.execute(f"describe select * from {_parquet([file])}").fetchall()]
    except duckdb.Error:
        return False
    return kinds[:2] == [("run", "VARCHAR"), ("step", "BIGINT")] and all(kind == "DOUBLE" for _, kind in kinds[2:])


def _write_index(connection: "DuckDBPyConnection", index: Path, source: str, stamps: Stamps) -> Path | None:
    """Write the table beside the old one, then switch: a reader sees the old index or the new. Returns the file, or
    None where the folder cannot be written or is not a plain one."""
    name = f"metrics-{configio.content_hash(stamps)[:16]}.parquet"
    temporary = index / f".{os.getpid()}-{uuid4().hex}.tmp"
    try:
        index.mkdir(exist_ok=True)
        plain_file(index.parent, f"{FOLDER}/none")  # raises where the folder is a link to somewhere else
        temporary.touch(exist_ok=False)
        target = literal(str(temporary))
        connection.execute(f"copy ({source}) to {target} (format parquet)")
        digest = _digest(temporary)
        os.replace(temporary, index / name)
        temporary.write_text(to_json({"file": name, "digest": digest, "runs": stamps}), encoding="utf-8")
        os.replace(temporary, index / "metrics.json")
        for old in index.glob("metrics-*.parquet"):
            if old.name != name:
                old.unlink(missing_ok=True)
    except (OSError, ValueError):
        return None
    return index / name
