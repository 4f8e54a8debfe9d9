"""Part f: shell commands from a file, a line each, on CPU threads that the card leaves idle: at low priority, without
the card, at most so many at a time. What each prints goes to ``side/<number>.log``; ``$SIDE`` is the folder for small
files of its own, ``$RUNS`` for folders of runs. Lines that are empty or begin with # are left out.

Cost: as long as it is given; commands that are not over by then are ended, and what they wrote stays.
"""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from harness import Report, end_quietly, finish, left, options

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def read(path: Path) -> list[str]:
    lines = [line.strip() for line in path.read_text().splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


class Job:
    def __init__(self, number: int, command: str, folder: Path):
        self.number, self.command, self.began = number, command, time.monotonic()
        environment = {**os.environ, **ONE_THREAD, "CUDA_VISIBLE_DEVICES": "", "SIDE": str(folder.resolve())}
        with open(folder / f"{number:02d}.log", "w") as log:
            self.process = subprocess.Popen(
                ["nice", "-n", "15", "bash", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def end(self, number: int) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def facts(self) -> dict[str, Any]:
        code = self.process.poll()
        return {
            "number": self.number,
            "command": self.command,
            "exit_code": code,
            "seconds": time.monotonic() - self.began,
        }


def main() -> None:
    given = options(commands="", most=12)
    end_quietly()
    folder = given.out / "side"
    folder.mkdir(exist_ok=True)
    waiting = list(enumerate(read(Path(given.commands))))
    report = Report("f_side", given)
    report.put(commands=len(waiting))
    running: list[Job] = []
    over: list[dict[str, Any]] = []
    try:
        while (waiting or running) and left(given) > 5:
            while waiting and len(running) < given.most:
                running.append(Job(*waiting.pop(0), folder))
            time.sleep(0.2)
            for job in [job for job in running if job.process.poll() is not None]:
                running.remove(job)
                over.append(job.facts())
                report.put(over=over)
    finally:
        for job in running:
            job.end(signal.SIGTERM)
        wait_until = time.monotonic() + 4
        while any(job.process.poll() is None for job in running) and time.monotonic() < wait_until:
            time.sleep(0.1)
        for job in running:
            job.end(signal.SIGKILL)
        report.put(ended=[job.facts() for job in running], never_begun=[command for _, command in waiting])
        finish(report)


if __name__ == "__main__":
    main()
