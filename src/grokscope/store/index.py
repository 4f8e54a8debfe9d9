"""The evaluations of all runs in one table, re-read only where a run's metrics have changed.

What was read is kept as Parquet in ``<root>/.index``. That folder may have come with the runs from somebody else, so it
is believed only as far as it looks exactly like what is written here: a plain file of our naming, with the bytes that
its digest promises and the columns that metrics have; and of a run only as long as the times of its metrics are those
that this system gave them. Anything else is read again from the run folders.
"""

import itertools
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
from grokscope.progress import watched
from grokscope.store.mend import mended_rows
from grokscope.store.run import METRICS, Run

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Stamps = dict[str, list[int]]
"""Run id -> size and times of its metrics when they were read: that of the last change of the content, and that of the
inode (ctime), which the system sets and nobody can choose: an index that came with the runs from elsewhere fits none of
them, whatever it says."""
FOLDER = ".index"
_NAME = re.compile(r"metrics-[0-9a-f]{16}\.parquet")
_STEP = re.compile(rb'^\{"step": ?(\d{1,18})[,}]', re.MULTILINE)
_NUMBERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UBIGINT", "HUGEINT", "DOUBLE", "BOOLEAN", '"NULL"'}


def text_id(run: Run) -> str:
    """The run's id as SQL shows it; a folder's name need not be valid text."""
    return run.id.encode("utf-8", "replace").decode()


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def pattern(path: Path) -> str:
    """A path as the readers want it, which take it for a glob pattern."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def read_json_lines(path: Path) -> str:
    """SQL that reads JSON lines: every column found, none turned into a map."""
    options = "format='newline_delimited', records=true, sample_size=-1, map_inference_threshold=-1"
    return f"read_json({literal(pattern(path))}, {options}, field_appearance_threshold=0)"


def load_metrics(connection: "DuckDBPyConnection", root: Path, runs: Sequence[Run], scratch: Path) -> Path | None:
    """Make the view `metrics` and return the file of the index that it reads, None for none.

    Warns of every run whose metrics are damaged, which is left out, and of values that are no numbers, which are NULL:
    such runs are never kept in the index, so that each question says so again.
    """
    stamps = _stamps(runs)
    index = root / FOLDER
    known, file = _read_index(connection, index)
    changed = [run for run in runs if text_id(run) in stamps and known.get(text_id(run)) != stamps[text_id(run)]]
    stale = {name for name in known if name not in stamps} | {text_id(run) for run in changed}
    connection.execute("create schema kept")
    connection.execute("create table kept.stale as select unnest(?::varchar[]) as run", [sorted(stale)])
    whole, mended = _load_changed(connection, changed, scratch)
    sources = [f"select * from {table}" for table in (whole,) if table]
    if file is not None:
        sources.append(f"select * from {_parquet(file)} where run not in (select run from kept.stale)")
    if whole or any(name not in stamps for name in known):
        in_question = {text_id(run) for run in changed} - _runs_in(connection, whole)
        kept = {name: stamp for name, stamp in stamps.items() if name not in in_question}
        if (written := _write_index(connection, index, _union(sources), kept)) is not None:
            file, sources = written, [f"select * from {_parquet(written)}"]
    if mended:
        sources.append(f"select * from {mended}")
    connection.execute(f"create view metrics as {_union(sources)}")
    return file


def _union(sources: Sequence[str]) -> str:
    empty = "select ''::varchar as run, 0::bigint as step where false"
    return " union all by name ".join(sources or [empty])


def _parquet(path: Path) -> str:
    return f"read_parquet({literal(pattern(path))})"


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


# -- reading runs -----------------------------------------------------------------------------------------------------


def _load_changed(
    connection: "DuckDBPyConnection", runs: Sequence[Run], scratch: Path
) -> tuple[str | None, str | None]:
    """(table of the runs that are as they should be, table of those in which something had to be mended); None where
    there is none. At first the rows go to the database as they lie in the files; only where that shows something odd
    are they parsed one by one."""
    feed, usual, odd = scratch / "rows.jsonl", [], []
    with open(feed, "wb") as file:
        for run in watched(runs, "read the metrics of runs:"):
            lines = _usual_lines(run)
            if lines is None:
                odd.append(run)
            elif lines:
                usual.append(run)
                file.write(lines)
    whole = _table(connection, "kept.whole", feed, check=True) if usual else None
    if usual and whole is None:
        odd = list(runs)
    if not odd:
        return whole, None
    more, mended = _parse(connection, odd, scratch)
    return whole or more, _both(connection, whole and more, mended)


def _both(connection: "DuckDBPyConnection", more: str | None, mended: str | None) -> str | None:
    """Runs that were parsed beside others that were not need not be kept: they are few."""
    if more is None or mended is None:
        return more or mended
    both = _union([f"select * from {more}", f"select * from {mended}"])
    connection.execute(f"create view kept.parsed as {both}")
    return "kept.parsed"


def _usual_lines(run: Run) -> bytes | None:
    """Every whole row with its run's id put in front; a row that is being written is left out. None where a line does
    not begin as we write it, or steps do not increase."""
    try:
        data = plain_file(run.path, METRICS).read_bytes().rpartition(b"\n")[0]
    except (OSError, ValueError):
        return None
    if b'"":' in data:  # versions of DuckDB differ in what they make of a key without a name
        return None
    steps = list(map(int, _STEP.findall(data)))
    if len(steps) != data.count(b"\n") + bool(data) or any(b <= a for a, b in itertools.pairwise(steps)):
        return None
    front = b'{"run":' + to_json(text_id(run)).encode() + b","
    if data:
        return front + data[1:].replace(b'\n{"step"', b"\n" + front + b'"step"') + b"\n"
    return b""


def _parse(connection: "DuckDBPyConnection", runs: Sequence[Run], scratch: Path) -> tuple[str | None, str | None]:
    """The two tables, from rows that were parsed one by one. A run that cannot be read is left out with a warning."""
    names: dict[str, str] = {}
    feeds = {"whole": scratch / "whole.jsonl", "mended": scratch / "mended.jsonl"}
    written = dict.fromkeys(feeds, False)
    with open(feeds["whole"], "w") as whole, open(feeds["mended"], "w") as mended:
        for run in runs:
            try:
                rows, faults = mended_rows(run.rows(), names)
            except ValueError as error:
                warnings.warn(f"{error}; this run has no rows in metrics", stacklevel=5)
                continue
            for fault in faults:
                warnings.warn(f"{run.path / METRICS}: {fault}", stacklevel=5)
            kind = "mended" if faults else "whole"
            written[kind] |= bool(rows)
            file = mended if faults else whole
            file.writelines(to_json({"run": text_id(run), **row}) + "\n" for row in rows)
    tables = [_table(connection, f"kept.parsed_{k}", feeds[k]) if written[k] else None for k in feeds]
    return tables[0], tables[1]


def _table(connection: "DuckDBPyConnection", name: str, feed: Path, check: bool = False) -> str | None:
    """The rows of a file as a table of numbers. With `check` None where something in it is no number, or two columns
    differ by case only."""
    import duckdb

    try:
        connection.execute(f"create table {name}_raw as select * from {read_json_lines(feed)}")
    except duckdb.Error:
        if check:
            return None
        raise
    kinds = [row[:2] for row in connection.execute(f"describe {name}_raw").fetchall()]
    columns = {column: kind for column, kind in kinds if column not in ("run", "step")}
    if check and (kinds[0] != ("run", "VARCHAR") or _is_odd(connection, f"{name}_raw", columns)):
        connection.execute(f"drop table {name}_raw")
        return None
    numbers = "".join(f", {quoted(column)}::double as {quoted(column)}" for column in columns)
    connection.execute(
        f"create view {name} as select run::varchar as run, step::bigint as step{numbers} from {name}_raw"
    )
    return name


def _is_odd(connection: "DuckDBPyConnection", table: str, columns: dict[str, str]) -> bool:
    lowered = {column.lower() for column in columns} | {"run", "step"}
    renamed = any((base := re.sub(r"_\d+$", "", c.lower())) in lowered and base != c.lower() for c in columns)
    named = all(column.isprintable() for column in columns)
    if renamed or not named or any(kind not in _NUMBERS for kind in columns.values()):
        return True
    doubles = [f"bool_or(not isfinite({quoted(c)}))" for c, kind in columns.items() if kind == "DOUBLE"]
    if doubles:
        return any(connection.execute(f"select {', '.join(doubles)} from {table}").fetchall()[0])
    return False


def _runs_in(connection: "DuckDBPyConnection", table: str | None) -> set[str]:
    if table is None:
        return set()
    return {run for (run,) in connection.execute(f"select distinct run from {table}").fetchall()}


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
        kinds = [row[:2] for row in connection.execute(f"describe select * from {_parquet(file)}").fetchall()]
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
        plain_file(index.parent, f"{FOLDER}/none")
        temporary.touch(exist_ok=False)
        target = literal(str(temporary))
        connection.execute(f"copy (select * from ({source}) order by run, step) to {target} (format parquet)")
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
