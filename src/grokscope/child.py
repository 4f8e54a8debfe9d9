"""A module of ours in a process of its own: it is given lines of JSON, and answers with lines of JSON."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import IO, Any, Self

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Libraries start with one thread; torch then takes as many as the run's hardware says."""
SAID = 2000
"""Bytes at the end of what it printed among which its last line is looked for."""


@dataclass
class Child:
    """The process, the end of the pipe on which it answers, and what it printed."""

    process: "subprocess.Popen[bytes]"
    answers: IO[bytes]
    said: IO[bytes]
    """What it printed: of interest only if it dies."""
    rest: bytes = b""

    @classmethod
    def start_module(cls, module: str) -> Self:
        """``python -m MODULE NUMBER``, where the number is that of the file on which it answers."""
        said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        reading, writing = os.pipe()  # not stdout: whatever a task or a library prints must not mix with the answers
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(writing)],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            pass_fds=(writing,),
            # A terminal sends Ctrl-C to all of its session: it would be stopped by it, and once more by its parent.
            start_new_session=True,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        os.close(writing)  # the child's end must be the only one: held here too, its death would never be heard
        return cls(process, os.fdopen(reading, "rb", buffering=0), said)

    def lines(self) -> tuple[list[dict[str, Any]], bool]:
        """(new whole answers, whether the process is gone)."""
        data = os.read(self.answers.fileno(), 1 << 16)
        *whole, self.rest = (self.rest + data).split(b"\n")
        return [json.loads(line) for line in whole], not data

    def how_it_ended(self, code: int) -> str:
        """``was killed by SIGKILL``; ``ended with exit code 1: `` and the last line that it printed."""
        if code < 0:
            return f"was killed by {signal_name(-code)}"
        self.said.seek(0)
        printed = self.said.read()[-SAID:].decode(errors="replace").strip().splitlines()
        return f"ended with exit code {code}{f': {printed[-1]}' if printed else ''}"


def signal_name(number: int) -> str:
    """``SIGKILL`` for 9; the number where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
