"""Signals that stop a process."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_stop_signals(ask: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Meanwhile Ctrl-C, SIGTERM and SIGHUP (unless it is ignored, as under nohup) call `ask`. Only the main thread
    hears signals; elsewhere nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    hangs_up = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
    stopping = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hangs_up else ()))
    before = {s: signal.signal(s, ask) for s in stopping}
    try:
        yield
    finally:
        for s, old in before.items():
            signal.signal(s, old)
