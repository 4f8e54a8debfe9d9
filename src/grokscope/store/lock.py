"""One writer for a run folder. The system drops the lock when the process ends, however it ends."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grokscope.files import plain_file


class Held(ValueError):
    """Another process trains this run."""


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. Raises Held (a ValueError) naming the holder when another process trains this run, and
    ValueError where the lock is no regular file."""
    folder.mkdir(parents=True, exist_ok=True)
    plain_file(folder, ".lock")
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        if not _taken(handle):
            holder = os.read(handle, 200).decode(errors="replace").strip() or "another process"
            raise Held(f"{folder} is being trained by {holder}; wait for it or stop it")
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"pid {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    """Whether the lock is ours now. `is_held` takes it for an instant, so only a refusal that lasts is one."""
    for wait in (0.01, 0.03, 0.1, 0):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(wait)
    return False


def is_held(folder: Path) -> bool:
    """Whether some process holds the folder's lock now."""
    try:
        handle = os.open(folder / ".lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # there is none, or what lies there is no file of ours: a link, a socket
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(handle)
