"""verdict: classify runs and external logs, or apply a selection rule to them."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.logs import NO_LOG, LogOptions, Ticker, as_options, criteria_of, require_named
from grokscope.commands.output import Result, moment_text, note_lines, print_table
from grokscope.commands.selected import Selected, selections
from grokscope.config import require
from grokscope.progress import watched
from grokscope.results.record import plain
from grokscope.results.verdict import VerdictRecord
from grokscope.store import Run, find_runs, open_run
from grokscope.store.ended import require_whole
from grokscope.store.kept_verdicts import Splits
from grokscope.verdicts import run_verdicts, verdict_line
from grokscope.vocabulary.text import number, p_equation, p_value, plural

if TYPE_CHECKING:
    from rich.console import Console

    from grokscope.foreign import Comparison, Group, JudgedLog, JudgedLogs
    from grokscope.foreign.sources import Listing, Source
    from grokscope.trajectory import Criteria


@dataclass
class Judged(Result):
    """Verdicts by source and held-out split, with comparisons between groups of sources."""

    sources: dict[str, Splits]
    errors: dict[str, str] = field(default_factory=dict)
    """Source -> why it could not be judged."""
    left: Sequence[str] = ()
    """Messages about files that were left out of folders."""
    grouped: "JudgedLogs | None" = None
    """Set if a group pattern was given."""
    unit: str = "steps"
    """Unit of the steps of all sources; for a log, the name of its step column."""

    def data(self) -> Any:
        by_source: dict[str, Any] = {name: plain(splits) for name, splits in self.sources.items()}
        by_source |= {name: {"error": words} for name, words in self.errors.items()}
        if self.grouped is None:
            return by_source
        return {
            "sources": by_source,
            "groups": [group.to_dict() for group in self.grouped.groups],
            "comparisons": [test.to_dict() for test in self.grouped.comparisons],
            "unmatched": list(self.grouped.unmatched),
        }

    @property
    def exit_code(self) -> int:
        """2 if no source could be judged."""
        every = chain.from_iterable(splits.values() for splits in self.sources.values())
        judged = [v.verdict for v in every]
        return 2 if judged and not any(judged) else 0

    def show(self, console: "Console") -> None:
        if self.grouped is None:
            self._show_sources(console)
        else:
            show_groups(console, self.grouped, self.unit)
        for words in self.errors.values():
            console.print(f"not judged: {words}")
        for words in self.left:
            console.print(f"note: {words}")

    def _show_sources(self, console: "Console") -> None:
        times = [f"T_fit [{self.unit}]", f"T_gen [{self.unit}]", "delay ratio [times]"]
        header = ["source", "split", "verdict", "robust", *times, "peak [score]", "peak rule", "end [score]"]
        rows: list[list[str]] = []
        for source, splits in self.sources.items():
            rows += [[source, *_cells(v)] for v in splits.values()]
        print_table(console, header, rows)
        for splits in self.sources.values():
            for v in splits.values():
                if len(rows) <= 3 or v.verdict is None:
                    console.print(verdict_line(v))
                    _show_neighbors(v, console)
        for line in note_lines([_notes(splits) for splits in self.sources.values()]):
            console.print(line)


def _cells(v: VerdictRecord) -> list[str]:
    m = v.milestones
    steps = [moment_text(moment) for moment in (m.T_fit, m.T_gen, m.delay_ratio)]
    robust = "yes" if v.robust else "no"
    return [v.split, v.label, robust, *steps, _or_empty(m.peak), m.peak_rule, _or_empty(m.end)]


def _or_empty(value: float) -> str:
    return "" if isnan(value) else number(value)


def _show_neighbors(v: VerdictRecord, console: "Console") -> None:
    other = {k: name for k, name in v.neighbors.items() if name != v.verdict}
    if other:
        console.print("  with " + ", ".join(f"{k}: {name}" for k, name in other.items()))


def _notes(splits: Splits) -> list[str]:
    return list(chain.from_iterable(verdict.notes for verdict in splits.values()))


def show_groups(console: "Console", logs: "JudgedLogs", unit: str = "steps") -> None:
    """Show one row per group and split, the tests between groups, and the logs in no group."""
    splits = {group.split for group in logs.groups}
    header = ["group", "split", "logs", "verdicts", "reached", f"median T_gen [{unit}]"]
    keep = [i for i, name in enumerate(header) if name != "split" or len(splits) > 1]
    rows = [_group_cells(group) for group in logs.groups]
    print_table(console, [header[i] for i in keep], [[row[i] for i in keep] for row in rows])
    for test in logs.comparisons:
        console.print(_comparison_line(test, len(splits) > 1))
    groups = {group.name for group in logs.groups}
    if len(groups) > 2 and not logs.comparisons:
        console.print(
            f"{plural(len(groups), 'group')}: too many for tests of every pair; narrow the pattern or the files"
        )
    if logs.unmatched:
        console.print(f"in no group, because the pattern does not match: {', '.join(logs.unmatched)}")


def _group_cells(group: "Group") -> list[str]:
    verdicts = ", ".join(f"{count:,} {label}" for label, count in group.verdicts.items())
    head = [group.name, group.split, f"{group.n:,}", verdicts]
    if group.T_gen is None:
        return [*head, "", ""]
    return [*head, f"{group.T_gen.events:,} of {group.T_gen.n:,}", group.T_gen.median_text()]


def _comparison_line(test: "Comparison", named: bool) -> str:
    front = f"{test.groups[0]} and {test.groups[1]}{f' on {test.split}' if named else ''}: "
    if test.test.p is None:
        return front + test.test.reason
    smallest = ""
    if test.test.smallest_p is not None:
        smallest = f"; smallest attainable {p_value(test.test.smallest_p)}"
    adjusted = "" if test.p_holm is None or test.p_holm == test.test.p else f", Holm {p_value(test.p_holm)}"
    notes = "".join(f"; {note}" for note in test.test.notes)
    return f"{front}log-rank {p_equation(test.test.p)}{adjusted} (two-sided, exact{smallest}){notes}"


def verdict(
    paths: Sequence[Path],
    /,
    *,
    log: LogOptions = NO_LOG,
    join: bool = False,
    group: str | None = None,
    rule: tuple[str, ...] = (),
    overrides: Mapping[str, Any] | None = None,
) -> Judged | Selected:
    """Classify runs or external logs as grokked, ungrokked, memorized, ..., each with its evidence.

    A log is a CSV, TSV, JSONL or JSON file with one row per evaluation. Name its columns: ``grokscope verdict log.csv
    --step epoch --train train_acc --held-out test=val_acc``. ``--criteria.fit 0.98`` and similar options set
    thresholds. ``--group '(?P<setting>.*)_s(?P<seed>\\d+)'`` compares groups of logs.

    Args:
        paths: Run folders, folders of runs or logs, log files, or quoted patterns ('logs/*.csv').
        log: Columns and format of external logs.
        join: Join the files into one log by step: TensorBoard and W&B export one file per chart. A column of a
            TensorBoard file has the name of the file without its extension.
        group: Regular expression for each path without its extension. The named group seed distinguishes the runs of
            one group; the other named groups form its name. Prints verdicts, median T_gen and log-rank tests by group.
        rule: Instead of a verdict, print the scores at the evaluation chosen by this selection rule (final,
            mean_last=5, peak_ood_val, peak_id_val, step=400, or oracle: the best on ood_test, labeled as such); several
            for a table.

    Raises:
        ValueError: if nothing could be judged: a path that is neither run nor log, a missing column (with the closest
            name), a cell that is not a number, an unknown rule. If some sources were judged, the result lists the
            others.
    """
    from grokscope.foreign.sources import find_sources

    require(bool(paths), "verdict needs a run folder, a folder of runs or logs, or a log file")
    columns = log.arguments()
    listing = _joined(paths) if join else find_sources(paths)
    _require_columns(paths, listing, log, join)
    if rule:
        require(not overrides, "--rule uses no thresholds; omit the criteria")
        require(group is None, "--group and --rule cannot be combined")
        return selections(listing, rule, lambda source: _read(source, columns))
    criteria = criteria_of(overrides or {})
    if group is not None:
        return _grouped(paths, listing, group, criteria, columns, join)
    return _each(listing, criteria, columns)


def _joined(paths: Sequence[Path]) -> "Listing":
    """Several files as one source."""
    from grokscope.foreign.sources import Listing, Source, find_sources

    listing = find_sources(paths)
    require(not listing.errors, "\n".join(listing.errors.values()))
    require(all(s.run is None for s in listing.sources), "--join is for log files, not for runs")
    files = tuple(source.path for source in listing.sources)
    require(len(files) > 1, "--join needs two files or more")
    return Listing([Source(" and ".join(map(str, files)), files[0], files=files)])


def _require_columns(paths: Sequence[Path], listing: "Listing", log: LogOptions, join: bool) -> None:
    """Raises ValueError with the command that the column names of the first log suggest, if no columns were given."""
    logs = [source for source in listing.sources if source.run is None]
    if logs:
        command = f"grokscope verdict {shlex.join(map(str, paths))}{' --join' if join else ''}"
        require_named(log, list(logs[0].files) if logs[0].files else logs[0].path, command)


def _read(source: "Source", columns: dict[str, Any]) -> Any:
    from grokscope.foreign.judging import read_source

    return read_source(source, columns)


def _each(listing: "Listing", criteria: "Criteria | None", columns: dict[str, Any]) -> Judged:
    """Judge every source on its own. Verdicts of runs are cached, so repeating this is fast."""
    from grokscope.foreign.judging import judge_source

    errors = {name: as_options(words) for name, words in listing.errors.items()}
    judged = Judged({}, errors, listing.left, unit=_unit(listing.sources, columns))
    for source in watched(listing.sources, "judged"):
        if source.run is not None:
            try:
                judged.sources[source.name] = _of_run(source.run, criteria)
            except ValueError as error:
                judged.errors[source.name] = str(error) if source.name in str(error) else f"{source.name}: {error}"
        else:
            log = judge_source(source, None, criteria, columns)
            if log.error is None:
                judged.sources[source.name] = _records(log)
            else:
                judged.errors[source.name] = as_options(log.error)
    require(bool(judged.sources), _summary(judged.errors))
    return judged


def _summary(errors: Mapping[str, str]) -> str:
    """The first few of many errors, each once."""
    words = list(dict.fromkeys(errors.values()))
    return "\n".join([*words[:5], *([f"and {len(words) - 5} more"] if len(words) > 5 else [])])


def _grouped(
    paths: Sequence[Path],
    listing: "Listing",
    group: str,
    criteria: "Criteria | None",
    columns: dict[str, Any],
    join: bool,
) -> Judged:
    from grokscope.foreign import verdicts_of_logs

    require(not join, "--group and --join cannot be combined")
    try:
        logs = verdicts_of_logs(paths, group=group, criteria=criteria, progress=Ticker("judged"), **columns)
    except ValueError as error:
        raise ValueError(as_options(str(error))) from None
    sources = {log.name: _records(log) for log in logs if log.error is None}
    errors = {name: as_options(words) for name, words in logs.errors.items()}
    return Judged(sources, errors, logs.left, logs, _unit(listing.sources, columns))


def _unit(sources: "Sequence[Source]", columns: Mapping[str, Any]) -> str:
    """``steps`` for runs; for logs the name of their step column, or both."""
    named = str(columns["step"] or "steps")
    kinds = ["steps" if source.run is not None else named for source in sources]
    return " or ".join(dict.fromkeys(kinds)) or "steps"


def _records(log: "JudgedLog") -> Splits:
    return {split: replace(verdict.record(), notes=log.notes) for split, verdict in log.verdicts.items()}


def _of_run(run: Run, criteria: "Criteria | None") -> Splits:
    require_whole(run)
    by_split = run_verdicts(run, criteria)
    require(bool(by_split), f"{run.path}: no evaluations yet")
    return by_split


def runs_at(path: Path) -> list[Run]:
    """The run in a folder, or all runs in it. Raises ValueError if there are none."""
    runs = find_runs(path)
    if not runs:
        open_run(path)  # raises the appropriate error
    return runs
