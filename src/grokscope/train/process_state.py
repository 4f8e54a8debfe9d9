"""What training sets for the whole process: warnings written down, deterministic kernels, signals that ask to stop."""

import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch


@contextmanager
def recorded_warnings(notes: list[str]) -> Iterator[None]:
    """Write down what is warned of meanwhile, for the run's record; every warning still reaches the caller."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for w in caught:
        if w.category is UserWarning:
            notes.append(str(w.message))
        warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Deterministic kernels, and torch's own generator (dropout) seeded, for as long as a run trains. A GPU has none
    for some operations; there torch warns and goes on."""
    settings: Any = torch.utils.deterministic  # filling fresh memory would cost time and guard against nothing we do
    before = torch.are_deterministic_algorithms_enabled(), settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    settings.fill_uninitialized_memory = False
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        settings.fill_uninitialized_memory = before[1]


@contextmanager
def stop_on_signals(request_stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP ask the session to stop after the present step; a second Ctrl-C is not held back."""

    def handler(number: int, frame: FrameType | None) -> None:
        request_stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        hangs_up = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN  # under nohup the run outlives its terminal
        stopping = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hangs_up else ()))
        before = {s: signal.signal(s, handler) for s in stopping}
    except ValueError:  # not in the main thread: the caller deals with signals
        yield
        return
    try:
        yield
    finally:
        for s, old in before.items():
            signal.signal(s, old)
