"""The process of one tracker: follows the run folders that it is told of, and answers how their mirrors ended.

    in:   {"class": "grokscope.track.to_wandb:WandB", "parameters": {...}}  once
          {"follow": "runs/..."}   {"end": "runs/..."}
    out:  {"run": "runs/...", "rows": 120, "where": "...", "notes": []}     where it was ended
          {"run": "runs/...", "problem": "OSError: ..."}                    where it failed, and is no longer followed

It reads folders and talks to the tracker; of the process that trains it needs nothing but these lines, and when that
one dies, however it dies, the end of the input tells it to finish.
"""

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import IO, Any

LOOK_S = 1.0
"""Seconds between looks at the folders."""
ALONE_S = 60.0
"""Seconds that it goes on alone, at most, after the process that trains has ended."""
POLITE = 5
"""Added to its niceness: whoever trains goes first."""

Order = dict[str, Any]


def main() -> None:
    answers = os.fdopen(int(sys.argv[1]), "w", buffering=1, encoding="utf-8")
    with suppress(OSError):
        os.nice(POLITE)
    orders = _listen()
    head = orders.get()
    if head is not None:
        _serve(_desk(head, answers), orders)


def _listen() -> "queue.SimpleQueue[Order | None]":
    """The orders, as they come; None at the end. They are moved off the standard input, from which a tracker could read
    answers to questions that nobody sees."""
    source = os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()

    def read() -> None:
        for line in source:
            orders.put(json.loads(line))
        orders.put(None)
        time.sleep(ALONE_S)
        os._exit(1)  # a tracker hangs, and nobody is left to notice

    threading.Thread(target=read, daemon=True).start()
    return orders


def _desk(head: Order, answers: IO[str]) -> "Desk":
    from grokscope import configio

    module, _, name = head["class"].partition(":")
    kind = attrgetter(name)(import_module(module))
    return Desk(configio.structure(head["parameters"], kind, "$.track"), answers)


def _serve(desk: "Desk", orders: "queue.SimpleQueue[Order | None]") -> None:
    looked = time.monotonic()
    while True:
        try:
            order = orders.get(timeout=max(looked + LOOK_S - time.monotonic(), 0.0))
        except queue.Empty:
            desk.look()
            looked = time.monotonic()
            continue
        if order is None:
            desk.end_all()
            return
        desk.carry_out(order)


class Desk:
    """The runs that are followed. What goes wrong with one of them ends its mirror alone."""

    def __init__(self, tracker: Any, answers: IO[str]):
        self.tracker, self.answers = tracker, answers
        self.followers: dict[str, Any] = {}

    def carry_out(self, order: Order) -> None:
        if "follow" in order:
            self._guarded(order["follow"], self._follow)
        elif order["end"] in self.followers:
            self._guarded(order["end"], self._end)

    def look(self) -> None:
        for run in list(self.followers):
            self._guarded(run, lambda run: self.followers[run].look())

    def end_all(self) -> None:
        for run in list(self.followers):
            self._guarded(run, self._end)

    def _follow(self, run: str) -> None:
        from grokscope.store.run import Run
        from grokscope.track.follower import Follower

        self.followers[run] = Follower(Run(Path(run)), self.tracker)

    def _end(self, run: str) -> None:
        follower = self.followers[run]
        follower.end()
        self._release(run)
        self._answer(run=run, rows=follower.count, where=follower.where, notes=follower.notes)

    def _guarded(self, run: str, act: Callable[[str], None]) -> None:
        try:
            act(run)
        except (Exception, SystemExit) as error:  # some trackers exit where they cannot go on
            self._release(run)
            self._answer(run=run, problem=in_a_line(error))

    def _release(self, run: str) -> None:
        if run in self.followers:
            self.followers.pop(run).release()

    def _answer(self, **answer: Any) -> None:
        with suppress(BrokenPipeError):  # nobody is left to hear it
            self.answers.write(json.dumps(answer) + "\n")


def in_a_line(error: BaseException) -> str:
    """``OSError: No space left on device: /runs/...``."""
    if isinstance(error, OSError) and error.strerror:
        words = f"{error.strerror}{f': {error.filename}' if error.filename else ''}"
    else:
        words = " ".join(str(error).split())[:500]
    if isinstance(error, ValueError):
        return words
    return f"{type(error).__name__}: {words}"


if __name__ == "__main__":
    main()
