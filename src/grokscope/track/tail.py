"""The rows of a metrics file that are new since the last look, however the file is written or replaced meanwhile."""

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grokscope.checks import require


@dataclass(frozen=True)
class Line:
    """One row: its numbers, and a checksum of the line that holds it."""

    step: int
    values: Mapping[str, float]
    crc: int


class Tail:
    """Reads a metrics file to its end, again and again."""

    def __init__(self, path: Path):
        self.path = path
        self.steps: set[int] = set()
        """The steps of all rows that the file has now, as far as it was read."""
        self._at = 0
        self._file: tuple[int, int] | None = None
        self._number = 0

    def rewind(self) -> None:
        """Begin again with the first row."""
        self._file = None
        self._begin()

    def _begin(self) -> None:
        self._at = self._number = 0
        self.steps = set()

    def new(self) -> list[Line]:
        """The whole rows that were not returned before; all of them where the file was replaced, which is how a resumed
        run forgets rows, or cut.

        Raises:
            ValueError: naming file and line where a row is damaged.
            OSError: where the file cannot be read.
        """
        try:
            file = open(self.path, "rb")  # noqa: SIM115 - closed below
        except FileNotFoundError:
            return []
        with file:
            now = os.fstat(file.fileno())
            if self._file != (now.st_dev, now.st_ino) or now.st_size < self._at:
                self._file = (now.st_dev, now.st_ino)
                self._begin()
            file.seek(self._at)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]  # the last line may be in the middle of being written
        self._at += len(whole)
        return [self._parsed(line) for line in whole.splitlines()]

    def _parsed(self, line: bytes) -> Line:
        self._number += 1
        try:
            row: dict[str, Any] = json.loads(line)
            step = row.pop("step")
            require(type(step) is int and step >= 0, "no step")
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            raise ValueError(f"{self.path}, line {self._number}: not a row of metrics; the file is damaged") from None
        self.steps.add(step)
        numbers = {name: float(value) for name, value in row.items() if isinstance(value, int | float)}
        return Line(step, numbers, zlib.crc32(line))
