"""stopping: replay early-stopping rules on runs and logs that were trained to their end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.logs import NO_LOG, LogOptions, Ticker, as_options, criteria_of
from grokscope.commands.output import Result, print_table
from grokscope.config import require
from grokscope.results.stopping import PatienceNeeded, Regret, RuleResult, Stopping
from grokscope.vocabulary.text import plural, whole

if TYPE_CHECKING:
    from rich.console import Console

HEADER = ("rule", "runs", "stopped", "grokked", "missed", "95 % [share]", "regret", "after T_gen", "spent [share]")


@dataclass
class Replayed(Result):
    """The effect that each rule would have had."""

    stopping: Stopping
    by_group: bool
    unit: str

    def data(self) -> Any:
        return self.stopping.to_dict()

    def show(self, console: "Console") -> None:
        known = self.stopping
        console.print(f"{plural(known.runs, 'run')} trained to the end, judged on {known.split}")
        self._show_group(console, "")
        for group in known.groups if self.by_group else ():
            console.print("")
            console.print(group, style="bold")
            self._show_group(console, group)
        console.print("")
        console.print(
            "missed: runs that grokked but would have been stopped before T_gen; a run that is never "
            "stopped is not missed"
        )
        console.print(
            f"regret: {known.split} at the end minus that at the stop, mean over runs; after T_gen: over runs that "
            "grokked and were stopped afterward; a negative value means that stopping helped"
        )
        if any(rule.oracle for rule in known.rules):
            console.print("oracle: monitors a split reserved for reporting; no valid training procedure could use it")
        for words in known.errors.values():
            console.print(f"not replayed: {words}")
        for words in known.notes:
            console.print(f"note: {words}")

    def _show_group(self, console: "Console", group: str) -> None:
        print_table(console, HEADER, [_cells(rule) for rule in self.stopping.of(group)])
        for needed in self.stopping.needed:
            if needed.group == group:
                console.print(_needed_line(needed, self.unit))


def _cells(r: RuleResult) -> list[str]:
    missed, interval = ("", "") if r.interval is None else (str(r.missed), _interval(r.interval))
    counts = [f"{count:,}" for count in (r.runs, r.stopped, r.grokked)]
    return [r.name, *counts, missed, interval, _regret(r.regret), _regret(r.regret_after), f"{r.spent:.2f}"]


def _interval(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.2f} to {interval[1]:.2f}"


def _regret(regret: Regret | None) -> str:
    return "" if regret is None else f"{regret.end:+.3f}"


def _needed_line(n: PatienceNeeded, unit: str) -> str:
    by = f" by more than {n.min_delta:g}" if n.min_delta else ""
    stamp = " (an oracle's column)" if n.oracle else ""
    return (
        f"to miss none of the {n.runs:,} that grokked, a patience on {n.on}{by}{stamp} must be at least "
        f"{n.evaluations:,} "
        f"evaluations, or more than {whole(n.steps)} {unit} (longest wait: {n.slowest})"
    )


def stopping(
    paths: Sequence[Path],
    /,
    *,
    on: tuple[str, ...] = (),
    patience: tuple[float, ...] = (),
    patience_steps: tuple[float, ...] = (),
    min_delta: tuple[float, ...] = (),
    reach: tuple[str, ...] = (),
    then: tuple[float, ...] = (),
    split: str | None = None,
    group: str | None = None,
    by_group: bool = False,
    unfinished: bool = False,
    log: LogOptions = NO_LOG,
    overrides: Mapping[str, Any] | None = None,
) -> Replayed:
    """Replay early-stopping rules on finished runs or external logs: what they miss, cost and save. Trains nothing.

    Every patience is combined with every column, and every level with every number of steps after it: ``grokscope
    stopping runs --on id_val_loss --patience 5 20 --reach train_acc=0.99 --then 0 1000``. A rule that monitors a split
    reserved for reporting is labeled as an oracle.

    Args:
        paths: Run folders, folders of runs or logs, log files, or quoted patterns ('logs/*.csv').
        on: Columns that a patience rule monitors: split_loss, split_acc or split_r2.
        patience: Number of evaluations without an improvement after which a rule stops.
        patience_steps: The same in steps.
        min_delta: Smallest change that counts as an improvement.
        reach: Levels at which a rule stops, column=level.
        then: Number of steps to continue after a level is reached.
        split: The held-out split by which runs are judged; by default their headline split.
        group: Regular expression for each path, as for verdict; by default runs are grouped by their regime.
        by_group: Also print a table for each group; --json always includes them.
        unfinished: Also replay runs that have not ended, as if their last evaluation were the end.
        log: Columns and format of external logs.

    Raises:
        ValueError: if nothing could be judged, for an unknown column (with the closest name), or for an invalid rule.
    """
    from grokscope.foreign.sources import find_sources
    from grokscope.foreign.stopping import replay_sources
    from grokscope.inference.stopping import grid_of

    require(bool(paths), "stopping needs a run folder, a folder of runs or logs, or a log file")
    columns = log.arguments()
    rules = grid_of(on, patience, patience_steps, min_delta, [_level(words) for words in reach], then)
    listing = find_sources(paths)
    logs = [source for source in listing.sources if source.run is None]
    require(
        not logs or log.named,
        "name the columns of the logs: --step epoch --train train_acc --held-out id_val=val_acc; grokscope verdict LOG "
        "suggests them",
    )
    try:
        result = replay_sources(
            listing, rules or None, split=split, group=group, unfinished=unfinished,
            criteria=criteria_of(overrides or {}), progress=Ticker("read"), columns=columns,
        )  # fmt: skip
    except ValueError as error:
        raise ValueError(as_options(str(error))) from None
    unit = log.step if logs and log.step else "steps"
    return Replayed(result, by_group, unit)


def _level(words: str) -> tuple[str, float]:
    """``train_acc=0.99``."""
    column, _, value = words.partition("=")
    try:
        return column, float(value)
    except ValueError:
        raise ValueError(f"--reach {words}: expected column=level, for example train_acc=0.99") from None
