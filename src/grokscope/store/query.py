"""Tables over many runs: one row per run, one row per evaluation, and SQL over both.

The run folders are the truth. All evaluations read so far are kept in ``<root>/.index`` (`grokscope.store.index`); the
next question reads anew only the runs whose metrics have changed. The folder can be deleted at any time.
"""

import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope import configio
from grokscope.files import finite, plain_file, to_json
from grokscope.flat_regime import SUPERSEDED
from grokscope.progress import watched, without_collector
from grokscope.results.cost import flops_per_step, flops_until, seconds_per_step
from grokscope.results.milestones import Milestone, MilestonesRecord, Span
from grokscope.store import kept_columns, kept_verdicts
from grokscope.store.ended import changed_since
from grokscope.store.folders import identity_hash
from grokscope.store.index import load_metrics
from grokscope.store.measured import measured_rows
from grokscope.store.run import METRICS, Run, find_runs
from grokscope.store.run_index import Known, RunIndex, leave, stamps_of
from grokscope.store.same_data import data_of
from grokscope.store.sql_text import literal, pattern, quoted, read_json_lines
from grokscope.vocabulary.splits import speaking

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

STATES = ("done", "running", "interrupted", "failed", "diverged", "planned", "damaged", "unreadable")
MILESTONES = ("T_fit", "T_gen", "T_gen_stable", "T_grok")
"""`T_grok` is None where no train loss was logged."""
LEVELS = ("delay", "delay_ratio", "peak", "peak_rule", "peak_step", "end", "final", "drop")

Judge = Callable[[Run, str], kept_verdicts.Splits]
"""Gives a run's verdicts, kept or new; the store itself knows only the kept ones. Raises ValueError where the run's
metrics are damaged."""


ALIVE = ("running", "interrupted")
"""States that also depend on whether a process holds the run now."""


def run_rows(root: str | Path, judge: Judge | None = None) -> list[dict[str, Any]]:
    """One flat row for each run under `root`, in order of name. A run whose config or status cannot be read is
    `unreadable`, one whose metrics are damaged, or not those it ended with, is `damaged`; `error` says what is wrong.

    Columns: id, path, task, regime, seed, n_train, state, step, total_steps, error; seconds, seconds_per_step,
    flops_per_step and flops (`grokscope.results.cost`); of the split that speaks for the
    run `split`, `verdict`, `qualifier`, `reason`, `robust`, milestones and levels; then every config value by its
    dotted name. What does not exist is None. A milestone that was not reached has the last step and ``T_gen_censored``
    true: filter on it, or average times that nobody has seen.
    """
    return [{**known.row, **known.config} for known in known_runs(root, judge)]


def known_runs(root: str | Path, judge: Judge | None = None, runs: Sequence[Run] | None = None) -> list[Known]:
    """What each of these runs says, of all under `root` if none are named: from the index (`grokscope.store.run_index`)
    where their files are what they were, else read now."""
    with without_collector():
        return _known_runs(RunIndex(root), judge, runs)


def _known_runs(index: RunIndex, judge: Judge | None, runs: Sequence[Run] | None) -> list[Known]:
    every = find_runs(index.root) if runs is None else runs
    rows = []
    for run in watched(every, "looked at runs:"):
        stamps = stamps_of(run)
        known = index.recall(run, stamps, judge is not None)
        if known is None:
            known, lasting = _read(run, judge)
            if lasting:
                index.note(run, stamps, known)
        rows.append(known)
    index.save(None if runs is not None else {run.id for run in every})
    return rows


def remember(run: Run) -> None:
    """Leave what a run says that has just ended, and was judged, in its folder, for the first look at all runs, and its
    columns (`grokscope.store.kept_columns`) for the first look at all curves."""
    kept_columns.leave(run.path)
    stamps = stamps_of(run)
    known, lasting = _read(run, None)
    if lasting and stamps_of(run) == stamps:
        leave(run, stamps, known)


def _read(run: Run, judge: Judge | None) -> tuple[Known, bool]:
    """What a run's files say now, and whether it stays true as long as they stay."""
    try:
        record, status = run.record, run.status
    except ValueError as error:
        row = {**_head(run, {}, {"state": "unreadable", "step": 0}), "error": str(error), **_verdict_columns({})}
        return Known(row, {}, {}, None, (None, {}), judge is not None), False
    try:
        plain_file(run.path, METRICS)
        problem = changed_since(run, status)
        splits = judge(run, status["state"]) if judge is not None else _recalled(run, status)
    except ValueError as error:
        splits, problem = {}, str(error)
    shown = status
    if problem:
        shown = {**status, "state": "damaged", "error": {"message": problem}}
        splits = {}
    row = {**_head(run, run.config, shown), **_verdict_columns(splits)}
    config = _config_columns(run.config)
    known = Known(row, config, status, identity_hash(record), data_of(record), judge is not None or bool(splits))
    lasting = not problem and status["state"] not in ALIVE and not record.get("plugins")
    return known, lasting


