"""Tables over many runs: a row for each run, a row for each evaluation, and SQL over both.

The run folders are the truth. All evaluations read so far are kept as Parquet in ``<root>/.index``; the next question
reads anew only the runs whose metrics have changed. The folder can be deleted at any time.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope import configio
from grokscope.store import judged
from grokscope.store.files import read_json, to_json
from grokscope.store.run import Run, find_runs

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

STATES = ("done", "running", "interrupted", "failed", "diverged", "planned", "unreadable")
MILESTONES = ("T_fit", "T_gen", "T_gen_stable")
LEVELS = ("delay", "delay_ratio", "peak", "peak_rule", "peak_step", "final", "drop")

Judge = Callable[[Run, str], judged.Splits]
"""Gives a run's verdicts, kept or new; the store itself knows only the kept ones."""


def run_rows(root: str | Path, judge: Judge | None = None) -> list[dict[str, Any]]:
    """One flat row for each run under `root`, in order of name, damaged ones included as `unreadable`.

    Columns: id, path, task, regime, seed, n_train, state, step, total_steps, error; of the split that speaks for the
    run `split`, `verdict`, `qualifier`, `robust`, milestones and levels; then every config value by its dotted name.
    What does not exist is None. A milestone that was not reached has the last step and ``T_gen_censored`` true: filter
    on it, or average times that nobody has seen.
    """
    return [_row(run, judge) for run in find_runs(root)]


def _row(run: Run, judge: Judge | None) -> dict[str, Any]:
    try:
        config, status = run.config, run.status
    except ValueError as error:
        return {**_head(run, {}, {"state": "unreadable", "step": 0}), "error": str(error), **_verdict_columns({})}
    if judge is not None:
        splits = judge(run, status["state"])
    else:
        splits = judged.recall(run, judged.stamp(run, status["state"]))
    return {**_head(run, config, status), **_verdict_columns(splits or {}), **_config_columns(config)}


def _head(run: Run, config: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": run.id,
        "path": str(run.path),
        "task": config.get("task", {}).get("name"),
        "regime": config.get("regime", {}).get("name"),
        "seed": config.get("seed"),
        "n_train": run.facts.get("splits", {}).get("train", {}).get("n") if config else None,
        "state": status["state"],
        "step": status["step"],
        "total_steps": status.get("total_steps"),
        "error": (status.get("error") or {}).get("message"),
    }


def _verdict_columns(splits: judged.Splits) -> dict[str, Any]:
    split = judged.speaking(splits) if splits else None
    verdict = splits[split] if split else {"milestones": {}}
    found = verdict["milestones"]
    out = {"split": split, "verdict": verdict.get("verdict"), "qualifier": verdict.get("qualifier")}
    out["robust"] = verdict["robust"] if verdict.get("neighbours") else None  # unknown where it was not asked
    for name in MILESTONES:
        out |= {name: found.get(name, {}).get("at"), f"{name}_censored": found.get(name, {}).get("censored")}
    for name in LEVELS:
        value = found.get(name)
        out[name] = value["value"] if isinstance(value, dict) else value
    return out


def _config_columns(config: dict[str, Any]) -> dict[str, Any]:
    flat = configio.flatten(config)
    return {k: v if not isinstance(v, list) else str(v) for k, v in flat.items() if k != "seed"}


def sql(query: str, root: str | Path, judge: Judge | None = None) -> list[dict[str, Any]]:
    """Ask SQL of the views `runs` (see `run_rows`) and `metrics` (`run`, `step` and every column of every run's rows,
    NULL where a row lacks it). Non-finite values were written as null and are NULL.

    Raises:
        ValueError: for a statement that DuckDB refuses, with its reason, or that would change or write something;
            damaged metrics.
    """
    import duckdb

    connection = duckdb.connect()
    try:
        _only_asks(connection, query)
        if re.search(r"\bruns\b", query, re.IGNORECASE):
            _load_runs(connection, run_rows(root, judge))
        if re.search(r"\bmetrics\b", query, re.IGNORECASE):
            _load_metrics(connection, Path(root), find_runs(root))
        cursor = connection.execute(query)
        names = [d[0] for d in cursor.description or ()]
        return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
    except duckdb.Error as error:
        raise ValueError(f"the query failed: {error}") from None
    finally:
        connection.close()


def _only_asks(connection: "DuckDBPyConnection", query: str) -> None:
    """Raises ValueError for anything but one question: runs are read here, never written."""
    kinds = [statement.type.name for statement in connection.extract_statements(query)]
    if len(kinds) != 1 or kinds[0] not in ("SELECT", "EXPLAIN"):
        what = " and ".join(kinds).lower() or "nothing"
        raise ValueError(f"one select statement is needed, got {what}; for example: select id, verdict from runs")


