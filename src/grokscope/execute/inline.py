"""Train one run, or one stack of runs, after the other in this process: for notebooks, debuggers and small machines."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grokscope.execute.attempt import Result, attempt, attempt_stack, interrupted
from grokscope.execute.protocol import Board, Job, Outcome
from grokscope.execute.stacks import Unit, Way, arrange
from grokscope.storage import Storage


@dataclass(frozen=True)
class Inline:
    """Trains in the calling process, one run or one stack of runs at a time; Ctrl-C saves what is running and stops."""

    way: Way = "one"
    stack: int | None = None
    """Runs of a stack, at most (`grokscope.execute.stacks`)."""

    def execute(self, jobs: Sequence[Job], board: Board) -> list[Outcome]:
        outcomes: dict[Path, Outcome] = {}
        units = arrange(jobs, self.way, self.stack)
        board.begin(jobs, 1)
        storage = Storage.of(jobs[0].root) if jobs else None
        stopped = False
        for unit in units:
            results: Sequence[Result] = [Result("waiting", job.step) for job in unit.jobs]
            asked = True
            if not stopped and storage is not None and (trouble := storage.trouble()):
                results = [Result("interrupted", job.step, trouble, trouble=True) for job in unit.jobs]
            elif not stopped:
                results, asked = self._attempt(unit, board)
            for job, result in zip(unit.jobs, results, strict=True):
                outcomes[job.run] = Outcome(job, *result)
                board.ended(outcomes[job.run])
            stopped = asked or any(result.state == "interrupted" for result in results)
        return [outcomes[job.run] for job in jobs]

    def _attempt(self, unit: Unit, board: Board) -> tuple[Sequence[Result], bool]:
        """How the unit went, and whether somebody asked to stop while it did not train."""
        jobs = unit.jobs

        def progress(place: int, step: int, total: int, speed: float) -> None:
            board.progress(jobs[place], step, total, speed)

        try:
            if not unit.stacked:
                job = jobs[0]
                one = attempt(job.config, job.root, job.passed, lambda *news: progress(0, *news), job.track)
                return [one], False
            configs, passed = [j.config for j in jobs], [j.passed for j in jobs]
            return attempt_stack(configs, jobs[0].root, passed, progress, unit.fall_back, jobs[0].track), False
        except KeyboardInterrupt:  # before training had begun to listen, or after it had ended
            return [interrupted(job) for job in jobs], True
