"""Process-wide state of training: recorded warnings, deterministic kernels, stop signals."""

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
def deterministic(seed: int, on: bool = True) -> Iterator[None]:
    """Deterministic kernels, and torch's own generator (dropout) seeded, for as long as a run trains. A GPU has none
    for some operations; there torch warns and goes on. Where `on` is false, a GPU tries convolutions and keeps the
    fastest, whatever order they add in."""
    settings: Any = torch.utils.deterministic  # filling fresh memory would cost time and guard against nothing we do
    before = torch.are_deterministic_algorithms_enabled(), settings.fill_uninitialized_memory
    trying = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(on, warn_only=torch.cuda.is_available())
    torch.backends.cudnn.benchmark = not on
    settings.fill_uninitialized_memory = False
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = trying
        settings.fill_uninitialized_memory = before[1]


@contextmanager
def precision(tf32: bool) -> Iterator[None]:
    """Products of float32 on a GPU in TF32, whose operands have ten bits of mantissa, or in float32. Torch by itself
    uses TF32 in convolutions alone."""
    cuda: Any = torch.backends.cuda
    cudnn: Any = torch.backends.cudnn
    places = (cuda.matmul, cudnn.conv, cudnn.rnn)
    before = [place.fp32_precision for place in places]
    for place in places:
        place.fp32_precision = "tf32" if tf32 else "ieee"
    try:
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.fp32_precision = value


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
