"""measure: measurements of checkpoints after a run, such as curvature and kernels."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.output import Result, print_table
from grokscope.config import require
from grokscope.results.measured import FOLDER
from grokscope.terminal import one_line
from grokscope.vocabulary.text import number, plural

if TYPE_CHECKING:
    from rich.console import Console

    from grokscope.measuring.checkpoints import MeasuredRun, Progress, Tell

SHOWN = 6
"""Maximum number of checkpoints shown in a table; the records contain all."""


@dataclass
class MeasuredRuns(Result):
    """Measurements of each run, and errors."""

    runs: "list[MeasuredRun]"
    errors: dict[str, str]
    """Run -> why nothing could be measured."""

    @property
    def exit_code(self) -> int:
        if self.errors or any(run.problems for run in self.runs):
            return 1
        return 0

    def data(self) -> Any:
        return [_plain(run) for run in self.runs] + [{"run": run, "error": why} for run, why in self.errors.items()]

    def show(self, console: "Console") -> None:
        for run in self.runs:
            _show(console, run)
        for run, why in self.errors.items():
            console.print(f"{run}: not measured: {why}")


def _plain(run: "MeasuredRun") -> dict[str, Any]:
    return {
        "run": run.run.id,
        "path": str(run.run.path),
        "computed": run.computed,
        "left": run.left,
        "seconds_per_checkpoint": run.seconds,
        "rows": run.rows,
        "reasons": {result.measurement: result.reasons for result in run.results},
        "problems": list(run.problems),
    }


def _show(console: "Console", run: "MeasuredRun") -> None:
    rows = run.rows
    console.print(f"{run.run.id}: {plural(len(rows), 'checkpoint')}, {run.computed:,} measured now")
    some = _some(rows)
    names = dict.fromkeys(name for row in rows for name in row if name != "step")
    if names:
        header = ["column", *(f"step {int(row['step']):,}" for row in some)]
        print_table(console, header, [[name, *(_cell(row.get(name)) for row in some)] for name in names])
    elif rows:
        console.print("none of these measurements applies to this run:")
    for result in run.results:
        for what, why in result.reasons.items():
            console.print(f"not available: {what}: {why}")
    for problem in run.problems:
        console.print(f"problem: {problem}")
    if run.left and run.seconds is not None:
        from grokscope.execute.forecast import duration

        left = f"{plural(run.left, 'checkpoint')} left, about {duration(run.seconds * run.left)}"
        console.print(f"{run.seconds:.3g} s for this checkpoint; {left}")
    console.print(f"records  {run.run.path / FOLDER}")


def _some(rows: Sequence[dict[str, float]]) -> Sequence[dict[str, float]]:
    """At most `SHOWN` evenly spaced rows, including the first and the last."""
    if len(rows) <= SHOWN:
        return rows
    return [rows[round(i * (len(rows) - 1) / (SHOWN - 1))] for i in range(SHOWN)]


def _cell(value: float | None) -> str:
    if value is None or value != value:
        return "-"
    return number(value)


def measure(
    runs: tuple[Path, ...],
    /,
    *,
    measure: tuple[str, ...],
    at: tuple[int, ...] = (),
    every_checkpoint: bool = False,
    probe: bool = False,
) -> MeasuredRuns:
    """Measure the checkpoints of a finished run: curvature, kernels, simplicity and others.

    ``grokscope measure runs/NAME --measure hessian,kernel`` measures the last checkpoint unless steps are given. The
    first checkpoint is timed to estimate the remaining time. Values are saved in the run's folder, in
    measured/NAME.json, without changing its metrics. `show`, `sql` (view `measured`), `explain` and the report read
    them. Existing values are not measured again.

    Args:
        runs: Run folders.
        measure: Names, separated by commas or spaces; `grokscope list measurement` lists them.
        at: Steps of the checkpoints to measure.
        every_checkpoint: Measure every stored checkpoint.
        probe: Measure one checkpoint only, and estimate the time for the others.
    """
    from grokscope.measuring.checkpoints import measure as measure_run

    require(bool(runs), "name at least one run folder")
    names = [part for word in measure for part in word.split(",") if part]
    results: list[MeasuredRun] = []
    errors: dict[str, str] = {}
    for run in runs:
        try:
            results.append(
                measure_run(
                    run,
                    names,
                    at=at,
                    every_checkpoint=every_checkpoint,
                    probe=probe,
                    watch=_progress_line(run.name),
                    tell=_cost_of(run.name),
                )
            )
        except ValueError as error:  # an error in one run does not affect the others
            errors[str(run)] = str(error)
    require(bool(results), "\n".join(errors.values()))
    return MeasuredRuns(results, errors)


def _cost_of(run: str) -> "Tell":
    """A line on stderr before new networks are trained."""

    def tell(networks: int, steps: int, seconds: float | None) -> None:
        from grokscope.execute.forecast import duration

        time = ""
        if seconds is not None:
            time = f", about {duration(seconds)} at the run's own speed"
        text = f"{run}: {plural(networks, 'new network')} to train, {steps:,} steps in total{time}"
        print(one_line(text), file=sys.stderr, flush=True)

    return tell


def _progress_line(run: str) -> "Any":
    """A line on stderr for each checkpoint, with the remaining time."""
    spent: list[float] = []

    def watch(progress: "Progress") -> None:
        from grokscope.execute.forecast import duration

        spent.append(progress.seconds)
        each = sum(spent) / len(spent)
        rest = progress.total - progress.done
        left = f": about {duration(each * rest)} left" if rest else ""
        text = f"{run} step {progress.step:,} | {progress.done} of {progress.total} done, {each:.3g} s each{left}"
        print(one_line(text), file=sys.stderr, flush=True)

    return watch