def _load_runs(connection: "DuckDBPyConnection", rows: Sequence[dict[str, Any]]) -> None:
    """The table `runs`. Columns without any value are text, so that a query may name them."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        every = dict.fromkeys(key for row in rows for key in row) or dict.fromkeys(_empty_row())
        file.writelines((to_json({key: row.get(key) for key in every}) + "\n").encode() for row in rows or [every])
        file.flush()
        connection.execute(f"create table runs as select * from {_read_json(file.name)}")
    kinds = "select column_name, data_type from duckdb_columns() where table_name = 'runs'"
    for name, kind in connection.execute(kinds).fetchall():
        if kind in ("JSON", "NULL", '"NULL"'):  # of several types, or all null
            text = f"{_quoted(name)} ->> '$'" if kind == "JSON" else "null"
            connection.execute(f"alter table runs alter {_quoted(name)} type varchar using {text}")
    if not rows:
        connection.execute("delete from runs")


def _empty_row() -> list[str]:
    return [*_head(Run(Path("none")), {}, {"state": "", "step": 0}), *_verdict_columns({})]


def _read_json(path: str) -> str:
    return f"read_json('{path}', format='newline_delimited', sample_size=-1)"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


# -- metrics ---------------------------------------------------------------------------------------------------------


def _load_metrics(connection: "DuckDBPyConnection", root: Path, runs: Sequence[Run]) -> None:
    """The view `metrics`: what the index holds of unchanged runs, and the others read anew."""
    stamps = {run.id: stamp for run in runs if (stamp := _stamp(run))}
    index = root / ".index"
    known, kept_file = _read_index(index)
    changed = [run for run in runs if run.id in stamps and known.get(run.id) != stamps[run.id]]
    gone = [name for name in known if name not in stamps]
    if kept_file is not None and not changed and not gone:
        connection.execute(f"create view metrics as select * from '{kept_file}'")
        return
    stale = [*gone, *(run.id for run in changed)]
    _union(connection, kept_file, stale, changed)
    if changed:
        _write_index(connection, index, stamps)


def _stamp(run: Run) -> list[int] | None:
    try:
        stat = (run.path / "results" / "metrics.jsonl").stat()
    except FileNotFoundError:
        return None
    return [stat.st_size, stat.st_mtime_ns] if stat.st_size else None


def _union(connection: "DuckDBPyConnection", kept_file: Path | None, stale: list[str], changed: Sequence[Run]) -> None:
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.writelines(_named_rows(changed))
        file.flush()
        fresh = f"select run, step, columns(* exclude (run, step))::double from {_read_json(file.name)}"
        parts = [fresh] if changed else []
        if kept_file is not None:
            connection.execute("create temp table stale as select unnest(?::varchar[]) as run", [stale])
            parts.append(f"select * from '{kept_file}' where run not in (select run from stale)")
        empty = "select ''::varchar as run, 0::bigint as step where false"
        connection.execute(f"create table metrics as {' union all by name '.join(parts or [empty])}")


def _named_rows(runs: Iterable[Run]) -> Iterable[bytes]:
    """Every whole row, with its run's id put in front; a row that is being written is left out."""
    for run in runs:
        whole = (run.path / "results" / "metrics.jsonl").read_bytes().rpartition(b"\n")[0]
        front = b'{"run":' + to_json(run.id).encode() + b","
        for line in whole.split(b"\n"):
            if not line.startswith(b'{"step"'):
                raise ValueError(f"{run.path / 'results' / 'metrics.jsonl'}: not rows of metrics; the file is damaged")
            yield front + line[1:] + b"\n"


def _read_index(index: Path) -> tuple[dict[str, list[int]], Path | None]:
    """(run id -> state of its metrics when read, the Parquet file), or nothing where there is no usable index."""
    try:
        data = read_json(index / "metrics.json")
        file = index / data["file"]
        return (data["runs"], file) if file.is_file() else ({}, None)
    except (ValueError, KeyError, TypeError, OSError):
        return {}, None


def _write_index(connection: "DuckDBPyConnection", index: Path, stamps: dict[str, list[int]]) -> None:
    """Write the table beside the old one, then switch: a reader sees the old index or the new. Silently does without
    where the folder cannot be written."""
    name = f"metrics-{configio.content_hash(stamps)[:16]}.parquet"
    temporary = index / f".{os.getpid()}.tmp"
    try:
        index.mkdir(exist_ok=True)
        temporary.touch()
        connection.execute(f"copy (select * from metrics order by run, step) to '{temporary}' (format parquet)")
        os.replace(temporary, index / name)
        temporary.write_text(to_json({"file": name, "runs": stamps}), encoding="utf-8")
        os.replace(temporary, index / "metrics.json")
        for old in index.glob("metrics-*.parquet"):
            if old.name != name:
                old.unlink(missing_ok=True)
    except OSError:
        return
