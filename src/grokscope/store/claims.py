"""Claims: which process may write a run's folder, determined by files alone so that it works on file systems whose
locks do not reach other machines.

A claim is a file ``.claim-000007.json`` in the folder: its number grows with every taking, and it appears whole, by a
hard link that only one process can make (where a file system has no links, by ``O_EXCL``, and is filled afterwards).
Its time of change is the holder's heartbeat. Whoever takes the next number deletes the file of the number before; a
holder whose file is gone has lost the folder and writes nothing more.
"""

import errno
import json
import os
import re
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from grokscope.files import explain_denied, explain_full_disk

EXPIRES_S = 120.0
"""Seconds without a heartbeat after which a claim may be taken over. Twelve heartbeats, and twice as long as a network
file system keeps what it knows of a file without asking."""
BEATS = 12
"""Heartbeats in that time."""
MODE = 0o666
"""Permissions of new files before the umask: with umask 002 people of one group take over each other's runs."""
GONE = (errno.ENOENT, errno.ESTALE)
"""What a system says of a file that was deleted, a network file system of one that it still had open."""
RELEASED_AT = 0
"""The time of change of a claim that was released on a full disk."""
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)
"""What a file system answers that has no hard links."""
JOB = "GROKSCOPE_JOB"
"""The environment variable that names the job on a cluster of which a process is part."""
_SAID = ("holder", "machine", "expires_s", "deaths", "released", "job", "together")
_NAME = re.compile(r"\.claim-(\d+)\.json")


class Held(ValueError):
    """Another process trains this run."""


class ClaimLost(Held):
    """This process was silent for longer than its claim allowed, and another one took the run over. Nothing was
    written since."""


@dataclass(frozen=True)
class Claim:
    """One taking of a folder, as its file says. What was not written yet is unknown."""

    path: Path
    number: int
    holder: str = "another process"
    machine: str = ""
    """The system that the holder runs on: its boot, for names of machines are not unique."""
    expires_s: float = EXPIRES_S
    deaths: int = 0
    """Holders in a row, before this one, that ended without releasing the folder."""
    released: bool = False
    job: str = ""
    """The job on a cluster that the holder is part of, as its queue names it."""
    together: str = ""
    """Names the runs that the holder takes at once, this one first or later; empty for one run alone."""

    @property
    def is_here(self) -> bool:
        """Whether its holder runs, or ran, on this machine since it was started."""
        return self.machine == this_machine()

    def silent_s(self) -> float:
        """Seconds since its last heartbeat, by the clock of the file system. Infinite where it is gone.

        Heartbeats have the time of that very clock. One that lies ahead of it is from before the clock was set back,
        and would keep others out until the clock is there again: it counts from now on.
        """
        try:
            silent = _now(self.path.parent) - self.changed()
            if silent < -self.expires_s / BEATS:
                os.utime(self.path, follow_symlinks=False)
                return 0.0
        except FileNotFoundError:
            return float("inf")
        return silent

    def changed(self) -> float:
        """When its last heartbeat was, by the clock of the file system. Raises FileNotFoundError where it is gone."""
        handle = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            return os.fstat(handle).st_mtime
        finally:
            os.close(handle)

    @property
    def expired(self) -> bool:
        return self.silent_s() > self.expires_s

    def require(self) -> None:
        """Raises ClaimLost where another process has taken the folder over, and OSError where that cannot be told, for
        a network that is down is no other process.

        Opening the file asks the server of a network file system; a mere look might be answered from memory.
        """
        try:
            os.close(os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW))
        except OSError as error:
            if error.errno not in GONE:
                raise
            if not self.path.parent.is_dir():
                raise ClaimLost(
                    f"{self.path.parent}: the folder was removed while this process trained in it; this process stops "
                    "and has written nothing since"
                ) from None
            raise ClaimLost(
                f"{self.path.parent}: another process took over this run, because this process gave no heartbeat for "
                f"more than {self.expires_s:g} s; this process stops and has written nothing since"
            ) from None


def newest(folder: Path) -> Claim | None:
    """The claim with the highest number; None in a folder that nobody ever claimed, or that is not there."""
    with suppress(FileNotFoundError):
        while numbers := _numbers(folder):
            with suppress(FileNotFoundError):  # its successor came between the look and the reading
                return _read(_path(folder, numbers.pop()))
    return None


def deaths(folder: Path) -> int:
    """Holders in a row that ended without releasing the folder, the last one included where it is dead or silent."""
    claim = newest(folder)
    if claim is None or claim.released:
        return 0
    return claim.deaths + 1


