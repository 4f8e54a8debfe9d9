"""One run after the other, in this process: for notebooks, debuggers and machines without processes to spare."""

from collections.abc import Sequence
from dataclasses import dataclass

from grokscope.execute.attempt import Result, attempt
from grokscope.execute.protocol import Board, Job, Outcome


@dataclass(frozen=True)
class Inline:
    """Trains in the calling process; Ctrl-C saves the running run and stops."""

    def execute(self, jobs: Sequence[Job], board: Board) -> list[Outcome]:
        outcomes: list[Outcome] = []
        board.begin(jobs, 1)
        for job in jobs:
            if outcomes and outcomes[-1].state in ("interrupted", "waiting"):
                outcome = Outcome(job, "waiting", job.step)
            else:
                outcome = Outcome(job, *self._attempt(job, board))
            board.ended(outcome)
            outcomes.append(outcome)
        return outcomes

    def _attempt(self, job: Job, board: Board) -> Result:
        def progress(step: int, total: int, speed: float) -> None:
            board.progress(job, step, total, speed)

        try:
            return attempt(job.config, job.root, job.passed, progress)
        except KeyboardInterrupt:  # before training had begun to listen
            return "interrupted", job.step, ""