def _recalled(run: Run, status: dict[str, Any]) -> kept_verdicts.Splits:
    return kept_verdicts.recall(run, kept_verdicts.stamp(run, status["state"])) or {}


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
        **_cost_columns(config, status),
    }


def _cost_columns(config: dict[str, Any], status: dict[str, Any]) -> dict[str, float | None]:
    """What training has cost so far; None where it was not recorded."""
    counts = status.get("flops") or []
    return {
        "seconds": status.get("seconds"),
        "seconds_per_step": seconds_per_step(config, status),
        "flops_per_step": flops_per_step(counts),
        "flops": flops_until(counts, status["step"]),
    }


def _verdict_columns(splits: kept_verdicts.Splits) -> dict[str, Any]:
    """The columns of the split that speaks for a run; all None where there is none."""
    verdict = splits[speaking(splits)] if splits else None
    if verdict is None:
        moments = [column for name in MILESTONES for column in (name, f"{name}_censored")]
        return dict.fromkeys(("split", "verdict", "qualifier", "reason", "robust", "formation", *moments, *LEVELS))
    out = {
        "split": verdict.split,
        "verdict": verdict.verdict,
        "qualifier": verdict.qualifier,
        "reason": verdict.reason,
        "robust": verdict.robust if verdict.tested else None,
        "formation": None if verdict.formation is None else verdict.formation.route,
    }
    for name in MILESTONES:
        moment: Milestone | None = getattr(verdict.milestones, name)
        out |= {name: moment and moment.at, f"{name}_censored": moment and moment.censored}
    return out | {name: level(verdict.milestones, name) for name in LEVELS}


def level(milestones: MilestonesRecord, name: str) -> float | str | None:
    """One of `LEVELS`; None for a number that is not finite."""
    value = getattr(milestones, name)
    return finite(value.value if isinstance(value, Span) else value)


def _config_columns(config: dict[str, Any]) -> dict[str, Any]:
    flat = configio.with_items(configio.flatten(config))
    return {k: v if not isinstance(v, list) else str(v) for k, v in flat.items() if k != "seed"}


def sql(query: str, root: str | Path, judge: Judge | None = None) -> list[dict[str, Any]]:
    """Run an SQL query on the views `runs` (see `run_rows`), `metrics` (`run`, `step` and every column of every run's
    rows, NULL if a row lacks it) and `measured` (the same for checkpoints that were measured after their run).
    Non-finite values are NULL.

    A query can access only these views: it cannot read or write files, load extensions or change settings. Runs with
    damaged metrics are excluded from `metrics`, and non-numeric values are NULL; warnings list both.

    Raises:
        ValueError: for a statement that DuckDB rejects, with its reason, or that would access anything else.
    """
    import duckdb

    try:
        return _ask(query, Path(root), judge)
    except duckdb.IOException:  # another process has replaced the index meanwhile
        return _ask(query, Path(root), judge)


def _ask(query: str, root: Path, judge: Judge | None) -> list[dict[str, Any]]:
    import duckdb

    connection = duckdb.connect()
    try:
        with tempfile.TemporaryDirectory(prefix="grokscope-") as scratch:
            _only_asks(connection, query)
            files: list[Path] = []
            if re.search(r"\bruns\b", query, re.IGNORECASE):
                _load_runs(connection, run_rows(root, judge), Path(scratch))
            if re.search(r"\bmeasured\b", query, re.IGNORECASE):
                _load_measured(connection, find_runs(root), Path(scratch))
            if re.search(r"\bmetrics\b", query, re.IGNORECASE):
                files = load_metrics(connection, root, find_runs(root), Path(scratch))
            _lock_down(connection, files, Path(scratch))
            cursor = connection.execute(query)
            names = [d[0] for d in cursor.description or ()]
            return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
    except duckdb.IOException:
        raise
    except (duckdb.Error, RuntimeError) as error:
        raise ValueError(f"the query failed: {error}{_moved(query)}") from None
    finally:
        connection.close()