def take(folder: Path, before: Claim | None, expires_s: float, together: str = "") -> Claim:
    """The next claim of the folder, ours. The caller knows that the one `before` is over.

    Raises:
        Held: another process was faster.
        NotWritable: this user may not write in the folder.
    """
    number = before.number + 1 if before else 1
    deaths = 0 if before is None or before.released else before.deaths + 1
    path = _path(folder, number)
    holder, machine = f"pid {os.getpid()} on {socket.gethostname()}", this_machine()
    words: dict[str, Any] = {"holder": holder, "machine": machine, "expires_s": expires_s, "deaths": deaths}
    if job := os.environ.get(JOB):
        words["job"] = job
    if together:
        words["together"] = together
    try:
        _create(path, json.dumps(words) + "\n")
    except FileExistsError:
        raise Held(f"{folder} was just taken by another process") from None
    except OSError as error:
        explain_denied(error, folder)
        explain_full_disk(error, path)
        raise
    if max(_numbers(folder)) > number:  # others took, trained and left while this process slept before the open
        path.unlink()
        raise Held(f"{folder} was taken by other processes meanwhile")
    # This is what fences the old holder off. A growing number alone would not: no file system compares it when an
    # old holder wakes and writes. Its own file gone, the check before its next write fails (`Claim.require`).
    for old in _numbers(folder):
        if old < number:
            _path(folder, old).unlink(missing_ok=True)
    return Claim(path, number, holder, machine, expires_s, deaths)


def _create(path: Path, text: str) -> None:
    """Make the file with its whole content. Raises FileExistsError where another process was faster.

    A process that is killed halfway leaves a temporary file, and no claim. An empty claim would keep everybody out
    until it expires, for it does not say on which machine its holder died.
    """
    temporary = path.with_name(f"{path.stem}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        _write_new(temporary, text)
        _link(temporary, path)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        _write_new(path, text)
    finally:
        temporary.unlink(missing_ok=True)


def _link(temporary: Path, path: Path) -> None:
    """A network file system may answer that the link was there before when it made it at the first of two requests, of
    which the first answer was lost: the count of links tells."""
    try:
        os.link(temporary, path, follow_symlinks=False)
    except FileExistsError:
        if os.stat(temporary).st_nlink != 2:
            raise
    except FileNotFoundError:  # whoever took the folder meanwhile removed what killed processes had left
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None


def _write_new(path: Path, text: str) -> None:
    """A new file, written to the disk; none where there is no room for it."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, MODE)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def release(claim: Claim) -> None:
    """Say that the folder is free. The file stays, so that numbers go on growing.

    On a full disk the line may find no room. A time of change that no heartbeat gives needs none.
    """
    try:
        handle = os.open(claim.path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write('{"released": true}\n')
    except OSError:
        with suppress(OSError):
            os.utime(claim.path, (RELEASED_AT, RELEASED_AT), follow_symlinks=False)


@contextmanager
def beating(claim: Claim) -> Iterator[None]:
    """Renew the claim's time from a thread, for a step or an evaluation may last longer than a heartbeat."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(claim.expires_s / BEATS):
            try:
                os.utime(claim.path)  # without a time of ours: the file system's own clock
            except OSError as error:
                if error.errno in GONE:  # it is lost, which the next write finds out
                    return
                # else a disturbance of the network or the server, which may be over at the next beat

    thread = threading.Thread(target=beat, name="claim", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@cache
def this_machine() -> str:
    """Names this machine since it was started: its boot where the system tells, else its host name."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return socket.gethostname()


def _numbers(folder: Path) -> list[int]:
    """The numbers of the claims in a folder, ascending."""
    matches = (_NAME.fullmatch(name) for name in os.listdir(folder))
    return sorted(int(match[1]) for match in matches if match)


def _path(folder: Path, number: int) -> Path:
    return folder / f".claim-{number:06d}.json"


def _read(path: Path) -> Claim:
    """A claim as far as it is written: its holder may be between creating the file and filling it."""
    number = int(_NAME.fullmatch(path.name)[1])  # type: ignore[index]
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(handle, encoding="utf-8", errors="replace") as file:
        lines = [_parsed(line) for line in file.read(4096).splitlines()]
        if os.fstat(handle).st_mtime == RELEASED_AT:
            lines.append({"released": True})
    said: dict[str, Any] = {}
    for line in lines:
        said |= {key: line[key] for key in _SAID if key in line}
    return Claim(path, number, **said)


def _parsed(line: str) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _now(folder: Path) -> float:
    """What the file system's clock says: that of another machine may be minutes off."""
    try:
        return _touched(folder / ".clock")
    except PermissionError:  # it is another user's
        own = folder / f".clock.{os.getpid()}.tmp"
        try:
            return _touched(own)
        finally:
            own.unlink(missing_ok=True)


def _touched(clock: Path) -> float:
    handle = os.open(clock, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, MODE)
    try:
        os.utime(clock)
        return os.fstat(handle).st_mtime
    finally:
        os.close(handle)
