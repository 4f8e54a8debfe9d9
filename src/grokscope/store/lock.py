"""One writer per run folder: an operating-system lock, which ends with its process, and a claim, which other machines
see.

The lock says at once that a holder died; where it does not work, or does not reach the holder's machine, the claim's
heartbeat says so after a while.
"""

import errno
import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from grokscope.files import explain_denied, explain_full_disk, guarded, plain_file, require_may_write
from grokscope.store import claims
from grokscope.store.claims import Claim, ClaimLost, Held

__all__ = ["Claim", "ClaimLost", "Held", "at_work", "claimed", "exclusive", "is_held"]

ABSENT = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a file system answers that has no locks."""

_AS_A_CHILD_MAY_TAKE = (0.1,) * 50
"""Seconds to wait, again and again, for a process that a dead holder had started, on a machine under load."""

Lock = Literal["ours", "refused", "absent"]
"""What became of asking for the system's lock; `absent` where the file system has none."""


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, for work whose length only its caller knows. Raises Held (a ValueError) naming the holder
    when another process trains this run, and ValueError where the lock is no regular file."""
    with _lock(folder) as lock:
        _require_free(folder, claims.newest(folder), lock)
        if lock == "refused":
            raise Held(_said(folder, None))
        yield


@contextmanager
def claimed(folder: Path, expires_s: float = claims.EXPIRES_S, together: str = "") -> Iterator[Claim]:
    """Hold the folder for training: by its lock where that works, and by a claim with a heartbeat. `together` names
    several folders of which this is one, for whoever asks for the same ones.

    While it is held, every write to the folder first asks whether the claim still stands. A process that was stopped
    for longer than `expires_s` and wakes finds that it does not, and writes nothing.

    Raises:
        Held: (a ValueError) naming the holder, when another process trains this run.
        ClaimLost: from the write at which it is found out.
    """
    with _lock(folder) as lock:
        newest = claims.newest(folder)
        _require_free(folder, newest, lock)
        claim = claims.take(folder, newest, expires_s, together)
        try:
            with claims.beating(claim), guarded(folder, claim.require):
                yield claim
        finally:  # after the last heartbeat, which would change its time
            claims.release(claim)


def _require_free(folder: Path, claim: Claim | None, lock: Lock) -> None:
    """Raise Held where somebody may still be at work in the folder."""
    if claim is None or claim.released:
        free = lock != "refused"  # a holder without a claim: a recorder, an import, an older version
    elif lock == "ours" and claim.is_here:
        free = True  # on its own machine a living holder would have the lock
    else:
        free = claim.expired  # on another machine, or here and stopped
    if not free:
        raise Held(_said(folder, claim))


def _said(folder: Path, claim: Claim | None) -> str:
    holder = claim.holder if claim is not None and not claim.released else _holder(folder)
    return f"{folder} is being trained by {holder}; wait for it or stop it"


@contextmanager
def _lock(folder: Path) -> Iterator[Lock]:
    """Ask for the folder's lock, and hold it for the block where it is ours. Raises NotWritable (a ValueError) in a
    folder of somebody else's."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        plain_file(folder, ".lock")
        handle = _opened(folder / ".lock")
    except OSError as error:
        if isinstance(error, FileExistsError | NotADirectoryError):
            require_may_write(folder)  # says that a file lies in the way, or a link to nothing
        explain_denied(error, folder)
        explain_full_disk(error, folder)
        raise
    try:
        lock = _asked(handle)
        if lock == "refused" and _holder_died(folder):
            lock = _asked(handle, _AS_A_CHILD_MAY_TAKE)
        if lock == "ours":
            with suppress(OSError):  # who holds it is for people; a full disk, or another user's file, is no reason
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"pid {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield lock
    finally:
        os.close(handle)


def _opened(path: Path) -> int:
    """The lock's file. One that another user made may be locked without being written."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, claims.MODE)
    except PermissionError:
        if not path.exists():
            raise
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)


def _holder(folder: Path) -> str:
    try:
        return (folder / ".lock").read_text(errors="replace")[:200].strip() or "another process"
    except OSError:
        return "another process"


def _holder_died(folder: Path) -> bool:
    """Whether the holder is known to have died on this machine: then a process that it had just started may still hold
    a copy of its lock, until it becomes another program."""
    claim = claims.newest(folder)
    if claim is None or claim.released:
        pid = re.fullmatch(rf"pid (\d+) on {re.escape(socket.gethostname())}", _holder(folder))
    elif claim.is_here:
        pid = re.match(r"pid (\d+) on ", claim.holder)
    else:
        pid = None
    return pid is not None and Path("/proc/self").exists() and not Path(f"/proc/{pid[1]}").exists()


def _asked(handle: int, waits: Sequence[float] = (0.01, 0.03, 0.1)) -> Lock:
    """`is_held` takes the lock for an instant, so only a refusal that lasts is one."""
    for wait in (*waits, 0):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return "ours"
        except BlockingIOError:
            time.sleep(wait)
        except OSError as error:
            if error.errno not in ABSENT:
                raise
            return "absent"
    return "refused"


def at_work(folder: Path) -> bool | None:
    """Whether some process, of this machine or another, trains in the folder now; None where neither a lock nor a claim
    can tell."""
    held = _held(folder)
    if held:
        return True
    claim = claims.newest(folder)
    if claim is None:
        return None
    if claim.released or (claim.is_here and held is False):  # on its own machine a living holder would have the lock
        return False
    try:
        return not claim.expired
    except OSError:  # a folder that cannot be written has no clock to ask
        return time.time() - claim.changed() <= claim.expires_s


def is_held(folder: Path) -> bool:
    """Whether some process of this machine holds the folder's lock now."""
    return bool(_held(folder))


def _held(folder: Path) -> bool | None:
    """None where the file system has no locks."""
    try:
        handle = os.open(folder / ".lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # there is none, or what lies there is no file of ours: a link, a socket
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        return None
    else:
        return False
    finally:
        os.close(handle)
