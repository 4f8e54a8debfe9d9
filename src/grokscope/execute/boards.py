"""Progress display: live bars on a terminal, otherwise one plain line per interval. Always on stderr."""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from grokscope.execute.forecast import Forecast, duration
from grokscope.execute.protocol import Board, Job, Outcome
from grokscope.terminal import one_line
from grokscope.vocabulary.text import plural

if TYPE_CHECKING:
    from rich.progress import TaskID

WORDS = {
    "done": "done",
    "diverged": "diverged",
    "failed": "FAILED",
    "interrupted": "interrupted",
    "elsewhere": "left alone",
    "waiting": "not begun",
}


def board_for(stream: TextIO | None = None, interval: float = 10.0) -> Board:
    """Bars where `stream` (stderr) is a terminal, plain lines elsewhere."""
    chosen = stream if stream is not None else sys.stderr
    if chosen.isatty():
        return Bars()
    return Lines(chosen, interval)


def _done(steps: float, total: float) -> str:
    """Share of the steps, rounded down: what still goes on is never shown as 100 %."""
    return f"{100 * steps / max(total, 1) // 1:.0f}%"


def _sentence(outcome: Outcome) -> str:
    where = ""
    if outcome.state in ("interrupted", "failed"):
        where = f" at step {outcome.step:,} of {outcome.job.total:,}"
    why = ""
    if outcome.message and (outcome.trouble or outcome.state != "interrupted"):
        why = f": {outcome.message}"
    return f"{WORDS[outcome.state]:<11} {outcome.job.label}{where}{why}"


def _totals(forecast: Forecast) -> str:
    left = forecast.seconds_left()
    failed = forecast.count("failed")
    parts = [f"{forecast.count('done', 'diverged'):,} of {len(forecast.jobs):,} done"]
    if failed:
        parts.append(f"{failed:,} failed")
    if left:
        parts.append(f"about {duration(left)} left")
    return ", ".join(parts)


class Lines:
    """Plain text: a line when a run ends, and one for the whole every `interval` seconds."""

    def __init__(self, stream: TextIO, interval: float):
        self.stream, self.interval = stream, interval
        self.forecast = Forecast((), 1)
        self.last = time.monotonic()

    def begin(self, jobs: Sequence[Job], workers: int) -> None:
        self.forecast, self.last = Forecast(jobs, workers), time.monotonic()
        self.note(f"{plural(len(jobs), 'run')} to train, {plural(workers, 'worker')}")

    def progress(self, job: Job, step: int, total: int, steps_per_s: float) -> None:
        self.forecast.progress(job, step, steps_per_s)
        if time.monotonic() - self.last >= self.interval:
            self.last = time.monotonic()
            now = "; ".join(
                f"{j.label} {_done(self.forecast.steps[j.run.name], j.total)}" for j in self.forecast.running
            )
            self.note(f"{_totals(self.forecast)} | {now}")

    def ended(self, outcome: Outcome) -> None:
        self.forecast.end(outcome)
        if outcome.state != "waiting":
            left = ""
            if outcome.state != "interrupted":
                left = f" ({_totals(self.forecast)})"
            self.note(f"{_sentence(outcome)}{left}")

    def note(self, line: str) -> None:
        print(one_line(line), file=self.stream, flush=True)

    def close(self) -> None: ...


class Bars:
    """Live bars: one for the whole, one for each running run."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.live = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[done]:>4} {task.fields[tail]}", markup=False),
            console=Console(stderr=True),
        )
        self.whole: TaskID | None = None
        self.steps = 0
        """Of all runs together."""
        self.tasks: dict[str, TaskID] = {}
        self.forecast = Forecast((), 1)

    def begin(self, jobs: Sequence[Job], workers: int) -> None:
        self.forecast = Forecast(jobs, workers)
        steps = sum(job.total for job in jobs)
        if self.whole is not None:  # a study's forks follow their parents
            self.live.remove_task(self.whole)
        self.steps = steps
        self.whole = self.live.add_task("all runs", total=max(steps, 1), done="", tail="")
        self._update()
        self.live.start()

    def progress(self, job: Job, step: int, total: int, steps_per_s: float) -> None:
        self.forecast.progress(job, step, steps_per_s)
        if job.run.name not in self.tasks:
            self.tasks[job.run.name] = self.live.add_task(one_line(job.label), total=max(total, 1), done="", tail="")
        tail = f"{step:,} of {total:,} steps, {steps_per_s:,.0f} a second"
        self.live.update(self.tasks[job.run.name], completed=step, done=_done(step, total), tail=tail)
        self._update()

    def ended(self, outcome: Outcome) -> None:
        self.forecast.end(outcome)
        task = self.tasks.pop(outcome.job.run.name, None)
        if task is not None:
            self.live.remove_task(task)
        if outcome.state != "waiting":
            self.note(_sentence(outcome))
        self._update()

    def note(self, line: str) -> None:
        self.live.console.print(one_line(line), markup=False, highlight=False)

    def close(self) -> None:
        self.live.stop()

    def _update(self) -> None:
        assert self.whole is not None
        done = self.forecast.done_steps()
        self.live.update(self.whole, completed=done, done=_done(done, self.steps), tail=_totals(self.forecast))