def _moved(query: str) -> str:
    """Where the columns of flat regimes are now, for a query that names one."""
    named = [key for key in SUPERSEDED if re.search(rf"\bregime\.{key}\b", query)]
    return "".join(f"\nregime.{key} {SUPERSEDED[key]}" for key in named)


_EXPLAIN = re.compile(r"(\s|--[^\n]*\n|/\*.*?\*/)*explain\b(\s+analyze\b|\s*\([\w\s,]*\))*", re.IGNORECASE | re.DOTALL)


def _only_asks(connection: "DuckDBPyConnection", query: str) -> None:
    """Raises ValueError for anything but one question: runs are read here, never written. ``explain analyze`` carries
    out what it explains, so that has to be a question too."""
    kinds = [statement.type.name for statement in connection.extract_statements(query)]
    if kinds == ["EXPLAIN"]:
        explained = _EXPLAIN.match(query)
        kinds = [s.type.name for s in connection.extract_statements(query[explained.end() :])] if explained else kinds
    if kinds != ["SELECT"]:
        what = " and ".join(kinds).lower() or "nothing"
        raise ValueError(f"one select statement is needed, got {what}; for example: select id, verdict from runs")


def _lock_down(connection: "DuckDBPyConnection", files: Sequence[Path], scratch: Path) -> None:
    """From here on the connection reads the files of `metrics` and nothing else, writes nothing (but what does not fit
    into memory, in `scratch`), loads nothing, and cannot be talked out of it."""
    readable = [literal(path) for file in files for path in (str(file), pattern(file))]
    for setting in (
        f"temp_directory = {literal(str(scratch))}",
        f"allowed_paths = [{', '.join(readable)}]",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "python_enable_replacements = false",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"set {setting}")


def _load_runs(connection: "DuckDBPyConnection", rows: Sequence[dict[str, Any]], scratch: Path) -> None:
    """The table `runs`. Columns without any value are text, so that a query may name them."""
    every = _columns(rows)
    feed = scratch / "runs.jsonl"
    with open(feed, "wb") as file:
        file.writelines((to_json({key: _cell(row.get(key)) for key in every}) + "\n").encode() for row in rows or [{}])
    connection.execute(f"create table runs as select * from {read_json_lines(feed)}")
    kinds = "select column_name, data_type from duckdb_columns() where table_name = 'runs'"
    for name, kind in connection.execute(kinds).fetchall():
        if kind in ("JSON", "NULL", '"NULL"'):  # of several types, or all null
            text = f"{quoted(name)} ->> '$'" if kind == "JSON" else "null"
            connection.execute(f"alter table runs alter {quoted(name)} type varchar using {text}")
    if not rows:
        connection.execute("delete from runs")


def _load_measured(connection: "DuckDBPyConnection", runs: Sequence[Run], scratch: Path) -> None:
    """The table `measured`: run, step, and a column for everything that was measured of any checkpoint."""
    rows: list[dict[str, Any]] = []
    for run in runs:
        rows += [{"run": run.id, "step": step, **values} for step, values in measured_rows(run.path).items()]
    names = [name for name in dict.fromkeys(chain.from_iterable(rows)) if name not in ("run", "step")]
    kinds = "".join(f", {quoted(name)} double" for name in names)
    connection.execute(f"create table measured (run varchar, step bigint{kinds})")
    if rows:
        blank = {"run": None, "step": None, **dict.fromkeys(names)}
        feed = scratch / "measured.jsonl"
        with open(feed, "wb") as file:
            file.writelines((to_json({**blank, **row}) + "\n").encode() for row in rows)
        connection.execute(f"insert into measured by name select * from {read_json_lines(feed)}")


def _columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Every key of every row. SQL does not tell columns apart that differ by case only, so the later one is left out,
    with a warning."""
    spelling: dict[str, str] = {}
    for key in dict.fromkeys(chain.from_iterable(rows)) or _empty_row():
        if not key or not key.isprintable() or spelling.setdefault(key.lower(), key) != key:
            warnings.warn(f"the config value {key!r} cannot be a column of runs and is excluded", stacklevel=4)
    return list(spelling.values())


def _cell(value: Any) -> Any:
    """A value that fits a column: text where it is no simple one."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and abs(value) >= 2**63:
        if abs(value) >= 2**1000:
            return str(value)
        return float(value)
    if value is None or isinstance(value, int | float):
        return value
    return str(value)


def _empty_row() -> list[str]:
    return [*_head(Run(Path("none")), {}, {"state": "", "step": 0}), *_verdict_columns({})]
